"""A store whose answers get lost."""

from collections.abc import Awaitable, Callable
from typing import Any

from sender.errors import BackendError
from sender.queue.client import Client, Command


class Unreliable(Client):
    """A client whose batches can be lost: before they are sent, or with their replies."""

    lose_before: str = ""
    lose_after: str = ""
    lose_only: str = ""  # of a batch, these scripts alone: of a cluster's nodes, some may be down
    twice: bool = False  # every script but `lease` runs twice, as if its first reply had got lost
    meanwhile: Callable[[], Awaitable[None]] | None = None  # runs once before the next script of that name
    before: str = "give_back"

    async def run(self, commands: Any) -> list[Any]:
        if self.meanwhile is not None and self._names(commands, self.before):
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        if self.lose_before and self._names(commands, self.lose_before):
            self.lose_before = ""
            raise BackendError("lost before it was sent")
        if self.lose_only and self._names(commands, self.lose_only):
            await super().run([command for command in commands if self.scripts[self.lose_only].digest not in command])
            self.lose_only = ""
            raise BackendError("this part was lost before it was sent")
        replies = await super().run(commands)
        if self.twice and not self._names(commands, "lease"):
            await super().run([command for command in commands if command[0] == "EVALSHA"])
        if self.lose_after and self._names(commands, self.lose_after):
            self.lose_after = ""
            raise BackendError("done, and the reply was lost")
        return replies

    def _names(self, commands: list[Command], script: str) -> bool:
        return any(self.scripts[script].digest in command for command in commands)
