"""Everything that has a warmup of its own: a lane, the long tail of a source, a sending identity.

Each is a `Ward`: the account that counts its units, the name under which its progress is kept, and its plan.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sender.model import LaneId, Route, Source
from sender.policy.gates import Tally
from sender.policy.plan import Plan
from sender.policy.receivers import DEFAULT, Profiles
from sender.queue.warmups import OTHER, Account, Use
from sender.warming.assignments import Assignments

IDENTITY = "@"  # what the names of sending identities begin with


@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """What is warmed up. Without a plan it is warm, and no cap may hold it."""

    account: Account
    source: str  # "" for an identity
    receiver: str  # as metrics call it; the domain of an identity
    plan: Plan | None

    @property
    def name(self) -> str:
        return self.account.name

    @property
    def identity(self) -> bool:
        return not self.source

    def tally(self, use: Use, day: int) -> Tally:
        """What came of a sending day."""
        return Tally.of(use.marks.get(day, {}), use.complaints.get(day, 0), identity=self.identity)

    def __repr__(self) -> str:
        return f"<Ward {self.name} under {self.plan.name if self.plan else 'no plan'}>"


def wards(assignments: Assignments, sources: Sequence[Source], profiles: Profiles) -> Mapping[str, Ward]:
    """All of them by name: each source at each receiver with a profile and at the rest of them, then the identities."""
    receivers = [profile.name for profile in profiles if profile.name != DEFAULT]
    every = [ward for source in sources for ward in _of_source(assignments, source, receivers)]
    every += [_identity(assignments, domain) for domain in assignments.domains]
    return {ward.name: ward for ward in every}


def ward_name(assignments: Assignments, lane: LaneId) -> str:
    """The name of the ward that this lane belongs to."""
    return f"{lane.source}/{OTHER}" if assignments.is_shared(lane.receiver) else str(lane)


def identity_name(domain: str) -> str:
    """The name of a sending identity's ward."""
    return IDENTITY + domain


def _of_source(assignments: Assignments, source: Source, receivers: Sequence[str]) -> Iterator[Ward]:
    for receiver in receivers:
        lane, route = LaneId(source=source.name, receiver=receiver), Route(pool=source.pool, receiver=receiver)
        plan = assignments.plan(source.name, receiver)
        yield Ward(account=Account.of(lane, route), source=source.name, receiver=receiver, plan=plan)
    plan = assignments.plan(source.name, OTHER)
    yield Ward(account=Account(f"{source.name}/{OTHER}"), source=source.name, receiver=OTHER, plan=plan)


def _identity(assignments: Assignments, domain: str) -> Ward:
    return Ward(account=Account(identity_name(domain)), source="", receiver=domain, plan=assignments.identity(domain))
