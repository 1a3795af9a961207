"""One lane over the memory queue: what it leases, what it settles by itself, what it lets go of, and when it ends."""

import gc
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sender.backlog import Held
from sender.errors import BackendError, ResolutionError
from sender.lane import Lane, LaneServices
from sender.leasing import Warming
from sender.model import Cap, Choice, Destination, Envelope, Reply, State, Step, Verdict
from sender.net.session import Failure
from sender.queue.base import Lease
from sender.queue.suppressions import GLOBAL, Suppression
from sender.queue.warmups import Account
from tests.office import OK, Lost, Office
from tests.rig import DIGESTS, SPEC, Names, Rig, Store, clock, states, submitted


@asynccontextmanager
async def running(rig: Rig, services: LaneServices, *lanes: Lane) -> AsyncIterator[trio.Nursery]:
    """Lanes with all that an engine runs beside them, and a scheduler; all is cancelled at the end of the block."""

    async def live() -> None:
        await rig.queue.join(services.owner())
        while True:
            await rig.queue.heartbeat(services.owner())
            await trio.sleep(2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        nursery.start_soon(services.leaser.run)
        nursery.start_soon(services.crew.settler.run)
        nursery.start_soon(rig.keep_time)
        for lane in lanes:
            nursery.start_soon(lane.run)
        yield nursery
        nursery.cancel_scope.cancel()


async def ran(rig: Rig, recipients: int = 50, **options: Any) -> Lane:
    """Submit, and let one lane run until it ends by itself."""
    await submitted(rig.queue, recipients, **options)
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services):
        await lane.run()
        await services.crew.settler.flush()
    await rig.conserved(recipients)
    return lane


async def test_it_works_until_there_is_nothing_to_do(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"idle_s": "20s"})
    lane = await ran(rig, 450)
    assert await states(rig.queue) == {State.DELIVERED: 450}
    assert lane.crew.idle
    assert rig.office.open == 0
    assert repr(lane).startswith("<Lane s1/big open: ")


async def test_a_lane_with_nothing_to_do_asks_seldom_and_ends(autojump_clock: MockClock) -> None:
    rig = Rig()
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services):
        with trio.fail_after(6):
            await lane.run()
    assert rig.queue.calls["lease"] == 1


async def test_it_leases_no_more_than_it_can_send_soon(autojump_clock: MockClock) -> None:
    """The rest is for the other sources: half a minute of its pace, whatever waits."""
    rig = Rig(limits={"messages_per_second": 2})
    await submitted(rig.queue, 1_000)
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services, lane):
        await trio.sleep(5)
        assert (await rig.queue.depth(clock())).leased <= 64 + 60


async def test_a_temporary_dns_failure_waits_and_a_permanent_one_is_believed_at_the_second_look(
    autojump_clock: MockClock,
) -> None:
    away = ResolutionError("away.example", "timed out", permanent=False)
    gone = ResolutionError("gone.example", "no such domain", permanent=True)
    rig = Rig(names=Names(away_example=away, gone_example=gone))
    await submitted(rig.queue, 30, domains=["away.example", "gone.example", "big.example"])
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        await trio.sleep(3)
        assert await states(rig.queue) == {State.DELIVERED: 10}
        told = {attempt.held.envelope.domain: attempt for attempt in rig.attempts}
        assert told["away.example"].why == "away.example: timed out"
        assert told["gone.example"].outcome.rule == "no-such-domain"
    rig.names = Names(gone_example=gone)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)) as nursery:
        await trio.sleep(1_000)
        nursery.start_soon(rig.lane(services).run)
        assert await rig.finished() == {State.DELIVERED: 20, State.REJECTED: 10}


async def test_a_null_mx_is_rejected_without_a_connection(autojump_clock: MockClock) -> None:
    rig = Rig(names=Names(big_example=Destination(hosts=())))
    await ran(rig, 20)
    assert await states(rig.queue) == {State.REJECTED: 20}
    assert rig.office.connects == []
    assert rig.attempts[0].why == "big.example takes no mail (RFC 7505)"


