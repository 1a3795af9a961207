"""What a campaign will come to before any of it is sent: who takes how much on which day, what holds it back, until when.

    Scenario (lanes, caps, what is to be sent, when) -> `forecast` -> Forecast (by receiver, day and source)

Nothing is drawn by chance and nothing is counted one by one: envelopes flow. Between two events (a window of a cap opens or is
used up, a delivery window closes, a route runs dry, retries come due) every rate is constant, so each such step is one
multiplication, and a month is foreseen in milliseconds. `forecast_flow` has the steps, `forecast_caps` the caps.

What a forecast takes for granted: the gates of the plans hold, so that a stage that is used up and delivered is passed;
receivers go on deferring the same share; the fleet's own processors keep up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sender.policy.gates import Tally
from sender.policy.plan import Plan
from sender.policy.progress import Progress
from sender.policy.receivers import Limits
from sender.policy.retry import RetryCurve
from sender.policy.schedule import FOR_EVER, Schedule

HORIZON_S = 366 * 86_400.0  # what takes longer than this is not foreseen: it comes to no end
SESSION_S = 300.0  # the age at which a lane lets a session go (`sender.net.pool`)
OPENING_TRIPS = 6  # round trips before the first MAIL: TCP, greeting, EHLO, STARTTLS, TLS 1.3, EHLO again


class Bind(StrEnum):
    """What can hold a lane: the words of `penstock plan --json`."""

    PLAN_DAY = "plan_day"
    PLAN_HOUR = "plan_hour"
    PLAN_MINUTE = "plan_minute"
    STOPPED = "stopped"  # the warmup has stopped the lane
    HELD = "held"  # an operator holds it
    MESSAGE_RATE = "message_rate"  # limits.messages_per_second
    CONNECTIONS = "connections"  # limits.connections, with messages_per_connection, at the latency assumed
    CONNECTION_RATE = "connection_rate"  # limits.connections_per_minute
    CAMPAIGN_RATE = "campaign_rate"
    IDENTITY = "identity"  # the plan of the sending domain
    WINDOW = "window"
    START = "start"
    SPILL = "spill"  # left to the sources that warm up
    TURN = "turn"  # what others have queued goes first
    RETRY = "retry"  # all were tried; some wait for their next attempt
    NO_SOURCE = "no_source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What becomes of attempts, in shares of all of them; the rest is deferred and comes back as the retry curve says.

    By default what a lane may show that still passes its stages: our plan holds one from 2 % of deferrals on. What is put off
    is taken the next time, as after greylisting (RFC 6647) and most passing troubles, unless there are more deferrals than
    envelopes.
    """

    delivered: float = 0.98
    rejected: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.delivered <= 1 or not 0 <= self.rejected <= 1 - self.delivered + 1e-9:
            raise ValueError(f"not shares of one: {self.delivered} delivered, {self.rejected} rejected")

    @property
    def put_off(self) -> float:
        """The share of first attempts that are deferred."""
        return min(1.0, self._deferrals)

    @property
    def again(self) -> float:
        """The share of later attempts that are."""
        return 1 - 1 / self._deferrals if self._deferrals > 1 else 0.0

    @property
    def taken(self) -> float:
        """What is delivered of those that are not deferred."""
        return self.delivered / (self.delivered + self.rejected)

    @property
    def _deferrals(self) -> float:
        """How many an envelope meets."""
        return max(0.0, 1 / (self.delivered + self.rejected) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast a lane goes where no cap holds it: messages a second, and which limit says so."""

    per_second: float
    bind: Bind

    @classmethod
    def of(cls, limits: Limits, latency_s: float) -> "Speed":
        """Chained, a message costs one round trip of `latency_s`; a session costs some more before its first one."""
        messages = max(1.0, min(float(limits.messages_per_connection), SESSION_S / latency_s))
        several = limits.connections * messages / ((messages + OPENING_TRIPS) * latency_s)
        found = {
            Bind.MESSAGE_RATE: limits.messages_per_second,
            Bind.CONNECTIONS: several,
            Bind.CONNECTION_RATE: limits.connections_per_minute / 60 * messages,
        }
        bind = min(found, key=lambda name: found[name])
        return cls(per_second=found[bind], bind=bind)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOutlook:
    """Whom a plan caps, and where it stands: a lane, a source's long tail, or the sending identity."""

    name: str
    plan: Plan
    progress: Progress | None = None  # None: new to its plan
    tally: Tally = field(default_factory=Tally)  # what came of the day that is being counted
    day: int = 0  # units used in the windows that are current
    hour: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOutlook:
    """One source at one receiver."""

    source: str
    speed: Speed
    account: str = ""  # whose caps hold it; "": it is warm
    held: float = 0.0  # until when an operator holds it, Unix seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """What another campaign has ready on the same route."""

    priority: int
    envelopes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOutlook:
    """One receiver: what the campaign has for it, and who may take it."""

    receiver: str
    envelopes: int
    lanes: tuple[LaneOutlook, ...]
    reserved: int = 0  # of the envelopes: for warm sources alone, since their recipients have not been engaged enough
    others: tuple[Others, ...] = ()
    expectation: Expectation = Expectation()
    parallel: float = 1.0  # of several receivers in one: by how much their lanes together are faster than one of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All that a forecast is made from."""

    now: float  # Unix seconds
    routes: tuple[RouteOutlook, ...]
    accounts: Mapping[str, AccountOutlook] = field(default_factory=dict)
    identity: str = ""  # the account that holds the whole campaign, if any
    schedule: Schedule = field(default_factory=Schedule)  # its zone also says which day is which
    curve: RetryCurve
    rate: float = 0.0  # envelopes a second, of the whole campaign; 0: no limit
    priority: int = 5
    # For how long, from the start on, warm sources leave everything to those that warm up; FOR_EVER: as long as there are any.
    spill_s: float = 0.0

    @property
    def spills(self) -> float:
        """When warm sources take what they can, Unix seconds."""
        return max(self.now, self.schedule.start) + self.spill_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What one source delivers at one receiver on one day."""

    day: int  # as `datetime.date.toordinal` numbers it, in the campaign's zone
    source: str
    delivered: float
    cap: int | None  # the most that its plan permits on that day; None: warm


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteForecast:
    """What will come of the envelopes of one receiver. All counts are expectations."""

    receiver: str
    envelopes: int
    delivered: float = 0.0
    rejected: float = 0.0
    expired: float = 0.0  # by the deadline, or given up
    left: float = 0.0  # nobody takes these, however long one waits
    spilled: float = 0.0  # of those delivered: by warm sources beside some that warm up
    begins: float = FOR_EVER  # when the first one goes, Unix seconds
    tried: float = FOR_EVER  # when each of them has been tried once
    eta: float = FOR_EVER  # when the last one has its final state
    bound: Mapping[Bind, float] = field(default_factory=dict)  # what held it, in shares of the time
    days: tuple[Intake, ...] = ()

    @property
    def binding(self) -> Bind | None:
        """What held it most: retries only where nothing else did."""
        return min(self.bound, key=lambda bind: (bind is Bind.RETRY, -self.bound[bind]), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What will come of a campaign."""

    now: float
    routes: tuple[RouteForecast, ...]

    @property
    def eta(self) -> float:
        """When everybody has a final state; FOR_EVER where some never get one."""
        return max((route.eta for route in self.routes), default=self.now)

    @property
    def tried(self) -> float:
        return max((route.tried for route in self.routes), default=self.now)

    def total(self, name: str) -> float:
        """The sum of one of the counts over all receivers."""
        return float(sum(getattr(route, name) for route in self.routes))
