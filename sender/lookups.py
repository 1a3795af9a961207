"""Which receiver each domain of a chunk belongs to, found in a bounded time.

A chunk may hold thousands of domains that nobody has asked for, and name servers may be slow or away. So a chunk waits as
long as answers come, `CHUNK_S` at most, and `WAIT_S` for one more; where only a few are missing, `STRAGGLER_S`. A domain
that kept us waiting is not waited for again for `PATIENCE_S`, so that one dead domain in every chunk costs its time once and
not in each of them.

What is not known by then goes out nevertheless: its lane looks again in its own time. A few such domains are in trouble
themselves: each has a route of its own, where it delays nobody else. Where many are, it is rather our DNS that is: they
share the route `UNRESOLVED`, because among so many may be any number that belong to one large receiver, whose limits hold
for each lane.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import trio

from sender.errors import ResolutionError
from sender.model import Destination
from sender.policy.receivers import OTHER, Profiles

UNRESOLVED = "~unresolved"  # the receiver of domains DNS can't tell us about now; "~" keeps it out of labels
CHUNK_S = 30.0
WAIT_S = 5.0
STRAGGLER_S = 1.5  # more than a name server on another continent needs
PATIENCE_S = 60.0
FEW, _FEW_SHARE = 20, 20  # of a chunk's domains: so many, or one in so many
_SLOW_S = 1.0  # a lookup that was on its way for so long at the end kept us waiting; others were merely late in line
_AT_ONCE = 500  # the resolver has a line of its own for what is quick
_SLOW_KEPT = 10_000
_NOWHERE = Destination(hosts=())


class Resolves(Protocol):
    async def destination(self, domain: str) -> Destination: ...


@dataclass(slots=True)
class _Round:
    """The lookups of one chunk while they are on."""

    scope: trio.CancelScope
    last: float  # when it is over, come what may
    missing: int
    few: int
    found: dict[str, str | None] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)  # those that are on their way

    def answered(self) -> None:
        """One less; wait for the next."""
        self.missing -= 1
        wait_s = STRAGGLER_S if self.missing <= self.few else WAIT_S
        self.scope.deadline = min(self.last, trio.current_time() + wait_s)


class Lookups:
    """Asks the resolver for many domains at once."""

    def __init__(self, resolver: Resolves, profiles: Profiles) -> None:
        self._resolver, self._profiles = resolver, profiles
        self._slow: OrderedDict[str, float] = OrderedDict()  # domain -> until when it is not waited for, oldest first

    async def receivers(self, domains: Iterable[str]) -> Mapping[str, str | None]:
        """Each domain's receiver; None for a null MX. Where DNS did not say: the domain's own, or `UNRESOLVED`."""
        now, wanted = trio.current_time(), list(domains)
        asked = [domain for domain in wanted if self._slow.get(domain, now) <= now]
        few = max(FEW, len(wanted) // _FEW_SHARE)
        with trio.CancelScope(deadline=now + WAIT_S) as scope:
            one = _Round(scope, now + CHUNK_S, len(asked), few)
            names = iter(asked)
            async with trio.open_nursery() as nursery:
                for _ in range(min(_AT_ONCE, len(asked))):
                    nursery.start_soon(self._work, names, one)
        self._remember(one.begun)
        failed = [domain for domain in wanted if domain not in one.found]
        return {**one.found, **self._unresolved(failed, shared=len(failed) > few)}

    async def _work(self, domains: Iterator[str], one: _Round) -> None:
        """Look up one domain after the other."""
        for domain in domains:
            one.begun[domain] = trio.current_time()
            try:
                destination = await self._resolver.destination(domain)
            except ResolutionError:
                pass  # it stands as unresolved
            else:
                one.found[domain] = self._profiles.receiver(destination, domain) if destination.hosts else None
            del one.begun[domain]
            one.answered()

    def _unresolved(self, failed: Sequence[str], *, shared: bool) -> Mapping[str, str]:
        """Where domains go that DNS did not tell us about; some have a profile all the same."""
        own = {domain: self._profiles.receiver(_NOWHERE, domain) for domain in failed}
        if not shared:
            return own
        return {domain: UNRESOLVED if self._profiles.label(name) == OTHER else name for domain, name in own.items()}

    def _remember(self, begun: Mapping[str, float]) -> None:
        """What was still on its way when time was up."""
        now = trio.current_time()
        for domain, since in begun.items():
            if now - since >= _SLOW_S:
                self._slow[domain] = now + PATIENCE_S
                self._slow.move_to_end(domain)
        while self._slow and (len(self._slow) > _SLOW_KEPT or next(iter(self._slow.values())) <= now):
            self._slow.popitem(last=False)
