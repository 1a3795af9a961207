"""A store whose master Sentinels choose: they are asked who it is, and it is asked whether it knows.

Nothing is taken from a failover's messages: the master is looked up when a call failed, and every few seconds besides, so that
one that was cut off from its Sentinels, and that another has replaced, is not written to for longer than that.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

from sender.errors import BackendError
from sender.queue.node import Command, Denied, Node
from sender.queue.topology import Connect, Part
from sender.settings.store_url import Address

_LOOK_EVERY_S = 2.0


class Sentinel:
    """Whichever server is the master of a service now; see `StoreTopology`."""

    def __init__(self, service: str, sentinels: Sequence[Address], connect: Connect, connect_sentinel: Connect) -> None:
        self._service, self._connect = service, connect
        self._sentinels = [connect_sentinel(address) for address in sentinels]  # the one that answered last is the first
        self._lock = threading.Lock()
        self._master: Node | None = None
        self._looked = float("-inf")

    def parts(self, commands: Sequence[Command]) -> Sequence[Part]:
        return (Part(node=self._current(), places=range(len(commands))),)

    def redirected(self, commands: Sequence[Command], replies: Sequence[Any]) -> Sequence[Part]:
        return ()

    def masters(self) -> Sequence[Node]:
        return (self._current(),)

    def distrust(self, node: Node) -> None:
        with self._lock:
            if node is self._master:
                self._master = None
                node.close()

    def close(self) -> None:
        for node in (*self._sentinels, *((self._master,) if self._master is not None else ())):
            node.close()

    def _current(self) -> Node:
        with self._lock:
            if self._master is None or time.monotonic() - self._looked >= _LOOK_EVERY_S:
                self._look()
            if self._master is None:
                raise BackendError(f"{self._service}: no master")  # `_look` has raised what it knows
            return self._master

    def _look(self) -> None:
        """Ask one Sentinel after the other until one names a master that says so itself."""
        said: list[str] = []
        known = False
        for sentinel in tuple(self._sentinels):
            try:
                (found,) = sentinel.ask(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service))
                known = known or found is not None
                if found is None:
                    said.append(f"{sentinel} knows no {self._service}")
                elif self._take((found[0].decode(), int(found[1]))):
                    self._prefer(sentinel)
                    return
                else:
                    said.append(f"{sentinel} names one that is a replica")
            except BackendError as error:
                known = True  # it may well know
                said.append(str(error))
        if self._master is None:
            kind = BackendError if known else Denied
            raise kind(f"the Sentinels name no master of {self._service} that can be used: {'; '.join(said)}")
        self._looked = time.monotonic()  # none can be asked: the master still answers, and that is enough

    def _take(self, address: Address) -> bool:
        """Use this one from now on, if it is a master; the one that is used already need not be asked."""
        if self._master is not None and self._master.address == address:
            self._looked = time.monotonic()
            return True
        node = self._connect(address)
        (role,) = node.ask(("ROLE",))
        if role[0] != b"master":
            node.close()
            return False
        if self._master is not None:
            self._master.close()
        node.replicated = True  # a failover takes a replica: what only the master has is lost then
        self._master, self._looked = node, time.monotonic()
        return True

    def _prefer(self, sentinel: Node) -> None:
        self._sentinels.remove(sentinel)
        self._sentinels.insert(0, sentinel)
