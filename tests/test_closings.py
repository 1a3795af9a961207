"""Which caps are used up: what is believed of what the store said, and for how long."""

from sender.closings import Closings
from sender.model import LaneId
from sender.queue.warmups import Wait, Window

LANE = LaneId(source="s1", receiver="google")
TAIL = LaneId(source="s1", receiver="~example.net")
UNIX = 1.7e9


class Clocks:
    def __init__(self) -> None:
        self.passed = 0.0
        self.closings = Closings(lambda: UNIX + self.passed, lambda: 50.0 + self.passed)

    def open_after(self, lane: LaneId = LANE, account: str = "") -> float:
        """How long until the lane may ask again, in steps of 10 ms."""
        while self.closings.find(lane, account) is not None:
            self.passed += 0.01
        return round(self.passed, 2)


def wait(opens: float = 0.0, window: Window = Window.HOUR, *, account: str = str(LANE), outstanding: int = 0) -> Wait:
    lane = LANE if account == str(LANE) else TAIL
    at = UNIX + opens if opens else 0.0
    return Wait(lane=lane, account=account, window=window, opens=at, most=200, outstanding=outstanding)


def test_a_lane_waits_until_its_window_opens_and_not_a_moment_less() -> None:
    clocks = Clocks()
    assert clocks.closings.find(LANE) is None
    clocks.closings.note([wait(4.0)])
    assert 4.0 < clocks.open_after() < 4.2


def test_it_asks_again_before_a_window_opens_that_is_far() -> None:
    clocks = Clocks()
    clocks.closings.note([wait(3000.0)])
    found = clocks.closings.find(LANE)
    assert found is not None
    assert found.opens == 3050.0, "and an operator is told the whole of it"
    assert 60.0 < clocks.open_after() < 60.2
    clocks.closings.note([wait(3000.0, outstanding=1)])
    assert 70.0 < clocks.open_after() < 70.4


def test_it_asks_again_soon_where_the_day_is_being_planned_or_others_may_give_units_back() -> None:
    for told, lane, account in (
        (wait(window=Window.UNPLANNED), LANE, ""),
        (wait(900.0, account="s1/other", outstanding=3), TAIL, "s1/other"),
    ):
        clocks = Clocks()
        clocks.closings.note([told])
        assert 2.0 <= clocks.open_after(lane, account) < 2.2


def test_a_shared_account_closes_all_lanes_that_take_from_it() -> None:
    clocks = Clocks()
    clocks.closings.note([wait(5.0, account="s1/other")])
    other = LaneId(source="s1", receiver="~example.com")
    found = clocks.closings.find(other, "s1/other")
    assert found is not None
    assert (found.wait.lane, found.wait.account) == (other, "s1/other")
    assert clocks.closings.find(other, "s2/other") is None
    assert clocks.closings.find(LANE) is None


def test_it_says_why_in_words() -> None:
    clocks = Clocks()
    words = []
    for window in (Window.DAY, Window.HOUR, Window.MINUTE, Window.UNPLANNED):
        clocks.closings.note([wait(5.0, window)])
        found = clocks.closings.find(LANE)
        words.append(found.why if found is not None else "")
    assert words == [
        "s1/google: 200 a day, used up",
        "s1/google: 200 an hour, used up",
        "s1/google: 200 a minute, used up",
        "s1/google: its sending day is not planned yet",
    ]
