"""From settings to running parts: the one place that knows which part is built from which setting.

Everything a process delivers or expands with is put together here, so that a worker, a notebook and a test use the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from random import Random

import trio

from sender.berth import CrewServices
from sender.campaigns import Campaigns, SigningIdentity
from sender.content.canonical import Canonicalization
from sender.content.compose import Composer
from sender.content.rotation import Algorithm, DkimKey
from sender.content.token import TokenKeys
from sender.controlling import Controller
from sender.engine import Engine, EngineServices
from sender.expansion import Expander
from sender.halts import Halts
from sender.holding import Holding
from sender.lane import LaneServices
from sender.leasing import Leaser
from sender.membership import Membership
from sender.metrics import Metrics
from sender.model import Destination, LaneId, Source
from sender.net.addresses import Targets
from sender.net.dial import Dialer
from sender.net.hosts import Hosts, HostsOptions
from sender.net.opening import Network, open_session
from sender.net.resolver import SECOND_LOOK_S, Resolver, ResolverOptions
from sender.net.session import Failure, Session, SessionOptions
from sender.net.signing import Signer
from sender.net.tls import TlsContexts
from sender.net.turnstile import Turnstile
from sender.places import Places
from sender.policy.plan import NO_PLAN
from sender.policy.receivers import Profile, Profiles
from sender.policy.retry import RetryCurve
from sender.policy.stops import Stops
from sender.policy.suppression import Digests
from sender.policy.warmup import Decision
from sender.preparation import Preparer
from sender.queue.base import Queue
from sender.queue.journaling import NO_JOURNAL, Journaling
from sender.record import Attempt, Recorder
from sender.recovery import Recovery
from sender.reporting import Reporter
from sender.rule_actions import RuleActions
from sender.settings import Identity, KeyFile, Settings
from sender.settling import Settler
from sender.suppressing import Suppressing
from sender.warming.assignments import Assignments
from sender.warming.promotions import Promotions
from sender.warming.wards import wards
from sender.warming.warmer import Warmer
from sender.warming.warmth import Warmth
from sender.withdrawal import first_of

# Domains whose DNS is remembered: of long lists each comes again and again; a lane asks for those that it sends to now.
_EXPANDED, _SERVED = 50_000, 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a process brings along: its clock, its chance, and whom it tells."""

    clock: Callable[[], float]  # Unix seconds
    rng: Random
    metrics: Metrics
    on_attempt: Callable[[Attempt], None] = lambda attempt: None
    on_trouble: Callable[[str], None] = lambda text: None


def identities(settings: Settings) -> tuple[SigningIdentity, ...]:
    """The configured identities with all keys that sign for them: their own, then those of `also`."""
    by_domain = {identity.domain: identity for identity in settings.identities}
    return tuple(
        SigningIdentity(
            domain=identity.domain,
            message_id_domain=identity.message_id_domain or identity.domain,
            keys=tuple(
                _key(owner, key) for owner in (identity, *(by_domain[name] for name in identity.also)) for key in owner.keys
            ),
        )
        for identity in settings.identities
    )


def _key(identity: Identity, key: KeyFile) -> DkimKey:
    headers, _, body = identity.canonicalization.partition("/")
    return DkimKey(
        domain=identity.domain,
        selector=key.selector,
        algorithm=Algorithm(key.algorithm),
        headers=Canonicalization(headers),
        body=Canonicalization(body),
        not_before=_midnight(key.from_) if key.from_ else 0.0,
        not_after=_midnight(key.until) if key.until else float("inf"),
    )


def _midnight(day: date) -> float:
    return datetime.combine(day, time(), tzinfo=UTC).timestamp()


def campaigns(settings: Settings, queue: Queue) -> Campaigns:
    """The campaigns that this configuration can send."""
    pools = [source.pool for source in settings.sources]
    return Campaigns(queue, identities(settings), retry_curve(settings), pools)


def retry_curve(settings: Settings) -> RetryCurve:
    retry = settings.retry
    return RetryCurve(
        steps_s=tuple(retry.curve),
        jitter=retry.jitter,
        give_up_s=retry.give_up,
        in_doubt_tries=retry.in_doubt_tries,
        scale=retry.scale,
    )


def resolver(settings: Settings, metrics: Metrics, *, cache_size: int) -> Resolver:
    """The resolver of one process."""
    net = settings.net
    options = ResolverOptions(
        cache_size=cache_size,
        nameservers=net.nameservers,
        port=net.dns_port,
        ip=net.ip,
        second_look_s=SECOND_LOOK_S * settings.retry.scale,
    )
    return Resolver(options, metrics)


