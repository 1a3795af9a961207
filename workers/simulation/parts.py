"""One delivery process on virtual time: the real engine, lanes, policy and SMTP client over the memory queue.

What is left out says nothing about receivers: DNS, TLS, signatures, suppressions, other processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import trio

from sender.assembly import retry_curve
from sender.berth import CrewServices
from sender.campaigns import Campaigns, SigningIdentity
from sender.content.compose import Composer
from sender.content.token import TokenKeys
from sender.engine import Engine, EngineServices
from sender.errors import SigningError
from sender.lane import LaneServices
from sender.leasing import Leaser
from sender.membership import Membership
from sender.model import Destination, Envelope, Outcome, Source, State, Verdict
from sender.net.hosts import Hosts, HostsOptions
from sender.net.opening import Network, open_session
from sender.net.session import Failure, Session, SessionOptions
from sender.net.tls import TlsContexts
from sender.places import Places
from sender.policy.receivers import Profile, Profiles
from sender.policy.stops import Stops
from sender.policy.warmup import Decision
from sender.preparation import Preparer
from sender.queue.memory import MemoryQueue
from sender.queue.suppressions import Suppression
from sender.record import Attempt, Recorder
from sender.settings import Settings
from sender.settling import Settler
from sender.warming.assignments import Assignments
from sender.warming.promotions import Promotions
from sender.warming.wards import wards
from sender.warming.warmer import Standing, Warmer
from sender.warming.warmth import Warmth
from workers.emulator.internet import Internet
from workers.simulation.wire import Directory, Wires

IDENTITY = "shop.example"  # whom all simulated mail is from
POLL_S = 60.0  # looks for routes with work: a night of them costs as much as a hundred messages
_SESSIONS = 10_000  # places in the process: nobody waits for one
_NEVER_S = 3_600.0  # for what is looked at again only because others may have changed it


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the process is built of."""

    settings: Settings
    profiles: Profiles
    assignments: Assignments
    queue: MemoryQueue
    internet: Internet
    clock: Callable[[], float]  # Unix seconds, virtual ones
    rng: Random
    rtt_s: float
    poll_s: float
    on_attempt: Callable[[Attempt], None]
    on_change: Callable[[str, Decision], None]  # of a lane's progress
    troubles: list[str] = field(default_factory=list)


def in_clear(settings: Settings) -> Profiles:
    """The configured receivers, with sessions that ask for no TLS."""
    return Profiles.parse({name: (file, {**table, "tls": "off"}) for name, (file, table) in settings.receivers.items()})


class Process:
    """The engine, which has all lanes of all sources, and the scheduler's part in warming them up."""

    def __init__(self, parts: Parts) -> None:
        every = wards(parts.assignments, parts.settings.sources, parts.profiles)
        trouble = parts.troubles.append
        self.warmer = Warmer(parts.queue, every, on_change=parts.on_change, on_trouble=trouble)
        self.warmth = Warmth(parts.queue, parts.assignments, parts.settings.sources, parts.clock, on_trouble=trouble)
        self.promotions = Promotions(parts.queue, parts.assignments, every, parts.clock, on_trouble=trouble)
        self.engine = _engine(parts, self.warmth, self.promotions)
        self.standings: dict[str, Standing] = {}  # as of the last round
        self._turn = trio.Lock()

    async def warm(self, now: float) -> None:
        """One round of the warmup: what came of the day, and the caps that follow from it."""
        async with self._turn:
            self.standings.update((standing.ward.name, standing) for standing in await self.warmer.run_once(now))
            await self.warmth.look()


