"""The audit stream of warmup: each change of a progress, with who made it and why, as one JSON object."""

import msgspec
from msgspec import Struct

from sender.policy.progress import Progress, What

NO_END = 0.0  # to be passed as it is: see sender.events.NOT_DUE


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change. `stage` counts from 1, as operators do; past the last one the lane is warm."""

    at: float  # Unix seconds
    name: str  # whose progress: "source/receiver", "source/other" or "@domain"
    what: str
    why: str = ""
    by: str = ""  # user@host; "" is the policy
    plan: str = ""
    stage: int = 0  # after the change; 0: the change has none
    warm: bool = False
    complaints: int = 0  # told by hand
    until: float = NO_END  # of a hold that ends by itself, Unix seconds

    @classmethod
    def of(cls, name: str, progress: Progress, what: What, why: str, *, at: float, by: str = "") -> "Entry":
        return cls(
            at=at, name=name, what=what, why=why, by=by, plan=progress.plan, stage=progress.stage + 1, warm=progress.warm
        )

    def encode(self) -> bytes:
        return _ENCODER.encode(self)

    @classmethod
    def decode(cls, body: bytes) -> "Entry":
        """Raises ValueError where these octets are no entry."""
        return _DECODER.decode(body)


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(Entry)
