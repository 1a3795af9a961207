"""Broken receivers, met by real sessions: nothing counts as sent or refused that was not, and every wait has an end."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from sender.errors import TransportKind
from sender.model import Pipelining, Result, Step, TlsPolicy, Verdict
from sender.net.session import SessionOptions
from sender.outbox import open_outbox
from sender.policy.receivers import Profile, Profiles
from sender.policy.verdict import judge_failure, judge_result
from sender.settings import load
from tests.net.dnsserver import dns_server
from tests.net.world import DEADLINES, Work, World, message
from tests.redis.servers import until
from tests.rows.town import DOMAIN, PATIENCE_S, SPEC, Town, town
from tests.sockets import ESTABLISHED, connections
from workers.emulator.certificates import Authority
from workers.emulator.faultmx import FaultMx, fault_mx
from workers.emulator.faults import Fault, Late, Moment, Say

ADDRESS = "127.77.200.1"


def options(mode: Pipelining = Pipelining.CHAIN, tls: TlsPolicy = TlsPolicy.OFF, **limits: float) -> SessionOptions:
    deadlines: Mapping[Step, float] = {**DEADLINES, **{Step(step): seconds for step, seconds in limits.items()}}
    return SessionOptions(deadlines=deadlines, tls=tls, pipelining=mode)


@asynccontextmanager
async def scene(*plays: str | Fault, directory: Path | None = None) -> AsyncIterator[tuple[World, FaultMx]]:
    authority = Authority(directory) if directory else None
    ca_file = str(authority.file) if authority else ""
    async with (
        dns_server(f"mx.test. 300 A {ADDRESS}") as dns,
        fault_mx(*plays, host="mx.test", address=ADDRESS, authority=authority) as mx,
        World(dns, mx.address[1], ca_file=ca_file) as world,
    ):
        yield world, mx


@pytest.fixture(name="profile", scope="module")
def profile_fixture() -> Profile:
    return Profiles.parse(load().receivers).profile("~fault.test")


async def pumped(world: World, count: int, how: SessionOptions) -> list[Result]:
    work = Work([message(number) for number in range(count)])
    session = await world.session(how)
    await session.pump(work.take, work.done)
    work.check()
    return work.results


@pytest.mark.row("F31")
@pytest.mark.parametrize("mode", list(Pipelining))
async def test_a_refusal_before_the_connection_closes_is_the_refusal_of_its_message_alone(
    mode: Pipelining, profile: Profile
) -> None:
    async with scene("mail-550-close") as (world, mx):
        world.hosts.note_good("mx.test", 3)
        first, *others = await pumped(world, 4, options(mode))
        assert first.reply is not None
        assert judge_result(profile, first).verdict is Verdict.REJECTED
        assert not any(result.in_doubt or result.reply for result in others)
        assert {judge_result(profile, result).verdict for result in others} <= {Verdict.UNSENT}
        assert mx.copies == []


@pytest.mark.row("F31")
async def test_a_refusal_that_blames_our_address_costs_no_recipient(profile: Profile) -> None:
    blocked = Say(text=b"554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org\r\n", closes=True)
    async with scene(Fault(acts={Moment.MAIL: blocked})) as (world, _):
        (result,) = await pumped(world, 1, options())
    outcome = judge_result(profile, result)
    assert (outcome.verdict, outcome.rule) == (Verdict.DEFERRED, "_default/address-listed")
    assert outcome.pause_s


OUT_OF_FORM = {
    "mail-four-digits": False,
    "rcpt-surplus": False,
    "rcpt-garbage-first": False,
    "data-250": False,
    "dot-garbage": True,
    "dot-garbage-dropped": True,
    "dot-354": True,
}


@pytest.mark.row("F32")
@pytest.mark.parametrize("mode", list(Pipelining))
@pytest.mark.parametrize("fault", OUT_OF_FORM)
async def test_replies_out_of_form_or_place_never_mean_sent_and_never_refused(
    fault: str, mode: Pipelining, profile: Profile
) -> None:
    async with scene(fault) as (world, _):
        world.hosts.note_good("mx.test", 3)
        results = await pumped(world, 3, options(mode))
        assert not any(result.reply for result in results)
        verdicts = [judge_result(profile, result).verdict for result in results]
        assert set(verdicts) <= {Verdict.DEFERRED, Verdict.UNSENT}
        assert results[0].in_doubt is OUT_OF_FORM[fault]
        assert world.hosts.pipelining("mx.test", Pipelining.CHAIN, trio.current_time()) is Pipelining.LOCKSTEP
        assert world.hosts.pipelining("mx.test", Pipelining.CHAIN, trio.current_time() + 3601) is Pipelining.GROUP


@pytest.mark.row("F32")
@pytest.mark.parametrize("mode", list(Pipelining))
async def test_a_surplus_reply_behind_an_end_of_data_is_believed_only_where_nothing_else_was_due(
    mode: Pipelining, profile: Profile
) -> None:
    """In a chain it stands where the next message's reply is due: then the one before it is in doubt."""
    async with scene("dot-surplus") as (world, mx):
        world.hosts.note_good("mx.test", 3)
        first, *others = await pumped(world, 3, options(mode))
        verdicts = [judge_result(profile, result).verdict for result in (first, *others)]
        assert verdicts[0] is (Verdict.DEFERRED if mode is Pipelining.CHAIN else Verdict.DELIVERED)
        assert first.in_doubt is (mode is Pipelining.CHAIN)
        assert set(verdicts[1:]) <= {Verdict.DEFERRED, Verdict.UNSENT}
        assert [copy.rcpt for copy in mx.copies] == [first.transaction.rcpt]
        assert world.hosts.pipelining("mx.test", Pipelining.CHAIN, trio.current_time()) is Pipelining.LOCKSTEP


