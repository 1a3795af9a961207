"""Where warmups stand, as the scheduler finds them every three seconds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sender.metrics.families import Families, Label
from sender.metrics.tally import Snapshot

_BY = "scheduler"
# Wards come from the configuration, and only those of profiles and of identities have names: their number is bounded by it.
_LABELS = (
    Label("source", "as ever, or `@domain`: a sending identity"),
    Label("receiver", "as ever; `all` for an identity"),
)
_GATE = Label("gate", "deferral block bounce unknown_user complaint")


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupFigures:
    """One lane, or one sending identity, under its plan."""

    source: str
    receiver: str
    stage: int  # from 1
    cap: float  # of the day; infinity where it is warm
    used: int
    day_ends: float  # when this sending day does, Unix seconds
    held: bool
    stopped: bool
    gates: Mapping[str, float]  # what each gate judges by
    limits: Mapping[str, float]  # where each begins to ask for something; not of those that don't, today or ever


class Warmups:
    """Shows everything under a plan that was used or spoken of."""

    def declare_warmups(self, families: Families) -> None:
        def lane(name: str, text: str) -> Snapshot:
            return families.snapshot(f"penstock_warmup_{name}", text, *_LABELS, by=_BY)

        def gate(name: str, text: str) -> Snapshot:
            return families.snapshot(f"penstock_warmup_{name}", text, *_LABELS, _GATE, by=_BY)

        self._stage = lane("stage", "Stage of the warmup plan, from 1; one more than it has: warm.")
        self._cap = lane("cap_envelopes", "Envelopes that may go this sending day; +Inf: warm.")
        self._used = lane("used_envelopes", "Envelopes that have used a unit of that cap.")
        self._day_ends = lane("day_end_timestamp_seconds", "When the sending day ends that these are counted in.")
        self._warmup_held = lane("held", "1 where an operator holds the stage, 0 otherwise.")
        self._stopped = lane("stopped", "1 where a gate has stopped it, so that nothing may go today; 0 otherwise.")
        self._ratios = gate(
            "gate_ratio",
            "What a gate judges by, as a share; 0 where attempts are too few to judge by, or events no more than chance.",
        )
        self._limits = gate(
            "gate_limit_ratio",
            "The share from which on a gate holds the stage, or worse; none on a day on which an operator has moved it.",
        )

    def warmups(self, figures: Collection[WarmupFigures]) -> None:
        """All of them as they stand; those that are not named are gone."""
        keyed = {(each.source, each.receiver): each for each in figures}
        self._stage.show({key: each.stage for key, each in keyed.items()})
        self._cap.show({key: each.cap for key, each in keyed.items()})
        self._used.show({key: each.used for key, each in keyed.items()})
        self._day_ends.show({key: each.day_ends for key, each in keyed.items()})
        self._warmup_held.show({key: each.held for key, each in keyed.items()})
        self._stopped.show({key: each.stopped for key, each in keyed.items()})
        self._ratios.show({(*key, gate): rate for key, each in keyed.items() for gate, rate in each.gates.items()})
        self._limits.show({(*key, gate): rate for key, each in keyed.items() for gate, rate in each.limits.items()})
