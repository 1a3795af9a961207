"""One receiver while a forecast runs: its lanes, what they still have to send, and what has come of it so far."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sender.policy.forecast import Bind, Intake, LaneOutlook, RouteForecast, RouteOutlook
from sender.policy.forecast_caps import Account
from sender.policy.forecast_stock import LITTLE, Stock
from sender.policy.schedule import FOR_EVER

# Where nothing flows, what ends first counts.
_SOONEST = (
    Bind.CAMPAIGN_RATE,
    Bind.TURN,
    Bind.PLAN_HOUR,
    Bind.PLAN_DAY,
    Bind.IDENTITY,
    Bind.SPILL,
    Bind.HELD,
    Bind.STOPPED,
)


@dataclass(slots=True, kw_only=True)
class Lane:
    """One source, and what flows through it."""

    outlook: LaneOutlook
    account: Account | None
    intake: dict[int, tuple[float, int | None]] = field(default_factory=dict)  # day -> delivered, cap
    flow: float = 0.0  # of ours, in the step that is being taken
    beside: float = 0.0  # of others'
    bind: Bind = Bind.NO_SOURCE
    takes_reserved: bool = False

    @property
    def warming(self) -> bool:
        return self.account is not None and self.account.warming


@dataclass(slots=True, kw_only=True)
class Other:
    """What another campaign has left."""

    priority: int
    left: float


@dataclass(slots=True, kw_only=True)
class Route:
    """One receiver. It is open until each of its envelopes has its final state."""

    outlook: RouteOutlook
    lanes: list[Lane]
    stock: Stock
    others: list[Other]
    bound: dict[Bind, float] = field(default_factory=dict)
    spilled: float = 0.0
    begins: float = FOR_EVER
    tried: float = FOR_EVER
    eta: float = FOR_EVER

    @property
    def open(self) -> bool:
        return self.eta == FOR_EVER

    def hold(self, bind: Bind, seconds: float) -> None:
        self.bound[bind] = self.bound.get(bind, 0.0) + seconds

    def beside(self) -> Iterator[tuple[Other, float]]:
        """What flows of others' now: those of the best priority, in equal parts."""
        waiting = [other for other in self.others if other.left > LITTLE]
        best = min((other.priority for other in waiting), default=0)
        first = [other for other in waiting if other.priority == best]
        total = sum(lane.beside for lane in self.lanes)
        yield from ((other, total / len(first)) for other in first)

    def attribute(self, seconds: float) -> None:
        """What holds the receiver in this step: the limits of the lanes that send, or the one that opens first."""
        total = sum(lane.flow for lane in self.lanes)
        if total > 0:
            for lane in self.lanes:
                if lane.flow:
                    self.hold(lane.bind, seconds * lane.flow / total)
        elif self.stock.waiting <= LITTLE:
            self.hold(Bind.RETRY, seconds)
        else:
            binds = {lane.bind for lane in self.lanes}
            self.hold(next((bind for bind in _SOONEST if bind in binds), Bind.NO_SOURCE), seconds)

    def told(self) -> RouteForecast:
        """All that has come of it."""
        total = sum(self.bound.values())
        held = sorted(self.bound.items(), key=lambda item: -item[1])
        intake = [
            Intake(day=day, source=lane.outlook.source, delivered=delivered, cap=cap)
            for lane in self.lanes
            for day, (delivered, cap) in lane.intake.items()
        ]
        return RouteForecast(
            receiver=self.outlook.receiver,
            envelopes=self.outlook.envelopes,
            delivered=self.stock.delivered,
            rejected=self.stock.rejected,
            expired=self.stock.expired,
            left=self.stock.remaining,
            spilled=self.spilled,
            begins=self.begins,
            tried=self.tried,
            eta=self.eta,
            bound={bind: seconds / total for bind, seconds in held if seconds},
            days=tuple(sorted(intake, key=lambda item: (item.day, item.source))),
        )
