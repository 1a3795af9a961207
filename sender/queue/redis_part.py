"""What the parts of the Redis backend share."""

from collections.abc import Container, Iterable, Iterator, Sequence

import msgspec

from sender.queue.base import Refusal
from sender.queue.client import Client, Command
from sender.queue.fates import by_segment
from sender.queue.inbox import MAX_PAYLOAD
from sender.queue.keys import DEAD, CampaignKeys, Layout
from sender.queue.scripts import Argument

EVENT_ENTRIES = 100_000  # of each partition's events stream, about; an entry holds the events of one call
DEAD_ENTRIES = 10_000


class RedisPart:
    """A client, and where things are kept."""

    def __init__(self, client: Client, layout: Layout) -> None:
        self._client, self._layout = client, layout

    def _script(self, name: str, keys: Sequence[str], *arguments: Argument) -> Command:
        return self._client.scripts[name](tuple(keys), *arguments)

    def _dead_letter(self, refusal: Refusal) -> Command:
        """The command that keeps what could not be used."""
        content = (refusal.entry, refusal.campaign, refusal.why, refusal.payload[:MAX_PAYLOAD])
        return self._script("letter", (DEAD,), DEAD_ENTRIES, *content)

    def _note(self, campaign: str, fates: Iterable[tuple[int, int]]) -> Iterator[Command]:
        """The commands that note what became of recipients: (ordinal, fate) pairs."""
        for segment, told in by_segment(fates).items():
            yield self._script("fates", (CampaignKeys(campaign).fates(segment),), msgspec.msgpack.encode(told))


class Bits(Container[int]):
    """A Redis bitmap as a set of numbers."""

    def __init__(self, octets: bytes | None) -> None:
        self._octets = octets or b""

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int) or number >> 3 >= len(self._octets):
            return False
        return bool(self._octets[number >> 3] & 0x80 >> (number & 7))


def number_or_none(octets: bytes | None) -> int | None:
    """A number as Redis keeps it, or None where there is none."""
    return int(octets) if octets is not None else None
