"""What will become of a lane at the end of its day, as things stand now: the sentence beside its numbers."""

from math import ceil

from sender.policy.gates import Tally
from sender.policy.plan import Day, Plan, date_of
from sender.policy.progress import UNTIL_RESUMED, Progress, What
from sender.policy.warmup import close, stage_words


def outlook(plan: Plan, progress: Progress, tally: Tally, day: Day) -> str:
    """What happens next and why; `tally` is that of the day."""
    if progress.stopped_on(day.number):
        until = "until somebody resumes it" if progress.stopped >= UNTIL_RESUMED else f"until {date_of(progress.stopped)}"
        why = f": {progress.stopped_why}" if progress.stopped_why else ""
        return f"sends nothing {until}, then goes on at {stage_words(plan, progress.stage)}{why}"
    decision = close(plan, progress, tally, day.ends)
    match decision.what:
        case What.PROMOTE | What.WARM:
            return f"at the end of the day {decision.why}"
        case What.REPEAT if decision.progress.passed == progress.passed:
            return _missing(plan, progress, tally)
        case What.IDLE:
            return _idle(plan, progress, day)
        case What.KEEP:
            return "warm: no cap holds it"
        case _:
            return decision.why


def _missing(plan: Plan, progress: Progress, tally: Tally) -> str:
    more = _needed(plan, progress) - tally.delivered
    days = plan.stay - progress.passed
    if days > 1:
        return f"{days} more days at this stage; this is one of them if {more:,} more are delivered and the gates hold"
    return f"{_onward(plan, progress)} if {more:,} more are delivered today and the gates hold"


def _idle(plan: Plan, progress: Progress, day: Day) -> str:
    """Nothing was sent today: what that means today, and when it begins to mean something."""
    if plan.stage(progress.stage) is None:
        words = "warm: no cap holds it"
    else:
        words = f"{_onward(plan, progress)} if {_needed(plan, progress):,} are delivered today"
    rest = day.number - progress.active
    return f"{words}; begins lower after {plan.idle_days + 1 - rest} more days without volume" if rest > 1 else words


def _onward(plan: Plan, progress: Progress) -> str:
    after = progress.stage + 1
    return f"on to {stage_words(plan, after)}" if plan.stage(after) is not None else "warm"


def _needed(plan: Plan, progress: Progress) -> int:
    return ceil(plan.used * plan.volume(progress.stage))