def expander(settings: Settings, queue: Queue, digests: Digests, around: Surroundings) -> Expander:
    """An expander over this queue."""
    return Expander(
        queue,
        campaigns(settings, queue),
        resolver(settings, around.metrics, cache_size=_EXPANDED),
        Profiles.parse(settings.receivers),
        digests,
        around.clock,
        around.metrics,
        pack_size=settings.delivery.pack_size,
        ahead=settings.delivery.ahead,
        warming=_warming_domains(settings),
        on_trouble=around.on_trouble,
    )


def engine(
    settings: Settings,
    queue: Queue,
    signer: Signer,
    tokens: TokenKeys,
    digests: Digests,
    owner: str,
    around: Surroundings,
    journal: Journaling = NO_JOURNAL,
) -> Engine:
    """An engine that delivers from this queue; `owner` is "host/anything unique"."""
    membership = Membership(queue, owner, on_trouble=around.on_trouble)
    profiles = Profiles.parse(settings.receivers)
    connect = _connector(settings, around)
    settler = _settler(queue, around, journal)
    leaser = _leaser(queue, around, lambda: membership.alive() and journal.healthy and not settler.troubled)
    suppressing = Suppressing(queue, digests, around.clock, on_trouble=around.on_trouble)
    holding = Holding(queue, around.clock, on_trouble=around.on_trouble)
    known = campaigns(settings, queue)
    warmth, promotions = _warmup(settings, queue, profiles, lambda lane: holding.of(lane) is not None, around)
    halts = Halts(queue, lambda: known.in_memory, around.clock, on_trouble=around.on_trouble)
    preparer = Preparer(Composer(tokens), signer, around.metrics, around.clock)
    recorder = _recorder(settler, profiles, digests if settings.suppression.automatic else None, around, journal)
    crew = replace(
        _crew(settings, connect, preparer, recorder, settler, profiles.label, around),
        alive=membership.alive,
        journal=journal,
        withdrawn=first_of([halts.withdrawn, suppressing.withdrawn, warmth.withdrawn]),
        on_actions=promotions.after,
    )
    lanes = LaneServices(
        owner=lambda: membership.owner,
        leaser=leaser,
        campaigns=known,
        resolver=connect.names,
        suppressions=suppressing,
        profiles=profiles,
        crew=crew,
        clock=around.clock,
        warming=warmth.warming,
        lookahead=settings.delivery.lookahead,
        lease_size=settings.delivery.pack_size,
        on_trouble=around.on_trouble,
    )
    services = EngineServices(
        queue=queue,
        membership=membership,
        leaser=leaser,
        settler=settler,
        lanes=lanes,
        holding=holding,
        beside=(*_beside(connect, suppressing, promotions, halts, warmth, lambda: machine.withdraw()), lambda: telling()),
        on_trouble=around.on_trouble,
    )
    machine: Engine = Engine(settings.sources, services)
    telling = _telling(queue, around, machine, crew, membership)
    return machine


def _beside(
    connect: "_Connector",
    suppressing: Suppressing,
    promotions: Promotions,
    halts: Halts,
    warmth: Warmth,
    let_go: Callable[[], None],
) -> Sequence[Callable[[], Awaitable[None]]]:
    """What runs for as long as an engine does; where campaigns or lanes were stopped, `let_go` gives back what lanes hold."""
    return (
        connect.turnstile.run,
        suppressing.run,
        promotions.run,
        lambda: halts.run(let_go),
        lambda: warmth.run(let_go),
    )


def _warmup(
    settings: Settings, queue: Queue, profiles: Profiles, held: Callable[[LaneId], bool], around: Surroundings
) -> tuple[Warmth, Promotions]:
    """What a process of lanes knows of their warmup, and tells about it."""
    assignments = Assignments.of(settings, profiles)
    every = wards(assignments, settings.sources, profiles)
    return (
        Warmth(queue, assignments, settings.sources, around.clock, held=held, on_trouble=around.on_trouble),
        Promotions(queue, assignments, every, around.clock, on_trouble=around.on_trouble),
    )


def _crew(
    settings: Settings,
    connect: "_Connector",
    preparer: Preparer,
    recorder: Recorder,
    settler: Settler,
    label: Callable[[str], str],
    around: Surroundings,
) -> CrewServices:
    """What crews share; whether they may send is for the caller to add."""
    return CrewServices(
        connect=connect,
        preparer=preparer,
        recorder=recorder,
        settler=settler,
        metrics=around.metrics,
        label=label,
        rng=around.rng,
        places=Places(settings.delivery.sessions),
        stops=Stops(settings.retry.scale),
        waits_scale=settings.retry.scale,
        on_trouble=around.on_trouble,
    )


