"""The memory backend's warmup: caps and what is counted of them, where every lane stands, and who changed it."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import trio

from sender.model import Cap, LaneId, Mark
from sender.queue.base import Lease, LeaseRequest, Settlement
from sender.queue.memory_part import HeldLease, MemoryPart
from sender.queue.quota import Quota, sending_day, use_of
from sender.queue.warmups import DAYS_KEPT, OTHER, TAIL, Account, Change, Kept, Use, Wait


class MemoryWarmups(MemoryPart):
    """See `sender.queue.warmups.Warmups`."""

    async def set_caps(self, caps: Mapping[Account, Cap | None], now: float) -> None:
        await trio.lowlevel.checkpoint()
        for account, cap in caps.items():
            self._quotas[account.name].set_cap(cap, now)

    async def use(self, accounts: Sequence[Account], now: float) -> Mapping[Account, Use]:
        await trio.lowlevel.checkpoint()
        found = {}
        for account in accounts:
            marks = {day: dict(counts) for day, counts in self._marks[account.name].items()}
            found[account] = use_of(self._quotas[account.name].copy(), now, marks, dict(self._complaints[account.name]))
        return found

    async def complain(self, account: Account, day: int, complaints: int) -> None:
        await trio.lowlevel.checkpoint()
        self._complaints[account.name][day] += complaints

    async def reserve(self, account: Account, units: int, now: float) -> int:
        await trio.lowlevel.checkpoint()
        quota = self._quotas[account.name]
        quota.touch(now)
        taken = min(units, quota.room) if quota.binds else 0
        quota.take(taken)
        quota.settle(taken, taken)
        return taken

    async def progress(self, names: Sequence[str] | None = None) -> Mapping[str, Kept]:
        await trio.lowlevel.checkpoint()
        wanted = self._progress if names is None else names
        return {name: self._progress[name] for name in wanted if name in self._progress}

    async def change_progress(self, changes: Sequence[Change]) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return [change.name for change in changes if self._change(change)]

    def _change(self, change: Change) -> bool:
        stands = self._progress.get(change.name)
        if (stands.version if stands is not None else 0) != change.version:
            return False
        if change.body:
            self._progress[change.name] = Kept(name=change.name, version=change.version + 1, body=change.body)
        else:
            self._progress.pop(change.name, None)
        if change.audit:
            self._audit.append((next(self._numbers), change.audit))
        return True

    async def audit(self, before: str = "", limit: int = 100) -> tuple[str, Sequence[bytes]]:
        await trio.lowlevel.checkpoint()
        newest = ((number, entry) for number, entry in reversed(self._audit) if not before or number < int(before))
        some = list(itertools.islice(newest, limit))
        return (str(some[-1][0]) if len(some) == limit else ""), [entry for _, entry in some]

    async def untold_audit(self, limit: int) -> Sequence[tuple[str, bytes]]:
        await trio.lowlevel.checkpoint()
        untold = ((str(number), entry) for number, entry in self._audit if number > self._audit_told)
        return list(itertools.islice(untold, limit))

    async def audit_told(self, last: str) -> None:
        await trio.lowlevel.checkpoint()
        self._audit_told = int(last)

    async def tell_audit(self, entries: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint()
        self._audit.extend((next(self._numbers), entry) for entry in entries)

    def _quotas_of(self, lane: LaneId, account: str) -> list[Quota]:
        """What counts the units of a lane: its own account, and the shared one if it takes from any."""
        return [self._quotas[name] for name in (str(lane), account) if name]

    def _ask(self, account: str, now: float) -> None:
        """A shared account, if it is one, is asked before anything else: what time it is for it everybody tells."""
        if account:
            self._quotas[account].touch(now)

    def _room(self, request: LeaseRequest, now: float) -> int | Wait:
        """How many envelopes the caps let it have."""
        most = request.envelopes
        for name, needed in ((str(request.lane), request.capped), (request.account, True)):
            if not name:
                continue
            quota = self._quotas[name]
            quota.touch(now)
            if quota.binds or needed:
                if not (quota.binds and quota.room):
                    return _wait(request.lane, name, quota)
                most = min(most, quota.room)
        return most

    def _take_units(self, lease: Lease, account: str) -> None:
        for quota in self._quotas_of(lease.lane, account):
            quota.take(len(lease.envelopes))

    def _day(self, request: LeaseRequest, now: float) -> int:
        """The sending day that counts what comes of the request."""
        return sending_day(self._quotas[request.account or str(request.lane)], now)

    def _day_ends(self, request: LeaseRequest) -> float:
        return min(quota.ends for quota in self._quotas_of(request.lane, request.account))

    def _settle_units(self, held: HeldLease, units: int, used: int, now: float) -> None:
        for quota in self._quotas_of(held.lease.lane, held.account):
            quota.touch(now)
            quota.settle(units, used)

    def _tell_marks(self, held: HeldLease, settlement: Settlement, fresh: frozenset[int]) -> int:
        """Count what came of attempts at positions that are settled only now; how many used a unit."""
        counts = Counter({mark: len(fresh.intersection(positions)) for mark, positions in settlement.marks.items()})
        lane = held.lease.lane
        own = f"{lane.source}/{OTHER}" if lane.receiver.startswith(TAIL) else str(lane)
        for name in filter(None, (own, settlement.identity)):
            self._count_marks(name, held.day, +counts)
        return sum(count for mark, count in counts.items() if mark.uses)

    def _count_marks(self, name: str, day: int, counts: Mapping[Mark, int]) -> None:
        known = self._marks[name]
        if counts:
            known[day].update(counts)
        for old in _too_old(known, day):
            del known[old]


def _too_old(days: Iterable[int], day: int) -> list[int]:
    return [old for old in days if old < day - DAYS_KEPT]


def _wait(lane: LaneId, account: str, quota: Quota) -> Wait:
    why = quota.closed()
    return Wait(lane=lane, account=account, window=why.window, opens=why.opens, most=why.most, outstanding=quota.outstanding)
