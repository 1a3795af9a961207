"""A row from its first process to its verdict."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from sender.settings import shipped
from tests.scenarios.faults.judge import Verdict, judge
from tests.scenarios.faults.row import Row, World
from tests.scenarios.faults.scene import Scene
from tests.scenarios.faults.stores import STORES
from tests.scenarios.stage import Stage, stage

# Time passes faster than in the demo, and an envelope outlives any fault; one cheap signature is enough.
_CHANGES = {
    r"delivery = 2": "delivery = {delivery}",
    r"signers = 2": "signers = 1",
    r"curve = .*": 'curve = ["30m", "1h", "2h"]',
    r"give_up = .*": 'give_up = "10m"',
    r".*demo-rsa.*\n": "",
}


async def play(row: Row) -> Verdict:
    """Set the stage, let the fault strike, wait for the end of it, judge."""
    async with stage(settings=_settings(row.world), world=_emulator(row.world)) as room:
        _cap_pipelining(room, row.world.pipelining)
        scene = Scene(room)
        async with AsyncExitStack() as stack:
            for directory, size in row.world.disks.items():
                stack.enter_context(_disk(room.directory / directory, size))
            scene.place = await stack.enter_async_context(STORES[row.world.store](room))
            stack.push_async_callback(scene.fall)
            await scene.rise()
            doubt = await row.inject(scene)
            return await judge(row, scene, doubt)


@contextmanager
def _disk(directory: Path, size: str) -> Iterator[None]:
    """A small disk of its own; needs root."""
    directory.mkdir(mode=0o700, parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def _settings(world: World) -> Callable[[str], str]:
    def change(text: str) -> str:
        for pattern, line in _CHANGES.items():
            text, count = re.subn(pattern, line.format(delivery=world.delivery), text)
            assert count, pattern
        return f"{text}\n{world.more}\n"

    return change


def _emulator(world: World) -> dict[str, object]:
    offers = {"pipelining": world.pipelining != "lockstep", "chunking": world.pipelining == "bdat"}
    return {"verifiers": 0, **offers, **world.emulator}


def _cap_pipelining(room: Stage, most: str) -> None:
    """Profiles of our own, that allow commands in groups and no more."""
    if most != "group":
        return
    (room.config / "receivers").mkdir()
    for profile in (shipped() / "receivers").glob("*.toml"):
        text = profile.read_text(encoding="utf-8").replace('pipelining = "chain"', 'pipelining = "group"')
        (room.config / "receivers" / profile.name).write_text(text, encoding="utf-8")
