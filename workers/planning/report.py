"""A forecast with all that belongs to it, and what is said of it in words: the same in tables, JSON and chart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sender.policy.forecast import Bind, Expectation, Forecast, RouteForecast
from sender.policy.schedule import FOR_EVER
from workers.planning.census import Census

WORDS = {
    Bind.PLAN_DAY: "warmup, a day",
    Bind.PLAN_HOUR: "warmup, an hour",
    Bind.PLAN_MINUTE: "warmup, a minute",
    Bind.STOPPED: "warmup, stopped",
    Bind.HELD: "held by an operator",
    Bind.MESSAGE_RATE: "limit, messages/s",
    Bind.CONNECTIONS: "limit, connections",
    Bind.CONNECTION_RATE: "limit, connections/min",
    Bind.CAMPAIGN_RATE: "campaign's rate",
    Bind.IDENTITY: "domain's warmup",
    Bind.WINDOW: "delivery windows",
    Bind.START: "campaign's start",
    Bind.SPILL: "left to cold sources",
    Bind.TURN: "others' mail first",
    Bind.RETRY: "retries",
    Bind.NO_SOURCE: "nobody may take it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OneMore:
    """What one more source in the pool would change."""

    plan: str  # that it would begin; "" for one that is warm
    forecast: Forecast

    def earlier_s(self, before: Forecast) -> float:
        """By how much all would be done earlier; FOR_EVER where it would come to no end otherwise."""
        return _gain(before.eta, self.forecast.eta)

    def by_receiver(self, before: Forecast) -> Mapping[str, float]:
        """The same for each receiver."""
        after = {route.receiver: route.eta for route in self.forecast.routes}
        return {route.receiver: _gain(route.eta, after[route.receiver]) for route in before.routes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that `penstock plan` has to say."""

    campaign: str
    pool: str
    sources: Sequence[str]
    zone: ZoneInfo
    census: Census
    forecast: Forecast
    one_more: Sequence[OneMore] = ()
    latency_s: float
    expectations: Mapping[str, Expectation] = field(default_factory=dict)
    measured: Sequence[str] = ()  # receivers whose expectation was
    offline: bool = False
    without_store: str = ""  # why nothing is known of today; "" where it is

    def moment(self, unix: float) -> str:
        """A time to the minute, in the campaign's zone."""
        if unix == FOR_EVER:
            return "never"
        return f"{self._local(unix):%a %Y-%m-%d %H:%M %z}"

    def short(self, unix: float) -> str:
        """The same without what stands above it already."""
        if unix == FOR_EVER:
            return "never"
        at = self._local(unix)
        return f"{at:%a} {at.day} {at:%b %H:%M}"

    def place(self, unix: float) -> float:
        """A time as the number of its day and the share of it that has passed."""
        if unix == FOR_EVER:
            return FOR_EVER
        at = self._local(unix)
        return at.toordinal() + (at.hour * 60 + at.minute) / 1440

    def _local(self, unix: float) -> datetime:
        return datetime.fromtimestamp(unix, self.zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One or several days that share a column."""

    first: int  # numbers of days
    last: int

    @property
    def title(self) -> str:
        first, last = date.fromordinal(self.first), date.fromordinal(self.last)
        if self.first == self.last:
            return f"{first:%a} {first.day} {first:%b}"
        return (
            f"{first.day}-{last.day} {last:%b}" if first.month == last.month else f"{first.day} {first:%b}-{last.day} {last:%b}"
        )


def spans(forecast: Forecast, most: int) -> list[Span]:
    """All days of a forecast, in at most so many columns."""
    days = [item.day for route in forecast.routes for item in route.days]
    if not days:
        return []
    first, last = min(days), max(days)
    size = -(-(last - first + 1) // most)
    return [Span(first=day, last=min(day + size - 1, last)) for day in range(first, last + 1, size)]


def delivered(route: RouteForecast, span: Span, source: str = "") -> float:
    """What a receiver takes in these days, from all sources or from one."""
    return sum(item.delivered for item in route.days if span.first <= item.day <= span.last and source in ("", item.source))


def largest(forecast: Forecast, most: int) -> list[RouteForecast]:
    """The receivers by size; where there are more than so many, the last one stands for all others."""
    routes = sorted(forecast.routes, key=lambda route: (-route.envelopes, route.receiver))
    return routes if len(routes) <= most else [*routes[: most - 1], _together(routes[most - 1 :])]


def _together(routes: Sequence[RouteForecast]) -> RouteForecast:
    return RouteForecast(
        receiver=f"{len(routes):,} more",
        envelopes=sum(route.envelopes for route in routes),
        delivered=sum(route.delivered for route in routes),
        rejected=sum(route.rejected for route in routes),
        expired=sum(route.expired for route in routes),
        left=sum(route.left for route in routes),
        spilled=sum(route.spilled for route in routes),
        begins=min(route.begins for route in routes),
        tried=max(route.tried for route in routes),
        eta=max(route.eta for route in routes),
        days=tuple(item for route in routes for item in route.days),
    )


def binding(route: RouteForecast) -> str:
    """What holds a receiver most, and for which share of the time."""
    bind = route.binding
    return f"{WORDS[bind]} {100 * route.bound[bind]:.0f}%" if bind is not None else ""


def _gain(before: float, after: float) -> float:
    if before == after:
        return 0.0
    return before - after if before < FOR_EVER else FOR_EVER
