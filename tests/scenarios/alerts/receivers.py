"""What receivers, the DNS and a pool of sources may do to a fleet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sender.model import Envelope, Route
from sender.queue.base import Chunk, RoutedPack
from sender.queue.pack import encode
from tests.scenarios.alerts.cause import Cause, struck
from tests.scenarios.alerts.fleet import Fleet, Shape
from tests.scenarios.stage import eventually

_OLD_S = 90_000

# A pool whose only source another host has.
ELSEWHERE = Shape(sources='\n[[source]]\nname = "night-1"\nehlo = "night.shop.example"\npool = "night"\nhost = "elsewhere"\n')

_LISTED = "554 5.7.1 Service unavailable; Client host [127.78.0.1] blocked using zen.spamhaus.org"
BLOCKED = Cause(alert="PenstockBlockSeen", fault=struck({"point": "rcpt", "host": "*.google.com", "says": _LISTED, "times": 2}))

# An hour's pause of each source that hears it, which has to last as long as an hour of the rules.
_NO_NAME = "550 5.7.25 The IP address sending this message does not have a PTR record setup."
STOPPED = Cause(alert="PenstockSourceStopped", fault=struck({"point": "mail", "host": "*.google.com", "says": _NO_NAME}))


@asynccontextmanager
async def _google_puts_off(fleet: Fleet) -> AsyncIterator[None]:
    await fleet.ask("strike", strikes=[{"point": "rcpt", "host": "*.google.com", "says": "451 4.3.0 Temporary trouble"}])
    await fleet.play.submit("more", (f"more-{number}@gmail.com" for number in range(1_000)))
    yield
    await fleet.ask("heal")


@asynccontextmanager
async def _all_away(fleet: Fleet) -> AsyncIterator[None]:
    """Nobody takes a connection or goes on with one, and there is more to send than lanes use up on trying."""
    await fleet.ask("strike", strikes=[{"point": "mail", "does": "close"}])
    await fleet.ask("shut", hosts="*")
    await fleet.play.submit("most", (f"most-{number}@yahoo.com" for number in range(3_000)))
    yield
    await fleet.ask("heal")


@asynccontextmanager
async def _dns_fails(fleet: Fleet) -> AsyncIterator[None]:
    """The name server fails, and new domains have to be asked for."""
    await fleet.ask("names", fault="servfail")
    await fleet.play.submit("lost", (f"lost-{number}@tail-{100_000 + number}.example" for number in range(3_000)))
    yield
    await fleet.ask("heal")


@asynccontextmanager
async def _a_pool_without_lanes(fleet: Fleet) -> AsyncIterator[None]:
    readers = [f"night-{number}@laposte.net" for number in range(20)]
    await fleet.play.submit("night", readers, 'pool = "night"\n')
    yield
    await fleet.play.penstock("cancel", "night")


@asynccontextmanager
async def _queued_yesterday(fleet: Fleet) -> AsyncIterator[None]:
    """An envelope that the store was told of a day ago, for a receiver that others send to, in a pool that no host has."""
    queue = fleet.play.queue
    await fleet.play.submit("old", ["first@gmail.com"], 'pool = "night"\n')

    async def expanded() -> bool:
        status = await fleet.play.status("old")
        return status is not None and status.queued == 1

    await eventually("the first one is ready", expanded)
    then = await queue.time() - _OLD_S
    envelope = Envelope(campaign="old", ordinal=1, address="second@gmail.com", fields={"name": "Reader"}, queued_at=then)
    pack = RoutedPack(route=Route(pool="night", receiver="google"), pack=encode([envelope]), count=1)
    inflow = await queue.rows("old", 1)
    assert await queue.expand(Chunk(campaign="old", number=inflow.chunk, priority=5, batches=(), packs=(pack,)), then)
    yield
    await fleet.play.penstock("cancel", "old")


# In this order: what takes long to calm down comes last.
CAUSES = (
    Cause(alert="PenstockLanesUnclaimed", fault=_a_pool_without_lanes),
    Cause(alert="PenstockBacklogOld", fault=_queued_yesterday),
    Cause(alert="PenstockDnsFailing", fault=_dns_fails),
    Cause(alert="PenstockDeferralSpike", fault=_google_puts_off),
    Cause(alert="PenstockNoDeliveries", fault=_all_away),
)
