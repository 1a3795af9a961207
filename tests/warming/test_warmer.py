"""The Warmer on a queue: days go by, caps follow what receivers answer, and any number of schedulers may do it at once."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
import trio

from sender.errors import BackendError
from sender.model import UNLIMITED, LaneId, Mark, Route
from sender.policy import by_hand
from sender.policy.plan import Plan, Stage
from sender.policy.progress import Progress, What
from sender.policy.warmup import Decision
from sender.queue.base import LeaseRequest
from sender.queue.memory import MemoryQueue
from sender.queue.warmups import Account, Change
from sender.warming.audit import Entry
from sender.warming.wards import Ward
from sender.warming.warmer import Standing, Warmer, say
from tests.queue.feeding import LANE, ROUTE, filled
from tests.queue.warming import marked

VOLUMES = (100, 200, 400)
PLAN = Plan(name="p", stages=tuple(Stage(day=day, hour=day, minute=day) for day in VOLUMES))
START = datetime(2026, 3, 2, 9, tzinfo=UTC).timestamp()
DAY_S = 86_400.0
WARD = Ward(account=Account.of(LANE, ROUTE), source=LANE.source, receiver=LANE.receiver, plan=PLAN)
NAME = WARD.name


def warmer(queue: MemoryQueue, *several: Ward) -> Warmer:
    return Warmer(queue, {ward.name: ward for ward in several or (WARD,)})


async def standing(queue: MemoryQueue, now: float, ward: Ward = WARD) -> Standing:
    (found,) = await warmer(queue, ward).run_once(now)
    return found


async def sent(queue: MemoryQueue, now: float, wanted: int = 1_000, refused: Mapping[Mark, int] | None = None) -> int:
    """Send as much as the cap permits, up to so many: some refused, the others delivered; how many it were."""
    await filled(queue, wanted, campaign=f"c{now:.0f}", queued_at=now)
    request = LeaseRequest(lane=LANE, route=ROUTE, owner="o", envelopes=wanted, capped=True)
    left, total = dict(refused or {}), 0
    for lease in await queue.lease([request], now):
        places = list(range(len(lease.envelopes)))
        total += len(places)
        for mark, count in left.items():
            some, places = places[:count], places[count:]
            left[mark] -= len(some)
            await queue.settle([marked(lease, some, mark)], now)
        await queue.settle([marked(lease, places)], now)
    return total


async def audit(queue: MemoryQueue) -> list[Entry]:
    """The audit stream, the oldest entry first."""
    _, lines = await queue.audit(limit=1_000)
    return [Entry.decode(line) for line in reversed(lines)]


async def told(queue: MemoryQueue) -> list[str]:
    return [entry.what for entry in await audit(queue)]


async def test_before_the_first_round_nothing_goes_and_then_as_much_as_the_first_stage_permits() -> None:
    queue = MemoryQueue()
    assert await sent(queue, START) == 0
    found = await standing(queue, START)
    assert (found.cap.per_day, found.kept) == (100, False)
    assert await sent(queue, START + 1) == 100
    assert await sent(queue, START + 2) == 0


async def test_a_lane_that_never_sent_has_no_progress_and_its_first_envelope_begins_one() -> None:
    queue = MemoryQueue()
    await standing(queue, START)
    assert await queue.progress() == {}
    await sent(queue, START, 1)
    found = await standing(queue, START + 1)
    assert found.kept
    assert Progress.decode((await queue.progress())[NAME].body) == found.progress
    (entry,) = await audit(queue)
    assert entry == Entry(at=START + 1, name=NAME, what="begin", why="begins at stage 1 of 3 (100 a day)", plan="p", stage=1)


async def test_days_go_by_to_the_full_volume() -> None:
    """Monday to Friday and the next week: every sending day a stage, the weekend none; then it is warm."""
    queue, seen = MemoryQueue(), []
    for day in (0, 1, 2, 5, 6):
        now = START + day * DAY_S
        await standing(queue, now)
        seen.append(await sent(queue, now + 10, 300))
        await standing(queue, now + 20)
    assert seen == [100, 200, 300, 300, 300]
    assert await told(queue) == ["begin", "promote", "promote", "repeat", "repeat"]
    await standing(queue, START + 7 * DAY_S)
    assert await sent(queue, START + 7 * DAY_S + 10) == 400
    await standing(queue, START + 7 * DAY_S + 20)
    found = await standing(queue, START + 8 * DAY_S)
    assert (found.progress.warm, found.cap.per_minute) == (True, UNLIMITED)
    assert await sent(queue, START + 8 * DAY_S + 10, 900) == 900
    assert (await audit(queue))[-1].warm


async def test_a_block_during_the_day_lowers_the_cap_at_once() -> None:
    queue = MemoryQueue()
    await standing(queue, START)
    await say(queue, WARD, lambda progress: by_hand.put(PLAN, progress, 2, by="ann", why="", now=START), START, "ann")
    await standing(queue, START + DAY_S)
    assert await sent(queue, START + DAY_S, 250, {Mark.BLOCKED: 2}) == 250
    found = await standing(queue, START + DAY_S + 1)
    assert (found.progress.stage, found.cap.per_day) == (1, 200)
    assert await sent(queue, START + DAY_S + 2) == 0
    assert (await audit(queue))[-1].why.startswith("back to stage 2 of 3 (200 a day): block 0.80% (2 of 250)")


async def test_a_stop_shuts_the_lane_until_it_is_over() -> None:
    queue = MemoryQueue()
    await standing(queue, START)
    assert await sent(queue, START, 80, {Mark.BLOCKED: 40}) == 80
    await standing(queue, START + 1)
    for seconds in (2, DAY_S, DAY_S + 3600):
        await standing(queue, START + seconds)
        assert await sent(queue, START + seconds + 1, 10) == 0
    await standing(queue, START + 2 * DAY_S)
    assert await sent(queue, START + 2 * DAY_S + 1, 10) == 10
    assert await told(queue) == ["begin", "stop", "hold", "resume"]


async def test_complaints_from_outside_count() -> None:
    queue = MemoryQueue()
    await standing(queue, START)
    await sent(queue, START)
    await queue.complain(WARD.account, PLAN.day(START).number, 3)
    await standing(queue, START + 1)
    assert (await standing(queue, START + 2)).progress.stopped
    assert "complaint 3.00% (3 of 100)" in (await audit(queue))[-1].why


async def test_of_many_schedulers_one_decides_and_tells() -> None:
    queue = MemoryQueue()
    several = [warmer(queue) for _ in range(5)]
    for now in (START, START + 1):
        for one in several:
            await one.run_once(now)
        await sent(queue, now)
    async with trio.open_nursery() as nursery:
        for one in several:
            nursery.start_soon(one.run_once, START + DAY_S)
    for one in several:
        await one.run_once(START + DAY_S + 1)
    assert await told(queue) == ["begin", "promote"]
    assert (await queue.progress())[NAME].version == 2
    assert (await standing(queue, START + DAY_S + 2)).use.cap == PLAN.day(START + DAY_S).cap(PLAN.stages[1])


async def test_who_was_too_late_says_no_cap() -> None:
    class Late(MemoryQueue):
        late = False

        async def change_progress(self, changes: Sequence[Change]) -> Sequence[str]:
            return () if self.late else await super().change_progress(changes)

    queue = Late()
    await standing(queue, START)
    await sent(queue, START)
    await standing(queue, START + 1)
    queue.late = True
    assert list(await warmer(queue).run_once(START + DAY_S)) == []
    assert (await queue.use([WARD.account], START + DAY_S))[WARD.account].cap == PLAN.day(START).cap(PLAN.stages[0])


async def test_an_operator_is_heard_at_once_whoever_writes_meanwhile() -> None:
    class Busy(MemoryQueue):
        """Somebody else writes first, twice."""

        times = 2

        async def change_progress(self, changes: Sequence[Change]) -> Sequence[str]:
            if self.times:
                self.times -= 1
                (state,) = (await self.progress([NAME])).values()
                await super().change_progress([Change(name=NAME, version=state.version, body=state.body)])
            return await super().change_progress(changes)

    queue = Busy()
    queue.times = 0
    await standing(queue, START)
    await sent(queue, START, 1)
    await standing(queue, START + 1)
    queue.times = 2

    def word(progress: Progress) -> Decision:
        return by_hand.advance(PLAN, progress, by="ann@mta1", why="fine", now=START + 2)

    decision = await say(queue, WARD, word, START + 2, "ann@mta1")
    assert decision.progress.stage == 1
    assert (await queue.use([WARD.account], START + 2))[WARD.account].cap == PLAN.day(START).cap(PLAN.stages[1])
    entry = (await audit(queue))[-1]
    assert (entry.what, entry.by, entry.why) == ("advance", "ann@mta1", "stage 2 of 3 (200 a day): fine")
    queue.times = 1_000
    with pytest.raises(BackendError, match="being changed by others"):
        await say(queue, WARD, word, START + 3)


async def test_what_the_policy_decides_before_an_operator_s_word_is_told_too() -> None:
    """The first to look at a lane after midnight is an operator: yesterday is judged, and that is written down."""
    queue = MemoryQueue()
    await standing(queue, START)
    await sent(queue, START)
    await standing(queue, START + 1)
    now = START + DAY_S
    await say(queue, WARD, lambda progress: by_hand.hold(progress, by="ann", why="", now=now), now, "ann")
    assert await told(queue) == ["begin", "promote", "held"]
    assert (await queue.use([WARD.account], now))[WARD.account].cap == PLAN.day(now).cap(PLAN.stages[1])


async def test_what_has_no_plan_any_more_is_freed_of_its_cap() -> None:
    queue = MemoryQueue()
    await standing(queue, START)
    free = Ward(account=WARD.account, source=WARD.source, receiver=WARD.receiver, plan=None)
    other = warmer(queue, free)
    assert list(await other.run_once(START + 1)) == []
    assert (await queue.use([WARD.account], START + 1))[WARD.account].cap is None
    await standing(queue, START + 2)  # a scheduler with the old settings
    await other.run_once(START + 3)
    assert (await queue.use([WARD.account], START + 3))[WARD.account].cap is not None
    await other.run_once(START + 70)
    assert (await queue.use([WARD.account], START + 70))[WARD.account].cap is None


async def test_a_progress_that_can_not_be_read_keeps_its_cap_and_holds_up_no_other() -> None:
    queue, troubles = MemoryQueue(), list[str]()
    lane, route = LaneId(source="s1", receiver="orange"), Route(pool="main", receiver="orange")
    other = Ward(account=Account.of(lane, route), source="s1", receiver="orange", plan=PLAN)
    await queue.change_progress([Change(name=NAME, version=0, body=b'{"plan":7}')])
    one = Warmer(queue, {NAME: WARD, other.name: other}, on_trouble=troubles.append)
    assert [found.ward.name for found in await one.run_once(START)] == [other.name]
    assert troubles[0].startswith(f"the progress of {NAME} can't be read")


async def test_the_long_tail_of_a_source_shares_one_progress() -> None:
    queue = MemoryQueue()
    tail = Ward(account=Account("s1/other"), source="s1", receiver="other", plan=PLAN)
    await standing(queue, START, tail)
    total = 0
    for number, receiver in enumerate(("~a.example", "~b.example")):
        route, lane = Route(pool="main", receiver=receiver), LaneId(source="s1", receiver=receiver)
        await filled(queue, 80, campaign=f"c{number}", route=route, queued_at=START)
        request = LeaseRequest(lane=lane, route=route, owner="o", envelopes=80, account="s1/other")
        for lease in await queue.lease([request], START):
            total += len(lease.envelopes)
            await queue.settle([marked(lease)], START)
    assert total == 100
    await standing(queue, START + 1, tail)
    found = await standing(queue, START + DAY_S, tail)
    assert (found.progress.stage, What(found.progress.last.what if found.progress.last else "keep")) == (1, What.PROMOTE)
