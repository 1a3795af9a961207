"""What a campaign's schedule and an operator's word come to: held until when, ended as what, and in which words to say it.

Pure: the queue's values in, values out. The controller carries the answers into the queue, `halts` keeps to them in the
processes that have leased already, and the command line shows them.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from sender.content.spec import CampaignSpec
from sender.content.times import Day, DayWindow
from sender.model import State
from sender.policy.schedule import DAY_MINUTES, Outlook, Schedule, Shut, Window, closed
from sender.queue.base import CampaignStatus
from sender.queue.control import FOR_EVER, Control, Hold


class Phase(StrEnum):
    """What a campaign is doing, for whoever asks."""

    RUNNING = "running"
    PAUSED = "paused"  # by an operator
    SCHEDULED = "scheduled"  # its start has not come
    WINDOW = "window"  # it waits for its next window
    EXPIRED = "expired"  # its deadline has passed, and the rest is being ended
    CANCELLED = "cancelled"
    COMPLETE = "complete"  # every recipient has a final state


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a campaign is doing, and until when as far as that is known."""

    phase: Phase
    until: float | None = None  # Unix seconds: when a start or a window comes
    by: str = ""
    at: float = 0.0  # when somebody said so, Unix seconds; 0 where nobody had to
    why: str = ""

    def text(self, zone: ZoneInfo | None = None) -> str:
        """In words, with times of this zone, or of the machine's."""
        when = f" {_moment(self.until, zone)}" if self.until is not None else ""
        said = "".join((f" by {self.by}" if self.by else "", f" {_moment(self.at, zone)}" if self.at else ""))
        words = {
            Phase.SCHEDULED: f"starts{when}",
            Phase.WINDOW: f"window opens{when}" if when else "no window before the deadline",
            Phase.EXPIRED: "deadline passed",
        }
        text = words.get(self.phase, f"{self.phase}{said}") + (f": {self.why}" if self.why else "")
        return "".join(character if character.isprintable() else "?" for character in text)  # it comes from the store


def schedule_of(spec: CampaignSpec) -> Schedule:
    """A specification's times as the policy reads them."""
    return Schedule(
        start=spec.start.timestamp() if spec.start else 0.0,
        deadline=spec.deadline.timestamp() if spec.deadline else FOR_EVER,
        windows=tuple(map(_window, spec.windows)),
        zone=ZoneInfo(spec.time_zone),
    )


def _window(window: DayWindow) -> Window:
    opens, closes = _minutes(window.from_), _minutes(window.to)
    days = frozenset(list(Day).index(day) for day in window.days)
    return Window(days=days, opens=opens, closes=closes if closes > opens else closes + DAY_MINUTES)


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def ending(control: Control | None, schedule: Schedule, now: float) -> State | None:
    """The state in which all that is left of the campaign must end; None while it may still be sent."""
    if control is not None and control.ended is not None:
        return control.ended
    return State.EXPIRED if now >= schedule.deadline else None


def hold_of(campaign: str, control: Control | None, outlook: Outlook, now: float) -> Hold:
    """The hold that must stand in the queue: it covers `now`, or comes next; one that ends at its start where none does."""
    if (control is not None and control.paused) or ending(control, outlook.schedule, now) is not None:
        return Hold(campaign=campaign, start=0.0, end=FOR_EVER)
    shut = outlook.closed(now)
    return Hold(campaign=campaign, start=shut.start, end=shut.end) if shut else Hold(campaign=campaign, start=0.0, end=0.0)


def condition(control: Control | None, schedule: Schedule, status: CampaignStatus, now: float) -> Condition:
    """What the campaign is doing now."""
    if control is not None and control.ended is not None:
        return Condition(phase=Phase.CANCELLED, by=control.by, at=control.at, why=control.why)
    if status.complete and not status.queued:
        return Condition(phase=Phase.COMPLETE)
    if now >= schedule.deadline:
        return Condition(phase=Phase.EXPIRED)
    if control is not None and control.paused:
        return Condition(phase=Phase.PAUSED, by=control.by, at=control.at, why=control.why)
    shut = closed(schedule, now)
    if shut is None or not shut.covers(now):
        return Condition(phase=Phase.RUNNING)
    phase = Phase.SCHEDULED if shut.why is Shut.START else Phase.WINDOW
    return Condition(phase=phase, until=shut.end if shut.end < FOR_EVER else None)


def _moment(unix: float, zone: ZoneInfo | None) -> str:
    """To the minute, with the offset from UTC, so that nobody has to guess whose time it is."""
    moment = datetime.fromtimestamp(unix, zone) if zone else datetime.fromtimestamp(unix).astimezone()
    return f"{moment:%Y-%m-%d %H:%M %z}"
