"""The lanes of a process in numbers, for its metrics: those that share their labels are added up."""

from collections.abc import Callable, Iterable, Mapping

from sender.lane import Lane
from sender.metrics import LaneFigures
from sender.model import LaneId, Route
from sender.policy.throttle import Throttle


def figures(
    running: Iterable[Lane],
    resting: Iterable[tuple[LaneId, Route, Throttle]],
    label: Callable[[str], str],
    now: float,
) -> Mapping[tuple[str, str], LaneFigures]:
    """All lanes by source and receiver label; `resting` are those that have ended in a pause, which holds them all the same."""
    found: dict[tuple[str, str], LaneFigures] = {}
    for lane in running:
        each = found.setdefault((lane.id.source, label(lane.id.receiver)), LaneFigures())
        each.running += 1
        _add(each, lane.throttle, now)
    for lane_id, _, throttle in resting:
        _add(found.setdefault((lane_id.source, label(lane_id.receiver)), LaneFigures()), throttle, now)
    return found


def _add(figures: LaneFigures, throttle: Throttle, now: float) -> None:
    if throttle.paused(now):
        figures.paused += 1
        return
    figures.connections_allowed += throttle.connections(now)
    figures.messages_per_second += throttle.messages_per_second(now)
