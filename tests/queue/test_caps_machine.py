"""Any history at all of leases, sends, settlements, releases, crashes, days and clocks: never more is sent than a cap permits.

Hypothesis plays owners whose clocks disagree, on two lanes with a cap each and two of the long tail that share one. What is
sent is judged by the receiver's side: by when it goes, as the time of its account has it (whoever comes early is taken to come
when the last one did), in every minute, hour and day. And nothing is lost: what an account has counted is, to the unit, what
was used in its windows and what may still be.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from sender.model import Cap, LaneId, Mark, Route
from sender.queue import open_queue
from sender.queue.base import Lease, Queue, Settlement
from sender.queue.client import Client
from sender.queue.warmups import Account
from tests.queue.feeding import filled
from tests.queue.test_machine import Loop
from tests.queue.warming import DAY, HOUR, MIDNIGHT, MINUTE, cap, capped, marked, released

T = TypeVar("T")

DAY_S = 86_400.0
OWNERS = ("host/a", "host/b")
SHARED = Account("s1/other")
GOOGLE = Route(pool="main", receiver="google")
ROUTES = (GOOGLE, Route(pool="main", receiver="~a.example"), Route(pool="main", receiver="~b.example"))
# Which lanes there are, on which route, and whose units they take.
LANES = {
    LaneId(source="s1", receiver="google"): (GOOGLE, Account("s1/google", GOOGLE)),
    LaneId(source="s2", receiver="google"): (GOOGLE, Account("s2/google", GOOGLE)),
    LaneId(source="s1", receiver="~a.example"): (ROUTES[1], SHARED),
    LaneId(source="s1", receiver="~b.example"): (ROUTES[2], SHARED),
}
ACCOUNTS = tuple({account: None for _, account in LANES.values()})

owners, lanes = st.sampled_from(OWNERS), st.sampled_from(list(LANES))
raises = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 1))
numbers = st.tuples(st.integers(1, 40), st.integers(1, 20), st.integers(1, 10))


@dataclass(slots=True)
class Unit:
    """The right to send one envelope: since when it is taken, and what became of it."""

    sent: bool = False
    settled: float | None = None
    used: bool = False


@dataclass(slots=True)
class Ledger:
    """What the model knows of one account."""

    at: float = 0.0  # the latest time anybody came with
    day: int = -1  # the latest that was planned
    most: tuple[int, int, int] = (0, 0, 0)  # a day, an hour, a minute
    units: list[Unit] = field(default_factory=list)
    sent: tuple[Counter[int], Counter[int], Counter[int]] = field(
        default_factory=lambda: (Counter(), Counter(), Counter())
    )  # by day, hour and minute

    def send(self, unit: Unit, now: float) -> None:
        unit.sent = True
        when = max(self.at, now) - MIDNIGHT
        for counts, length in zip(self.sent, (DAY_S, HOUR, MINUTE), strict=True):
            counts[int(when // length)] += 1

    def counted(self) -> tuple[int, int, int, int]:
        """What the store must say of its day, hour and minute, and of what is outstanding."""
        open_ = sum(unit.settled is None for unit in self.units)
        windows = [MIDNIGHT + (self.at - MIDNIGHT) // length * length for length in (DAY_S, HOUR, MINUTE)]
        used = [
            sum(unit.used and unit.settled is not None and unit.settled >= begun for unit in self.units) for begun in windows
        ]
        return used[0] + open_, used[1] + open_, used[2] + open_, open_


@dataclass(slots=True)
class Owner:
    """A process: its own clock, its own way to the store, and what it holds."""

    name: str
    queue: Queue
    ahead: float
    leases: dict[str, tuple[Lease, Account, dict[int, Unit]]] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    """The queue beside its model."""

    loop: Loop
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.now = MIDNIGHT + 7 * HOUR + 58.0
        self.ledgers = {account: Ledger() for account in ACCOUNTS}
        self.number = 0
        self.told: list[tuple[Owner, Settlement]] = []
        self.memory: Queue | None = None
        self.scheduler = self._do(self._begin)
        self.owners: dict[str, Owner] = {}

    async def _begin(self) -> Queue:
        if self.url != "memory:":
            client = Client(self.url)
            await client.run([("FLUSHALL",)])
            await client.aclose()
        queue = await self._open()
        for number, route in enumerate(ROUTES):
            await filled(queue, 300, campaign=f"c{number}", route=route, pack_size=7)
        return queue

    async def _open(self) -> Queue:
        if self.url != "memory:":
            return await open_queue(self.url, partitions=3)
        self.memory = self.memory or await open_queue(self.url)
        return self.memory

    def teardown(self) -> None:
        for queue in {id(one): one for one in (self.scheduler, *(owner.queue for owner in self.owners.values()))}.values():
            self._do(queue.aclose)

    def _do(self, function: Callable[[], Awaitable[T]]) -> T:
        return self.loop.call(function)

    def _touched(self, account: Account, now: float) -> float:
        ledger = self.ledgers[account]
        ledger.at = max(ledger.at, now)
        return ledger.at

    @initialize(first=numbers, second=numbers, shared=numbers)
    def planned(self, **several: tuple[int, int, int]) -> None:
        for account, most in zip(ACCOUNTS, several.values(), strict=True):
            self.set_cap(account, most)
        for name in OWNERS:
            self._enter(name, 0.0)

    def _enter(self, name: str, ahead: float) -> None:
        self.number += 1
        owner = Owner(name=f"{name}-{self.number}", queue=self._do(self._open), ahead=ahead)
        self._do(lambda: owner.queue.join(owner.name))
        self.owners[name] = owner

    # Time, and what a scheduler says.

    @rule(seconds=st.sampled_from([0.4, 5.0, 29.0, 59.0, 61.0, 1799.0, 3601.0, 40_000.0, 86_400.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(account=st.sampled_from(ACCOUNTS), more=raises, late=st.sampled_from([0.0, 0.0, 3.0, -0.5]))
    def set_cap(self, account: Account, more: tuple[int, int, int], late: float = 0.0) -> None:
        """Numbers grow: what is leased may be sent, whatever a lower cap says then."""
        ledger, now = self.ledgers[account], self.now + late
        most = (ledger.most[0] + more[0], ledger.most[1] + more[1], ledger.most[2] + more[2])
        day = int((now - MIDNIGHT) // DAY_S)
        self._do(lambda: self.scheduler.set_caps({account: _cap(day, most)}, now))
        self._touched(account, now)
        if day >= ledger.day:
            ledger.day, ledger.most = day, most

    @rule(account=st.sampled_from(ACCOUNTS), most=numbers)
    def a_scheduler_that_was_frozen_says_what_held_days_ago(self, account: Account, most: tuple[int, int, int]) -> None:
        ledger = self.ledgers[account]
        self._do(lambda: self.scheduler.set_caps({account: _cap(ledger.day - 1, most)}, self.now - DAY_S))
        self._touched(account, self.now - DAY_S)

    # What owners do.

    @rule(name=owners, lane=lanes, count=st.integers(1, 12))
    def lease(self, name: str, lane: LaneId, count: int) -> None:
        owner, (route, account) = self.owners[name], LANES[lane]
        now = self.now + owner.ahead
        shared = account.route is None
        request = capped(
            count, lane=lane, route=route, owner=owner.name, needed=not shared, account=account.name if shared else ""
        )
        granted = self._do(lambda: owner.queue.lease([request], now))
        if (
            granted or granted.waits or shared
        ):  # else it is another owner's lane, or nothing is ready: a shared account was touched then
            self._touched(account, now)
        for lease in granted:
            units = {position: Unit() for position in range(len(lease.envelopes))}
            self.ledgers[account].units += units.values()
            owner.leases[lease.id] = (lease, account, units)

    @precondition(lambda self: self._holding())
    @rule(data=st.data(), count=st.integers(1, 12))
    def send(self, data: st.DataObject, count: int) -> None:
        owner, (_, account, units) = self._some_lease(data)
        unsent = [unit for unit in units.values() if unit.settled is None and not unit.sent]
        for unit in unsent[:count]:
            self.ledgers[account].send(unit, self.now + owner.ahead)

    @precondition(lambda self: self._holding())
    @rule(data=st.data(), tried=st.booleans(), count=st.integers(1, 12))
    def settle(self, data: st.DataObject, tried: bool, count: int) -> None:
        """What was sent has used its unit; of the rest some go back untried, or were tried and came to nothing."""
        owner, (lease, account, units) = self._some_lease(data)
        some = [position for position, unit in units.items() if unit.settled is None][:count]
        sent = [position for position in some if units[position].sent]
        rest = [position for position in some if not units[position].sent]
        told = [marked(lease, sent, Mark.DEFERRED if tried else Mark.DELIVERED)]
        told.append(marked(lease, rest, Mark.LIMITED) if tried else released(lease, rest))
        now = self.now + owner.ahead
        self._do(lambda: owner.queue.settle(told, now))
        self.told += [(owner, settlement) for settlement in told]
        self._settled(account, [units[position] for position in some], now)
        if all(unit.settled is not None for unit in units.values()):
            del owner.leases[lease.id]

    def _settled(self, account: Account, several: list[Unit], now: float) -> None:
        at = self._touched(account, now) if several else 0.0
        for unit in several:
            unit.settled, unit.used = at, unit.sent

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def tell_again(self, data: st.DataObject) -> None:
        """An answer was lost, or a frozen process wakes up: it changes nothing."""
        owner, settlement = data.draw(st.sampled_from(self.told))
        if owner in self.owners.values():
            again = replace(settlement, marks={Mark.DELIVERED: tuple(range(20))})
            self._do(lambda: owner.queue.settle([again], self.now + owner.ahead))

    @rule(name=owners, journal=st.booleans(), ahead=st.sampled_from([0.0, 0.0, -20.0, 45.0, -3000.0, 4000.0, 90_000.0]))
    def crash(self, name: str, journal: bool, ahead: float) -> None:
        """It is fenced when it has not beaten for long enough; its journal may be lost with its host."""
        dead = self.owners.pop(name)
        self.now += 15.0
        now = self.now + max(0.0, dead.ahead)
        if journal:
            doubts = [
                marked(lease, [place for place, unit in units.items() if unit.sent and unit.settled is None], Mark.DOUBTED)
                for lease, _, units in dead.leases.values()
            ]
            self._do(lambda: self.scheduler.settle(doubts, now))
        self._do(lambda: self.scheduler.fence({dead.name: None}, told=journal))
        for _ in range(2):
            self._do(lambda: self.scheduler.reclaim(now))
        for _, account, units in dead.leases.values():
            left = [unit for unit in units.values() if unit.settled is None]
            self._settled(account, left, now)
            for unit in left:
                unit.used = unit.sent or not journal
        if self.url != "memory:":
            self._touch_all_shared(now)
            self._do(dead.queue.aclose)
        self._enter(name, ahead)

    def _touch_all_shared(self, now: float) -> None:
        """Whoever is gone is forgotten by the shared accounts, too, whether it held any of them or not."""
        self._touched(SHARED, now)

    def _holding(self) -> bool:
        return any(owner.leases for owner in self.owners.values())

    def _some_lease(self, data: st.DataObject) -> tuple[Owner, tuple[Lease, Account, dict[int, Unit]]]:
        held = [(owner, lease) for owner in self.owners.values() for lease in owner.leases.values()]
        return held[data.draw(st.integers(0, len(held) - 1))]

    # The law.

    @invariant()
    def no_window_has_seen_more_than_its_cap(self) -> None:
        for account, ledger in self.ledgers.items():
            for what, counts, most in zip(("day", "hour", "minute"), ledger.sent, ledger.most, strict=True):
                assert max(counts.values(), default=0) <= most, f"{account}: more than {most} a {what}"

    @invariant()
    def what_is_counted_was_used_or_may_still_be(self) -> None:
        found = self._do(lambda: self.scheduler.use(ACCOUNTS, 0.0))
        for account, ledger in self.ledgers.items():
            use = found[account]
            if use.cap is not None and ledger.at < use.cap.ends:
                assert (use.day, use.hour, use.minute, use.outstanding) == ledger.counted(), account


def _cap(day: int, most: tuple[int, int, int]) -> Cap:
    return cap(most[0], most[1], most[2], day=DAY + day)


@pytest.mark.parametrize("backend", ["memory", pytest.param("redis", marks=pytest.mark.integration)])
def test_no_history_sends_more_than_a_cap_permits(backend: str, request: pytest.FixtureRequest) -> None:
    loop = Loop()
    loop.start()
    url = "memory:" if backend == "memory" else str(request.getfixturevalue("valkey_url"))
    machine = type("BackendMachine", (Machine,), {"loop": loop, "url": url})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=60 if backend == "memory" else 25,
                stateful_step_count=50,
                deadline=None,
                phases=(Phase.explicit, Phase.generate),
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )
    finally:
        loop.stop()
