"""Leased envelopes for tests that need no queue."""

from collections.abc import Mapping
from typing import Any

from sender.backlog import Held
from sender.campaigns import Campaign, Campaigns, SigningIdentity
from sender.content.rotation import DkimKey
from sender.content.spec import dump, parse
from sender.content.template import compile_campaign
from sender.model import Envelope, LaneId
from sender.policy.retry import RetryCurve
from sender.queue.base import Ticket
from sender.queue.memory import MemoryQueue
from tests.rig import CURVE, EPOCH, KEY, ROUTE, SPEC

LANE = LaneId(source="s1", receiver="big")


def campaign(
    campaign_id: str = "spring",
    spec: Mapping[str, Any] = SPEC,
    *,
    keys: tuple[DkimKey, ...] = (KEY,),
    curve: RetryCurve = CURVE,
) -> Campaign:
    """A compiled campaign."""
    parsed = parse(spec, file=campaign_id)
    identity = SigningIdentity(domain="shop.example", message_id_domain="shop.example", keys=keys)
    compiled = compile_campaign(parsed, campaign=campaign_id, message_id_domain="shop.example", file=campaign_id)
    return Campaign(id=campaign_id, spec=parsed, compiled=compiled, identity=identity, curve=curve)


def envelope(ordinal: int = 0, campaign_id: str = "spring", **values: Any) -> Envelope:
    fields = values.pop("fields", {"first": "Ann", "row": str(ordinal)})
    address = f"r{ordinal}@big.example"
    return Envelope(campaign=campaign_id, ordinal=ordinal, address=address, fields=fields, queued_at=EPOCH, **values)


def ticket(count: int, *, number: int = 1, campaign_id: str = "spring") -> Ticket:
    """Of a lease of so many envelopes."""
    return Ticket(id=f"l{number}", lane=LANE, route=ROUTE, campaign=campaign_id, ordinals=tuple(range(count)))


def held(count: int, *, of: Campaign | None = None) -> list[Held]:
    """So many envelopes of one lease."""
    of = of or campaign()
    leased = ticket(count, campaign_id=of.id)
    return [Held(leased, ordinal, envelope(ordinal, of.id), of) for ordinal in range(count)]


async def accepted(queue: MemoryQueue, campaign_id: str, spec: Mapping[str, Any] = SPEC) -> None:
    """Announce a campaign and accept it."""
    document = dump(parse(spec, file=campaign_id))
    await queue.announce(campaign_id, document)
    for announcement in await queue.announcements(10):
        await queue.accept(announcement, announcement.spec, EPOCH)


def campaigns(queue: MemoryQueue, *, domain: str = "shop.example", pools: tuple[str, ...] = ("main",)) -> Campaigns:
    identity = SigningIdentity(domain=domain, message_id_domain=domain, keys=(KEY,))
    return Campaigns(queue, [identity], CURVE, pools)
