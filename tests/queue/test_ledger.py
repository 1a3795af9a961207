"""What a process remembers of its lanes' claims, and for how long."""

from sender.queue.ledger import Claims
from tests.queue.feeding import LANE
from tests.queue.warming import capped


def test_claims_are_remembered_until_they_or_their_owner_end() -> None:
    claims = Claims()
    first = claims.told(capped(1, owner="worker-1"))
    claims.told(capped(1, owner="worker-2"))
    assert claims.told(capped(1, owner="worker-1")) == first
    claims.forget("worker-1")
    assert len(claims) == 1, "a process may be found lost, and join anew, any number of times"
    assert claims.told(capped(1, owner="worker-1")) != first
    claims.drop("worker-1", [LANE])
    claims.drop("worker-2", [LANE])
    assert len(claims) == 0
