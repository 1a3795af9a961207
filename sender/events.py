"""What the world is told: one JSON object per change of a state, of an envelope, a campaign or a lane.

The format is public (sender/queue/WIRE.md) and versioned. `id` names the change, not the telling: an event told twice
carries the same id, so a consumer that remembers ids counts each change once.
"""

from collections.abc import Mapping

import msgspec

from sender.model import Envelope, State

VERSION = 1
TYPES = (*map(str, State), "deferred", "queued", "ended", "paused", "held", "resumed", "action", "warmup")
NOT_DUE = 0.0  # to be passed as it is: a float is left out of the JSON where it is the default itself, not where it equals it


class Event(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One change. Fields that do not apply are left out of the JSON; `fields` are those the template does not use."""

    id: str
    type: str  # a final state, or "deferred"
    at: float  # Unix seconds
    campaign: str
    ordinal: int
    to: str
    fields: Mapping[str, str] = {}
    attempt: int = 0
    receiver: str = ""
    source: str = ""
    mx: str = ""
    step: str = ""
    code: int = 0
    enhanced: str = ""
    reply: str = ""
    category: str = ""
    scope: str = ""
    rule: str = ""
    due: float = NOT_DUE  # when a deferred envelope is tried again, Unix seconds
    why: str = ""  # where there is no reply: the reason in words

    def encode(self) -> bytes:
        # `v` stands first so that a reader can choose its decoder; omit_defaults would drop it from the struct.
        return b'{"v":%d,' % VERSION + _encoder.encode(self)[1:]


def change_id(envelope: Envelope, attempt: int, kind: str) -> str:
    """The same for the same change, however often it is told, and for no other.

    Attempts begin anew where an operator sends an envelope again; when it was queued last tells those lives apart.
    """
    return f"{envelope.id}:{envelope.queued_at * 1000:.0f}:{attempt}:{kind}"


class CampaignEvent(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Some recipients of a campaign were queued; or it is over, and those of whom nothing else is told are in `state`."""

    id: str
    type: str  # "queued" or "ended"
    at: float  # Unix seconds
    campaign: str
    count: int = 0  # recipients that were queued
    state: str = ""  # cancelled, or expired where its deadline has passed
    by: str = ""  # who said so: user@host
    why: str = ""

    def encode(self) -> bytes:
        return b'{"v":%d,' % VERSION + _encoder.encode(self)[1:]


class ChangeEvent(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Something else has changed: where a warmup stands, or what an operator wants of lanes or of a campaign."""

    id: str
    type: str  # "warmup", "held", "paused" or "resumed"
    at: float  # Unix seconds
    subject: str  # "source/receiver", either of them "*" for all; "@domain"; or "campaign ID"
    what: str = ""  # of a warmup: what the policy or an operator did, as the audit has it
    why: str = ""
    by: str = ""  # who said so: user@host; "" is the policy
    plan: str = ""
    stage: int = 0  # after the change, from 1
    warm: bool = False  # the plan is done
    complaints: int = 0  # told by hand
    until: float = NOT_DUE  # of a hold that ends by itself, Unix seconds

    def encode(self) -> bytes:
        return b'{"v":%d,' % VERSION + _encoder.encode(self)[1:]


class ActionEvent(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A receiver's replies made a lane pause or go slower, or stopped a domain or a campaign at that receiver."""

    id: str
    type: str  # "action"
    at: float  # Unix seconds
    subject: str  # "source/receiver"; "*/receiver" for what holds on every source
    what: str  # the action, as files of rules have it
    until: float  # when all is as before, unless there is more trouble: Unix seconds
    rule: str = ""
    category: str = ""
    why: str = ""  # the receiver's words, its first characters
    campaign: str = ""  # that is stopped
    domain: str = ""  # that is stopped

    def encode(self) -> bytes:
        return b'{"v":%d,' % VERSION + _encoder.encode(self)[1:]


_encoder = msgspec.json.Encoder()
