"""What the queue and the configuration know about an envelope, a campaign or a lane: gathered here, explained elsewhere."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import msgspec

from sender.content.spec import CampaignSpec, parse
from sender.errors import ConfigErrors
from sender.events import Event
from sender.leasing import Warming
from sender.model import Choice, LaneId, Route, Source, State
from sender.policy.receivers import DEFAULT, Profiles
from sender.queue.base import CampaignStatus, Queue
from sender.queue.control import Control
from sender.queue.finding import Found, LaneReport, RouteWork, Waits, Whereabouts
from sender.queue.lane_holds import LaneHold
from sender.queue.warmups import OTHER, Account, Use
from sender.settings import Settings
from sender.warming.assignments import Assignments
from sender.warming.wards import identity_name
from sender.warming.warmth import Warmth

_FRESH_S = 10.0  # a lane that said nothing for so long does not run any more
_ROUTES_SHOWN = 10
_ANNOUNCED = 1000
_DOUBTS_AT_ONCE, _DOUBTS_PAGES = 1000, 100  # what is parked of a campaign, looked through for one envelope

_events = msgspec.json.Decoder(Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFacts:
    """Who sends, and what each lane said last."""

    now: float  # the store's clock, Unix seconds
    sources: Sequence[Source]
    files: Mapping[str, str]  # receiver profile -> its file
    owners: frozenset[str]  # delivery processes that live
    lanes: Mapping[LaneId, LaneReport]  # of a moment ago
    tails: Mapping[str, Use] = field(default_factory=dict)  # source -> what its receivers without a profile share
    holds: Sequence[LaneHold] = ()  # operators' words on lanes that are in force

    @property
    def hosts(self) -> frozenset[str]:
        """Hosts on which a delivery process lives."""
        return frozenset(owner.partition("/")[0] for owner in self.owners)

    def hold(self, lane: LaneId) -> LaneHold | None:
        """What holds this lane: the word that ends last."""
        return max((hold for hold in self.holds if hold.covers(lane)), key=lambda hold: hold.until, default=None)

    def of_pool(self, pool: str) -> list[Source]:
        return [source for source in self.sources if source.pool == pool]

    def among(self, names: Set[str]) -> "FleetFacts":
        """The same, with these sources alone."""
        return replace(self, sources=[source for source in self.sources if source.name in names])

    def file_of(self, rule: str) -> str:
        """Where a rule stands; "" for those of the program itself."""
        return self.files.get(rule.partition("/")[0], "")

    def profile_file(self, receiver: str) -> str:
        return self.files.get(receiver, self.files.get(DEFAULT, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFacts:
    """What is known of a campaign."""

    campaign: str
    status: CampaignStatus | None  # None: the queue knows no such campaign
    control: Control | None
    spec: CampaignSpec | None  # None where its content is gone, or of another version
    announced: bool = False  # not known yet: it waits to be checked
    ahead: int  # delivery.ahead: how many of its envelopes the expander keeps queued at most
    waits: Waits | None = None
    identity: Use | None = None  # what its signing domain has used of a cap of its own
    # where it has a spill: of each route that it waits on, the sources that warm up there
    cold: Mapping[Route, Set[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeFacts:
    """What is known of one envelope."""

    ordinal: int
    campaign: CampaignFacts
    fleet: FleetFacts
    found: Found
    work: RouteWork | None  # on its route, of all campaigns
    last: Event | None  # the newest event about it, if it is among the newest
    warming: Mapping[str, Warming] = field(default_factory=dict)  # READY: how each source of its pool stands at its receiver
    parked: bool | None = None  # UNKNOWN: an operator may still send it again; None: too many are parked to look through


async def fleet_facts(queue: Queue, settings: Settings, *, with_tails: bool = True) -> FleetFacts:
    """`with_tails` asks for the shared cap of each source as well."""
    now, lanes = await queue.time(), await queue.lanes()
    return FleetFacts(
        now=now,
        sources=settings.sources,
        files={name: file for name, (file, _) in settings.receivers.items()},
        owners=frozenset(await queue.beats()),
        lanes={lane: report for lane, report in lanes.items() if now - report.at <= _FRESH_S},
        holds=[hold for hold in await queue.lane_holds() if now < hold.until],
        tails=await _tails(queue, [source.name for source in settings.sources], now) if with_tails else {},
    )


async def _tails(queue: Queue, sources: Sequence[str], now: float) -> Mapping[str, Use]:
    accounts = {source: Account(f"{source}/{OTHER}") for source in sources}
    used = await queue.use(list(accounts.values()), now)
    return {source: used[account] for source, account in accounts.items()}


async def _identity(queue: Queue, spec: CampaignSpec | None) -> Use | None:
    if spec is None:
        return None
    account = Account(identity_name(spec.signing_domain))
    return (await queue.use([account], await queue.time()))[account]


async def campaign_facts(queue: Queue, settings: Settings, campaign: str, *, with_waits: bool = False) -> CampaignFacts:
    statuses, words = await queue.status([campaign]), await queue.controls([campaign])
    announced = False
    if not statuses:
        announced = any(one.campaign == campaign for one in await queue.announcements(_ANNOUNCED))
    spec = read_spec(campaign, await queue.spec(campaign)) if statuses else None
    waits = await queue.waits(campaign, _ROUTES_SHOWN) if with_waits else None
    spills = waits is not None and spec is not None and spec.spill
    return CampaignFacts(
        campaign=campaign,
        status=statuses[0] if statuses else None,
        control=words.get(campaign),
        spec=spec,
        announced=announced,
        ahead=settings.delivery.ahead,
        waits=waits,
        identity=await _identity(queue, spec),
        cold=await _cold(queue, settings, list(waits.routes)) if waits is not None and spills else {},
    )


async def envelope_facts(queue: Queue, settings: Settings, campaign: str, ordinal: int) -> EnvelopeFacts:
    found = await queue.find(campaign, ordinal)
    doubted = found.state is State.UNKNOWN
    return EnvelopeFacts(
        ordinal=ordinal,
        campaign=await campaign_facts(queue, settings, campaign),
        fleet=await fleet_facts(queue, settings),
        found=found,
        work=(await queue.work_on([found.route]))[found.route] if found.route is not None else None,
        last=await _last(queue, campaign, ordinal, found),
        warming=await _warming(queue, settings, found),
        parked=await _parked(queue, campaign, ordinal) if doubted else False,
    )


async def _warming(queue: Queue, settings: Settings, found: Found) -> Mapping[str, Warming]:
    """What delivery processes make of the same progress."""
    if found.where is not Whereabouts.READY or found.route is None:
        return {}
    warmth = await _warmth(queue, settings)
    lanes = [LaneId(source=name, receiver=found.route.receiver) for name in _pool(settings, found.route.pool)]
    return {lane.source: warmth.warming(lane) for lane in lanes}


async def _cold(queue: Queue, settings: Settings, routes: Sequence[Route]) -> Mapping[Route, Set[str]]:
    """The sources that warm up, route by route."""
    warmth = await _warmth(queue, settings)
    return {
        route: {
            name
            for name in _pool(settings, route.pool)
            if warmth.warming(LaneId(source=name, receiver=route.receiver)).choice is Choice.ENGAGED
        }
        for route in routes
    }


async def _warmth(queue: Queue, settings: Settings) -> Warmth:
    now, holds = await queue.time(), await queue.lane_holds()
    warmth = Warmth(
        queue,
        Assignments.of(settings, Profiles.parse(settings.receivers)),
        settings.sources,
        lambda: now,
        held=lambda lane: any(hold.covers(lane) and now < hold.until for hold in holds),
    )
    await warmth.look()
    return warmth


def _pool(settings: Settings, pool: str) -> list[str]:
    return [source.name for source in settings.sources if source.pool == pool]


async def _parked(queue: Queue, campaign: str, ordinal: int) -> bool | None:
    cursor = ""
    for _ in range(_DOUBTS_PAGES):
        cursor, doubts = await queue.doubts(campaign, cursor, _DOUBTS_AT_ONCE)
        if any(doubt.envelope.ordinal == ordinal for doubt in doubts):
            return True
        if not cursor:
            return False
    return None


async def _last(queue: Queue, campaign: str, ordinal: int, found: Found) -> Event | None:
    if found.where is Whereabouts.INBOX or (found.envelope is not None and not found.envelope.attempts):
        return None  # there was no attempt
    line = await queue.last_event(campaign, ordinal, found.route)
    try:
        return _events.decode(line) if line is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def read_spec(campaign: str, document: bytes | None) -> CampaignSpec | None:
    """A campaign's content; None where it is gone, or can't be read."""
    try:
        return parse(document, file=f"campaign {campaign}") if document is not None else None
    except ConfigErrors:  # accepted by a newer version: what can be known of it is shown all the same
        return None
