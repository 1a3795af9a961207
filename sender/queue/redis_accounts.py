"""Shared accounts in Redis: units are reserved there before envelopes are leased elsewhere, and what nobody uses goes back.

A script touches the keys of one hash tag, so that the two steps can't be one. What a crash loses in between counts as used.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import trio

from sender.model import LaneId
from sender.queue.base import Lease, LeaseRequest, Settlement
from sender.queue.client import Client, Command
from sender.queue.control import FOR_EVER
from sender.queue.keys import ACCOUNTS, account
from sender.queue.ledger import Ledger
from sender.queue.ration import shares
from sender.queue.scripts import Argument
from sender.queue.warmups import Wait, Window

Day: TypeAlias = tuple[str, float]  # a sending day, and when it ends


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What an account said: what it granted, of which day; or what closes it."""

    granted: int
    day: int
    ends: float
    window: str  # "" where it has room; "late" where a later call came first
    opens: float
    most: int
    outstanding: int

    @classmethod
    def read(cls, answer: Sequence[Any]) -> "_Answer":
        granted, day, ends, window, opens, most, outstanding = answer
        return cls(
            granted=granted,
            day=day,
            ends=float(ends),
            window=window.decode(),
            opens=float(opens),
            most=most,
            outstanding=outstanding,
        )


@dataclass(slots=True, kw_only=True)
class Reserved:
    """The requests of one call as the accounts permit them, in their order, and whom they keep from getting any."""

    requests: list[LeaseRequest] = field(default_factory=list)
    days: list[Day] = field(default_factory=list)  # in step; ("", inf) without account
    waits: list[Wait] = field(default_factory=list)

    def add(self, request: LeaseRequest, units: int, answer: _Answer) -> None:
        if units:
            self.requests.append(replace(request, envelopes=units))
            self.days.append((str(answer.day), answer.ends))
        elif not answer.granted and answer.window not in ("", "late"):
            self.waits.append(
                Wait(
                    lane=request.lane,
                    account=request.account,
                    window=Window(answer.window),
                    opens=answer.opens,
                    most=answer.most,
                    outstanding=answer.outstanding,
                )
            )


class SharedAccounts:
    """The shared accounts, as the owners of this process deal with them."""

    def __init__(self, client: Client) -> None:
        self._client, self._ledger = client, Ledger()
        self._latest = 0.0  # the time of the last call
        self._one_at_a_time = trio.Lock()  # calls tell totals: what one of them was granted must be known to the next

    async def reserve(self, requests: Sequence[LeaseRequest], now: float) -> Reserved:
        """Reserve a unit for each envelope that is asked for on an account, as far as there are any."""
        wanted: dict[tuple[str, str], list[LeaseRequest]] = defaultdict(list)
        for request in requests:
            if request.account:
                wanted[request.owner, request.account].append(request)
        async with self._one_at_a_time:
            answers = await self._call({key: sum(one.envelopes for one in some) for key, some in wanted.items()}, now)
        granted: dict[int, tuple[int, _Answer]] = {}
        for key, some in wanted.items():
            units = shares(answers[key].granted, [one.envelopes for one in some])
            granted |= {id(one): (given, answers[key]) for one, given in zip(some, units, strict=True)}
        reserved = Reserved()
        for request in requests:
            if request.account:
                reserved.add(request, *granted[id(request)])
            else:
                reserved.requests.append(request)
                reserved.days.append(("", FOR_EVER))
        return reserved

    def leased(self, requests: Sequence[LeaseRequest], granted: Sequence[Lease]) -> None:
        """These leases came of what was reserved; what they did not take is to go back."""
        asked = {request.lane: request for request in requests if request.account}
        taken: Counter[LaneId] = Counter()
        for lease in granted:
            if lease.lane in asked:
                self._ledger.leased(lease, asked[lease.lane].account)
                taken[lease.lane] += len(lease.envelopes)
        for lane, request in asked.items():
            page = self._ledger.find(request.owner, request.account)
            if page is not None:  # else its owner was found lost meanwhile: the account has heard
                page.back += request.envelopes - taken[lane]

    def settled(self, settlements: Sequence[Settlement]) -> None:
        """The store has taken these: what they used, and what is to go back, will be told."""
        for settlement in settlements:
            self._ledger.settled(settlement)

    async def tell(self, now: float) -> None:
        """Tell accounts what they have not heard; where somebody is at it, a later call does."""
        if self._one_at_a_time.locked() or not any(page.news for page in self._ledger.pages.values()):
            return
        async with self._one_at_a_time:
            await self._call({key: 0 for key, page in self._ledger.pages.items() if page.news}, now)

    async def _call(self, wanted: Mapping[tuple[str, str], int], now: float) -> Mapping[tuple[str, str], _Answer]:
        self._latest = now
        told = {}
        commands: list[Command] = []
        for (owner, name), units in wanted.items():
            page = self._ledger.page(owner, name)
            page.calls += 1
            told[owner, name] = page.back, page.used
            numbers = (page.calls, page.reserved, page.back, page.used)
            commands.append(self._script("account", name, now, units, owner, *numbers))
        answers = {key: _Answer.read(answer) for key, answer in zip(wanted, await self._client.run(commands), strict=True)}
        for key, answer in answers.items():
            known = self._ledger.find(*key)
            if known is not None and answer.window != "late":
                known.reserved, known.told = known.reserved + answer.granted, told[key]
        return answers

    async def take(self, name: str, units: int, now: float) -> int:
        """Use up so many units at once, as far as there are any."""
        (answer,) = await self._client.run([self._script("account", name, now, units)])
        return _Answer.read(answer).granted

    async def holders(self, turn: int) -> Sequence[bytes]:
        """Who holds something of one of the accounts, another one each turn."""
        (names,) = await self._client.run([("SMEMBERS", ACCOUNTS)])
        if not names:
            return ()
        (fields,) = await self._client.run([("HKEYS", account(sorted(names)[turn % len(names)].decode()))])
        return [name[1:] for name in fields if name.startswith(b"=")]

    async def forget(self, owners: Mapping[str, Mapping[str, int]], now: float) -> None:
        """These owners are no more; of what each held of an account (second name), so many units come back."""
        if not owners:
            return
        for owner in owners:
            self.lost(owner)
        (names,) = await self._client.run([("SMEMBERS", ACCOUNTS)])
        commands: list[Command] = []
        for name in (octets.decode() for octets in names):
            arguments: list[Argument] = [now]
            for owner, back in owners.items():
                arguments += [owner, back.get(name, 0)]
            commands.append(self._script("forget_owners", name, *arguments))
        await self._client.run(commands)

    async def resign(self, owner: str) -> None:
        """This owner of ours ends in order: what it still held of an account, if it ever had to do with any, is used up."""
        if self._ledger.knows(owner):
            await self.forget({owner: {}}, self._latest)

    def lost(self, owner: str) -> None:
        """This owner of ours is no more."""
        self._ledger.forget(owner)

    def _script(self, name: str, account_name: str, *arguments: Argument) -> Command:
        return self._client.scripts[name]((account(account_name),), *arguments)
