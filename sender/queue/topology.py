"""How a store is run: which of its servers a command belongs to. Three rooms keep this one contract.

`OneServer` is here; `sentinel` follows whichever server is the master; `cluster` knows which node has which slot.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sender.queue.node import Command, Node
from sender.settings.store_url import Address

Connect: TypeAlias = Callable[[Address], Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The commands of a batch, by their places in it, that go to one server in one round trip."""

    node: Node
    places: Sequence[int]
    asking: bool = False  # the node has these keys only in passing: say that it was another one who sent us


class StoreTopology(Protocol):
    """Called from several threads at once; every method may block on the network and raise BackendError."""

    def parts(self, commands: Sequence[Command]) -> Sequence[Part]:
        """Who runs what, as far as is known."""

    def redirected(self, commands: Sequence[Command], replies: Sequence[Any]) -> Sequence[Part]:
        """What servers refused because another one has those keys, and who runs it instead."""

    def masters(self) -> Sequence[Node]:
        """All servers that take writes."""

    def distrust(self, node: Node) -> None:
        """This server failed, or is no master any more: ask anew who is, before it is used again."""

    def close(self) -> None:
        """Let go of connections."""


class OneServer:
    """The whole store is one server."""

    def __init__(self, address: Address, connect: Connect) -> None:
        self._node = connect(address)

    def parts(self, commands: Sequence[Command]) -> Sequence[Part]:
        return (Part(node=self._node, places=range(len(commands))),)

    def redirected(self, commands: Sequence[Command], replies: Sequence[Any]) -> Sequence[Part]:
        return ()

    def masters(self) -> Sequence[Node]:
        return (self._node,)

    def distrust(self, node: Node) -> None:
        """There is no other."""

    def close(self) -> None:
        self._node.close()
