"""The slow loop of warmup: what came of the day goes to the policy, and what that decides goes into the store.

One round, which anybody may repeat, at the same time too:

1. Read where everything stands, and what each account has counted.
2. Ask the policy (`sender.policy.warmup`). What was never used has no progress: it begins when its first envelope goes.
3. Write what has changed, each in place of the version that was read: of several schedulers one wins, and tells the audit
   stream. Who lost looks again in its next round.
4. Say the caps of the day, where those that stand are others. What has no plan any more is freed of its cap.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sender.errors import BackendError
from sender.model import Cap
from sender.policy.gates import Tally
from sender.policy.plan import Plan
from sender.policy.progress import Progress, What
from sender.policy.warmup import Decision, begin, cap_of, counted_by, decide
from sender.queue.base import Queue
from sender.queue.warmups import Account, Change, Kept, Use, Window
from sender.warming.audit import Entry
from sender.warming.wards import Ward

_FREE_S = 60.0  # how often the caps of what has no plan are looked at: another scheduler may still know the old settings
_TRIES = 10  # for an operator's word, against schedulers that write at the same moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one ward stands."""

    ward: Ward
    plan: Plan
    progress: Progress
    use: Use
    tally: Tally  # of the day that is being counted
    cap: Cap
    kept: bool  # its progress is written down: it was used, or somebody has said something

    @property
    def sent(self) -> int:
        """What was used of the day's cap."""
        return self.tally.used

    @property
    def counted(self) -> Tally:
        """All that its gates judge by now."""
        return counted_by(self.progress, self.tally)

    @property
    def full(self) -> Window | None:
        """The longest window of the cap that has no unit left; a lane that is stopped has no cap that could be full."""
        cap, use = self.cap, self.use
        counts = (
            (Window.DAY, use.day, cap.per_day),
            (Window.HOUR, use.hour, cap.per_hour),
            (Window.MINUTE, use.minute, cap.per_minute),
        )
        return next((window for window, count, most in counts if count >= most > 0), None)


class Warmer:
    """Keeps the caps in step with what receivers answer; holds nothing that matters."""

    def __init__(
        self,
        queue: Queue,
        wards: Mapping[str, Ward],
        *,
        on_change: Callable[[str, Decision], None] = lambda name, decision: None,
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`on_change` hears of what this one has written, `on_trouble` of what it can't read."""
        self._queue, self._on_change, self._on_trouble = queue, on_change, on_trouble
        self._planned = {ward.account: ward for ward in wards.values() if ward.plan is not None}
        self._free = [ward.account for ward in wards.values() if ward.plan is None]
        self._free_at = float("-inf")

    async def run_once(self, now: float) -> Collection[Standing]:
        """One round; gives where everything with a plan stands after it."""
        if not 0 <= self._free_at - now <= _FREE_S:
            await self._set_free(now)
            self._free_at = now + _FREE_S
        if not self._planned:
            return ()
        kept = await self._queue.progress([account.name for account in self._planned])
        used = await self._queue.use(list(self._planned), now)
        found: dict[str, Standing] = {}
        decided: dict[str, tuple[int, Decision]] = {}
        for account, ward in self._planned.items():
            state = kept.get(account.name)
            try:
                standing, decision = look(ward, state, used[account], now)
            except ValueError as error:  # of a newer version: its cap stays as it is until a newer scheduler comes
                self._on_trouble(f"the progress of {account} can't be read: {error}")
                continue
            found[account.name] = standing
            if decision is not None and standing.kept:
                decided[account.name] = state.version if state else 0, decision
        written = await self._write(decided, now)
        for name in decided.keys() - written:
            del found[name]  # another one was faster
        await self._say_caps(found.values(), now)
        return found.values()

    async def _write(self, decided: Mapping[str, tuple[int, Decision]], now: float) -> set[str]:
        if not decided:
            return set()
        written = set(await self._queue.change_progress([change(name, *found, now) for name, found in decided.items()]))
        for name in written:
            if decided[name][1].told:
                self._on_change(name, decided[name][1])
        return written

    async def _say_caps(self, standings: Collection[Standing], now: float) -> None:
        changed: dict[Account, Cap | None] = {
            standing.ward.account: standing.cap for standing in standings if standing.use.cap != standing.cap
        }
        if changed:
            await self._queue.set_caps(changed, now)

    async def _set_free(self, now: float) -> None:
        held = [account for account, use in (await self._queue.use(self._free, now)).items() if use.cap is not None]
        if held:
            await self._queue.set_caps(dict.fromkeys(held), now)


def look(ward: Ward, state: Kept | None, use: Use, now: float) -> tuple[Standing, Decision | None]:
    """Where a ward with a plan stands now, and what of that is new; None where nothing is.

    Raises ValueError where its progress can't be read.
    """
    assert ward.plan is not None
    progress = Progress.decode(state.body) if state is not None else None
    counted = ward.tally(use, progress.day) if progress is not None else Tally()
    decision = decide(ward.plan, progress, counted, now) if progress is not None else begin(ward.plan, now)
    after = decision.progress
    standing = Standing(
        ward=ward,
        plan=ward.plan,
        progress=after,
        use=use,
        tally=counted if progress is not None and progress.day == after.day else ward.tally(use, after.day),
        cap=cap_of(ward.plan, after, ward.plan.day(now)),
        kept=state is not None or bool(use.marks) or use.day > 0,
    )
    return standing, decision if after != progress else None


def change(name: str, version: int, decision: Decision, now: float, by: str = "") -> Change:
    """A decision as the store takes it."""
    entry = Entry.of(name, decision.progress, decision.what, decision.why, at=now, by=by)
    return Change(name=name, version=version, body=decision.progress.encode(), audit=entry.encode() if decision.told else b"")


async def say(queue: Queue, ward: Ward, word: Callable[[Progress], Decision], now: float, by: str = "") -> Decision:
    """Carry a word out: on what stands at that moment, whoever writes meanwhile; the cap follows at once.

    Raises BackendError where others write faster, again and again.
    """
    assert ward.plan is not None
    for _ in range(_TRIES):
        state = (await queue.progress([ward.name])).get(ward.name)
        use = (await queue.use([ward.account], now))[ward.account]
        standing, due = look(ward, state, use, now)
        if state is not None and due is not None and due.told:  # written by itself, or the audit stream would not tell it
            await queue.change_progress([change(ward.name, state.version, due, now)])
            continue
        decision = word(standing.progress)
        if decision.what is What.KEEP:
            return decision
        if await queue.change_progress([change(ward.name, state.version if state else 0, decision, now, by)]):
            cap = cap_of(ward.plan, decision.progress, ward.plan.day(now))
            await queue.set_caps({ward.account: cap}, now)
            return decision
    raise BackendError(f"the progress of {ward.name} is being changed by others all the time; try again")