@pytest.mark.row("F32")
@pytest.mark.parametrize("fault", ["connect-garbage", "ehlo-mixed-codes"])
async def test_replies_out_of_form_at_the_door_defer(fault: str, profile: Profile) -> None:
    async with scene(fault) as (world, _):
        failure = await world.failure(options())
    outcome = judge_failure(profile, failure.step, reply=failure.reply, kind=failure.kind)
    assert (failure.reply, failure.kind, outcome.verdict) == (None, None, Verdict.DEFERRED)


@pytest.mark.row("F33")
@pytest.mark.parametrize("mode", list(Pipelining))
async def test_a_refused_recipient_and_yet_354_is_the_refusal_and_makes_no_copy(mode: Pipelining) -> None:
    async with scene("rcpt-refused-354") as (world, mx):
        world.hosts.note_good("mx.test", 3)
        results = await pumped(world, 3, options(mode))
        assert [(result.step, result.reply and result.reply.code) for result in results] == [(Step.RCPT, 550)] * 3
        assert (mx.copies, mx.connections) == ([], 1)


@pytest.mark.row("F33")
async def test_each_recipient_has_its_own_reply_and_the_session_goes_on(profile: Profile) -> None:
    """Taken, busy, too many, unknown: one transaction each, RSET where one was left open."""
    group = "C: MAIL FROM:*\nC: RCPT TO:*\nC: DATA\n"
    script = "S: 220 mx.test\nC: EHLO *\nraw: 250-mx.test\\r\\n250 PIPELINING\\r\\n\n"
    script += group + "raw: 250 ok\\r\\n250 ok\\r\\n354 go\\r\\n\ncontent\nS: 250 2.0.0 queued\n"
    ok = ""
    for reply in ("450 4.2.1 busy", "452 4.5.3 too many recipients", "550 5.1.1 unknown"):
        script += f"{'C: RSET' + chr(10) if ok else ''}{group}raw: {ok}250 ok\\r\\n{reply}\\r\\n503 no recipients\\r\\n\n"
        ok = "250 reset\\r\\n"
    script += f"C: RSET\n{group}raw: {ok}250 ok\\r\\n250 ok\\r\\n354 go\\r\\n\ncontent\nS: 250 2.0.0 queued\nsilence\n"
    async with scene(script) as (world, mx):
        results = await pumped(world, 5, options(Pipelining.GROUP))
        assert mx.mistakes == []
        assert [copy.rcpt for copy in mx.copies] == ["r0@a.test", "r4@a.test"]
    verdicts = [judge_result(profile, result).verdict for result in results]
    deferred = Verdict.DEFERRED
    assert verdicts == [Verdict.DELIVERED, deferred, deferred, Verdict.REJECTED, Verdict.DELIVERED]


@pytest.mark.row("F34")
@pytest.mark.parametrize("fault", ["connect-trickle", "connect-endless", "connect-long-line", "ehlo-endless"])
async def test_a_reply_without_end_at_the_door_is_given_up_in_time_and_kept_short(
    fault: str, patient_clock: trio.testing.MockClock
) -> None:
    async with scene(fault) as (world, _):
        began = trio.current_time()
        failure = await world.failure(options(GREETING=10, EHLO=10))
        assert trio.current_time() - began <= 10.5
    assert failure.reply is None
    assert len(str(failure)) < 1_000


@pytest.mark.row("F34")
@pytest.mark.parametrize("fault", ["dot-trickle", "dot-endless"])
async def test_a_reply_without_end_to_a_message_leaves_it_in_doubt_and_the_session_closed(
    fault: str, patient_clock: trio.testing.MockClock
) -> None:
    async with scene(fault) as (world, _):
        work = Work([message(number) for number in range(3)])
        session = await world.session(options(Pipelining.GROUP, DOT=10))
        began = trio.current_time()
        await session.pump(work.take, work.done)
        assert trio.current_time() - began <= 10.5
        work.check()
        assert session.closed
        assert len(session.failure.error if session.failure else "") < 1_000
    assert [(result.in_doubt, result.reply) for result in work.results[:1]] == [(True, None)]
    assert not any(result.in_doubt for result in work.results[1:])


NO_TLS = Fault(acts={Moment.TLS: Late(text=b"this is no handshake\r\n", after_s=1.0)}, starttls=True)
BROKEN_TLS: list[str | Fault] = ["tls-silence", "tls-close", "starttls-close", NO_TLS]


