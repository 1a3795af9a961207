"""The emulated internet in one piece, inside the caller's process: what tests use, and what `process` wraps."""

import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import trio

from workers.emulator import tail
from workers.emulator.certificates import Authority
from workers.emulator.dialogue import Dialogue, Message
from workers.emulator.dns import serve_dns
from workers.emulator.doors import Doors
from workers.emulator.ledger import Counts, Judged, Ledger, Taken
from workers.emulator.smtp import Service, Station, bind_all, doors
from workers.emulator.spool import Spool
from workers.emulator.strikes import Strikes
from workers.emulator.visit import Office, Visit
from workers.emulator.world import World, build
from workers.emulator.zone import Zone

DNS_ADDRESS = "127.77.0.53"


class Internet:
    """A running world: where its DNS and SMTP are, and what its receivers have seen.

    Without `emulate` around it nothing listens, but `dialogue` still works: a day of traffic can be played on a virtual clock.
    """

    def __init__(
        self, world: World, zone: Zone, *, keep: bool = True, record: Callable[[Taken | Judged], None] | None = None
    ) -> None:
        self.world, self.zone = world, zone
        self.accepted: list[Taken] = []
        self.judged: list[Judged] = []
        self.dns_address: tuple[str, int] = (DNS_ADDRESS, 0)
        self.smtp_port = 0
        self.ca_file = Path()
        self.spool: Spool | None = None
        self.strikes = Strikes()
        self.doors: Doors | None = None  # while something listens
        self._keep, self._record = keep, record
        self.ledger = Ledger(self._note)
        self.stations = tuple(self._stations())
        self._by_host = {station.host.name: station for station in self.stations}

    def __repr__(self) -> str:
        address, port = self.dns_address
        return f"<Internet dns={address}:{port} smtp=*:{self.smtp_port} receivers={len(self.world.receivers)}>"

    def counts(self) -> dict[str, Counts]:
        """What each receiver saw, by its name."""
        return self.ledger.counts()

    def office(self, receiver: str) -> Office:
        """The memory of that receiver; KeyError when there is none of that name."""
        host = self.world.receiver(receiver).hosts[0].name
        return self._by_host[host].office

    def dialogue(self, host: str, source: str) -> Dialogue:
        """A connection from `source` to an MX host without any network: octets in, octets out, the time in between yours."""
        return Dialogue(self.visit(host, source))

    def visit(self, host: str, source: str) -> Visit:
        """The receiver's side of such a connection: who has seen it arrive tells it when the other side is gone."""
        return Visit(self._by_host[host].office, source=source, host=host)

    def forgive(self) -> None:
        """Let every receiver forget every source: what it held against them, and whom it greylisted."""
        for station in self.stations:
            station.office.forget()

    def move(self, domain: str, receiver: str) -> None:
        """From now on that receiver hosts the domain, and DNS says so; KeyError when there is none of that name."""
        for station in self.stations:
            station.office.domains -= {domain}
        self.office(receiver).domains |= {domain}
        self.zone.remove(domain)
        for host in self.world.receiver(receiver).hosts:
            self.zone.add(domain, "MX", f"{host.preference} {host.name}.", self.world.options.ttl_s)

    def copies(self) -> dict[str, int]:
        """How many messages each recipient was sent: the independent count that a run is held against."""
        copies: dict[str, int] = {}
        for taken in self.accepted:
            for recipient in taken.recipients:
                copies[recipient] = copies.get(recipient, 0) + 1
        return copies

    async def settled(self) -> None:
        """Wait until every message taken so far has been judged; returns at once when nothing is verified."""
        if self.spool is not None:
            await self.spool.settled()

    async def deliver(self, message: Message) -> None:
        """Called with each taken message before its 250 goes."""
        if self.spool is not None:
            await self.spool.put(message.taken, message.content)

    def _note(self, entry: Taken | Judged) -> None:
        if self._record is not None:
            self._record(entry)
        if self._keep and isinstance(entry, Taken):
            self.accepted.append(entry)
        elif self._keep and isinstance(entry, Judged):
            self.judged.append(entry)

    def _stations(self) -> Sequence[Station]:
        stations: list[Station] = []
        for receiver in self.world.receivers:
            office = Office(
                receiver.name,
                receiver.behaviour,
                frozenset(receiver.domains),
                seed=self.world.options.seed,
                ledger=self.ledger,
                strikes=self.strikes,
            )
            stations.extend(Station(host=host, office=office) for host in receiver.hosts)
        return [*stations, *(self._tail() if self.world.options.tail else ())]

    def _tail(self) -> Iterator[Station]:
        office = Office(
            tail.TAIL,
            tail.BEHAVIOUR,
            frozenset(),
            seed=self.world.options.seed,
            ledger=self.ledger,
            strikes=self.strikes,
            takes=tail.takes,
        )
        return (Station(host=host, office=office) for host in tail.HOSTS)


@asynccontextmanager
async def emulate(
    world: World | None = None,
    *,
    zone: Zone | None = None,
    verifiers: int = 0,
    directory: Path | None = None,
    dns_port: int = 0,
    smtp_port: int = 0,
    clock: Callable[[], float] = time.time,
    keep: bool = True,
    record: Callable[[Taken | Judged], None] | None = None,
) -> AsyncIterator[Internet]:
    """Run a world on loopback while the block runs.

    `verifiers` processes judge DKIM signatures; `clock` may be `trio.current_time` for a virtual one; `keep=False` leaves
    the lists of accepted messages empty, for long runs; `directory` takes `ca.pem` and is made and removed when not given.
    """
    world = world or build()
    internet = Internet(world, zone or world.zone(), keep=keep, record=record)
    with ExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-emulator-")))
        authority = Authority(directory)
        stack.callback(authority.file.unlink, missing_ok=True)
        internet.ca_file = authority.file
        internet.smtp_port, listeners = bind_all([station.host.address for station in internet.stations], smtp_port)
        for listener in listeners:
            stack.callback(listener.close)
        if world.options.tail:
            internet.zone.made_up = tail.answer
            stack.enter_context(tail.mute(internet.smtp_port))
        async with serve_dns(internet.zone, DNS_ADDRESS, dns_port) as internet.dns_address, trio.open_nursery() as nursery:
            if verifiers:
                internet.spool = Spool(internet.ledger, internet.zone, processes=verifiers)
                nursery.start_soon(internet.spool.run)
            service = Service(authority=authority, clock=clock, deliver=internet.deliver)
            internet.doors = doors(internet.stations, listeners, service)
            nursery.start_soon(internet.doors.run)
            yield internet
            nursery.cancel_scope.cancel()