async def test_a_campaign_nobody_knows_goes_back_for_a_while_and_is_told(autojump_clock: MockClock) -> None:
    rig = Rig()
    await submitted(rig.queue, 30)
    spec = rig.queue._campaigns["spring"].spec
    rig.queue._campaigns["spring"].spec = None
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        await trio.sleep(2)
        assert set(rig.troubles) == {"campaign spring: not in the queue"}
        rig.queue._campaigns["spring"].spec = spec
        depth = await rig.queue.depth(clock())
        assert (depth.leased, depth.later) == (0, 30)
        assert rig.queue.calls["lease"] <= 3
        lane = rig.lane(services)
        await trio.sleep(60)
        await lane.run()
        await services.crew.settler.flush()
    assert await rig.conserved(30) == {State.DELIVERED: 30}


async def test_a_paused_lane_holds_nothing_and_asks_for_nothing(autojump_clock: MockClock) -> None:
    refusal = Reply(code=450, lines=("slow down",))
    rig = Rig(office=Office(rtt_s=0.01))
    rig.office.answer = lambda transaction: refusal if rig.office.copies.total() >= 8 and trio.current_time() < 30 else OK
    rig.pen.seconds = 0.5  # some are being signed when the pause begins
    await submitted(rig.queue, 300)
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services, lane):
        await trio.sleep(20)
        assert lane.throttle.pause is not None
        assert "paused for" in repr(lane)
        depth = await rig.queue.depth(clock())
        assert depth.leased == lane.crew.holding == 0
        assert sum(depth.ready.values()) + depth.later == 300 - rig.office.copies.total()
        leases = rig.queue.calls["lease"]
        await trio.sleep(30)
        assert rig.queue.calls["lease"] == leases
        assert rig.office.open == 0
        await trio.sleep(30)
        assert len(rig.office.copies) > 250
    await rig.conserved(300)


async def test_nudges_do_not_wake_a_paused_lane_for_work(autojump_clock: MockClock) -> None:
    refusal = Failure(step=Step.GREETING, reply=Reply(code=554, lines=("slow down",)))
    rig = Rig(office=Office(turns_away=lambda destination: refusal))
    await submitted(rig.queue, 100)
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services, lane):
        for _ in range(50):
            await trio.sleep(1)
            lane.nudge()
        assert len(rig.office.connects) <= 2
        assert rig.queue.calls["lease"] <= 2


async def test_what_a_rule_in_shadow_would_make_of_a_closed_door_is_told_and_not_done(autojump_clock: MockClock) -> None:
    answers = iter([Failure(step=Step.GREETING, reply=Reply(code=554, lines=("no robots",)))])
    rig = Rig(office=Office(turns_away=lambda destination: next(answers, None)))
    await ran(rig, 10)
    assert rig.troubles == ["big: _default/tried in shadow would say unsent, scope lane, category block, pause: 554 no robots"]


async def test_a_session_limit_is_kept_per_connection(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"messages_per_connection": 20}, office=Office(ahead=5))
    await ran(rig, 150)
    assert max(rig.office.taken) == 20
    assert sum(rig.office.taken) == 150


async def test_the_pace_is_kept_over_all_sessions(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"messages_per_second": 10})
    await submitted(rig.queue, 300)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        for _ in range(8):
            await trio.sleep(2.5)
            sent, due = rig.office.copies.total(), 10 * trio.current_time()
            assert due - 10 <= sent <= due + 2


def kept_by(one: object) -> list[object]:
    """All that lives as long as this does, classes apart."""
    found, looking = {id(one): one}, [one]
    while looking:
        for other in gc.get_referents(looking.pop()):
            if not isinstance(other, type) and id(other) not in found:
                found[id(other)] = other
                looking.append(other)
    return list(found.values())


