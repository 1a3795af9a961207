"""Who waits for an answer that does not come steps aside."""

import trio
from trio.testing import MockClock

from sender.net.line import Line


class Askers:
    """Those that ask; each says when it had its turn."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.turns: dict[str, float] = {}
        self.inside = self.most = 0

    async def ask(self, name: str, seconds: float) -> None:
        async with self.line.turn():
            self.turns[name] = trio.current_time()
            self.inside += 1
            self.most = max(self.most, self.inside)
            await trio.sleep(seconds)
            self.inside -= 1


async def test_quick_ones_take_turns(autojump_clock: MockClock) -> None:
    askers = Askers(Line(quick=2, most=10, patience_s=1.0))
    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(askers.ask, str(number), 0.5)
    assert (trio.current_time(), askers.most) == (1.5, 2)


async def test_silent_ones_hold_up_the_others_for_a_moment_only(autojump_clock: MockClock) -> None:
    askers = Askers(Line(quick=2, most=10, patience_s=1.0))
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(askers.ask, f"silent-{number}", 100.0)
        await trio.sleep(0.1)
        for number in range(8):
            nursery.start_soon(askers.ask, f"quick-{number}", 0.01)
    quick = [at for name, at in askers.turns.items() if name.startswith("quick")]
    assert max(quick) <= 2.1
    assert askers.line._has_room()


async def test_all_together_are_bounded(autojump_clock: MockClock) -> None:
    askers = Askers(Line(quick=2, most=4, patience_s=1.0))
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(askers.ask, str(number), 10.0)
    assert (askers.most, askers.inside) == (4, 0)


async def test_a_cancelled_one_leaves_its_place(autojump_clock: MockClock) -> None:
    line = Line(quick=1, most=2, patience_s=100.0)
    askers = Askers(line)
    with trio.move_on_after(1):
        await askers.ask("gone", 50)
    await askers.ask("next", 1)
    assert askers.turns["next"] == 1.0
    assert repr(line) == "<Line 0 quick ones of 0>"
