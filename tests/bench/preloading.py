"""Campaigns that stand in the queue before a fleet starts, held until a word: so a depth costs no submission to reach.

What stands there is what an expander would have put there: packs of its size, made by its code, added through the queue's own
`expand`, chunk by chunk. Only reading rows and asking DNS for their receivers are left out.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from sender.content.spec import dump, parse
from sender.model import Envelope, Route
from sender.queue.base import BATCH_ROWS, Chunk, Queue, RoutedPack, RowBatch
from sender.queue.control import FOR_EVER, Hold
from sender.queue.pack import encode, runs

PACK = 200  # envelopes, the configured default
_CHUNK = 20 * BATCH_ROWS  # recipients, as many as an expander takes on at most
_WAKES = 2_000  # routes woken in one call

Reader = Callable[[int], tuple[str, str]]
"""From a recipient's number to domain and receiver."""


async def preload(queue: Queue, campaign: str, spec: Mapping[str, object], recipients: int, reader: Reader) -> None:
    """A campaign with so many recipients, all of them ready and none to be had before `release`."""
    now = await queue.time()
    await queue.hold([Hold(campaign=campaign, start=-FOR_EVER, end=FOR_EVER)])
    await queue.announce(campaign, dump(parse(spec, file=campaign)))
    for announcement in await queue.announcements(1):
        await queue.accept(announcement, announcement.spec, now)
    chunks = list(_chunks(recipients))
    await queue.add_rows(campaign, [RowBatch(number=number, rows=b"{}") for number in range(len(chunks))])
    await queue.close_rows(campaign, len(chunks))
    for numbers in chunks:
        inflow = await queue.rows(campaign, 1)
        packs = tuple(_packs(campaign, numbers, reader, now))
        chunk = Chunk(campaign=campaign, number=inflow.chunk, priority=5, batches=inflow.batches, packs=packs)
        if not await queue.expand(chunk, now):
            raise RuntimeError(f"somebody else expands {campaign}")


async def release(queue: Queue, campaign: str) -> None:
    """Let it be leased from now on."""
    await queue.hold([Hold(campaign=campaign, start=0.0, end=0.0)])
    while await queue.wake(await queue.time(), _WAKES):
        pass


def _chunks(recipients: int) -> Iterator[Sequence[int]]:
    numbers = iter(range(recipients))
    while some := tuple(islice(numbers, _CHUNK)):
        yield some


def _packs(campaign: str, numbers: Sequence[int], reader: Reader, now: float) -> Iterator[RoutedPack]:
    routed: dict[str, list[Envelope]] = defaultdict(list)
    for number in numbers:
        domain, receiver = reader(number)
        fields = {"name": f"Ann{number % 977}", "city": f"Lyon{number % 89}", "code": f"{number:08}"}
        routed[receiver].append(
            Envelope(campaign=campaign, ordinal=number, address=f"r{number}@{domain}", fields=fields, queued_at=now)
        )
    for receiver, envelopes in routed.items():
        for some in runs(envelopes, PACK):
            yield RoutedPack(route=Route(pool="main", receiver=receiver), pack=encode(some), count=len(some))