async def test_an_envelope_keeps_nothing_of_those_it_was_leased_with(autojump_clock: MockClock) -> None:
    rig = Rig()
    await ran(rig, 50)
    gone = [one for one in gc.get_objects() if isinstance(one, Held)]  # the receiving side remembers what it was sent
    assert len(gone) >= 50
    for held in gone:
        assert not any(isinstance(one, Lease | Envelope) for one in kept_by(held.ticket))


async def test_connections_are_opened_at_their_pace(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"connections_per_minute": 6, "messages_per_connection": 1})
    await submitted(rig.queue, 100)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        await trio.sleep(60)
        assert 6 <= len(rig.office.connects) <= 8


@pytest.mark.parametrize("ahead", [1, 4])
async def test_a_receiver_that_closes_after_a_few_messages_costs_nobody_a_try(autojump_clock: MockClock, ahead: int) -> None:
    rig = Rig(office=Office(per_connection=7, ahead=ahead))
    await ran(rig, 100)
    assert await states(rig.queue) == {State.DELIVERED: 100}
    assert {attempt.held.envelope.attempts for attempt in rig.attempts} == {0}
    assert set(rig.office.copies.values()) == {1}
    (status,) = await rig.queue.status(["spring"])
    assert status.deferrals == {}, "another session took what one could not"


async def test_a_receiver_that_hangs_up_on_every_message_is_not_hammered(autojump_clock: MockClock) -> None:
    rig = Rig(office=Office(answer=lambda transaction: Lost(step=Step.MAIL)))
    await submitted(rig.queue, 50)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        await trio.sleep(60)
        assert len(rig.office.connects) <= 100
    assert await states(rig.queue) == {}


async def test_a_refused_recipient_does_not_end_the_session(autojump_clock: MockClock) -> None:
    unknown = Reply(code=550, enhanced="5.1.1", lines=("no such user",))
    rig = Rig()
    rig.office.answer = lambda transaction: unknown if transaction.rcpt in ("r3@big.example", "r9@big.example") else OK
    await ran(rig, 20)
    assert await states(rig.queue) == {State.DELIVERED: 18, State.REJECTED: 2}
    assert len(rig.office.sessions) <= 3


async def test_many_unusable_recipients_do_not_hold_up_the_others(autojump_clock: MockClock) -> None:
    """Batch after batch that comes to nothing: what is behind them goes out without waiting for a session to time out."""
    rig = Rig(limits={"idle_s": "60s"})

    def fields(number: int) -> dict[str, str]:
        return {"first": "Ann"} if number >= 180 else {}

    await submitted(rig.queue, 200, fields=fields)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        with trio.fail_after(10):
            assert await rig.finished() == {State.DELIVERED: 20, State.INVALID: 180}


async def test_a_pause_also_holds_connections_that_wait_for_their_turn(autojump_clock: MockClock) -> None:
    refusal = Reply(code=450, lines=("slow down",))
    rig = Rig(limits={"connections_per_minute": 6}, office=Office(answer=lambda transaction: refusal))
    rig.pen.seconds = 30.0  # what is being signed still waits for a session when the turn of the second has come
    await submitted(rig.queue, 300)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        await trio.sleep(80)
        assert len(rig.office.connects) == 2


async def test_while_nothing_can_be_signed_nothing_leaves_and_nothing_spins(autojump_clock: MockClock) -> None:
    rig = Rig()
    rig.pen.fails = True
    await submitted(rig.queue, 300)
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services, lane) as nursery:
        await trio.sleep(60)
        assert rig.office.contents == []
        assert rig.queue.calls["lease"] < 60
        assert set(rig.troubles) == {"no signer answers"}
        rig.pen.fails = False
        nursery.start_soon(rig.lane(services).run)
        assert await rig.finished() == {State.DELIVERED: 300}
    assert all(content.startswith(b"DKIM-Signature: ") for content in rig.office.contents)
    assert {attempt.held.envelope.attempts for attempt in rig.attempts} == {0}


