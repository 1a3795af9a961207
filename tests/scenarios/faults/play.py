"""A row from its first process to its verdict."""

import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from sender.settings import shipped
from tests.scenarios.faults.judge import Verdict, judge
from tests.scenarios.faults.proxy import Proxy, proxy
from tests.scenarios.faults.row import Row, World
from tests.scenarios.faults.scene import Scene
from tests.scenarios.stage import Stage, stage
from workers.embedded import embedded_valkey

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
            if row.world.proxied:
                scene.proxy = await stack.enter_async_context(_proxied(room))
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


@asynccontextmanager
async def _proxied(room: Stage) -> AsyncIterator[Proxy]:
    """The store runs beside the fleet, which reaches it through the proxy alone."""
    async with embedded_valkey(room.socket.parent), proxy(room.socket) as running:
        penstock = room.config / "penstock.toml"
        url = f'[redis]\nurl = "redis://127.0.0.1:{running.port}"\n'
        penstock.write_text(penstock.read_text().replace("[redis]\n", url))
        yield running


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
