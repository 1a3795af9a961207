"""All causes, by the fleet that each is brought about in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.scenarios.alerts import consumers, receivers, services, warmups
from tests.scenarios.alerts.cause import Cause
from tests.scenarios.alerts.fleet import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One fleet, and what befalls it, one cause after the other."""

    shape: Shape
    causes: Sequence[Cause]


SHORT = Play(shape=Shape(), causes=(services.GONE, services.UNWELL, receivers.BLOCKED))

# For `make faults` alone.
LONG: Mapping[str, Play] = {
    "receivers": Play(shape=receivers.ELSEWHERE, causes=receivers.CAUSES),
    "services": Play(shape=services.SMALL_DISK, causes=services.CAUSES),
    "consumers": Play(shape=consumers.FOLLOWED, causes=(receivers.STOPPED, *consumers.CAUSES)),
    "a day of a warmup": Play(shape=warmups.DAY, causes=warmups.DAY_CAUSES),
    "gates of a warmup": Play(shape=warmups.GATES, causes=warmups.GATES_CAUSES),
}
