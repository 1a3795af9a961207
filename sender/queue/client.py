"""The one door to Redis: commands in batches, from threads, with every failure turned into a BackendError.

A batch is one round trip on one connection, or in a cluster on one connection to each node that has some of its keys, all
at the same time. The client never retries: a command that timed out may have run, so repeating it is left to callers whose
scripts allow it. Only what a cluster's node has not run, because another has those keys, is sent on.

After a failure the next call asks anew who the master is.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeAlias, TypeVar

import trio

from sender.errors import BackendError, ConfigError
from sender.queue.cluster import Cluster
from sender.queue.durable import confirmation, guarantee
from sender.queue.node import CONNECTIONS, Batch, Command, Denied, Node, Refused
from sender.queue.scripts import Script, load
from sender.queue.sentinel import Sentinel
from sender.queue.topology import OneServer, Part, StoreTopology
from sender.settings.store_url import Address, StoreUrl, Topology

__all__ = ["Client", "Command", "OnCall", "unobserved"]

T = TypeVar("T")
OnCall: TypeAlias = Callable[[bool, float], None]  # whether the store did what it was asked, and how long that took

_TIMEOUT_S = 5.0
_SENTINEL_TIMEOUT_S = 1.0  # there are others to ask
_REDIRECTIONS = 5

_WORDS = {
    "OOM": "the store is full (maxmemory) and takes nothing new; delivery drains it",
    "MISCONF": "the store can't write to its disk and takes no change until it can",
    "READONLY": "this server is a replica now: the master is another",
    "LOADING": "it is still reading its data back",
    "MASTERDOWN": "it is a replica that has lost its master",
    "CLUSTERDOWN": "the cluster does not serve these keys now",
    "TRYAGAIN": "the cluster is moving these keys to another node",
    "NOREPLICAS": "too few replicas follow the master (min-replicas-to-write)",
    "NOPERM": "this user may not do that; deploy/README.md has the line that lets it",
    "MOVED": "it is a node of a cluster: write redis+cluster:// (or its nodes do not agree who has these keys)",
    "BUSY": "somebody's script keeps the server busy",
}
_DENIED = ("NOPERM", "MOVED")  # waiting mends these not
_NO_MASTER = ("READONLY", "MASTERDOWN", "CLUSTERDOWN")


def unobserved(done: bool, seconds: float) -> None:
    """For who does not count calls."""


class Client:
    """Runs batches of commands on a store, however it is run; replies come as they are on the wire, in octets."""

    def __init__(self, url: str, *, durable: bool = False, timeout_s: float = _TIMEOUT_S, on_call: OnCall = unobserved) -> None:
        self._url, self._durable, self._on_call = _parsed(url), durable, on_call
        self._timeout_s = timeout_s
        self._limiter = trio.CapacityLimiter(CONNECTIONS)
        self._scripts = load()
        self._by_digest = {script.digest: script.text for script in self._scripts.values()}
        self._topology = self._found()

    def __repr__(self) -> str:
        return f"<Client {self._url}>"

    @property
    def scripts(self) -> Mapping[str, Script]:
        return self._scripts

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in order, in one round trip; raises BackendError if any of them failed.

        Scripts that the server has forgotten run behind all others: what must see their effect is a call of its own.
        """
        if not commands:
            await trio.lowlevel.checkpoint()
            return []
        return await self._called(partial(self._run, commands))

    async def submit(self, commands: Sequence[Command]) -> list[Any]:
        """The same; a durable client returns when no crash and no failover can take back what was written."""
        if not self._durable or not commands:
            return await self.run(commands)
        marked = [*commands, *dict.fromkeys(confirmation(self._scripts["confirm"], command) for command in commands)]
        replies = await self._called(partial(self._run, marked, True))
        return replies[: len(commands)]

    async def before_others(self, commands: Sequence[Command]) -> list[Any]:
        """As `submit` where what the caller does next may be written by another server.

        One server keeps the order of what it writes, and loses the last of it at most. In a cluster each server loses for
        itself: what takes an entry out here must not outlive what put it in there.
        """
        return await (self.submit if self._url.topology is Topology.CLUSTER else self.run)(commands)

    async def everywhere(self, commands: Sequence[Command]) -> Mapping[str, list[Any]]:
        """Run commands that name no key on every master of the store; the replies by its name."""
        return await self._called(partial(self._everywhere, commands))

    async def check_durable(self) -> None:
        """Raises ConfigError where this client is to be durable, and a server of the store could not keep that promise."""
        if self._durable:
            await trio.to_thread.run_sync(self._guarantees, limiter=self._limiter)

    async def aclose(self) -> None:
        await trio.to_thread.run_sync(self._topology.close, limiter=self._limiter)

    async def _called(self, call: Callable[[], T]) -> T:
        """Make a call from a thread, and tell how it went."""
        began, done = trio.current_time(), False
        try:
            result = await trio.to_thread.run_sync(call, limiter=self._limiter)
            done = True
            return result
        finally:
            self._on_call(done, trio.current_time() - began)

    def _run(self, commands: Sequence[Command], durable: bool = False) -> list[Any]:
        replies: list[Any] = [None] * len(commands)
        parts = self._topology.parts(commands)
        for _ in range(_REDIRECTIONS + 1):
            self._exchange(parts, commands, replies, durable)
            parts = self._topology.redirected(commands, replies)
            if not parts:
                break
        self._check(replies)
        return replies

    def _everywhere(self, commands: Sequence[Command]) -> Mapping[str, list[Any]]:
        nodes, count = self._topology.masters(), len(commands)
        places = [range(number * count, (number + 1) * count) for number in range(len(nodes))]
        parts = [Part(node=node, places=some) for node, some in zip(nodes, places, strict=True)]
        replies: list[Any] = [None] * count * len(nodes)
        self._exchange(parts, list(commands) * len(nodes), replies, False)
        self._check(replies)
        return {str(part.node): [replies[place] for place in part.places] for part in parts}

    def _exchange(self, parts: Sequence[Part], commands: Sequence[Command], replies: list[Any], durable: bool) -> None:
        """Send every part, then read the replies of all; the first failure is raised when all that answered were read."""
        failures: list[BackendError] = []
        with ExitStack() as open_batches:
            sent: list[tuple[Part, Batch]] = []
            for part in parts:
                try:
                    batch = part.node.send([commands[place] for place in part.places], asking=part.asking)
                    sent.append((part, open_batches.enter_context(batch)))
                except BackendError as error:
                    failures.append(self._failed(part.node, error))
            for part, batch in sent:
                try:
                    for place, reply in zip(part.places, _received(batch, durable), strict=True):
                        replies[place] = reply
                        if isinstance(reply, Refused) and reply.code in _NO_MASTER:
                            self._topology.distrust(part.node)
                except BackendError as error:
                    failures.append(self._failed(part.node, error))
        if failures:
            raise failures[0]

    def _failed(self, node: Node, error: BackendError) -> BackendError:
        self._topology.distrust(node)
        return error

    def _check(self, replies: Sequence[Any]) -> None:
        for reply in replies:
            if isinstance(reply, Refused):
                kind = Denied if reply.code in _DENIED else BackendError
                words = _WORDS.get(reply.code, "it refused")
                raise kind(f"{reply.where}: {words}: {reply.text}")

    def _guarantees(self) -> None:
        for node in self._topology.masters():
            guarantee(node)

    def _node(self, address: Address) -> Node:
        return Node(address, self._url, self._by_digest, self._timeout_s)

    def _sentinel(self, address: Address) -> Node:
        return Node(address, self._url.at_sentinels(), {}, min(_SENTINEL_TIMEOUT_S, self._timeout_s))

    def _found(self) -> StoreTopology:
        if self._url.topology is Topology.SENTINEL:
            return Sentinel(self._url.service, self._url.hosts, self._node, self._sentinel)
        if self._url.topology is Topology.CLUSTER:
            return Cluster(self._url.hosts, self._node)
        return OneServer(self._url.hosts[0], self._node)


def _received(batch: Batch, durable: bool) -> list[Any]:
    replies = batch.receive()
    if durable and not any(isinstance(reply, Refused) for reply in replies):
        guarantee(batch.node)(batch)
    return replies


def _parsed(url: str) -> StoreUrl:
    try:
        return StoreUrl.parse(url)
    except ValueError as error:
        raise ConfigError("redis", "url", str(error)) from None
