"""What the Redis backend's leases hold: reading their records, and giving back what nobody will settle."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from sender.model import Envelope, State
from sender.queue.base import Refusal
from sender.queue.client import Client, Command
from sender.queue.keys import Layout, Partition
from sender.queue.pack import PackError, counted, decode, encode_all
from sender.queue.redis_accounts import SharedAccounts
from sender.queue.redis_part import EVENT_ENTRIES, Bits, RedisPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What came of giving back a lease."""

    envelopes: int
    account: str = ""
    units: int = 0  # of that account: there again, once it is told


class RedisLeases(RedisPart):
    """Leases as they stand in the store."""

    def __init__(self, client: Client, layout: Layout) -> None:
        super().__init__(client, layout)
        self._accounts = SharedAccounts(client)

    async def _give_back(self, partition: Partition, lease: str, now: float, *, unsent: bool = True) -> Returned:
        """Make ready what a lease has not settled; a pack that can't be read is parked, and it alone.

        Where it is not sure that none of it was sent, its units count as used.
        """
        record, bits = partition.key(f"lease:{lease}"), partition.key(f"settled:{lease}")
        fields, settled = await self._client.run([("HGETALL", record), ("GET", bits)])
        held = Record.read(fields_of(fields))
        if held.unreadable:
            await self._client.run([self._letter(lease, pack, why) for _, pack, why in held.unreadable])
            await self._client.run(
                [self._park(partition, lease, held, now)]
            )  # only now: what is settled is not looked at again
            (settled,) = await self._client.run([("GET", bits)])
        done = Bits(settled)
        left = [envelope for position, envelope in held.envelopes.items() if position not in done]
        keys = (record, bits, partition.key("leases"))
        arguments = (partition.prefix, lease, settled or b"", now, int(unsent), *encode_all(left))
        ((envelopes, account, units),) = await self._client.run([self._script("give_back", keys, *arguments)])
        return Returned(envelopes=envelopes, account=account.decode(), units=units)

    def _letter(self, lease: str, pack: bytes, why: str) -> Command:
        return self._dead_letter(Refusal(entry=f"leases/{lease}", campaign="", why=why, payload=pack))

    def _park(self, partition: Partition, lease: str, held: "Record", now: float) -> Command:
        """The command that ends what can't be read: its envelopes are UNKNOWN."""
        keys = (partition.key("leases"), partition.key("due"), partition.key("events"))
        positions = [position for some, _, _ in held.unreadable for position in some]
        told = msgspec.msgpack.encode([(lease, {State.UNKNOWN: positions}, (), 0)])
        return self._script("settle", keys, partition.prefix, told, EVENT_ENTRIES, now)


@dataclass(slots=True)
class Record:
    """What a lease's record holds, by position; a pack that can't be read takes as many as the scripts counted it for."""

    envelopes: dict[int, Envelope] = field(default_factory=dict)
    unreadable: list[tuple[range, bytes, str]] = field(default_factory=list)  # positions, pack, why

    @classmethod
    def read(cls, record: Mapping[bytes, bytes]) -> "Record":
        held, start, size = cls(), 0, int(record.get(b"size", 0))
        for number in sorted(int(name) for name in record if name.isdigit()):
            pack = record[str(number).encode()]
            positions = range(start, start + counted(pack))
            try:
                found = zip(positions, decode(pack), strict=True)
                held.envelopes.update((position, envelope) for position, envelope in found if position < size)
            except PackError as error:
                held.unreadable.append((positions, pack, str(error)))
            start = positions.stop
        return held


def fields_of(pairs: list[bytes]) -> dict[bytes, bytes]:
    """A hash as Redis answers it, name after value."""
    return dict(zip(pairs[::2], pairs[1::2], strict=True))