@pytest.mark.row("F36")
@pytest.mark.parametrize("fault", BROKEN_TLS)
async def test_broken_tls_is_remembered_and_the_message_goes_in_clear_where_that_is_allowed(
    fault: str | Fault, tmp_path: Path, patient_clock: trio.testing.MockClock
) -> None:
    async with scene(fault, directory=tmp_path) as (world, mx):
        for connections in (2, 3):  # the second session does not try TLS again
            (result,) = await pumped(world, 1, options(tls=TlsPolicy.OPPORTUNISTIC))
            assert result.reply is not None
            assert (result.reply.code, mx.connections) == (250, connections)


@pytest.mark.row("F36")
@pytest.mark.parametrize("policy", [TlsPolicy.REQUIRED, TlsPolicy.VERIFIED])
@pytest.mark.parametrize("fault", [*BROKEN_TLS, "tls-garbage", "starttls-454", "none"])
async def test_broken_tls_defers_with_its_reason_where_tls_is_a_must(
    fault: str | Fault, policy: TlsPolicy, tmp_path: Path, profile: Profile, patient_clock: trio.testing.MockClock
) -> None:
    async with scene(fault, directory=tmp_path) as (world, mx):
        failure = await world.failure(options(tls=policy))
        assert (failure.reply, mx.copies) == (None, [])
    assert failure.step in (Step.STARTTLS, Step.TLS)
    assert failure.error
    outcome = judge_failure(profile, failure.step, reply=failure.reply, kind=failure.kind)
    assert (outcome.verdict, outcome.rule) == (Verdict.DEFERRED, "no-tls")


@pytest.mark.row("F36")
@pytest.mark.parametrize(
    ("fault", "why"), [("tls-wrong-name", "certificate-host-mismatch"), ("tls-unknown-issuer", "certificate-not-trusted")]
)
async def test_a_certificate_that_must_not_be_believed_is_refused_only_where_it_is_judged(
    fault: str, why: str, tmp_path: Path
) -> None:
    async with scene(fault, directory=tmp_path) as (world, _):
        failure = await world.failure(options(tls=TlsPolicy.VERIFIED))
        assert (failure.kind, why in failure.error) == (TransportKind.TLS, True)
        (result,) = await pumped(world, 1, options(tls=TlsPolicy.REQUIRED))
        assert result.reply is not None
        assert result.reply.code == 250


@pytest.mark.row("F37")
async def test_a_receiver_that_reads_no_more_costs_its_own_session_alone(patient_clock: trio.testing.MockClock) -> None:
    """Five megabytes into a full window: the write deadline, no doubt; another session sends at its own pace meanwhile."""
    async with scene("data-deaf", "none") as (world, mx):
        how = options(Pipelining.LOCKSTEP)
        deaf, other = await world.session(how), await world.session(how)
        large, small = Work([message(0, octets=5_000_000)]), Work([message(number) for number in range(1, 200)])
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deaf.pump, large.take, large.done)
            await other.pump(small.take, small.done)
            assert trio.current_time() - began < 60
            assert large.results == []
        assert trio.current_time() - began < 182
        assert [(result.step, result.in_doubt, result.reply) for result in large.results] == [(Step.DOT, False, None)]
        assert len(mx.copies) == 199


async def _has_come(here: Town) -> bool:
    """Whether something waits for us on the connection that we keep, be it its end."""
    port = here.mx.address[1]
    kept = [one for one in connections() if one.peer_port == port and one.state == ESTABLISHED and not one.unread]
    await trio.lowlevel.checkpoint()
    return not kept


IDLE_ENDS = {"closed": "close", "reset": "reset", "421 waits": "S: 421 4.4.2 idle too long\nsilence"}


@pytest.mark.row("F38")
@pytest.mark.parametrize("end", IDLE_ENDS)
async def test_an_idle_session_that_the_receiver_ended_is_replaced_and_costs_no_message_a_try(end: str, tmp_path: Path) -> None:
    script = "S: 220 mx\nC: EHLO *\nS: 250 mx\nC: MAIL FROM:*\nS: 250 ok\nC: RCPT TO:*\nS: 250 ok\nC: DATA\nS: 354 go\n"
    script += f"content\nS: 250 2.0.0 queued\nwait 0.2\n{IDLE_ENDS[end]}\n"
    async with town(tmp_path, script, "none") as here:
        with trio.fail_after(PATIENCE_S):
            async with open_outbox(here.settings, here.around) as outbox:
                await outbox.send("first", SPEC, [{"to": f"ann@{DOMAIN}"}])
                await outbox.finished("first")
                await until(lambda: _has_come(here), "the receiver's end of it")
                await outbox.send("second", SPEC, [{"to": f"bob@{DOMAIN}"}])
                await outbox.finished("second")
    assert [(attempt.outcome.rule, attempt.held.envelope.attempts) for attempt in here.attempts] == [("accepted", 0)] * 2
    assert [(copy.rcpt, copy.connection) for copy in here.mx.copies] == [(f"ann@{DOMAIN}", 1), (f"bob@{DOMAIN}", 2)]
    assert here.mx.mistakes == []