def _settler(queue: Queue, around: Surroundings, journal: Journaling) -> Settler:
    return Settler(
        queue,
        around.clock,
        journal=journal,
        on_trouble=lambda error: around.on_trouble(str(error)),
        on_late=lambda positions: _late(around, positions),
    )


def _leaser(queue: Queue, around: Surroundings, may: Callable[[], bool]) -> Leaser:
    return Leaser(queue, around.clock, may=may, on_trouble=lambda error: around.on_trouble(str(error)))


def _recorder(
    settler: Settler, profiles: Profiles, digests: Digests | None, around: Surroundings, journal: Journaling
) -> Recorder:
    return Recorder(settler, around.metrics, profiles.label, around.clock, around.rng, around.on_attempt, digests, journal)


def _telling(
    queue: Queue, around: Surroundings, machine: Engine, crew: CrewServices, membership: Membership
) -> Callable[[], Awaitable[None]]:
    """What tells of lanes: reports of each of them, and events of what rules have made of them."""

    def owner() -> str:
        return membership.owner

    reporter = Reporter(
        lanes=machine,
        stops=crew.stops,
        label=crew.label,
        show=around.metrics.lanes,
        queue=queue,
        owner=owner,
        clock=around.clock,
        on_trouble=around.on_trouble,
    )
    actions = RuleActions(
        lanes=machine, stops=crew.stops, queue=queue, owner=owner, clock=around.clock, on_trouble=around.on_trouble
    )

    async def tell() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reporter.run)
            nursery.start_soon(actions.run)

    return tell


def controller(settings: Settings, queue: Queue, around: Surroundings) -> Controller:
    """What carries operators' words, schedules, rates and the caps of sending identities into this queue."""
    return Controller(queue, warming=_warming_domains(settings), on_trouble=around.on_trouble)


def warmer(
    settings: Settings,
    queue: Queue,
    around: Surroundings,
    on_change: Callable[[str, Decision], None] = lambda name, decision: None,
) -> Warmer:
    """What keeps the caps of this queue in step with what receivers answer."""
    profiles = Profiles.parse(settings.receivers)
    every = wards(Assignments.of(settings, profiles), settings.sources, profiles)
    return Warmer(queue, every, on_change=on_change, on_trouble=around.on_trouble)


def _warming_domains(settings: Settings) -> Sequence[str]:
    return [identity.domain for identity in settings.identities if identity.warmup != NO_PLAN]


def recovery(settings: Settings, queue: Queue, directory: Path, around: Surroundings) -> Recovery:
    """What settles, from the journals in this directory, for processes of this host that died."""
    return Recovery(
        directory=directory,
        queue=queue,
        campaigns=campaigns(settings, queue),
        curve=retry_curve(settings),
        counts=around.metrics,
        label=Profiles.parse(settings.receivers).label,
        clock=around.clock,
        chance=around.rng.random,
        on_trouble=around.on_trouble,
    )


def _late(around: Surroundings, positions: int) -> None:
    """Outcomes that found their lease gone: others have the envelopes by now, and may send them again."""
    around.metrics.settled_late(positions)
    around.on_trouble("outcomes came after their leases had been taken back: the envelopes may be sent once more")


def _connector(settings: Settings, around: Surroundings) -> "_Connector":
    net, names, turnstile = settings.net, resolver(settings, around.metrics, cache_size=_SERVED), Turnstile()
    ca_file = str(settings.path(net.ca_file)) if net.ca_file else ""
    network = Network(
        resolver=names,
        dialer=Dialer(targets=Targets(allow=net.allow_targets), port=net.smtp_port, turnstile=turnstile),
        hosts=Hosts(HostsOptions(), around.rng),
        tls=TlsContexts(ca_file=ca_file),
        rng=around.rng,
        observe=around.metrics.step,
    )
    return _Connector(network, settings, names, turnstile)


class _Connector:
    """Opens sessions as a receiver's profile asks."""

    def __init__(self, network: Network, settings: Settings, names: Resolver, turnstile: Turnstile) -> None:
        """`turnstile` is to be run beside the sessions."""
        self._network, self._deadlines = network, settings.deadlines
        self.names, self.turnstile = names, turnstile

    async def __call__(self, source: Source, destination: Destination, profile: Profile) -> Session | Failure:
        options = SessionOptions(deadlines=self._deadlines, tls=profile.tls, pipelining=profile.pipelining)
        return await open_session(self._network, source, destination, options)
