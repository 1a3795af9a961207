"""Replies that ask for no promotion: written down once a day, for the lane or for the domain that the receiver names."""

from pathlib import Path

import pytest
import trio
from publicsuffixlist import PublicSuffixList
from trio.testing import MockClock

from sender.errors import BackendError
from sender.model import Action, Category, LaneId, Outcome, Scope, Verdict
from sender.policy.progress import Progress
from sender.policy.receivers import Profiles
from sender.queue.memory import MemoryQueue
from sender.queue.warmups import Kept
from sender.settings import load
from sender.warming.assignments import Assignments
from sender.warming.audit import Entry
from sender.warming.promotions import Promotions
from sender.warming.wards import wards
from tests.rig import EPOCH, clock

HOLD = Outcome(
    verdict=Verdict.DEFERRED,
    scope=Scope.LANE,
    category=Category.RATE,
    rule="google/unusual-rate",
    actions=(Action.HALVE, Action.HOLD_PROMOTION),
)
DOMAIN = Outcome(verdict=Verdict.DEFERRED, scope=Scope.DOMAIN, rule="google/domain", actions=(Action.HOLD_PROMOTION,))
OTHER = Outcome(verdict=Verdict.DEFERRED, scope=Scope.LANE, rule="google/slow", actions=(Action.HALVE,))
REASON = "421 4.7.28 unusual rate"
GOOGLE, TAIL = LaneId(source="s1", receiver="google"), LaneId(source="s1", receiver="~example.org")


class Store(MemoryQueue):
    away = False

    async def progress(self, names: object = None) -> dict[str, Kept]:
        if self.away:
            raise BackendError("the store is away")
        return dict(await super().progress())


@pytest.fixture
def queue() -> Store:
    return Store()


@pytest.fixture
def troubles() -> list[str]:
    return []


@pytest.fixture
def promotions(tmp_path: Path, queue: Store, troubles: list[str]) -> Promotions:
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "a.example"\nwarmup = "steady"\n')
    (tmp_path / "penstock.toml").write_text('[[identity]]\ndomain = "shop.example"\nsigned = false\nwarmup = "steady"\n')
    settings = load(tmp_path)
    profiles = Profiles.parse(settings.receivers, PublicSuffixList())
    assignments = Assignments.of(settings, profiles)
    every = wards(assignments, settings.sources, profiles)
    return Promotions(queue, assignments, every, clock, on_trouble=troubles.append)


async def held(queue: Store) -> dict[str, str]:
    """Whose stage is not passed today, and why."""
    found = {name: Progress.decode(state.body) for name, state in (await queue.progress()).items()}
    return {name: progress.unpromoted_why for name, progress in found.items() if progress.unpromoted}


async def told(queue: Store) -> list[Entry]:
    return [Entry.decode(line) for line in (await queue.audit())[1]]


async def test_the_lane_is_held_for_the_day_and_told_once(
    queue: Store, promotions: Promotions, autojump_clock: MockClock
) -> None:
    for number in range(3):
        promotions.after(HOLD, GOOGLE, "shop.example", f"{REASON} {number}")
        await promotions.tell()
    assert await held(queue) == {"s1/google": f"google/unusual-rate: {REASON} 0"}
    (entry,) = await told(queue)
    assert entry.what == "hold"
    assert entry.why == f"stage 1 of 34 (200 a day) is not passed today: google/unusual-rate: {REASON} 0"


async def test_the_long_tail_is_held_as_one_and_a_domain_by_itself(
    queue: Store, promotions: Promotions, autojump_clock: MockClock
) -> None:
    promotions.after(HOLD, TAIL, "shop.example", REASON)
    promotions.after(DOMAIN, GOOGLE, "shop.example", REASON)
    promotions.after(DOMAIN, GOOGLE, "nobody.example", REASON)
    promotions.after(OTHER, GOOGLE, "shop.example", REASON)
    await promotions.tell()
    assert set(await held(queue)) == {"s1/other", "@shop.example"}


async def test_the_next_day_is_told_anew(queue: Store, promotions: Promotions, autojump_clock: MockClock) -> None:
    promotions.after(HOLD, GOOGLE, "shop.example", REASON)
    await promotions.tell()
    await trio.sleep(86_400)
    promotions.after(HOLD, GOOGLE, "shop.example", REASON)
    await promotions.tell()
    assert len(await told(queue)) == 2


async def test_while_the_store_is_away_it_is_told_later(
    queue: Store, promotions: Promotions, troubles: list[str], autojump_clock: MockClock
) -> None:
    queue.away = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(promotions.run)
        promotions.after(HOLD, GOOGLE, "shop.example", REASON)
        await trio.sleep(3.5)
        assert set(troubles) == {"the store is away"}
        queue.away = False
        await trio.sleep(2)
        assert set(await held(queue)) == {"s1/google"}
        nursery.cancel_scope.cancel()
    assert clock() > EPOCH
