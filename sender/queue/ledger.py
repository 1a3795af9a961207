"""What the owners of this process were granted: of shared accounts, how much was reserved, came back and was used up, in all;
of each capped lane, how much since it was claimed.

Totals are told, never differences, so that what gets lost on the way, or in a failover, is made good by the next call
(lua/account.lua, `make_good` in lua/quota.lua).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from secrets import token_hex

from sender.model import LaneId
from sender.queue.base import Lease, LeaseRequest, Settlement


@dataclass(slots=True)
class Page:
    """One owner's dealings with one account, in units."""

    calls: int = 0
    reserved: int = 0
    back: int = 0
    used: int = 0
    told: tuple[int, int] = (0, 0)  # `back` and `used`, as the account heard them last

    @property
    def news(self) -> bool:
        return self.told != (self.back, self.used)


@dataclass(slots=True)
class Ledger:
    """The pages of all owners, and the leases that units were reserved for."""

    pages: dict[tuple[str, str], Page] = field(default_factory=dict)  # by owner and account
    _open: dict[str, tuple[Page, set[int]]] = field(default_factory=dict)  # by lease: positions not settled

    def page(self, owner: str, account: str) -> Page:
        return self.pages.setdefault((owner, account), Page())

    def find(self, owner: str, account: str) -> Page | None:
        """None once the owner is no more."""
        return self.pages.get((owner, account))

    def knows(self, owner: str) -> bool:
        return any(name == owner for name, _ in self.pages)

    def leased(self, lease: Lease, account: str) -> None:
        """This lease has taken a unit for each of its envelopes, of those reserved."""
        page = self.find(lease.owner, account)
        if page is not None:
            self._open[lease.id] = page, set(range(len(lease.envelopes)))

    def settled(self, settlement: Settlement) -> None:
        """The store has taken this: what used no unit comes back."""
        if settlement.lease not in self._open:
            return
        page, open_ = self._open[settlement.lease]
        told = {position for position, _ in settlement.final} | {again.position for again in settlement.again}
        fresh = told & open_
        used = {position for mark, positions in settlement.marks.items() if mark.uses for position in positions}
        open_ -= fresh
        page.used += len(fresh & used)
        page.back += len(fresh - used)
        if not open_:
            del self._open[settlement.lease]

    def forget(self, owner: str) -> None:
        """This owner is no more: the store uses up what it held."""
        gone = {id(page) for (name, _), page in self.pages.items() if name == owner}
        self.pages = {key: page for key, page in self.pages.items() if key[0] != owner}
        self._open = {lease: held for lease, held in self._open.items() if id(held[0]) not in gone}


@dataclass(slots=True)
class Claims:
    """Under which claim each lane's units are counted, and how many it was granted under that."""

    _of: dict[tuple[str, LaneId], tuple[str, int]] = field(default_factory=dict)  # by owner and lane

    def told(self, request: LeaseRequest) -> tuple[str, int]:
        """What the store is told with this request."""
        return self._of.setdefault((request.owner, request.lane), (token_hex(6), 0))

    def granted(self, lease: Lease, *, capped: bool) -> None:
        """The lane got these; where no cap counts them in the store, its next units begin another claim."""
        claim, taken = self._of.get((lease.owner, lease.lane), ("", 0))
        if capped and claim:
            self._of[lease.owner, lease.lane] = claim, taken + len(lease.envelopes)
        else:
            self._of.pop((lease.owner, lease.lane), None)

    def drop(self, owner: str, lanes: Iterable[LaneId]) -> None:
        """The owner lets go of these lanes: should it claim one again, that is another claim."""
        for lane in lanes:
            self._of.pop((owner, lane), None)

    def forget(self, owner: str) -> None:
        """This owner is no more, and with it all its claims."""
        self._of = {key: claim for key, claim in self._of.items() if key[0] != owner}

    def __len__(self) -> int:
        return len(self._of)
