"""The memory backend's owners: who is a member, who was fenced, and what each of them holds."""

import time
from collections.abc import Mapping, Sequence

import trio

from sender.queue import base
from sender.queue.memory_part import MemoryPart


class MemoryOwners(MemoryPart):
    """Joining, beating, fencing, resigning."""

    async def join(self, owner: str) -> None:
        await trio.lowlevel.checkpoint()
        if owner in self._fenced:
            raise ValueError(f"owner {owner} was fenced: its name is never used again")
        self._beats.setdefault(owner, 0)

    async def heartbeat(self, owner: str) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        if owner in self._beats:
            self._beats[owner] += 1
        return sorted(self._beats)

    async def beats(self) -> Mapping[str, int]:
        await trio.lowlevel.checkpoint()
        return dict(self._beats)

    async def fence(self, owners: Mapping[str, int | None], *, told: bool = False) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        for owner, beat in owners.items():
            if beat is None or self._beats.get(owner) == beat:
                self._beats.pop(owner, None)
                self._fenced.add(owner)
                self._told_all.update((owner,) if told else ())
        return [owner for owner in owners if owner in self._fenced]

    async def fenced(self) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return sorted(self._fenced)

    async def resign(self, owner: str) -> None:
        await trio.lowlevel.checkpoint()
        self._beats.pop(owner, None)
        self._unclaim_all(lambda holder: holder == owner)

    async def held(self, owner: str) -> Sequence[base.HeldLease]:
        await trio.lowlevel.checkpoint()
        theirs = [held for held in self._leases.values() if held.lease.owner == owner]
        return [base.HeldLease(lease=held.granted(), open=frozenset(held.open)) for held in theirs]

    async def time(self) -> float:
        await trio.lowlevel.checkpoint()
        return time.time()
