"""Looking after the store: what its servers say of themselves becomes metrics, and words to the operator."""

from collections.abc import Callable, Mapping

from sender.queue.standing import Standing, Standings


class StoreWatch:
    """Asks each time it is told to, and says what is new: slow disks are told by what has come since the last time."""

    def __init__(
        self,
        queue: Standings,
        on_trouble: Callable[[str], None],
        show: Callable[[Mapping[str, Mapping[str, float]]], None] = lambda servers: None,
    ) -> None:
        """`show` is for who goes on looking: what is seen once is no metric."""
        self._queue, self._on_trouble, self._show = queue, on_trouble, show
        self._delays: dict[str, int] = {}

    async def run_once(self) -> None:
        """Look at every server; raises BackendError where they can't be asked."""
        standings = await self._queue.standing()
        for each in standings:
            for why in filter(None, (each.flaw(), *each.worries(), self._delayed(each))):
                self._on_trouble(why)
        self._show({each.server: _figures(each) for each in standings})
        self._delays = {each.server: each.delayed_fsyncs for each in standings}

    def _delayed(self, server: Standing) -> str:
        """A disk that was too slow since the last look, so that more than a second's writes are at stake."""
        if server.delayed_fsyncs <= self._delays.get(server.server, server.delayed_fsyncs):
            return ""
        return (
            f"{server.server} waits for its disk: what it writes is fsynced late, and a crash would lose more than one second"
        )


def _figures(server: Standing) -> dict[str, float]:
    return {
        "memory_bytes": server.used,
        "memory_limit_bytes": server.limit,
        "delayed_fsyncs": server.delayed_fsyncs,
        "well": not server.flaw() and not any(server.worries()),
    }
