"""Plans side by side: the same fleet, list and receivers, with one plan after the other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sender.errors import ConfigError, ConfigErrors
from sender.model import LaneId, Source
from sender.settings import Settings
from workers.simulation.diary import Diary, keep_diary
from workers.simulation.mailing import Mailing
from workers.simulation.record import LaneDay
from workers.simulation.stage import Setup, world_options

DEFAULT_PLANS = ("steady", "sendgrid", "sparkpost", "mailtrap")  # ours, then the published ladders
_FULL = 0.95  # of what there is for a lane on an ordinary day: some of it has nobody at the other end


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What one plan came to."""

    plan: str
    days: int
    diary: Diary

    def full_by_lane(self) -> Mapping[LaneId, int | None]:
        """On which day each lane first sent all there was on an ordinary day; None where it never did."""
        days: dict[LaneId, list[LaneDay]] = {}
        for entry in self.diary.days:
            days.setdefault(entry.lane, []).append(entry)
        return {lane: _full_after(days[lane]) for lane in sorted(days, key=str)}

    @property
    def full(self) -> int | None:
        """On which day the last of the lanes did; None where one never did."""
        days = list(self.full_by_lane().values())
        known = [day for day in days if day is not None]
        return max(known) if known and len(known) == len(days) else None

    @property
    def sent(self) -> int:
        return sum(entry.sent for entry in self.diary.days)

    @property
    def deferred(self) -> int:
        return sum(entry.deferred for entry in self.diary.days)

    @property
    def held_off(self) -> int:
        return sum(entry.held_off for entry in self.diary.days)

    @property
    def blocked(self) -> int:
        return sum(entry.blocked for entry in self.diary.days)

    @property
    def held_off_until_full(self) -> int:
        """Of those that were held off: by the day, this one included, on which their lane was there."""
        full = self.full_by_lane()
        return sum(entry.held_off for entry in self.diary.days if entry.day < (full[entry.lane] or self.days))


def _full_after(own: Sequence[LaneDay]) -> int | None:
    most = max(entry.asked for entry in own)
    return next((entry.day + 1 for entry in own if entry.asked == most and _is_full(entry)), None)


def _is_full(entry: LaneDay) -> bool:
    return entry.sent + entry.bounced >= _FULL * entry.asked


def fleet(settings: Settings, plan: str, sources: int) -> Settings:
    """The configuration with so many cold sources in place of its own, all on this plan."""
    cold = tuple(
        Source(name=f"cold-{number}", address=f"192.0.2.{number}", ehlo=f"mta{number}.shop.example", pool="main")
        for number in range(1, sources + 1)
    )
    return replace(settings, sources=cold, warmup={source.name: {"default": plan} for source in cold})


def check_plans(settings: Settings, plans: Sequence[str]) -> None:
    """ConfigErrors where one of them is not there."""
    known = ", ".join(sorted(settings.plans))
    wrong = [
        ConfigError("--plan", plan, f"no such warmup plan; there are: {known}") for plan in plans if plan not in settings.plans
    ]
    if wrong:
        raise ConfigErrors(wrong)


def compare(
    settings: Settings,
    mailing: Mailing,
    plans: Sequence[str],
    *,
    days: int,
    sources: int = 1,
    seed: int = 1,
    progress: Callable[[str, int], None] = lambda plan, day: None,
) -> Iterator[Played]:
    """Play each plan; `progress` is told of each day that is over. Deterministic by the seed."""
    for plan in plans:
        setup = Setup(settings=fleet(settings, plan, sources), world=world_options(seed=seed), seed=seed)
        diary = keep_diary(setup, mailing, days, partial(progress, plan))
        yield Played(plan=plan, days=days, diary=diary)