def _engine(parts: Parts, warmth: Warmth, promotions: Promotions) -> Engine:
    membership = _Alone(parts.queue, "simulation/1")
    tell = parts.troubles.append
    settler = Settler(parts.queue, parts.clock, on_trouble=lambda error: tell(str(error)))
    leaser = Leaser(parts.queue, parts.clock, ask_again_s=_NEVER_S, on_trouble=lambda error: tell(str(error)))
    directory = Directory(parts.internet.world)
    counts = _NoCounts()
    crew = CrewServices(
        connect=_Connector(parts, directory),
        preparer=Preparer(Composer(TokenKeys({"a": bytes(32)})), _NoSigner(), counts, parts.clock),
        recorder=Recorder(settler, counts, parts.profiles.label, parts.clock, parts.rng, parts.on_attempt),
        settler=settler,
        metrics=counts,
        label=parts.profiles.label,
        rng=parts.rng,
        places=Places(_SESSIONS),
        stops=Stops(parts.settings.retry.scale),
        waits_scale=parts.settings.retry.scale,
        on_actions=promotions.after,
        look_s=_NEVER_S,
        on_trouble=tell,
    )
    lanes = LaneServices(
        owner=lambda: membership.owner,
        leaser=leaser,
        campaigns=_campaigns(parts),
        resolver=directory,
        suppressions=_Everybody(),
        profiles=parts.profiles,
        crew=crew,
        clock=parts.clock,
        warming=warmth.warming,
        lookahead=parts.settings.delivery.lookahead,
        lease_size=parts.settings.delivery.pack_size,
        on_trouble=tell,
    )
    services = EngineServices(
        queue=parts.queue,
        membership=membership,
        leaser=leaser,
        settler=settler,
        lanes=lanes,
        beside=(promotions.run,),
        on_trouble=tell,
    )
    return Engine(parts.settings.sources, services, poll_s=parts.poll_s)


def _campaigns(parts: Parts) -> Campaigns:
    identity = SigningIdentity(domain=IDENTITY, message_id_domain=IDENTITY, keys=())
    pools = [source.pool for source in parts.settings.sources]
    return Campaigns(parts.queue, [identity], retry_curve(parts.settings), pools)


class _Alone(Membership):
    """A fleet of one: nobody else could take it for dead, so that it need not beat."""

    def alive(self) -> bool:
        return True

    async def run(self) -> None:
        await trio.sleep_forever()


class _Connector:
    """Opens sessions over wires, as a receiver's profile asks."""

    def __init__(self, parts: Parts, directory: Directory) -> None:
        wires = Wires(internet=parts.internet, hosts=directory.hosts, clock=parts.clock, rtt_s=parts.rtt_s)
        hosts = Hosts(HostsOptions(), parts.rng)
        self._network = Network(resolver=directory, dialer=wires, hosts=hosts, tls=TlsContexts(ca_file=""), rng=parts.rng)
        self._deadlines = parts.settings.deadlines

    async def __call__(self, source: Source, destination: Destination, profile: Profile) -> Session | Failure:
        options = SessionOptions(deadlines=self._deadlines, tls=profile.tls, pipelining=profile.pipelining)
        return await open_session(self._network, source, destination, options)


class _Everybody:
    """Whoever is written to wants mail."""

    async def ask(self, addresses: Sequence[str], list_name: str) -> Sequence[Suppression | None]:
        await trio.lowlevel.checkpoint()
        return [None] * len(addresses)


class _NoSigner:
    """Simulated mail is unsigned."""

    async def attempt(self, requests: Sequence[tuple[str, bytes]]) -> list[bytes | SigningError]:
        await trio.lowlevel.checkpoint()
        return [SigningError("simulated mail is unsigned")] * len(requests)


class _NoCounts:
    """No metrics: a simulation has records of its own."""

    def attempt(self, source: str, receiver: str, outcome: Outcome) -> None: ...
    def finished(self, source: str, receiver: str, state: State) -> None: ...
    def in_doubt(self, receiver: str) -> None: ...
    def replied(self, verdict: Verdict, seconds: float, envelope: Envelope) -> None: ...
    def session_opened(self, source: str, receiver: str, tls: str) -> None: ...
    def session_closed(self, source: str, receiver: str) -> None: ...
    def session_failed(self, receiver: str, kind: str) -> None: ...
    def turned_away(self, receiver: str, outcome: Outcome) -> None: ...
    def shadowed(self, receiver: str, would: Outcome) -> None: ...
    def signed(self, count: int, seconds: float) -> None: ...
    def signing_failed(self, count: int) -> None: ...
