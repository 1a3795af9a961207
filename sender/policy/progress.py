"""Where a lane stands in its plan, and how that is written down.

Whoever judges it (`sender.policy.warmup`) makes a new Progress and never changes one. Stored as JSON: an operator can read it
with redis-cli, keys that are not known are passed over, and what has its default is left out.
"""

from enum import StrEnum

import msgspec
from msgspec import Struct

from sender.policy.gates import Tally

UNTIL_RESUMED = 9_999_999  # a sending day that never comes: a stop that lasts until somebody ends it


class What(StrEnum):
    """What happened to a lane's progress."""

    BEGIN = "begin"
    KEEP = "keep"  # nothing
    IDLE = "idle"  # a day without volume went by
    PROMOTE = "promote"
    WARM = "warm"  # the last stage is passed
    REPEAT = "repeat"  # the stage was not used up, or has not been held for long enough
    HOLD = "hold"  # it was, but something speaks against the next one
    STEP_BACK = "step back"
    STOP = "stop"
    RESUME = "resume"  # a stop is over
    REWARM = "re-warm"  # after days without volume
    REPLAN = "replan"  # its plan was changed
    HELD = "held"  # these are an operator's
    RELEASED = "released"
    ADVANCE = "advance"
    RESET = "reset"
    SET = "set"


class Word(Struct, frozen=True, kw_only=True):
    """What was decided last, and by whom."""

    what: What
    why: str
    at: float  # Unix seconds
    by: str = ""  # user@host; "" is the policy


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of a lane, of a source's long tail, or of a sending identity. Days are numbers of sending days."""

    plan: str
    stage: int  # counted from 0; as many as the plan has: warm
    volume: int  # envelopes a day at this stage, so that a plan that was edited is noticed
    since: int  # the day on which this stage began
    day: int  # the day that is being counted: those before it are judged
    active: int  # the last day with volume; or that of the beginning, or of the last re-warm
    warm: bool = False  # the last stage is passed
    days: int = 0  # sending days so far, in all
    passed: int = 0  # of those that the plan asks for at each stage
    carried: Tally = Tally()  # of days that had too little to judge them by
    before: int = 0  # delivered on the last sending day that is judged
    held: Word | None = None  # an operator's: no promotion until released
    unpromoted: int = 0  # the day on which a reply asked for no promotion
    unpromoted_why: str = ""
    stepped: int = 0  # the day on which it was last stepped back
    spared: int = 0  # the day on which an operator changed it: its gates are not judged that day
    stopped: int = 0  # the day from which on it may send again; 0: it may
    stopped_why: str = ""
    last: Word | None = None

    def stopped_on(self, day: int) -> bool:
        """Whether nothing may be sent on this day."""
        return day < self.stopped

    def encode(self) -> bytes:
        return _ENCODER.encode(self)

    @classmethod
    def decode(cls, body: bytes) -> "Progress":
        """Raises ValueError where these octets are no Progress."""
        return _DECODER.decode(body)


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(Progress)
