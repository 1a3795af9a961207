"""What is put together from settings holds together: parts that must ask one another do."""

from pathlib import Path
from random import Random

import pytest
import trio
from prometheus_client import CollectorRegistry
from trio.testing import MockClock

from sender import assembly
from sender.content.token import TokenKeys
from sender.engine import Engine
from sender.metrics import Metrics
from sender.model import LaneId, Route
from sender.net.signing import LocalSigner
from sender.policy.suppression import KEY_OCTETS, Digests
from sender.queue.base import LeaseRequest
from sender.queue.owners import FENCED_AFTER_S
from sender.settings import load
from tests.rig import Store, clock, submitted

ROUTE = Route(pool="main", receiver="big")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def engine(tmp_path: Path, store: Store) -> Engine:
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\npool = "other"\n')
    around = assembly.Surroundings(clock=clock, rng=Random(1), metrics=Metrics(CollectorRegistry()))
    tokens, digests = TokenKeys({"a": bytes(32)}), Digests(bytes(KEY_OCTETS))
    return assembly.engine(load(tmp_path), store, LocalSigner({}), tokens, digests, "host/1", around)


@pytest.mark.row("F6", "F7")
async def test_an_owner_that_may_be_taken_for_dead_leases_and_sends_nothing(
    autojump_clock: MockClock, store: Store, engine: Engine
) -> None:
    services = engine._services
    wish = LeaseRequest(lane=LaneId(source="s1", receiver="big"), route=ROUTE, owner="host/1-1", envelopes=1)
    await submitted(store, 10)
    assert not services.lanes.crew.alive()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.run)
        await trio.sleep(1)
        assert services.lanes.owner() == "host/1-1"
        assert services.lanes.crew.may_send()
        assert await services.leaser.lease(wish)
        store.unheard.add("host/1-1")
        await trio.sleep(FENCED_AFTER_S + 1)
        assert not services.lanes.crew.may_send()
        assert not await services.leaser.lease(wish)
        store.unheard.clear()
        await store.fence({"host/1-1": None})
        await trio.sleep(5)
        assert services.lanes.owner() == "host/1-2"
        assert services.lanes.crew.may_send()
        nursery.cancel_scope.cancel()
