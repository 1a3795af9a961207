"""Disks that have no room, for the processes that write to them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

from tests.scenarios.stage import eventually

_REFILL_S = 0.02


@asynccontextmanager
async def full(directory: Path) -> AsyncIterator[None]:
    """The disk of this directory has no octet left while the block runs, whatever else is removed there."""
    filler = directory / "filler"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_fill, filler)
        await eventually("the disk is full", trio.Path(filler).exists)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()
            filler.unlink()


async def _fill(filler: Path) -> None:
    """Take all the room there is, again and again."""
    with filler.open("ab", buffering=0) as file:
        while True:
            with suppress(OSError):
                while file.write(bytes(4_096)) == 4_096:
                    pass
            await trio.sleep(_REFILL_S)
