"""The store: killed, frozen, cut off, out of space, set back by a power loss, and given what nobody can use."""

from collections.abc import Awaitable, Callable

from sender.errors import BackendError
from tests.redis.stores import ClusterStore, SentinelStore
from tests.scenarios.faults.proxy import Proxy
from tests.scenarios.faults.row import NOBODY, PARKED, Row, World
from tests.scenarios.faults.scene import Doubt, Scene
from tests.scenarios.freezing import frozen
from tests.scenarios.stage import eventually

_CUTS = 10
_BUSY_KEY = "penstock:{p00}:"  # of a partition
_INBOX = "penstock:{inbox}:campaigns"
_ENTRIES = (  # what any program could write to the inbox by mistake
    (_INBOX, ("hello", "world")),
    (_INBOX, ("v", "1", "id", "../../etc", "spec", "{}")),
    (_INBOX, ("v", "1", "id", "torn", "spec", '{"from": "Shop <news@shop')),
    (_INBOX, ("v", "1", "id", "maths", "spec", '{"from": "a@shop.example", "subject": "s", "text": "{{ 1/0 }}"}')),
    (_INBOX, ("v", "99", "id", "tomorrow", "spec", "{}")),
    ("penstock:{spring}:rows", ("v", "1", "batch", "-1", "rows", "{}")),
    ("penstock:{spring}:rows", ("v", "1", "batch", "0", "rows", "x" * 5_000_000)),
)


def _killed(fsync: str, times: int = 1) -> Callable[[Scene], Awaitable[Doubt]]:
    """kill -9 loses nothing that was answered: the log's octets are the system's by then."""

    async def inject(scene: Scene) -> Doubt:
        await scene.play.redis_cli("CONFIG", "SET", "appendfsync", fsync)
        await scene.under_load()
        for _ in range(times):
            store = scene.store
            scene.kill_number(store)
            await scene.store_is_back(store)
        return NOBODY

    return inject


def _frozen(seconds: float) -> Callable[[Scene], Awaitable[Doubt]]:
    async def inject(scene: Scene) -> Doubt:
        await scene.under_load()
        with frozen(scene.store):
            await scene.passing(seconds)
        return NOBODY

    return inject


async def _cut(scene: Scene) -> Doubt:
    """Every connection, again and again, between a request and its reply."""
    proxy = scene.place
    assert isinstance(proxy, Proxy)

    async def cut() -> bool:
        proxy.cut()
        return proxy.cuts >= _CUTS

    await scene.under_load()
    await eventually(f"{_CUTS} connections are cut behind a request", cut)
    return NOBODY


async def _disk_full(scene: Scene) -> Doubt:
    """The log can't be written: the server refuses all writes, and what was sent meanwhile stays in the journal."""
    await scene.under_load()
    async with scene.full("state/valkey/data"):
        await eventually("the store refuses to write", lambda: _refuses(scene))
        await scene.passing(5)
    return NOBODY


async def _refuses(scene: Scene) -> bool:
    return "MISCONF" in await scene.play.redis_cli("DEL", "nothing")


async def _power_lost(scene: Scene) -> Doubt:
    """Everything dies, and of the log only what was there a second before: as after a power loss under `everysec`."""
    await scene.under_load()
    [log] = (scene.play.directory / "state/valkey/data/appendonlydir").glob("*.incr.aof")
    octets = log.stat().st_size
    await scene.passing(1)
    await scene.kill_everything()
    with log.open("r+b") as file:
        file.truncate(octets)
    await scene.rise()
    scene.forget_told()
    return await scene.in_doubt()


async def _failed_over(scene: Scene) -> Doubt:
    """The master is killed, and a replica takes its place. Replication is asynchronous: what the replica was not told of yet
    the new master does not know, and those may be sent again."""
    store = scene.place
    assert isinstance(store, SentinelStore | ClusterStore)
    await scene.under_load()
    old = await (store.master() if isinstance(store, SentinelStore) else store.owner(_BUSY_KEY))
    old.kill()
    await store.failed_over(old)
    await eventually("the store takes calls again", lambda: _serves(scene))
    scene.forget_told()
    return await scene.in_doubt()


async def _serves(scene: Scene) -> bool:
    try:
        await scene.play.queue.depth(0.0)
    except BackendError:
        return False
    return True


async def _poisoned(scene: Scene) -> Doubt:
    """Unusable entries before and among good ones: set aside, counted, in nobody's way."""
    scene.strikes()
    for key, fields in _ENTRIES:
        *plain, last = fields
        await scene.play.redis_cli("-x", "XADD", key, "*", *plain, stdin=last.encode())
    await scene.submit()
    return NOBODY


_TWO = World(delivery=2)
_SENTINEL = World(delivery=2, store="sentinel")
_CLUSTER = World(delivery=2, store="cluster")

ROWS = (
    Row(name="store killed under load, everysec", inject=_killed("everysec"), world=_TWO),
    Row(name="store killed five times, always", inject=_killed("always", 5), world=_TWO, long=True),
    Row(name="store frozen for 6 s", inject=_frozen(6)),
    Row(name="store frozen for 20 s", inject=_frozen(20), world=_TWO, long=True),
    Row(name="store's connections cut in the middle of calls", inject=_cut, world=World(delivery=2, store="proxied")),
    Row(name="store's disk full for 5 s", inject=_disk_full, world=World(disks={"state/valkey/data": "8m"})),
    Row(name="power lost, the log a second short", inject=_power_lost, ends=PARKED, world=_TWO, long=True),
    Row(name="Sentinel: the master killed under load", inject=_failed_over, ends=PARKED, world=_SENTINEL),
    Row(name="Cluster: one of three masters killed under load", inject=_failed_over, ends=PARKED, world=_CLUSTER, long=True),
    Row(name="unusable entries in the inbox", inject=_poisoned, dead=len(_ENTRIES), long=True),
)