async def test_slow_look_ups_do_not_hold_up_what_is_known(autojump_clock: MockClock) -> None:
    rig = Rig()
    rig.names.seconds = 2.0
    lane = await ran(rig, 60)
    assert await states(rig.queue) == {State.DELIVERED: 60}
    assert lane.crew.idle


async def test_draining_during_look_ups_gives_everything_back(autojump_clock: MockClock) -> None:
    rig = Rig()
    rig.names.seconds = 5.0
    await submitted(rig.queue, 60)
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services) as nursery:
        nursery.start_soon(lane.run)
        await trio.sleep(1)
        lane.drain()
        await trio.sleep(10)
        assert lane.crew.idle
        depth = await rig.queue.depth(clock())
        assert (depth.leased, sum(depth.ready.values())) == (0, 60)
    assert rig.office.connects == []


async def suppress(rig: Rig, *addresses: str, list_name: str = GLOBAL) -> None:
    entries = [Suppression(digest=DIGESTS.of(one), list=list_name, reason="complaint", at=clock()) for one in addresses]
    await rig.queue.suppress(entries)


async def test_recipients_suppressed_since_they_were_expanded_end_at_the_lease(autojump_clock: MockClock) -> None:
    rig = Rig()
    await submitted(rig.queue, 40, spec={**SPEC, "list": "offers"})
    await suppress(rig, "R3@big.example", "r5@big.example")
    await suppress(rig, "r7@big.example", list_name="offers")
    await suppress(rig, "r9@big.example", list_name="news")
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services):
        await lane.run()
        await services.crew.settler.flush()
    assert await rig.conserved(40) == {State.DELIVERED: 37, State.SUPPRESSED: 3}
    assert lane.crew.idle
    assert not {"r3@big.example", "r5@big.example", "r7@big.example"} & set(rig.office.copies)
    _, events = await rig.queue.events("", 1_000)
    told = {event["to"]: event for event in map(json.loads, events) if event["type"] == "suppressed"}
    assert sorted(told) == ["r3@big.example", "r5@big.example", "r7@big.example"]
    assert told["r7@big.example"]["why"] == "suppressed: complaint, list offers"
    assert told["r3@big.example"]["fields"] == {"row": "3"}


@pytest.mark.row("F50")
async def test_recipients_suppressed_while_they_are_leased_get_nothing(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"messages_per_second": 1})
    await submitted(rig.queue, 60)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)) as nursery:
        nursery.start_soon(rig.suppressing.run)
        await trio.sleep(5)
        sent = set(rig.office.copies)
        await suppress(rig, *(f"r{number}@big.example" for number in range(60)))
        await trio.sleep(1.2)
        late = set(rig.office.copies)
        assert len(late) <= len(sent) + 2
        assert await rig.finished() == {State.DELIVERED: len(late), State.SUPPRESSED: 60 - len(late)}
    assert set(rig.office.copies) == late


async def test_old_news_stop_nothing_that_was_asked_about_since(autojump_clock: MockClock) -> None:
    rig = Rig()
    await submitted(rig.queue, 10)
    services = rig.lanes()
    async with running(rig, services) as nursery:
        nursery.start_soon(rig.suppressing.run)
        await trio.sleep(1)
        await suppress(rig, "r1@big.example", "r2@big.example")
        await trio.sleep(2)
        await rig.queue.unsuppress([DIGESTS.of("r1@big.example")], GLOBAL)
        nursery.start_soon(rig.lane(services).run)
        assert await rig.finished() == {State.DELIVERED: 9, State.SUPPRESSED: 1}


