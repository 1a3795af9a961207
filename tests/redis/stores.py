"""Stores of several servers: a master with replicas and Sentinels, and a Cluster. Each gives the URL that Penstock takes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sender.errors import BackendError
from sender.queue.slots import SLOTS, slot
from tests.ports import free_port
from tests.redis.servers import HOST, Server, running, until

SERVICE = "main"
_DOWN_AFTER_MS = 500

_SENTINEL = f"""\
bind 127.0.0.1
sentinel monitor {SERVICE} {HOST} {{master}} 2
sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}
sentinel failover-timeout {SERVICE} 3000
sentinel parallel-syncs {SERVICE} 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelStore:
    """The first of `servers` was the master at the start."""

    servers: tuple[Server, ...]
    sentinels: tuple[Server, ...]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'{HOST}:{each.port}' for each in self.sentinels)}/{SERVICE}"

    async def master(self) -> Server:
        """Whom the Sentinels name now."""
        for sentinel in self.sentinels:
            try:
                _, port = await sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
            except BackendError:
                continue
            return next(server for server in self.servers if server.port == int(port))
        raise AssertionError("no Sentinel answers")

    async def failed_over(self, old: Server) -> Server:
        """Wait until another server than `old` is the master, and says so."""

        async def done() -> bool:
            new = await self.master()
            return new is not old and (await new.ask("ROLE"))[0] == b"master"

        await until(lambda: _yet(done), f"a failover from {old}")
        return await self.master()


@asynccontextmanager
async def sentinel_store(directory: Path, *lines: str, replicas: int = 1, sentinels: int = 3) -> AsyncIterator[SentinelStore]:
    """A master, its replicas, and Sentinels that know each other and all of them."""
    master = Server(directory / "master", *lines)
    others = tuple(
        Server(directory / f"replica-{number}", f"replicaof {HOST} {master.port}", *lines) for number in range(replicas)
    )
    watchers = tuple(
        Server(directory / f"sentinel-{number}", ordinary=_SENTINEL.format(master=master.port), mode=("--sentinel",))
        for number in range(sentinels)
    )
    store = SentinelStore(servers=(master, *others), sentinels=watchers)
    async with running(*store.servers, *watchers):

        async def acquainted() -> bool:
            for each in watchers:
                fields = await each.ask("SENTINEL", "MASTER", SERVICE)
                known = dict(zip(fields[::2], fields[1::2], strict=True))
                if (int(known[b"num-other-sentinels"]), int(known[b"num-slaves"])) != (sentinels - 1, replicas):
                    return False
            return all([b"master_link_status:up" in await each.ask("INFO", "replication") for each in others])

        await until(acquainted, "the Sentinels to know each other")
        yield store


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStore:
    """The first `masters` of `servers` had the slots at the start, the others follow them in turn."""

    servers: tuple[Server, ...]
    masters: int

    @property
    def url(self) -> str:
        """Every node is named: any of them may be the one that is down when somebody starts."""
        return f"redis+cluster://{','.join(f'{HOST}:{each.port}' for each in self.servers)}"

    async def owner(self, key: str) -> Server:
        """Who has a key now, as a majority of the nodes sees it."""
        for server in self.servers:
            try:
                ranges = await server.ask("CLUSTER", "SLOTS")
            except BackendError:
                continue
            number = slot(key.encode())
            port = next(master[1] for first, last, master, *_ in ranges if first <= number <= last)
            return next(each for each in self.servers if each.port == port)
        raise AssertionError("no node answers")

    async def failed_over(self, old: Server) -> None:
        """Wait until nobody counts on `old` any more and every slot is served."""

        async def done() -> bool:
            rest = [server for server in self.servers if server is not old]
            ports = {master[1] for server in rest for _, _, master, *_ in await server.ask("CLUSTER", "SLOTS")}
            return old.port not in ports and all([b"cluster_state:ok" in await each.ask("CLUSTER", "INFO") for each in rest])

        await until(lambda: _yet(done), f"a failover from {old}")

    async def well(self) -> None:
        """Wait until every node serves all slots."""
        await until(self._well, "the cluster to be well")

    async def _well(self) -> bool:
        try:
            return all([_is_well(await each.ask("CLUSTER", "INFO"), len(self.servers)) for each in self.servers])
        except BackendError:
            return False


@asynccontextmanager
async def cluster_store(directory: Path, *lines: str, masters: int = 3, replicas: int = 0) -> AsyncIterator[ClusterStore]:
    """A cluster of so many masters, each with so many replicas."""
    servers = tuple(
        Server(
            directory / f"node-{number}",
            "cluster-enabled yes",
            f"cluster-port {free_port()}",
            "cluster-node-timeout 1000",
            "cluster-replica-validity-factor 0",
            *lines,
        )
        for number in range(masters * (1 + replicas))
    )
    store = ClusterStore(servers=servers, masters=masters)
    async with running(*servers):
        for number, server in enumerate(servers[:masters]):
            first, last = SLOTS * number // masters, SLOTS * (number + 1) // masters - 1
            await server.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        for number, server in enumerate(servers[1:], 1):
            await server.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            await servers[0].ask("CLUSTER", "MEET", HOST, server.port, _bus_port(server))
        await store.well()
        for number, server in enumerate(servers[masters:]):
            of = (await servers[number % masters].ask("CLUSTER", "MYID")).decode()
            await until(lambda server=server, of=of: _knows(server, of), f"{server} to know its master")
            await server.ask("CLUSTER", "REPLICATE", of)
            await until(lambda server=server: _follows(server), f"{server} to follow its master")
        await until(lambda: _all_listed(store), "all replicas to be listed everywhere")
        yield store


def _is_well(info: bytes, nodes: int) -> bool:
    return b"cluster_state:ok" in info and f"cluster_known_nodes:{nodes}".encode() in info


def _bus_port(server: Server) -> int:
    text = (server.directory / "server.conf").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("cluster-port")))


async def _yet(condition: Callable[[], Awaitable[bool]]) -> bool:
    """Whether it is so by now; a server that changes its part drops its connections, and answers the next one."""
    try:
        return await condition()
    except BackendError:
        return False


async def _knows(server: Server, node: str) -> bool:
    return node.encode() in await server.ask("CLUSTER", "NODES")


async def _follows(server: Server) -> bool:
    return b"master_link_status:up" in await server.ask("INFO", "replication")


async def _all_listed(store: ClusterStore) -> bool:
    """Whether every node lists every server beside the slots it has or follows."""
    for server in store.servers:
        ranges = await server.ask("CLUSTER", "SLOTS")
        if len({node[1] for _, _, *nodes in ranges for node in nodes}) != len(store.servers):
            return False
    return True
