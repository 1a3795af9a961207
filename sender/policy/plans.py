"""Warmup plans as files: what one may hold, and the plan that it makes for each receiver.

A plan has `stages` (columns of numbers, as published ladders have them) or a `ladder` (a start, a factor by volume, an end).
`[receiver.NAME]` holds any of its keys anew for one receiver; what it leaves out is as in the rest of the file. The name
`other` stands for all receivers without a profile, which share one progress per source.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from sender.errors import ConfigError, ConfigErrors
from sender.policy.gates import GATES, Gate, Gates
from sender.policy.plan import NO_PLAN, Plan, Shares, Stage
from sender.schema import convert

_STAGES_MOST = 400
_DIGITS = 3  # of a ladder's numbers: 1,076 is 1,080

Envelopes = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Share = Annotated[float, Meta(gt=0, le=1)]
Level = Share | None


class StagesTable(Struct, frozen=True, kw_only=True):
    """Stage by stage: the same place in each column. Of hours and minutes that are not said, the shares tell."""

    day: tuple[Envelopes, ...] = ()
    hour: tuple[Envelopes, ...] = ()
    minute: tuple[Envelopes, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(column) for column in (self.day, self.hour, self.minute) if column}
        if len(lengths) > 1:
            raise ValueError("day, hour and minute are of different length: one number for each stage")
        if not (self.day or self.hour):
            raise ValueError("no stage: give the numbers of day, or of hour")
        for place, (earlier, later) in enumerate(pairwise(self.volumes())):
            if later <= earlier:
                raise ValueError(f"stage {place + 2} permits {later}, no more than the {earlier} before it: stages must rise")

    def volumes(self) -> Sequence[int]:
        """Envelopes a day; where only hours are said, a day has 24 of them."""
        return self.day or [24 * hour for hour in self.hour]


class BandTable(Struct, frozen=True, kw_only=True):
    """Below this volume a day each stage is so many times the one before."""

    factor: Annotated[float, Meta(gt=1, le=10)]
    below: Envelopes | None = None  # None: from there on


class LadderTable(Struct, frozen=True, kw_only=True):
    start: Envelopes
    until: Envelopes
    bands: tuple[BandTable, ...]

    def __post_init__(self) -> None:
        ends = [band.below for band in self.bands]
        if not ends or ends[-1] is not None:
            raise ValueError("the last of bands must have no `below`: it says how the ladder goes on")
        limits = [end for end in ends if end is not None]
        if len(limits) != len(ends) - 1 or any(later <= earlier for earlier, later in pairwise(limits)):
            raise ValueError("bands must be in the order of their `below`; only the last one has none")
        if self.until < self.start:
            raise ValueError(f"until = {self.until} is less than start = {self.start}")
        if len(self.volumes()) > _STAGES_MOST:
            raise ValueError(f"more than {_STAGES_MOST} stages: begin higher, or use larger factors")

    def volumes(self) -> Sequence[int]:
        """Envelopes a day, stage by stage, up to `until`; cut off past what is allowed."""
        volumes = [self.start]
        while volumes[-1] < self.until and len(volumes) <= _STAGES_MOST:
            last = volumes[-1]
            factor = next(band.factor for band in self.bands if band.below is None or last < band.below)
            volumes.append(min(self.until, max(last + 1, _rounded(last * factor))))
        return volumes


class GateTable(Struct, frozen=True, kw_only=True):
    hold: Level = None
    back: Level = None
    stop: Level = None
    least: Annotated[int, Meta(ge=1)] = 2

    def __post_init__(self) -> None:
        levels = [level for level in (self.hold, self.back, self.stop) if level is not None]
        if levels != sorted(levels):
            raise ValueError("hold, back and stop must rise in this order")


class GatesTable(Struct, frozen=True, kw_only=True):
    sample: Annotated[int, Meta(ge=1)] = Gates().sample
    deferral: GateTable | None = None
    block: GateTable | None = None
    bounce: GateTable | None = None
    unknown_user: GateTable | None = None
    complaint: GateTable | None = None


class PlanFile(Struct, frozen=True, kw_only=True):
    """A file of config/warmup; `config/README.md` explains the keys."""

    time_zone: str = "UTC"
    stages: StagesTable | None = None
    ladder: LadderTable | None = None
    hour_share: Share = 0.2
    minute_share: Share = 0.05
    used: Annotated[float, Meta(ge=0, le=1)] = 0.9
    stay: Annotated[int, Meta(ge=1, le=365)] = 1
    idle_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    rewarm: Share = 0.25
    stop_days: Annotated[int, Meta(ge=0, le=365)] = 1
    engagement_min: Literal[0, 25, 50, 75] = 0  # whole bands of `sender.policy.engagement`
    gates: GatesTable = GatesTable()
    receiver: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if (self.stages is None) == (self.ladder is None):
            raise ValueError("a plan has either stages or a ladder")


class Plans:
    """All plans by name, and each of them as it is for one receiver."""

    def __init__(self, plans: Mapping[str, Mapping[str, Plan]]) -> None:
        """For each name the plan of everybody under "", and those of the receivers that it names."""
        self._plans = plans

    @classmethod
    def parse(cls, tables: Mapping[str, tuple[str, Mapping[str, Any]]]) -> "Plans":
        """Build all plans from their raw tables: name -> (file, table). Raises ConfigErrors with all that is wrong."""
        errors: list[ConfigError] = []
        plans = {}
        for name, (file, table) in tables.items():
            if name == NO_PLAN:
                errors.append(ConfigError(file, "", f"{NO_PLAN!r} stands for no plan at all: name the file otherwise"))
            try:
                plans[name] = dict(_variants(name, file, table))
            except ConfigErrors as several:
                errors += several.errors
        if errors:
            raise ConfigErrors(errors)
        return cls(plans)

    def plan(self, name: str, receiver: str = "") -> Plan:
        """The plan of this name for this receiver; KeyError where there is none of that name."""
        variants = self._plans[name]
        return variants.get(receiver) or variants[""]

    def receivers(self, name: str) -> tuple[str, ...]:
        """The receivers for which the plan of this name has something of its own."""
        return tuple(receiver for receiver in self._plans[name] if receiver)

    def __contains__(self, name: object) -> bool:
        return name in self._plans

    def __iter__(self) -> Iterator[str]:
        return iter(self._plans)

    def __len__(self) -> int:
        return len(self._plans)

    def __repr__(self) -> str:
        return f"<Plans {', '.join(sorted(self._plans))}>"


def _variants(name: str, file: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Plan]]:
    """The plan of everybody first: what is wrong with it is told once, and not again for each receiver."""
    parsed = convert(PlanFile, table, file=file)
    yield "", _plan(name, parsed, file, "")
    common = {key: value for key, value in table.items() if key != "receiver"}
    errors: list[ConfigError] = []
    for receiver, own in parsed.receiver.items():
        key = f"receiver.{receiver}"
        if not isinstance(own, Mapping) or "receiver" in own:
            errors.append(ConfigError(file, key, "expected a table of the plan's keys, without another receiver in it"))
            continue
        try:
            yield receiver, _plan(name, convert(PlanFile, _laid_over(common, own), file=file, key=key), file, key)
        except ConfigErrors as several:
            errors += several.errors
    if errors:
        raise ConfigErrors(errors)


def _laid_over(common: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """A receiver's keys over those of everybody; a ladder of its own takes the place of stages, and the other way round."""
    merged = dict(common)
    if "stages" in own:
        merged.pop("ladder", None)
        merged.pop("stages", None)
    if "ladder" in own:
        merged.pop("stages", None)
    for key, value in own.items():
        there = merged.get(key)
        merged[key] = _laid_over(there, value) if isinstance(there, Mapping) and isinstance(value, Mapping) else value
    return merged


