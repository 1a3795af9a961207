"""The steps of a forecast: between two events everything flows at a constant rate.

One step, while anything is left:

1. Windows of caps that begin by now begin; what is due becomes ready. While the campaign's schedule is closed, nothing flows.
2. Each lane's rate follows from its own limits and its account; it is shared with what others have queued, by priority and in
   equal parts; what the whole campaign may do is shared out among receivers by what they still have.
3. The step ends at the next event. What has flowed by then is taken, counted, and partly comes back later.

Receivers that nothing shared binds together are foreseen one by one: it is the same, and quicker.
"""

from collections.abc import Iterator, Sequence

from sender.policy.forecast import HORIZON_S, Bind, Forecast, RouteForecast, RouteOutlook, Scenario
from sender.policy.forecast_caps import Account
from sender.policy.forecast_route import Lane, Other, Route
from sender.policy.forecast_stock import LITTLE, Stock
from sender.policy.plan import Day
from sender.policy.schedule import FOR_EVER, Closed, Outlook, Shut

_HALF = 0.5  # of an envelope: less than this is left of none
_LEAST_S = 1e-3  # a step takes this long at least, so that rounding can't stop the clock
_SHUT = {Shut.START: Bind.START, Shut.WINDOW: Bind.WINDOW, Shut.DEADLINE: Bind.WINDOW}


def forecast(scenario: Scenario) -> Forecast:
    """What will come of this campaign."""
    routes = [route for route in scenario.routes if route.envelopes > 0]
    together = scenario.rate > 0 or scenario.identity
    groups = [routes] if together else [[route] for route in routes]
    found = {route.receiver: route for group in groups if group for route in _Run(scenario, group).go()}
    return Forecast(now=scenario.now, routes=tuple(found[route.receiver] for route in routes))


