"""Where a ward stands in numbers, for the metrics."""

import math

from sender.metrics import WarmupFigures
from sender.warming.warmer import Standing


def figures(standing: Standing, now: float) -> WarmupFigures:
    """One ward; of an identity, over all its sources and receivers."""
    ward, plan, progress = standing.ward, standing.plan, standing.progress
    day = plan.day(now)
    return WarmupFigures(
        source=ward.source or ward.name,
        receiver="all" if ward.identity else ward.receiver,
        stage=progress.stage + 1,
        cap=standing.cap.per_day if standing.cap.limits else math.inf,
        used=standing.use.day,
        day_ends=day.ends,
        held=progress.held is not None,
        stopped=progress.stopped_on(day.number),
        gates=plan.gates.ratios(standing.counted),
        limits=plan.gates.limits if progress.spared != progress.day else {},
    )