async def test_while_nobody_can_say_who_is_suppressed_nothing_is_sent(autojump_clock: MockClock) -> None:
    class Silent(Store):
        silent = True

        async def suppressed(self, digests: Sequence[bytes], list_name: str, now: float) -> Sequence[Suppression | None]:
            if self.silent:
                raise BackendError("no answer")
            return await super().suppressed(digests, list_name, now)

    store = Silent()
    await goes_on_soon_after_silence(Rig(queue=store), lambda: setattr(store, "silent", False))


async def test_a_campaign_that_the_store_could_not_give_is_asked_for_again_soon(autojump_clock: MockClock) -> None:
    class Silent(Store):
        silent = True

        async def spec(self, campaign: str) -> bytes | None:
            if self.silent:
                raise BackendError("no answer")
            return await super().spec(campaign)

    store = Silent()
    await goes_on_soon_after_silence(Rig(queue=store), lambda: setattr(store, "silent", False))


async def goes_on_soon_after_silence(rig: Rig, speak: Callable[[], None]) -> None:
    """What could not be asked about goes back and costs nothing; most often a connection broke, and a few seconds do."""
    await submitted(rig.queue, 30)
    services = rig.lanes()
    async with running(rig, services, rig.lane(services)):
        await trio.sleep(2)
        depth = await rig.queue.depth(clock())
        assert (depth.leased, depth.later, rig.office.connects) == (0, 30, [])
        assert set(rig.troubles) == {"no answer"}
        speak()
        lane = rig.lane(services)
        await trio.sleep(6)
        await lane.run()
        await services.crew.settler.flush()
    assert await rig.conserved(30) == {State.DELIVERED: 30}
    assert {attempt.held.envelope.attempts for attempt in rig.attempts} == {0}


async def test_who_does_not_exist_gets_no_more_mail(autojump_clock: MockClock) -> None:
    unknown = Reply(code=550, enhanced="5.1.1", lines=("Recipient address rejected: User unknown",))
    blocked = Reply(code=550, enhanced="5.7.1", lines=("slow down",))
    rig = Rig()
    refusals = {"r3@big.example": unknown, "r4@big.example": blocked}
    rig.office.answer = lambda transaction: refusals.get(transaction.rcpt, OK)
    await ran(rig, 10)
    found = await rig.queue.suppressed([DIGESTS.of(f"r{number}@big.example") for number in range(10)], GLOBAL, clock())
    assert [one.source if one else "" for one in found] == ["", "", "", "spring:3", "", "", "", "", "", ""]


async def test_a_lane_that_waits_for_a_receiver_does_not_ask_again_for_work_it_was_not_told_of(
    autojump_clock: MockClock,
) -> None:
    """A hundred thousand of them would ask all day."""
    rig = Rig(office=Office(rtt_s=500.0))
    await submitted(rig.queue, 1)
    services = rig.lanes()
    lane = rig.lane(services)
    async with running(rig, services, lane):
        await trio.sleep(2)
        asked = rig.queue.calls["lease"]
        await trio.sleep(400)
        assert rig.queue.calls["lease"] == asked
        assert not lane.workless
        await submitted(rig.queue, 1, campaign="more")
        lane.nudge()
        await trio.sleep(0.1)
        assert rig.queue.calls["lease"] > asked
        assert lane.crew.holding == 2
        await rig.finished("more")
        await trio.sleep(1)
        rests = lane.workless
        lane.nudge()
        assert (rests, lane.workless) == (True, False)


async def test_a_lane_for_which_its_route_s_work_is_not_asks_now_and_then(autojump_clock: MockClock) -> None:
    """Thousands of them, told several times a second of what waits for others, would keep the store busy."""
    rig = Rig()
    await submitted(rig.queue, 10, spec=SPEC | {"spill": "1m"})
    services = replace(rig.lanes(), warming=lambda lane: Warming(choice=Choice.REST))
    lane = rig.lane(services)
    async with running(rig, services, lane) as nursery:
        nursery.start_soon(nudged, lane)
        await trio.sleep(59)
        assert 15 <= rig.queue.calls["lease"] <= 25
        assert lane.workless
        await trio.sleep(6)
        assert len(delivered_at(rig)) == 10


