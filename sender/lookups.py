"""Which receiver each domain of a chunk belongs to, found in a bounded time.

A chunk may hold thousands of domains that nobody has asked for, and name servers may be slow or away. So a chunk waits for
DNS no longer than `WAIT_S`: what is not known by then goes to `UNRESOLVED`, whose lane looks again in its own time. A
domain that kept us waiting is not waited for again for `PATIENCE_S`, so that one dead domain in every chunk costs its time
once and not in each of them.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import trio

from sender.errors import ResolutionError
from sender.model import Destination
from sender.policy.receivers import Profiles

UNRESOLVED = "~unresolved"  # the receiver of domains DNS can't tell us about now; "~" keeps it out of labels
WAIT_S = 5.0  # for all lookups of a chunk together
PATIENCE_S = 60.0
_SLOW_S = 1.0  # a lookup that was on its way for so long at the end kept us waiting; others were merely late in line
_AT_ONCE = 64
_SLOW_KEPT = 10_000


class Resolves(Protocol):
    async def destination(self, domain: str) -> Destination: ...


class Lookups:
    """Asks the resolver for many domains at once."""

    def __init__(self, resolver: Resolves, profiles: Profiles) -> None:
        self._resolver, self._profiles = resolver, profiles
        self._slow: OrderedDict[str, float] = OrderedDict()  # domain -> until when it is not waited for, oldest first

    async def receivers(self, domains: Iterable[str]) -> Mapping[str, str | None]:
        """Each domain's receiver; None for a null MX, `UNRESOLVED` where DNS did not say."""
        now = trio.current_time()
        wanted = list(domains)
        found: dict[str, str | None] = dict.fromkeys(wanted, UNRESOLVED)
        asked = iter([domain for domain in wanted if self._slow.get(domain, now) <= now])
        begun: dict[str, float] = {}
        with trio.move_on_after(WAIT_S):
            async with trio.open_nursery() as nursery:
                for _ in range(min(_AT_ONCE, len(wanted))):
                    nursery.start_soon(self._work, asked, begun, found)
        self._remember(begun)
        return found

    async def _work(self, domains: Iterator[str], begun: dict[str, float], found: dict[str, str | None]) -> None:
        """Look up one domain after the other; `begun` has those that are on their way."""
        for domain in domains:
            begun[domain] = trio.current_time()
            try:
                destination = await self._resolver.destination(domain)
            except ResolutionError:
                pass  # it stands as unresolved
            else:
                found[domain] = self._profiles.receiver(destination, domain) if destination.hosts else None
            del begun[domain]

    def _remember(self, begun: Mapping[str, float]) -> None:
        """What was still on its way when time was up."""
        now = trio.current_time()
        for domain, since in begun.items():
            if now - since >= _SLOW_S:
                self._slow[domain] = now + PATIENCE_S
                self._slow.move_to_end(domain)
        while self._slow and (len(self._slow) > _SLOW_KEPT or next(iter(self._slow.values())) <= now):
            self._slow.popitem(last=False)