def _plan(name: str, parsed: PlanFile, file: str, key: str) -> Plan:
    try:
        zone = ZoneInfo(parsed.time_zone)
    except (KeyError, OSError, ValueError) as error:  # not found, or not the name of a file
        why = f"{parsed.time_zone[:80]!r} is no time zone; write a name of the IANA database, like Europe/Paris"
        raise ConfigErrors([ConfigError(file, f"{key}.time_zone" if key else "time_zone", why)]) from error
    return Plan(
        name=name,
        stages=tuple(_stages(parsed)),
        zone=zone,
        gates=_gates(parsed.gates),
        used=parsed.used,
        stay=parsed.stay,
        idle_days=parsed.idle_days,
        rewarm=parsed.rewarm,
        stop_days=parsed.stop_days,
        engagement_min=parsed.engagement_min,
    )


def _stages(parsed: PlanFile) -> Iterator[Stage]:
    shares = Shares(hour=parsed.hour_share, minute=parsed.minute_share)
    if parsed.ladder is not None:
        yield from (Stage.of(day, shares=shares) for day in parsed.ladder.volumes())
    if parsed.stages is not None:
        for place, day in enumerate(parsed.stages.volumes()):
            hour, minute = (column[place] if column else None for column in (parsed.stages.hour, parsed.stages.minute))
            yield Stage.of(day, hour, minute, shares=shares)


def _gates(table: GatesTable) -> Gates:
    """A gate that a file names is as the file says, whole; the others are ours."""
    named = {name: _gate(gate) for name in GATES if (gate := getattr(table, name)) is not None}
    return Gates(sample=table.sample, **named)


def _gate(table: GateTable) -> Gate:
    return Gate(hold=table.hold, back=table.back, stop=table.stop, least=table.least)


def _rounded(volume: float) -> int:
    whole = round(volume)
    return round(whole, min(0, _DIGITS - len(str(whole))))
