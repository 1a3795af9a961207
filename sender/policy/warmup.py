"""What a lane's answers come to for its progress: promote, repeat, hold, step back, stop. Pure: it is told what time it is.

`decide` is asked every few seconds with what came of the day that is being counted, and says what has changed:

1. A lane that nobody has heard of begins at the first stage. One whose plan was edited goes to the stage of its volume.
2. During the day only what is grave counts: a gate that asks for a step back (once a day) or for a stop.
3. Once the day is over it is judged. A day without volume is no sending day and changes nothing. Otherwise, in this order:
   a stop, a step back, what holds the stage (an operator, a reply, a gate), then whether the stage was used up: promotion.
4. After `idle_days` without volume it begins lower. A stop that is over ends, at the stage it had gone back to.

Each answer has a sentence for the operator. `Decision.told` says whether it belongs into the audit stream.
"""

from dataclasses import dataclass

from msgspec.structs import replace

from sender.model import Cap
from sender.policy.gates import Reading, Tally, Weight, percent
from sender.policy.plan import Day, Plan, Stage, date_of
from sender.policy.progress import UNTIL_RESUMED, Progress, What, Word

_UNTOLD = frozenset({What.KEEP, What.IDLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a lane, and why."""

    progress: Progress
    what: What
    why: str

    @property
    def told(self) -> bool:
        return self.what not in _UNTOLD


def begin(plan: Plan, now: float, stage: int = 0) -> Decision:
    """A lane that is new to its plan."""
    day = plan.day(now).number
    progress = Progress(plan=plan.name, stage=stage, volume=plan.volume(stage), since=day, day=day, active=day)
    return _said(progress, What.BEGIN, f"begins at {stage_words(plan, stage)}", now)


def decide(plan: Plan, progress: Progress, tally: Tally, now: float) -> Decision:
    """What `tally`, which is that of the day `progress.day`, means for the lane at this time.

    Asked again with what it answered, it says KEEP. Time that goes back to an earlier day changes nothing.
    """
    if progress.plan != plan.name or progress.volume != plan.volume(progress.stage):
        return _replanned(plan, progress, now)
    today = plan.day(now).number
    if today <= progress.day:
        return _meanwhile(plan, progress, tally, now)
    closed = close(plan, progress, tally, now)
    opened = _opened(plan, closed.progress, today, now)
    return opened if opened is not None else Decision(progress=_on(closed.progress, today), what=closed.what, why=closed.why)


def close(plan: Plan, progress: Progress, tally: Tally, now: float) -> Decision:
    """The judgement of the day `progress.day`, were it over."""
    if not tally.used and not tally.blocked:
        heard = replace(progress, carried=progress.carried + tally)  # complaints come days after what they are about
        return Decision(progress=heard, what=What.IDLE, why=f"nothing was sent on {date_of(progress.day)}")
    counted = counted_by(progress, tally)
    worst = plan.gates.worst(counted) if progress.spared != progress.day else None
    settled = plan.gates.enough(counted) or progress.day in (progress.stepped, progress.spared)
    carried = Tally() if settled else progress.carried + tally
    after = replace(progress, active=progress.day, days=progress.days + 1, carried=carried, before=tally.delivered)
    grave = _grave(plan, after, worst, now)
    if grave is not None:
        return grave
    if plan.stage(after.stage) is None:
        return Decision(progress=after, what=What.KEEP, why="warm")
    against = _against(after, worst)
    if against:
        return _said(after, What.HOLD, f"{stage_words(plan, after.stage)} is held: {against}", now)
    return _passed(plan, after, tally, now)


def counted_by(progress: Progress, tally: Tally) -> Tally:
    """All that gates judge by. Complaints come hours and days after what they are about: in the morning, when little has
    gone, they are a share of what went on the sending day before."""
    return replace(progress.carried + tally, earlier=progress.before)


def cap_of(plan: Plan, progress: Progress, day: Day) -> Cap:
    """What the store has to hold on this day: nothing where the lane is stopped, any number where it is warm."""
    if progress.stopped_on(day.number):
        return day.shut()
    stage = plan.stage(progress.stage)
    return day.cap(stage) if stage is not None else day.open()


def unpromoted(plan: Plan, progress: Progress, why: str, now: float) -> Decision:
    """A reply asked for no promotion: the stage is not passed on this day. The first one of a day is kept."""
    day = max(plan.day(now).number, progress.day)
    if progress.unpromoted >= day or plan.stage(progress.stage) is None:
        return Decision(progress=progress, what=What.KEEP, why="")
    after = replace(progress, unpromoted=day, unpromoted_why=why)
    return _said(after, What.HOLD, f"{stage_words(plan, after.stage)} is not passed today: {why}", now)


def _meanwhile(plan: Plan, progress: Progress, tally: Tally, now: float) -> Decision:
    """The day goes on: only what is grave counts."""
    if progress.spared != progress.day and not progress.stopped_on(progress.day):
        grave = _grave(plan, progress, plan.gates.worst(counted_by(progress, tally)), now)
        if grave is not None:
            return grave
    return Decision(progress=progress, what=What.KEEP, why="")


def _grave(plan: Plan, progress: Progress, worst: Reading | None, now: float) -> Decision | None:
    """A stop or a step back. Whatever came before it is paid for: the next stage begins with a clean sheet."""
    if worst is None or worst.weight in (None, Weight.HOLD) or progress.stopped_on(progress.day):
        return None
    first_today = progress.stepped != progress.day
    if worst.weight is Weight.BACK and not first_today:
        return None
    lower = moved(plan, progress, progress.stage - 1) if first_today else progress
    lower = replace(lower, carried=Tally(), stepped=progress.day)
    if worst.weight is Weight.BACK:
        back = "back to" if lower.stage < progress.stage else "stays at"
        return _said(lower, What.STEP_BACK, f"{back} {stage_words(plan, lower.stage)}: {worst}", now)
    until = progress.day + 1 + plan.stop_days if plan.stop_days else UNTIL_RESUMED
    when = f"until {date_of(until)}" if plan.stop_days else "until somebody resumes it"
    stopped = replace(lower, stopped=until, stopped_why=str(worst))
    return _said(stopped, What.STOP, f"stopped {when}, then {stage_words(plan, lower.stage)}: {worst}", now)


def _against(progress: Progress, worst: Reading | None) -> str:
    """What speaks against a promotion on the day that ends; "" where nothing does."""
    if progress.held is not None:
        return f"by {progress.held.by}: {progress.held.why}" if progress.held.why else f"by {progress.held.by}"
    if progress.unpromoted == progress.day:
        return progress.unpromoted_why
    if worst is not None:
        return str(worst)
    return "it was stepped back on this day" if progress.stepped == progress.day else ""


def _passed(plan: Plan, progress: Progress, tally: Tally, now: float) -> Decision:
    """Nothing speaks against the next stage; whether this one was used up, and for long enough."""
    done = f"{tally.delivered:,} of {plan.volume(progress.stage):,} were delivered"
    if tally.delivered < plan.used * plan.volume(progress.stage):
        return _said(
            progress, What.REPEAT, f"{stage_words(plan, progress.stage)} again: {done}, less than {percent(plan.used)}", now
        )
    passed = progress.passed + 1
    if passed < plan.stay:
        why = f"{stage_words(plan, progress.stage)} again: day {passed} of {plan.stay} there is done"
        return _said(replace(progress, passed=passed), What.REPEAT, why, now)
    after = replace(moved(plan, progress, progress.stage + 1), since=progress.day + 1)
    if plan.stage(after.stage) is None:
        return _said(after, What.WARM, f"warm: {done}, and the gates held", now)
    return _said(after, What.PROMOTE, f"on to {stage_words(plan, after.stage)}: {done}, and the gates held", now)


def _opened(plan: Plan, progress: Progress, today: int, now: float) -> Decision | None:
    """What the new day itself brings: the end of a stop, or a lower stage after a long rest."""
    if progress.stopped and not progress.stopped_on(today):
        over = replace(_on(progress, today), stopped=0, stopped_why="")
        return _said(over, What.RESUME, f"the stop is over: goes on at {stage_words(plan, over.stage)}", now)
    rest = today - progress.active
    if rest <= plan.idle_days or progress.stopped:
        return None
    lower = plan.at_volume(plan.volume(progress.stage) * plan.rewarm)
    again = replace(
        _on(moved(plan, progress, min(lower, progress.stage)), today), active=today, since=today, carried=Tally(), before=0
    )
    remains = f"{percent(plan.rewarm)} of the volume remains"
    why = f"from {stage_words(plan, again.stage)}: nothing was sent for {rest - 1} days, {remains}"
    return _said(again, What.REWARM, why, now)


def _replanned(plan: Plan, progress: Progress, now: float) -> Decision:
    """Another plan, or the same with other numbers: the stage that permits no more than the lane had."""
    stage = plan.at_volume(progress.volume)
    if progress.warm and stage == len(plan.stages) - 1:
        stage += 1  # it was warm, and had as much as the plan's last stage at least
    after = replace(moved(plan, progress, stage), plan=plan.name)
    return _said(after, What.REPLAN, f"the plan is {plan.name} now, or was edited: {stage_words(plan, stage)}", now)


def moved(plan: Plan, progress: Progress, stage: int) -> Progress:
    """The progress at this stage, or at the nearest one there is, with nothing passed there yet."""
    stage = min(max(stage, 0), len(plan.stages))
    since = progress.since if stage == progress.stage else progress.day
    warm = plan.stage(stage) is None
    return replace(progress, stage=stage, volume=plan.volume(stage), since=since, passed=0, warm=warm)


def _on(progress: Progress, day: int) -> Progress:
    return replace(progress, day=day)


def _said(progress: Progress, what: What, why: str, now: float) -> Decision:
    return Decision(progress=replace(progress, last=Word(what=what, why=why, at=now)), what=what, why=why)


def stage_words(plan: Plan, number: int) -> str:
    """A stage in words: "stage 3 of 29 (1,000 a day)"."""
    stage: Stage | None = plan.stage(number)
    return f"stage {number + 1} of {len(plan.stages)} ({stage})" if stage is not None else "warm"
