"""An engine in your own program: campaigns from a notebook or a script, without Redis and without other processes.

The same parts as a fleet's, over the memory queue, in one nursery: expansion, scheduling, delivery, signing in a thread.
What is queued is gone when the block ends, so wait for what matters. So is what a warmup plan has come to: a source that is to
be warmed up belongs into a fleet.
"""

import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import trio

from sender.assembly import Surroundings, campaigns, controller, engine, expander, warmer
from sender.content.key import load_all
from sender.content.rotation import Algorithm
from sender.content.spec import dump, parse
from sender.content.token import TokenKeys
from sender.errors import ConfigError, ConfigErrors
from sender.metrics import Metrics
from sender.net.signing import LocalSigner
from sender.policy.suppression import KEY_OCTETS, Digests
from sender.queue.base import CampaignStatus, Queue
from sender.queue.inbox import cut
from sender.queue.memory import MemoryQueue
from sender.settings import Settings

_POLL_S = 0.05
_WARM_S = 2.0


class Outbox:
    """Takes campaigns and says what became of them; `open_outbox` makes one that delivers."""

    def __init__(self, settings: Settings, queue: Queue) -> None:
        self._queue = queue
        self._campaigns = campaigns(settings, queue)

    async def send(self, campaign: str, spec: Mapping[str, Any], recipients: Iterable[Mapping[str, Any]]) -> None:
        """Queue a campaign for these recipients, each with "to" and the merge fields that the templates name.

        Raises ConfigErrors with all that is wrong with the specification before anything is queued.
        """
        checked = self._campaigns.check(campaign, dump(parse(spec, file=campaign)))
        await self._queue.announce(campaign, dump(checked))
        batches = 0
        for batch in cut(msgspec.json.encode(row) for row in recipients):
            await self._queue.add_rows(campaign, [batch])
            batches += 1
        await self._queue.close_rows(campaign, batches)

    async def status(self, campaign: str) -> CampaignStatus | None:
        """Where the campaign stands; None before it was taken up."""
        found = await self._queue.status([campaign])
        return found[0] if found else None

    async def finished(self, campaign: str) -> CampaignStatus:
        """Wait until every recipient has its final state: with the shipped retry curve that can take days."""
        while True:
            status = await self.status(campaign)
            if status is not None and status.complete and not status.queued:
                return status
            await trio.sleep(_POLL_S)


@asynccontextmanager
async def open_outbox(settings: Settings, around: Surroundings | None = None) -> AsyncIterator[Outbox]:
    """Deliver while the block runs; on the way out open transactions finish, and what was not sent is dropped.

    `around` is for who wants to hear of every attempt, or to count in metrics of his own. Raises ConfigErrors where no
    source is this host's.
    """
    host = settings.fleet.host or socket.gethostname()
    settings = _of_host(settings, host)
    around = around or Surroundings(clock=time.time, rng=Random(), metrics=Metrics())
    files = {
        f"{identity.domain}/{key.selector}": (settings.path(key.file), Algorithm(key.algorithm))
        for identity in settings.identities
        for key in identity.keys
    }
    queue, tokens = MemoryQueue(), TokenKeys({"a": secrets.token_bytes(32)})
    digests = Digests(secrets.token_bytes(KEY_OCTETS))
    delivery = engine(settings, queue, LocalSigner(load_all(files)), tokens, digests, f"{host}/outbox", around)
    expansion = expander(settings, queue, digests, around)
    words, caps = controller(settings, queue, around), warmer(settings, queue, around)

    async def expand() -> None:
        while True:
            if not await expansion.step():
                await trio.sleep(_POLL_S)

    async def schedule() -> None:
        while True:
            await words.run_once(around.clock())
            await queue.promote(around.clock(), 1000)
            await trio.sleep(_POLL_S)

    async def warm() -> None:
        while True:
            await caps.run_once(around.clock())
            await trio.sleep(_WARM_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expand)
        nursery.start_soon(schedule)
        nursery.start_soon(warm)
        nursery.start_soon(delivery.run)
        try:
            yield Outbox(settings, queue)
        finally:
            with trio.CancelScope(shield=True):
                delivery.drain()
                await delivery.ended.wait()
            nursery.cancel_scope.cancel()


def _of_host(settings: Settings, host: str) -> Settings:
    """The settings with this host's sources alone: a campaign of any other source's pool would wait for ever."""
    usable = tuple(source for source in settings.sources if source.host in ("", host))
    if not usable:
        why = f"no source is this host's ({host}): nothing could be sent; leave `host` empty, or set fleet.host"
        raise ConfigErrors([ConfigError(str(settings.directory / "sources.toml"), "host", why)])
    return replace(settings, sources=usable)
