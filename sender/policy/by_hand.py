"""What an operator may say about a lane's progress. Each answer carries who said it and why, as the audit stream keeps it.

Whatever moves a lane also spares it for the day: what the operator has seen already must not move it again at once.
"""

from msgspec.structs import replace

from sender.policy.plan import Plan
from sender.policy.progress import Progress, What, Word
from sender.policy.warmup import Decision, moved, stage_words


def hold(progress: Progress, *, by: str, why: str, now: float) -> Decision:
    """The lane goes on at its stage and is not promoted until it is resumed."""
    word = Word(what=What.HELD, why=why, at=now, by=by)
    return Decision(progress=replace(progress, held=word, last=word), what=What.HELD, why=why)


def resume(plan: Plan, progress: Progress, *, by: str, why: str, now: float) -> Decision:
    """A hold, and a stop, end now."""
    free = replace(progress, held=None, stopped=0, stopped_why="", unpromoted=0, unpromoted_why="")
    return _moved_to(plan, free, progress.stage, What.RELEASED, by, why, now)


def advance(plan: Plan, progress: Progress, *, by: str, why: str, now: float) -> Decision:
    """The next stage begins now, whatever came of this one."""
    return _moved_to(plan, progress, progress.stage + 1, What.ADVANCE, by, why, now)


def reset(plan: Plan, progress: Progress, *, by: str, why: str, now: float) -> Decision:
    """The plan begins anew, now."""
    return _moved_to(plan, progress, 0, What.RESET, by, why, now)


def put(plan: Plan, progress: Progress, stage: int, *, by: str, why: str, now: float) -> Decision:
    """This stage, counted from 0, begins now; as many as the plan has: warm."""
    return _moved_to(plan, progress, stage, What.SET, by, why, now)


def _moved_to(plan: Plan, progress: Progress, stage: int, what: What, by: str, why: str, now: float) -> Decision:
    there = moved(plan, progress, stage)
    text = f"{stage_words(plan, there.stage)}{': ' + why if why else ''}"
    word = Word(what=what, why=text, at=now, by=by)
    day = plan.day(now).number
    return Decision(progress=replace(there, spared=max(day, there.day), stepped=0, last=word), what=what, why=text)
