"""A Redis Cluster: 16,384 slots of keys, and which node has which. A key's slot comes from its hash tag.

The map is asked for at the start, after a failure and after a redirection. MOVED corrects it at once for its slot; ASK counts
for one command only. Commands of one hash tag go to one node in their order.

Slots may move under a running fleet where the server moves them at one stroke (CLUSTER MIGRATESLOTS, Valkey 9). Moving key by
key (MIGRATE) is not for a running fleet: a script that meets a key that has left already is stopped in its middle.
"""

import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sender.errors import BackendError
from sender.queue.node import Command, Denied, Node, Refused
from sender.queue.slots import SLOTS, key_of, slot
from sender.queue.topology import Connect, Part
from sender.settings.store_url import Address


class Cluster:
    """The nodes and their slots; see `StoreTopology`."""

    def __init__(self, seeds: Sequence[Address], connect: Connect) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._nodes = {address: connect(address) for address in seeds}
        self._seeds = tuple(seeds)
        self._owners: list[Node | None] = []  # by slot; empty until it was asked for
        self._stale = True
        self._failed: set[Address] = set()  # asked last, when the map is asked for

    def parts(self, commands: Sequence[Command]) -> Sequence[Part]:
        owners = self._map()
        places: dict[Node, list[int]] = defaultdict(list)
        for place, command in enumerate(commands):
            places[_owner(owners, key_of(command))].append(place)
        return [Part(node=node, places=some) for node, some in places.items()]

    def redirected(self, commands: Sequence[Command], replies: Sequence[Any]) -> Sequence[Part]:
        places: dict[tuple[Node, bool], list[int]] = defaultdict(list)
        for place, reply in enumerate(replies):
            if isinstance(reply, Refused) and reply.code in ("MOVED", "ASK"):
                places[self._redirection(reply), reply.code == "ASK"].append(place)
        return [Part(node=node, places=some, asking=asking) for (node, asking), some in places.items()]

    def masters(self) -> Sequence[Node]:
        return tuple(dict.fromkeys(node for node in self._map() if node is not None))

    def distrust(self, node: Node) -> None:
        with self._lock:
            self._stale = True
            self._failed.add(node.address)

    def close(self) -> None:
        for node in self._nodes.values():
            node.close()

    def _redirection(self, refused: Refused) -> Node:
        """Where a refusal like "MOVED 3999 127.0.0.1:6381" points; without a host it means the one that said it."""
        _, number, target = refused.text.split(" ")
        host, _, port = target.rpartition(":")
        with self._lock:
            node = self._node((host or refused.where.rpartition(":")[0], int(port)))
            if refused.code == "MOVED":
                self._owners[int(number)] = node
                self._stale = True  # seldom is it one slot alone
            return node

    def _node(self, address: Address) -> Node:
        if address not in self._nodes:
            self._nodes[address] = self._connect(address)
        return self._nodes[address]

    def _map(self) -> Sequence[Node | None]:
        with self._lock:
            if self._stale:
                self._ask()
            return self._owners

    def _ask(self) -> None:
        """Ask one node after the other for the map, those that failed last."""
        said: list[str] = []
        nodes = dict.fromkeys((*(self._nodes[seed] for seed in self._seeds), *self._nodes.values()))
        for node in sorted(nodes, key=lambda node: node.address in self._failed):
            try:
                (ranges,) = node.ask(("CLUSTER", "SLOTS"))
            except Denied:
                raise
            except BackendError as error:
                self._failed.add(node.address)
                said.append(str(error))
                continue
            self._learn(node, ranges)
            return
        kind = Denied if all("cluster support disabled" in why for why in said) else BackendError
        raise kind(f"no node could be asked for the cluster's slots: {'; '.join(said)}")

    def _learn(self, asked: Node, ranges: Sequence[Any]) -> None:
        owners: list[Node | None] = [None] * SLOTS
        for first, last, master, *replicas in ranges:
            host = (master[0] or b"").decode()
            node = self._node((asked.address[0] if host in ("", "?") else host, int(master[1])))
            node.replicated = node.replicated or bool(replicas)  # one that has lost its replicas still had them
            owners[first : last + 1] = [node] * (last + 1 - first)
        for address in self._nodes.keys() - {node.address for node in owners if node is not None} - set(self._seeds):
            self._nodes.pop(address).close()
        self._owners, self._stale = owners, False
        self._failed.clear()


def _owner(owners: Sequence[Node | None], key: bytes | None) -> Node:
    """The node that has a key, or any where there is none."""
    node = next((node for node in owners if node is not None), None) if key is None else owners[slot(key)]
    if node is None:
        raise BackendError("no node of the cluster has any slots" if key is None else f"no node has slot {slot(key)}")
    return node
