"""What a lane costs: its decisions for one message, and two thousand lanes that have nothing to do.

The decisions are those between two messages of a session: may this session go on, may one more message go now, which, may
its end of data go out, and what its outcome changes. Composing, signing, SMTP and records are others' benchmarks.
"""

import time
from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

import trio

from sender.backlog import Backlog, Held
from sender.berth import Berth, CrewServices
from sender.crew import Crew
from sender.model import Action, Category, Envelope, LaneId, Outcome, Reply, Result, Scope, Step, Transaction, Verdict
from sender.net.session import Peer, Session
from sender.policy.throttle import Throttle
from sender.queue.base import Ticket
from tests.bench.figures import Row
from tests.bench.idle import idle_share
from tests.holding import campaign
from tests.rig import ROUTE, SOURCE, Rig, destination, profiles

_OK = Reply(code=250, enhanced="2.0.0", lines=("Ok: queued",))
_ROUNDS = 7


class _Open(Session):
    """A session that is open, and has taken nothing."""

    def __init__(self) -> None:
        self.messages, self.failure, self.opened_at = 0, None, 0.0
        self.peer = Peer(
            source=SOURCE, host="mx.big.example", address="192.0.2.1", destination="", tls=profiles().profile("big").tls
        )

    closed = False
    taken = 0


class _Deaf:
    """Records cost what records cost: here they are not listened to."""

    def attempt(self, *_: object, **__: object) -> None: ...


@dataclass(slots=True)
class Desk:
    """One berth of a crew with all around it, and messages to decide about."""

    crew: Crew
    berth: Berth
    session: Session
    results: list[Result]

    @classmethod
    def of(cls, messages: int, *, slowed: bool = False) -> "Desk":
        """`slowed`: the receiver has asked for less, for fewer messages a connection, and for a pause that is just over."""
        services = Rig(limits={"connections": 20, "messages_per_second": 1e9, "messages_per_connection": 10**9}).lanes().crew
        profile = profiles(connections=20, messages_per_second=1e9, messages_per_connection=10**9).profile("big")
        throttle = Throttle.of(profile.limits, Random(1).random)
        if slowed:
            throttle.after(_slowed(), trio.current_time() - 1.2)
        lane = LaneId(source=SOURCE.name, receiver=ROUTE.receiver)
        crew = Crew(lane, SOURCE, profile, throttle, _quiet(services), lambda: None)
        backlog = Backlog(destination("big.example"), profile)
        several = _transactions(messages)
        backlog.ready = deque(several)
        crew.holding = messages
        results = [Result(transaction=one, step=Step.DOT, reply=_OK, seconds=0.1) for one in several]
        return cls(crew=crew, berth=Berth(crew, backlog), session=_Open(), results=results)

    def decide(self) -> None:
        """All decisions about all messages, as the session would ask for them."""
        berth, session = self.berth, self.session
        for result in self.results:
            transaction = berth._take(session)  # what the session calls
            assert transaction is result.transaction
            assert berth._intend((transaction,))
            berth._finished(session, result)


def _quiet(services: CrewServices) -> CrewServices:
    deaf: Any = _Deaf()
    return replace(services, recorder=deaf)


def _slowed() -> Outcome:
    actions = (Action.HALVE, Action.MESSAGES_PER_CONNECTION, Action.PAUSE)
    return Outcome(
        verdict=Verdict.DEFERRED, scope=Scope.LANE, category=Category.RATE, actions=actions, pause_s=1.0, limit=10**8
    )


def _transactions(count: int) -> list[Transaction]:
    envelopes = tuple(Envelope(campaign="spring", ordinal=number, address=f"r{number}@big.example") for number in range(count))
    lane = LaneId(source="s1", receiver="big")
    ticket = Ticket(id="l1", lane=lane, route=ROUTE, campaign="spring", ordinals=tuple(range(count)))
    spring = campaign()
    return [
        Transaction(
            mail_from="b@shop.example",
            rcpt=envelope.address,
            head=b"Hello\r\n",
            tag=Held(ticket, position, envelope, spring, 0.0),
        )
        for position, envelope in enumerate(envelopes)
    ]


async def _decisions(messages: int, *, slowed: bool) -> float:
    """Microseconds of CPU a message: the best of some rounds, since nothing makes it faster than it is."""
    spent = []
    for _ in range(_ROUNDS):
        desk = Desk.of(messages, slowed=slowed)
        began = time.process_time()
        desk.decide()
        spent.append(time.process_time() - began)
    return min(spent) / messages * 1e6


def run(messages: int = 20_000, lanes: int = 2_000) -> list[Row]:
    """Measure and print."""
    rows = []
    for words, slowed in (("nothing holds it", False), ("it returns from a refusal", True)):
        cost = trio.run(partial(_decisions, messages, slowed=slowed))
        print(f"lane, decisions of one message where {words}: {cost:.2f} µs")
        rows.append(Row(who="Penstock", case=f"decisions of one message where {words}", rounds=({"cpu_us": cost},)))
    share = trio.run(idle_share, lanes)
    return [*rows, Row(who="Penstock", case=f"{lanes:,} idle lanes", rounds=({"core_share": share},))]
