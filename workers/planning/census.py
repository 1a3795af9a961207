"""Who is on a list: recipients by receiver and band of engagement, without keeping the list. One pass, in bounded memory.

1. Rows are read as an expander would read them: what would end as invalid is counted as that, by its reason.
2. Where a store can be asked, so are its suppressions, a batch at a time.
3. Domains are counted; beyond `DOMAINS_MOST` different ones, those that come later count for the long tail.
4. At the end the largest domains are looked up, `lookups` at most. Whose turn does not come counts for the long tail, too:
   these are small. Offline, none is looked up: what profiles say of a domain itself, or of hosts below it,
   is all that is known.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sender.content.row import read_row
from sender.content.template import Compiled
from sender.errors import ContentError
from sender.lookups import Lookups, Resolves
from sender.model import Destination, MxHost
from sender.policy import engagement
from sender.policy.receivers import Profiles
from sender.queue.base import RowBatch
from sender.sorting import read_batch
from workers.recipients import Recipients

DOMAINS_MOST = 200_000  # a process that has so many takes 200 MB
LOOKUPS = 20_000
_REASONS_MOST = 20  # a file can have any number of fields that are wrong
_AT_ONCE = 1_000  # domains that are asked about together
_UNCOUNTED = ""  # stands for all domains beyond those that are kept

Wanted = Callable[[Sequence[str], str], Awaitable[Sequence[bool]]]  # which of these addresses get mail of this list


@dataclass(slots=True, kw_only=True)
class Census:
    """What is on a list."""

    rows: int = 0
    invalid: Counter[str] = field(default_factory=Counter)  # by what is wrong: "address", "template", a field's name
    suppressed: int = 0
    asked_who_is_suppressed: bool = False
    domains: int = 0  # different ones, as far as they were kept
    looked_up: int = 0
    unanswered: int = 0  # of those: DNS could not tell
    left_out: int = 0  # smaller ones that were not looked up
    null_mx: int = 0  # recipients whose domain takes no mail (RFC 7505)
    receivers: dict[str, tuple[int, ...]] = field(default_factory=dict)  # recipients by receiver and band

    @property
    def mailable(self) -> int:
        return sum(map(sum, self.receivers.values()))

    def refuse(self, what: str) -> None:
        known = what in self.invalid or len(self.invalid) < _REASONS_MOST
        self.invalid[what if known else "others"] += 1


class Counting:
    """One list while it is being read."""

    def __init__(self, compiled: Compiled, wanted: Wanted | None, list_name: str) -> None:
        self._compiled, self._wanted, self._list = compiled, wanted, list_name
        self.census = Census(asked_who_is_suppressed=wanted is not None)
        self._domains: dict[str, list[int]] = {}

    async def read(self, recipients: Recipients, progress: Callable[[int], None] = lambda octets: None) -> None:
        """Read all of it; `progress` is told of the octets read so far."""
        for batch in recipients.batches():
            await self._batch(batch)
            progress(recipients.octets)

    async def settle(self, profiles: Profiles, resolver: Resolves | None, most: int) -> Census:
        """Find the receivers, with so many lookups at most; without a resolver, offline."""
        self.census.domains = len(self._domains) - (_UNCOUNTED in self._domains)
        largest = sorted(self._domains, key=lambda domain: -sum(self._domains[domain]))
        named = {domain: profiles.receiver(_below(domain), domain) for domain in largest}
        unknown = [domain for domain in largest if profiles.label(named[domain]) != named[domain] and domain != _UNCOUNTED]
        found: dict[str, str | None] = dict(named)
        if resolver is not None:
            answers = _Answers(resolver)
            lookups = Lookups(answers, profiles)
            for start in range(0, len(unknown[:most]), _AT_ONCE):
                found.update(await lookups.receivers(unknown[:most][start : start + _AT_ONCE]))
            self.census.looked_up, self.census.unanswered = len(unknown[:most]), len(unknown[:most]) - answers.count
            self.census.left_out = len(unknown[most:])
        self._by_receiver(found)
        return self.census

    async def _batch(self, batch: RowBatch) -> None:
        rows = read_batch(batch)
        self.census.rows += len(rows)
        valid = [read for row in rows if (read := self._read(row)) is not None]
        keeps = await self._wanted([address for address, _ in valid], self._list) if self._wanted and valid else None
        for place, (address, band) in enumerate(valid):
            if keeps is None or keeps[place]:
                self._count(address.rpartition("@")[2], band)
            else:
                self.census.suppressed += 1

    def _read(self, row: object) -> tuple[str, int] | None:
        """Address and band; None for a row that would end as invalid."""
        if not isinstance(row, dict):
            self.census.refuse("row")
            return None
        try:
            address, fields = read_row(row)
            engagement.read(fields.get(engagement.FIELD, ""))
        except ContentError as error:
            self.census.refuse(error.field)
            return None
        except ValueError:
            self.census.refuse(engagement.FIELD)
            return None
        if self._compiled.missing(fields):
            self.census.refuse("template")
            return None
        return str(address), engagement.band_of(fields)

    def _count(self, domain: str, band: int) -> None:
        counts = self._domains.get(domain)
        if counts is None:
            if len(self._domains) >= DOMAINS_MOST:
                domain = _UNCOUNTED
            counts = self._domains.setdefault(domain, [0] * len(engagement.FLOORS))
        counts[band] += 1

    def _by_receiver(self, found: Mapping[str, str | None]) -> None:
        sums: dict[str, list[int]] = defaultdict(lambda: [0] * len(engagement.FLOORS))
        for domain, counts in self._domains.items():
            receiver = found[domain]
            if receiver is None:
                self.census.null_mx += sum(counts)
                continue
            for band, count in enumerate(counts):
                sums[receiver][band] += count
        self.census.receivers = {receiver: tuple(counts) for receiver, counts in sums.items()}


def _below(domain: str) -> Destination:
    """Where its mail would go if its MX host lay below it, as those of free.fr do below free.fr."""
    return Destination(hosts=(MxHost(name=f"mx.{domain}", preference=0),))


class _Answers:
    """Counts what a resolver could answer."""

    def __init__(self, resolver: Resolves) -> None:
        self._resolver = resolver
        self.count = 0

    async def destination(self, domain: str) -> Destination:
        found = await self._resolver.destination(domain)
        self.count += 1
        return found
