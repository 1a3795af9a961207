"""The steady clock: clocks of hosts and stores may be set to anything, and no time is skipped or seen twice."""

from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from sender.clock import SLEW, SteadyClock
from sender.errors import BackendError
from tests.rig import clock

HOUR_S = 3_600.0


@dataclass(slots=True)
class Town:
    """A host and a store, each with a clock that somebody may set; both are right until then."""

    host_off_s: float = 0.0
    store_off_s: float = 0.0
    away: bool = False
    seconds: float = 0.0  # an answer of the store takes so long
    told: list[str] = field(default_factory=list)

    async def store(self) -> float:
        await trio.sleep(self.seconds / 2)
        if self.away:
            raise BackendError("the store is away")
        now = clock() + self.store_off_s
        await trio.sleep(self.seconds / 2)
        return now

    def clock(self) -> SteadyClock:
        return SteadyClock(self.store, wall=lambda: clock() + self.host_off_s, monotonic=trio.current_time)


async def watched(steady: SteadyClock, seconds: int) -> None:
    """Each second of a while the clock goes by one, a tenth more or less."""
    for _ in range(seconds):
        before, began = steady(), trio.current_time()
        await trio.sleep(1.0)
        passed = trio.current_time() - began
        assert (1 - SLEW) * passed - 1e-6 <= steady() - before <= (1 + SLEW) * passed + 1e-6


async def test_it_shows_the_stores_time_wherever_its_host_is(autojump_clock: MockClock) -> None:
    town = Town(host_off_s=7_200.0, seconds=0.02)
    steady = town.clock()
    await steady.anchor(town.told.append)
    assert steady() == pytest.approx(clock(), abs=0.02)
    assert steady.skew_s == pytest.approx(7_200.0, abs=0.02)
    assert town.told == ["this host's clock is about 120 min ahead of the fleet's: check its time service (NTP)"]


@pytest.mark.row("F23", "F24")
@pytest.mark.parametrize("whose", ["host_off_s", "store_off_s"])
@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S, -86_400.0])
async def test_a_clock_that_leaps_is_not_followed_at_once_and_is_told(
    autojump_clock: MockClock, whose: str, by_s: float
) -> None:
    town = Town()
    steady = town.clock()
    await steady.anchor(town.told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(steady.run, town.told.append)
        await watched(steady, 100)
        assert town.told == []
        setattr(town, whose, by_s)
        await watched(steady, 600)
        followed = steady() - clock()
        if whose == "host_off_s":
            assert followed == pytest.approx(0.0, abs=1e-3)
        else:
            assert 0.08 * 600 < abs(followed) <= SLEW * 600
        words = "this host's clock" if whose == "host_off_s" else "the store's clock"
        direction = "ahead of" if by_s > 0 else "behind"
        assert town.told
        assert all(text.startswith(words) and direction in text for text in town.told)
        nursery.cancel_scope.cancel()


async def test_a_small_difference_is_made_up_and_kept_up(autojump_clock: MockClock) -> None:
    town = Town(seconds=0.02)
    steady = town.clock()
    await steady.anchor(town.told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(steady.run, town.told.append)
        town.store_off_s = 5.0
        await trio.sleep(90)
        assert steady() - clock() == pytest.approx(5.0, abs=0.02)
        town.store_off_s = 2.0
        await trio.sleep(60)
        assert steady() - clock() == pytest.approx(2.0, abs=0.02)
        assert town.told == []
        nursery.cancel_scope.cancel()


async def test_while_the_store_can_not_say_it_goes_on_by_itself(autojump_clock: MockClock) -> None:
    town = Town(away=True, host_off_s=30.0)
    steady = town.clock()
    await steady.anchor(town.told.append)
    assert town.told == ["the store is away"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(steady.run, town.told.append)
        await watched(steady, 60)
        assert steady() - clock() == pytest.approx(30.0, abs=1e-3)
        town.away = False
        await watched(steady, 400)
        assert steady() - clock() == pytest.approx(0.0, abs=1e-3)
        nursery.cancel_scope.cancel()


async def test_the_way_of_an_answer_is_allowed_for(autojump_clock: MockClock) -> None:
    town = Town(seconds=0.8)
    steady = town.clock()
    await steady.anchor(town.told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(steady.run, town.told.append)
        await trio.sleep(60)
        assert steady() - clock() == pytest.approx(0.0, abs=0.01)
        nursery.cancel_scope.cancel()


async def test_an_answer_that_was_long_on_its_way_is_not_believed(autojump_clock: MockClock) -> None:
    town = Town()
    steady = town.clock()
    await steady.anchor(town.told.append)
    town.seconds, town.store_off_s = 3.0, 50.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(steady.run, town.told.append)
        await trio.sleep(120)
        assert steady() - clock() == pytest.approx(0.0, abs=1e-3)
        nursery.cancel_scope.cancel()


@settings(deadline=None)  # each example is a trio run of its own
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0.0, 60.0)), max_size=30))
def test_whatever_the_clocks_do_it_goes_forward_by_what_has_passed(steps: list[tuple[float, float]]) -> None:
    """Each step: what the store's clock is off, and how long until it is asked again."""

    async def run() -> None:
        now = {"real": 0.0, "store": 0.0}

        async def store() -> float:
            await trio.lowlevel.checkpoint()
            return now["store"]

        steady = SteadyClock(store, wall=lambda: now["real"], monotonic=lambda: now["real"])
        await steady.anchor(lambda text: None)
        for off_s, seconds in steps:
            now["store"] = now["real"] + off_s
            await steady._follow(lambda text: None)
            shown = steady()
            now["real"] += seconds
            assert (1 - SLEW) * seconds - 1e-6 <= steady() - shown <= (1 + SLEW) * seconds + 1e-6

    trio.run(run)


async def test_it_says_in_a_line_how_it_stands(autojump_clock: MockClock) -> None:
    steady = Town(host_off_s=1.5).clock()
    assert repr(steady).startswith("<SteadyClock 17500000")
    assert repr(steady).endswith(", this host +0.000 s>")
