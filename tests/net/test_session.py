"""Sessions against a scripted receiver: what is sent, what each trouble comes to, and that nothing is reported twice."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
import trio
import trio.testing

from sender.errors import TransportKind
from sender.model import Pipelining, Result, Step, TlsPolicy, Transaction, Verdict
from sender.net.session import SessionOptions
from sender.policy.verdict import judge_result
from tests.net.dnsserver import dns_server
from tests.net.smtpserver import Behaviour, Connection, Receiver, close, hang, receiver, reset, then_close
from tests.net.world import DEADLINES, Work, World, message
from tests.rig import profiles

OPTIONS = SessionOptions(deadlines=DEADLINES, tls=TlsPolicy.OFF)
PROFILE = profiles().profile("big")


class Scene:
    def __init__(self, world: World, mx: Receiver) -> None:
        self.world, self.mx = world, mx

    def earn_chain(self) -> None:
        self.world.hosts.note_good("mx.test", 3)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with dns_server("mx.test. 300 A 127.0.0.1") as dns, receiver() as mx, World(dns, mx.port) as world:
        yield Scene(world, mx)


@pytest.mark.parametrize("mode", list(Pipelining))
@pytest.mark.parametrize("chunking", [False, True])
async def test_every_message_arrives_once_and_is_reported_once(scene: Scene, mode: Pipelining, chunking: bool) -> None:
    if chunking:
        scene.mx.keywords.append("CHUNKING")
    scene.earn_chain()
    session = await scene.world.session(SessionOptions(deadlines=DEADLINES, tls=TlsPolicy.OFF, pipelining=mode))
    work = Work([message(number) for number in range(20)])
    await session.pump(work.take, work.done)
    work.check()
    assert [result.transaction.tag for result in work.results] == list(range(20))
    assert {(result.step, result.reply and result.reply.code) for result in work.results} == {(Step.DOT, 250)}
    assert all(result.seconds > 0 for result in work.results)
    assert [content.split(b"\r\n")[0] for content in scene.mx.messages] == [b"Subject: %d" % n for n in range(20)]
    assert session.messages == 20
    assert not session.closed
    assert (mode is Pipelining.CHAIN and chunking) == any(line.startswith("BDAT") for line in scene.mx.commands)


async def test_what_has_been_written_is_not_kept_while_the_reply_is_waited_for(scene: Scene) -> None:
    session, held = await scene.world.session(OPTIONS), list[int]()

    async def look(connection: Connection) -> None:
        held.append(
            memoryview(session._conversation._unsent.obj).nbytes
        )  # what the view keeps alive, however little of it is left
        await connection.send(b"250 2.0.0 queued\r\n")

    scene.mx.plan("DOT", look)
    work = Work([message(1, octets=10_000)])
    await session.pump(work.take, work.done)
    assert held == [0]


async def test_a_session_is_used_again_and_again_and_ends_with_quit(scene: Scene) -> None:
    session = await scene.world.session(OPTIONS)
    for _ in range(3):
        work = Work([message(1)])
        assert session.usable_now()
        await session.pump(work.take, work.done)
    assert len(scene.mx.messages) == 3
    assert repr(session) == "<Session s1 to mx.test[127.0.0.1] clear, 3 messages, 0 open>"
    await session.aclose()
    assert scene.mx.commands[-1] == "QUIT"
    assert session.closed
    assert not session.usable_now()
    assert session.failure is None
    assert len(scene.mx.connections) == 1


async def test_a_pump_with_nothing_to_take_does_nothing(scene: Scene) -> None:
    session = await scene.world.session(OPTIONS)
    work = Work([])
    with trio.testing.assert_checkpoints():
        await session.pump(work.take, work.done)
    assert session.usable_now()


async def test_a_message_may_be_taken_while_another_is_open(scene: Scene) -> None:
    """A lane that composes just in time hands the next one over while the first is on its way."""
    scene.earn_chain()
    session = await scene.world.session(OPTIONS)
    work = Work([])
    offered = iter([message(1), None, message(2), None, None, None])
    await session.pump(lambda: next(offered, None), work.done)
    assert [result.transaction.tag for result in work.results] == [1, 2]


async def test_refusals_are_results_and_the_session_goes_on(scene: Scene) -> None:
    scene.mx.plan("RCPT", b"550 5.1.1 no such user\r\n")
    scene.mx.plan("MAIL", b"250 ok\r\n", b"451 4.7.1 later\r\n")
    session = await scene.world.session(OPTIONS)
    work = Work([message(number) for number in range(3)])
    await session.pump(work.take, work.done)
    assert [(result.step, result.reply and result.reply.code) for result in work.results] == [
        (Step.RCPT, 550),
        (Step.MAIL, 451),
        (Step.DOT, 250),
    ]
    assert not session.closed


async def test_the_time_of_each_wait_is_observed_by_step(scene: Scene) -> None:
    session = await scene.world.session(OPTIONS)
    work = Work([message(1)])
    await session.pump(work.take, work.done)
    await session.aclose()
    steps = [step for step, _ in scene.world.waits]
    assert steps[:3] == [Step.CONNECT, Step.GREETING, Step.EHLO]
    assert {Step.MAIL, Step.DOT} <= set(steps)
    assert all(seconds >= 0 for _, seconds in scene.world.waits)


@pytest.mark.row("S1")
async def test_content_that_breaks_the_rules_ends_its_own_message_only(scene: Scene) -> None:
    session = await scene.world.session(OPTIONS)
    bad = Transaction(mail_from="b@out.test", rcpt="a@a.test", head=b"Subject: x\n\nbare\r\n")
    work = Work([bad, message(1)])
    await session.pump(work.take, work.done)
    work.check()
    assert [result.reply and result.reply.code for result in work.results] == [554, 250]
    assert work.results[0].error


Loss = tuple[str, str, Behaviour, Step, bool, TransportKind | None]
LOSSES: list[Loss] = [
    ("closed at MAIL", "MAIL", close, Step.MAIL, False, TransportKind.CLOSED),
    ("reset at RCPT", "RCPT", reset, Step.RCPT, False, TransportKind.RESET),
    ("closed at DATA", "DATA", close, Step.DATA, False, TransportKind.CLOSED),
    ("closed at the dot", "DOT", close, Step.DOT, True, TransportKind.CLOSED),
    ("reset at the dot", "DOT", reset, Step.DOT, True, TransportKind.RESET),
    ("silent at the dot", "DOT", hang, Step.DOT, True, TransportKind.TIMEOUT),
    ("silent at MAIL", "MAIL", hang, Step.MAIL, False, TransportKind.TIMEOUT),
    ("no reply at all at the dot", "DOT", b"queued I guess\r\n", Step.DOT, True, None),
    ("354 for the dot", "DOT", b"354 more?\r\n", Step.DOT, True, None),
    ("250 for DATA", "DATA", b"250 ok\r\n", Step.DATA, False, None),
]


@pytest.mark.parametrize("loss", LOSSES, ids=[loss[0] for loss in LOSSES])
@pytest.mark.parametrize("mode", list(Pipelining))
@pytest.mark.row("F32")
async def test_a_session_that_breaks_reports_what_was_open_and_in_doubt(
    scene: Scene, patient_clock: trio.testing.MockClock, loss: Loss, mode: Pipelining
) -> None:
    _, verb, behaviour, step, in_doubt, kind = loss
    scene.mx.plan(verb, behaviour)
    scene.earn_chain()
    session = await scene.world.session(SessionOptions(deadlines=DEADLINES, tls=TlsPolicy.OFF, pipelining=mode))
    work = Work([message(number) for number in range(5)])
    await session.pump(work.take, work.done)
    work.check()
    first, *others = work.results
    assert (first.step, first.in_doubt, first.reply) == (step, in_doubt, None)
    assert not any(result.in_doubt for result in others)
    assert session.closed
    assert session.failure is not None
    assert session.failure.kind is kind
    assert "mx.test[127.0.0.1]" in str(session.failure)
    assert "mx.test[127.0.0.1]" in repr(session)


@pytest.mark.row("F32")
async def test_a_broken_protocol_takes_pipelining_away_for_an_hour(scene: Scene) -> None:
    scene.mx.plan("DOT", b"250 ok\r\n250 and another\r\n")
    session = await scene.world.session(OPTIONS)
    work = Work([message(1), message(2)])
    await session.pump(work.take, work.done)
    work.check()
    assert session.closed
    now = trio.current_time()
    assert scene.world.hosts.pipelining("mx.test", Pipelining.CHAIN, now) is Pipelining.LOCKSTEP
    assert scene.world.hosts.pipelining("mx.test", Pipelining.CHAIN, now + 3601) is Pipelining.GROUP


async def test_three_good_messages_earn_chaining(scene: Scene) -> None:
    session = await scene.world.session(OPTIONS)
    work = Work([message(number) for number in range(3)])
    await session.pump(work.take, work.done)
    now = trio.current_time()
    assert scene.world.hosts.pipelining("mx.test", Pipelining.CHAIN, now) is Pipelining.CHAIN
    assert scene.world.hosts.pipelining("mx.test", Pipelining.GROUP, now) is Pipelining.GROUP


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_421_is_the_reply_of_one_message_and_the_end_of_the_session(scene: Scene, verb: str) -> None:
    scene.mx.plan(verb, then_close(b"421 4.7.0 too many\r\n"))
    session = await scene.world.session(OPTIONS)
    work = Work([message(number) for number in range(3)])
    await session.pump(work.take, work.done)
    work.check()
    assert work.results[0].reply is not None
    assert work.results[0].reply.code == 421
    assert session.closed
    assert session.failure is not None
    assert session.failure.reply is not None
    assert "421 4.7.0 too many" in str(session.failure)


@pytest.mark.row("F31")
async def test_a_refusal_followed_by_a_close_is_the_refusal(scene: Scene) -> None:
    scene.mx.plan("MAIL", then_close(b"550 5.7.1 blocked\r\n"))
    session = await scene.world.session(OPTIONS)
    work = Work([message(1)])
    await session.pump(work.take, work.done)
    assert [result.reply and result.reply.code for result in work.results] == [550]


@pytest.mark.row("F34")
async def test_a_byte_now_and_then_does_not_extend_the_deadline(scene: Scene, patient_clock: trio.testing.MockClock) -> None:
    async def one_byte_a_second(connection: Connection) -> None:
        for _ in range(2000):
            await connection.send(b"2")
            await trio.sleep(1)

    scene.mx.plan("DOT", one_byte_a_second)
    session = await scene.world.session(SessionOptions(deadlines={**DEADLINES, Step.DOT: 5}, tls=TlsPolicy.OFF))
    work = Work([message(1)])
    began = trio.current_time()
    await session.pump(work.take, work.done)
    assert 4.9 < trio.current_time() - began < 6.1
    assert session.failure is not None
    assert session.failure.kind is TransportKind.TIMEOUT
    assert work.results[0].in_doubt


async def test_a_reply_has_its_own_time_whatever_the_one_before_took(
    scene: Scene, patient_clock: trio.testing.MockClock
) -> None:
    async def slowly(connection: Connection) -> None:
        await trio.sleep(4)
        await connection.send(b"250 Ok\r\n")

    scene.mx.plan("DOT", slowly, hang)
    session = await scene.world.session(SessionOptions(deadlines={**DEADLINES, Step.DOT: 5}, tls=TlsPolicy.OFF))
    work = Work([message(1), message(2)])
    began = trio.current_time()
    await session.pump(work.take, work.done)
    assert [result.in_doubt for result in work.results] == [False, True]
    assert 9 <= trio.current_time() - began < 9.5
    assert "no reply in 5 s" in work.results[1].error


@pytest.mark.parametrize("flood", [b"250-and more\r\n" * 100_000, b"2" * 1_000_000], ids=["lines", "one line"])
@pytest.mark.row("F34")
async def test_an_endless_reply_ends_the_session(scene: Scene, flood: bytes) -> None:
    scene.mx.plan("DOT", flood)
    session = await scene.world.session(OPTIONS)
    work = Work([message(1)])
    await session.pump(work.take, work.done)
    work.check()
    assert session.closed
    assert work.results[0].reply is None
    assert work.results[0].in_doubt


@pytest.mark.row("F37")
async def test_a_receiver_that_reads_no_more_hits_the_write_deadline_and_leaves_no_doubt(
    scene: Scene, patient_clock: trio.testing.MockClock
) -> None:
    async def read_nothing(connection: Connection) -> None:
        await connection.send(b"354 go on\r\n")
        await trio.sleep_forever()

    scene.mx.plan("DATA", read_nothing)
    session = await scene.world.session(OPTIONS)
    work = Work([message(1, octets=20_000_000)])
    began = trio.current_time()
    await session.pump(work.take, work.done)
    assert 179 < trio.current_time() - began < 182
    assert [(result.step, result.in_doubt) for result in work.results] == [(Step.DOT, False)]
    assert session.failure is not None
    assert session.failure.kind is TransportKind.TIMEOUT
    assert "took no data in 180 s" in session.failure.error


async def test_a_slow_reader_is_waited_for_as_long_as_blocks_go(scene: Scene, patient_clock: trio.testing.MockClock) -> None:
    async def read_slowly(connection: Connection) -> None:
        await connection.send(b"354 go on\r\n")
        while not connection.held.endswith(b"\r\n.\r\n"):
            connection.held = connection.held[-8:] + await connection.stream.receive_some(1_000_000)
            await trio.sleep(20)
        await connection.send(b"250 2.0.0 at last\r\n")

    scene.mx.plan("DATA", read_slowly)
    session = await scene.world.session(OPTIONS)
    work = Work([message(1, octets=30_000_000)])
    began = trio.current_time()
    await session.pump(work.take, work.done)
    assert trio.current_time() - began > 300
    assert [result.reply and result.reply.text for result in work.results] == ["at last"]


@pytest.mark.parametrize("then", [hang, close], ids=["stays", "closes"])
async def test_a_refusal_in_the_middle_of_the_content_is_read(
    scene: Scene, patient_clock: trio.testing.MockClock, then: Callable[[Connection], object]
) -> None:
    async def refuse_early(connection: Connection) -> None:
        await connection.send(b"354 go on\r\n")
        await trio.sleep(5)
        await connection.send(b"552 5.3.4 too big\r\n")
        if then is hang:
            await hang(connection)
        await trio.sleep(5)
        await close(connection)

    scene.mx.plan("DATA", refuse_early)
    session = await scene.world.session(OPTIONS)
    work = Work([message(1, octets=20_000_000)])
    await session.pump(work.take, work.done)
    work.check()
    assert [(result.step, result.reply and result.reply.code) for result in work.results] == [(Step.DOT, 552)]
    assert session.closed  # half a message is on the wire: nothing can follow it


async def test_cancelled_in_the_middle_it_reports_closes_and_lets_the_cancellation_through(scene: Scene) -> None:
    scene.mx.plan("DOT", hang)
    session = await scene.world.session(OPTIONS)
    work = Work([message(1), message(2)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.pump, work.take, work.done)
        while len(scene.mx.commands) < 4:
            await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    work.check()
    assert session.closed
    assert work.results[0].in_doubt
    assert work.results[0].error == "cancelled"
    assert not session.usable_now()


@pytest.mark.row("F38")
async def test_an_idle_session_that_the_receiver_closed_is_found_out_before_use(scene: Scene) -> None:
    session = await scene.world.session(OPTIONS)
    await scene.mx.connections[0].stream.aclose()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert not session.usable_now()
    assert session.closed
    assert str(session.failure) == "mx.test[127.0.0.1] MAIL: closed while idle"


@pytest.mark.row("F38")
async def test_a_421_that_waits_on_an_idle_session_is_found_out_before_use(scene: Scene) -> None:
    session = await scene.world.session(OPTIONS)
    await trio.testing.wait_all_tasks_blocked(0.01)
    await scene.mx.connections[0].send(b"421 4.4.2 idle\x1b[2J too long\r\n")
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert not session.usable_now()
    assert "421 4.4.2 idle\\x1b[2J too long" in str(session.failure)


async def test_quit_waits_for_its_answer_only_a_moment(scene: Scene, patient_clock: trio.testing.MockClock) -> None:
    scene.mx.plan("QUIT", hang)
    session = await scene.world.session(OPTIONS)
    began = trio.current_time()
    await session.aclose()
    assert 4.9 < trio.current_time() - began < 5.5
    assert session.closed


async def test_the_caller_hears_of_a_message_before_its_end_of_data_leaves(scene: Scene) -> None:
    session = await scene.world.session(OPTIONS)
    work = Work([message(number) for number in range(4)])
    story: list[tuple[str, object]] = []

    def intend(transactions: Sequence[Transaction]) -> bool:
        story.extend(("intend", transaction.tag) for transaction in transactions)
        assert len(scene.mx.messages) <= len([event for event in story if event[0] == "done"]) + 1
        return True

    def done(result: Result) -> None:
        story.append(("done", result.transaction.tag))

    await session.pump(work.take, done, intend)
    for number in range(4):
        assert story.index(("intend", number)) < story.index(("done", number))
    assert len(story) == 8


async def test_a_caller_that_raises_leaves_a_closed_session_and_no_message_unreported(scene: Scene) -> None:
    session = await scene.world.session(OPTIONS)
    work = Work([message(1), message(2)])

    def full(transactions: object) -> bool:
        raise OSError("the journal's disk is full")

    with pytest.raises(OSError, match="disk is full"):
        await session.pump(work.take, work.done, full)
    work.check()
    assert session.closed
    assert not any(result.in_doubt for result in work.results)
    assert scene.mx.messages == []


@pytest.mark.parametrize("mode", list(Pipelining))
@pytest.mark.parametrize("chunking", [False, True])
async def test_an_end_of_data_that_may_not_go_out_leaves_nothing_behind(scene: Scene, mode: Pipelining, chunking: bool) -> None:
    """What was delivered before stays delivered; what is open is reported as never sent, and the session is over."""
    if chunking:
        scene.mx.keywords.append("CHUNKING")
    scene.earn_chain()
    session = await scene.world.session(SessionOptions(deadlines=DEADLINES, tls=TlsPolicy.OFF, pipelining=mode))
    first = Work([message(1)])
    await session.pump(first.take, first.done)
    work = Work([message(number) for number in range(2, 6)])
    asked: list[object] = []

    def refuse(ending: Sequence[Transaction]) -> bool:
        asked.extend(transaction.tag for transaction in ending)
        return False

    await session.pump(work.take, work.done, refuse)
    await trio.testing.wait_all_tasks_blocked(0.01)
    work.check()
    assert asked[0] == 2
    assert len(scene.mx.messages) == 1
    assert session.closed
    assert session.failure is None
    assert work.results
    assert {(result.withheld, result.in_doubt, result.reply) for result in work.results} == {(True, False, None)}
    assert {judge_result(PROFILE, result).verdict for result in work.results} == {Verdict.UNSENT}


@pytest.mark.parametrize("then", [b"250 2.0.0 Ok\r\n", b"550 5.1.1 no such user\r\n", close], ids=["250", "550", "closed"])
async def test_what_is_past_its_end_of_data_is_waited_for_before_the_session_ends(
    scene: Scene, patient_clock: trio.testing.MockClock, then: bytes | Callable[[Connection], Awaitable[None]]
) -> None:
    """With BDAT several are on their way: the reply to the first still counts when the next one must not go out."""

    async def late(connection: Connection) -> None:
        await trio.sleep(400)
        if isinstance(then, bytes):
            await connection.send(then)
        else:
            await then(connection)

    scene.mx.keywords.append("CHUNKING")
    scene.mx.plan("BDAT", late)
    scene.earn_chain()
    session = await scene.world.session(OPTIONS)
    work, waiting = Work([message(1)]), [message(2), message(3)]
    asked: list[object] = []

    def take() -> Transaction | None:
        if not work.waiting and waiting and asked:
            work.waiting.append(waiting.pop(0))
        return work.take()

    def only_the_first(ending: Sequence[Transaction]) -> bool:
        asked.extend(transaction.tag for transaction in ending)
        return len(asked) == 1

    await session.pump(take, work.done, only_the_first)
    work.check()
    assert trio.current_time() >= 400
    assert len(scene.mx.messages) == 1
    results = {result.transaction.tag: result for result in work.results}
    assert (results[1].withheld, results[1].in_doubt) == (False, then is close)
    assert (results[1].reply and results[1].reply.code) == (int(then[:3]) if isinstance(then, bytes) else None)
    assert all(result.withheld for number, result in results.items() if number != 1)
    assert session.closed
