"""Envelopes that may have been delivered, parked as UNKNOWN for an operator: the receiver never answered their end of data.

They count as final. An operator who has asked the receiver, or accepts a second copy, sends them again, or drops them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sender.model import Envelope

KEPT = 100_000  # in a partition, or of a campaign in memory; what comes beyond is UNKNOWN without its content

_ENVELOPE = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9]{1,10})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """What a settlement keeps of an envelope that ends as UNKNOWN after doubts."""

    position: int
    envelope: Envelope
    at: float  # Unix seconds: of the last doubt
    why: str  # host and what happened, in one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A parked envelope as an operator sees it."""

    envelope: Envelope
    pool: str
    receiver: str
    at: float
    why: str


def by_campaign(envelopes: Iterable[str]) -> Mapping[str, list[int]]:
    """Envelope ids ("campaign:ordinal") by campaign, each once; ValueError for what is no id."""
    found: dict[str, dict[int, None]] = defaultdict(dict)
    for text in envelopes:
        match = _ENVELOPE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:80]!r} is no envelope's id: expected campaign:ordinal, like spring:4711")
        found[match[1]][int(match[2])] = None
    return {campaign: list(ordinals) for campaign, ordinals in found.items()}


def forgiven(envelope: Envelope, now: float) -> Envelope:
    """The envelope as it is sent again on an operator's word: as if it had just been queued."""
    return replace(envelope, attempts=0, doubts=0, queued_at=now, tried_at=0.0)


class Doubts(Protocol):
    """The part of a queue that keeps what is in doubt."""

    async def doubts(self, campaign: str = "", after: str = "", limit: int = 1000) -> tuple[str, Sequence[Doubt]]:
        """Parked envelopes, of one campaign or of all, and the cursor to go on from; "" once there are no more."""

    async def resend(self, envelopes: Sequence[str], now: float) -> int:
        """Queue parked envelopes (by id) again, without their doubts and with `now` as their age; how many there were.

        They are no longer UNKNOWN: the campaign is not finished until they are final again.
        """

    async def drop_doubts(self, envelopes: Sequence[str]) -> int:
        """Forget parked envelopes: they stay UNKNOWN. How many there were."""