def capped(rig: Rig, **numbers: int) -> tuple[LaneServices, Lane, Cap]:
    """A lane that warms up, and a cap that is not yet set, of a day that has just begun."""
    services = replace(rig.lanes(), warming=lambda lane: Warming(capped=True))
    most = {"per_day": 100_000, "per_hour": 100_000, "per_minute": 100_000} | numbers
    return services, rig.lane(services), Cap(day=1, starts=clock(), ends=clock() + 86_400, **most)


def delivered_at(rig: Rig) -> list[float]:
    return [attempt.at for attempt in rig.attempts if attempt.outcome.verdict is Verdict.DELIVERED]


async def test_it_waits_until_its_cap_opens_and_then_goes_on(autojump_clock: MockClock) -> None:
    rig = Rig()
    await submitted(rig.queue, 250)
    services, lane, cap = capped(rig, per_minute=100)
    async with running(rig, services, lane) as nursery:
        nursery.start_soon(nudged, lane)
        await trio.sleep(30)
        assert delivered_at(rig) == []
        assert "closed: s1/big: its sending day is not planned yet" in repr(lane)
        await rig.queue.set_caps({Account.of(lane.id, lane.route): cap}, clock())
        begun = clock()
        await trio.sleep(120)
        assert "closed" not in repr(lane)
        minutes = Counter(int((at - cap.starts) // 60) for at in delivered_at(rig))
        assert minutes == {0: 100, 1: 100, 2: 50}
        assert min(delivered_at(rig)) < begun + 3


async def nudged(lane: Lane) -> None:
    """As an engine does while the route has work."""
    while True:
        lane.nudge()
        await trio.sleep(0.2)


async def test_a_lane_that_waits_for_a_cap_says_so_and_makes_room_for_others(autojump_clock: MockClock) -> None:
    rig = Rig()
    await submitted(rig.queue, 50)
    services, lane, cap = capped(rig, per_hour=10)
    await rig.queue.set_caps({Account.of(lane.id, lane.route): cap}, clock())
    async with running(rig, services, lane) as nursery:
        nursery.start_soon(nudged, lane)
        await trio.sleep(60)
        assert len(delivered_at(rig)) == 10
        assert repr(lane).startswith("<Lane s1/big closed: s1/big: 10 an hour, used up; ")
        assert lane.workless
        assert rig.queue.calls["lease"] <= 5, "it asks now and then, and not each time it is told of work"


async def test_a_lane_that_waits_for_a_cap_and_hears_of_no_work_ends(autojump_clock: MockClock) -> None:
    rig = Rig()
    await submitted(rig.queue, 10)
    services, lane, cap = capped(rig, per_hour=10)
    await rig.queue.set_caps({Account.of(lane.id, lane.route): cap}, clock())
    async with running(rig, services):
        await lane.run()
        assert len(delivered_at(rig)) == 10


async def test_when_its_sending_day_ends_it_gives_back_what_no_session_has_taken(autojump_clock: MockClock) -> None:
    rig = Rig(limits={"messages_per_second": 1})
    await submitted(rig.queue, 200)
    services, lane, cap = capped(rig)
    account = Account.of(lane.id, lane.route)
    ends = clock() + 100
    await rig.queue.set_caps({account: replace(cap, ends=ends)}, clock())
    async with running(rig, services, lane) as nursery:
        nursery.start_soon(nudged, lane)
        await trio.sleep(98)
        assert (await rig.queue.use([account], clock()))[account].outstanding > 20
        await trio.sleep(20)
        assert (await rig.queue.use([account], clock()))[account].outstanding == 0
        await rig.queue.set_caps({account: replace(cap, day=2, starts=ends, ends=ends + 86_400)}, clock())
        await trio.sleep(200)
    assert await states(rig.queue) == {State.DELIVERED: 200}