class _Run:
    """One forecast of receivers that have something in common."""

    def __init__(self, scenario: Scenario, routes: Sequence[RouteOutlook]) -> None:
        self._scenario, self._now = scenario, scenario.now
        names = {lane.account for route in routes for lane in route.lanes} | {scenario.identity}
        self._accounts = {name: Account(scenario.accounts[name], scenario.now) for name in names if name}
        self._identity = self._accounts.get(scenario.identity)
        self._outlook = Outlook(scenario.schedule)
        self._routes = [self._route(route) for route in routes]
        self._day = Day.of(scenario.schedule.zone, scenario.now)

    def _route(self, outlook: RouteOutlook) -> Route:
        return Route(
            outlook=outlook,
            lanes=[Lane(outlook=lane, account=self._accounts.get(lane.account)) for lane in outlook.lanes],
            stock=Stock(outlook.envelopes, outlook.reserved, outlook.expectation, self._scenario.curve),
            others=[Other(priority=other.priority, left=float(other.envelopes)) for other in outlook.others],
        )

    def go(self) -> Iterator[RouteForecast]:
        last = self._scenario.now + HORIZON_S
        while self._now < last and any(route.open for route in self._routes):
            shut = self._outlook.closed(self._now)
            if shut is not None and shut.covers(self._now):
                self._wait_for(shut)
            else:
                self._step(shut.start if shut is not None else last)
        for route in self._routes:
            yield route.told()

    def _wait_for(self, shut: Closed) -> None:
        """Nothing is sent until it ends; where it does not, what is left expires at the deadline."""
        if shut.end == FOR_EVER:
            at = max(self._now, self._scenario.schedule.deadline)
            for route in self._unfinished():
                route.stock.end()
                route.eta = at
            return
        for route in self._unfinished():
            route.hold(_SHUT[shut.why], shut.end - self._now)
        self._now = shut.end

    def _step(self, until: float) -> None:
        self._begin()
        for route in self._unfinished():
            self._rates(route)
        self._share_out()
        ends = max(self._now + _LEAST_S, min(until, *self._events()))
        for route in self._unfinished():
            self._flow(route, ends)
        self._now = ends

    def _unfinished(self) -> list[Route]:
        return [route for route in self._routes if route.open]

    def _begin(self) -> None:
        for account in self._accounts.values():
            account.roll(self._now)
        if self._now >= self._day.ends:
            self._day = Day.of(self._scenario.schedule.zone, self._now)
        for route in self._unfinished():
            route.stock.promote(self._now)

    def _rates(self, route: Route) -> None:
        """What each lane would take, were the campaign as a whole not limited."""
        reserved, common = (route.stock.ready(reserved=kept) > LITTLE for kept in (True, False))
        left_to_others = self._now < self._scenario.spills and any(lane.warming for lane in route.lanes)
        for lane in route.lanes:
            permitted, lane.bind = self._permitted(route, lane)
            lane.takes_reserved = reserved and not lane.warming
            may_take = lane.takes_reserved or (common and (lane.warming or not left_to_others))
            if common and not may_take and not lane.warming:
                lane.bind = Bind.SPILL
            self._take_turns(route, lane, permitted, may_take)

    def _permitted(self, route: Route, lane: Lane) -> tuple[float, Bind]:
        if self._now < lane.outlook.held:
            return 0.0, Bind.HELD
        speed = lane.outlook.speed.per_second * route.outlook.parallel
        if lane.account is None:
            return speed, lane.outlook.speed.bind
        permitted, window = lane.account.permits()
        return (permitted, window) if permitted < speed else (speed, lane.outlook.speed.bind)

    def _take_turns(self, route: Route, lane: Lane, permitted: float, may_take: bool) -> None:
        """Of equal priorities each campaign has an equal part of a lane; a better one goes first."""
        waiting = [other for other in route.others if other.left > LITTLE]
        ours = self._scenario.priority if may_take else 10
        best = min([ours, *(other.priority for other in waiting)])
        rivals = sum(other.priority == best for other in waiting)
        lane.flow = permitted / (rivals + 1) if may_take and ours == best else 0.0
        lane.beside = permitted - lane.flow if rivals else 0.0
        if may_take and permitted > 0 and not lane.flow:
            lane.bind = Bind.TURN

    def _share_out(self) -> None:
        """What the whole campaign may do goes to receivers by what they still have, and there to lanes in equal parts."""
        for limit, bind in self._limits():
            routes = self._unfinished()
            wants = [sum(lane.flow for lane in route.lanes) for route in routes]
            if sum(wants) <= limit:
                continue
            ready = [route.stock.waiting for route in routes]
            for route, part, want in zip(routes, fill(limit, wants, ready), wants, strict=True):
                if part < want:
                    _slow(route, part, bind)

    def _limits(self) -> Iterator[tuple[float, Bind]]:
        if self._scenario.rate:
            yield self._scenario.rate, Bind.CAMPAIGN_RATE
        if self._identity is not None:
            yield self._identity.permits()[0], Bind.IDENTITY

    def _events(self) -> Iterator[float]:
        """When something changes: windows, what is used up, what comes back."""
        now = self._now
        yield self._day.ends
        if now < self._scenario.spills:
            yield self._scenario.spills
        total = 0.0
        for route in self._unfinished():
            yield route.stock.next_due()
            yield from (lane.outlook.held for lane in route.lanes if now < lane.outlook.held)
            for reserved in (True, False):
                flow = sum(lane.flow for lane in route.lanes if lane.takes_reserved == reserved)
                yield _used_up(now, route.stock.ready(reserved=reserved), flow)
                total += flow
            for other, flow in route.beside():
                yield _used_up(now, other.left, flow)
        for account in self._accounts.values():
            flow = total if account is self._identity else self._used_by(account)
            yield _used_up(now, account.left(), flow)
            yield account.next_window()

    def _used_by(self, account: Account) -> float:
        return sum(lane.flow + lane.beside for route in self._unfinished() for lane in route.lanes if lane.account is account)

    def _flow(self, route: Route, ends: float) -> None:
        """What flows at this receiver until then."""
        seconds = ends - self._now
        route.attribute(seconds)
        for other, flow in route.beside():
            other.left -= flow * seconds
        pool_warms = any(lane.warming for lane in route.lanes)
        for lane in route.lanes:
            units = lane.flow * seconds
            delivered = route.stock.take(units, ends, reserved=lane.takes_reserved) if units else 0.0
            if lane.account is not None:
                lane.account.take(units + lane.beside * seconds, delivered + lane.beside * seconds)
            if self._identity is not None:
                self._identity.take(units, delivered)
            if not units:
                continue
            route.begins = min(route.begins, self._now)
            route.spilled += delivered if pool_warms and not lane.warming else 0.0
            so_far, _ = lane.intake.get(self._day.number, (0.0, None))
            lane.intake[self._day.number] = so_far + delivered, lane.account.per_day if lane.account is not None else None
        if route.stock.untried < _HALF:
            route.tried = min(route.tried, ends)
        if route.stock.remaining < _HALF:
            route.stock.round_off()
            route.eta = ends


def fill(amount: float, wants: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Share an amount by weight, nobody more than he wants."""
    given = [0.0] * len(wants)
    hungry = [place for place, want in enumerate(wants) if want > 0 and weights[place] > 0]
    while hungry and amount > 0:
        level = amount / sum(weights[place] for place in hungry)
        sated = [place for place in hungry if wants[place] <= level * weights[place]]
        for place in sated or hungry:
            given[place] = wants[place] if sated else level * weights[place]
            amount -= given[place]
        hungry = [place for place in hungry if place not in sated] if sated else []
    return given


def _slow(route: Route, part: float, bind: Bind) -> None:
    """This receiver gets no more than a part of what its lanes could take."""
    lanes = [lane for lane in route.lanes if lane.flow]
    wants = [lane.flow for lane in lanes]
    for lane, flow in zip(lanes, fill(part, wants, [1.0] * len(lanes)), strict=True):
        if flow < lane.flow:
            lane.flow, lane.bind = flow, bind


def _used_up(now: float, amount: float, flow: float) -> float:
    return now + amount / flow if flow > 0 else FOR_EVER
