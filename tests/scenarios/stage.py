"""Real processes around a scenario: the emulated internet, a fleet as `penstock run` starts it, its Valkey, and the law.

Real time passes here, so nothing waits a fixed while: `eventually` asks again until what must come has come, or fails.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from sender.model import State
from sender.queue import open_queue
from sender.queue.base import CampaignStatus, Queue
from tests.ports import free_ports
from workers.demo import scene
from workers.emulator.people import addresses
from workers.emulator.process import RECORD_FILE
from workers.emulator.world import WorldOptions, build

DRAIN_S = 15.0  # as the demo's configuration has it
BOUND_S = DRAIN_S + 5 + 2 * 3 + 5  # what the supervisor gives its three groups, and Valkey to write its data out

_PARTITIONS = 4  # likewise
_ASKED_EVERY_S = 0.05
PATIENT_S = 240.0  # what has not come by then never does


async def eventually(what: str, check: Callable[[], Awaitable[object]], seconds: float = PATIENT_S) -> None:
    """Ask until the answer is true; AssertionError names what did not come."""
    deadline = trio.current_time() + seconds
    while not await check():
        assert trio.current_time() < deadline, f"not within {seconds:.0f} s: {what}"
        await trio.sleep(_ASKED_EVERY_S)


def processes_of(directory: Path) -> dict[int, str]:
    """The processes that were started with or for this directory, by number."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            words = _octets(entry / "cmdline")
            if str(directory).encode() in words + _octets(entry / "environ") and not _is_dead(entry):
                found[int(entry.name)] = words.replace(b"\0", b" ").decode(errors="replace")
    return found


def _whole_lines(path: Path) -> list[str]:
    """The lines of a file that may just be being written to: without a last one that has not all come yet."""
    text, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
    return text.splitlines()


def _octets(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # gone, or not ours to read
        return b""


def _is_dead(entry: Path) -> bool:
    return b"State:\tZ" in _octets(entry / "status")


@dataclass(slots=True, kw_only=True)
class Stage:
    """One scenario's world."""

    directory: Path
    config: Path
    emulator: scene.Emulator
    starts: int = 0
    store_url: str = ""  # of a store that is not the fleet's own
    _queue: Queue | None = None
    # by campaign: recipients as they were written
    submitted: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def socket(self) -> Path:
        return self.directory / "state" / "valkey" / "valkey.sock"

    @asynccontextmanager
    async def fleet(self) -> AsyncIterator[trio.Process]:
        """`penstock run`, ended in order at the end of the block unless the test has ended it."""
        self.starts += 1
        async with scene.fleet(self.config, self.log) as process:
            if not self.store_url:
                await eventually("Valkey answers", self.answers)
            self._queue = await open_queue(self.store_url or f"unix://{self.socket}", partitions=_PARTITIONS)
            try:
                yield process
            finally:
                await self._queue.aclose()
                self._queue = None

    @property
    def queue(self) -> Queue:
        """The fleet's queue, while the fleet runs."""
        assert self._queue is not None
        return self._queue

    @property
    def log(self) -> Path:
        """What the fleet that was started last has logged."""
        return self.directory / f"fleet-{self.starts}.log"

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = _whole_lines(self.log)
        return [line for text in lines if text.startswith("{") and (line := json.loads(text))["event"] == event]

    def pid(self, child: str) -> int:
        """The process number of this child of the fleet, the newest."""
        return int([line["pid"] for line in self.logged("child started") if line["child"] == child][-1])

    async def penstock(self, *arguments: str) -> str:
        """The output of a command of ours; AssertionError where it fails."""
        command = [sys.executable, "-m", "workers.cli", *arguments, "--config", str(self.config)]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    async def redis_cli(self, *arguments: str, stdin: bytes = b"") -> str:
        """What Redis's own command line answers."""
        program = shutil.which("valkey-cli") or shutil.which("redis-cli")
        assert program, "install redis-tools: tests/setup-debian.sh does"
        done = await trio.run_process([program, "-s", str(self.socket), *arguments], capture_stdout=True, stdin=stdin)
        return done.stdout.decode(errors="backslashreplace").strip()

    async def submit(self, campaign: str, recipients: Iterable[str], more: str = "") -> str:
        """`penstock submit`, with a list of these addresses; `more` are lines of the campaign file."""
        rows, toml = self.directory / f"{campaign}.csv", self.directory / f"{campaign}.toml"
        addresses = list(recipients)
        rows.write_text("email,name\n" + "".join(f"{address},Reader\n" for address in addresses))
        content = 'from = "Shop <news@shop.example>"\nsubject = "Hello {{ name }}"\ntext = "Spring, {{ name }}."\n'
        toml.write_text(content + more)
        self.submitted[campaign] = Counter(addresses)
        return await self.penstock("submit", str(toml), str(rows))

    async def receivers_think(self, seconds: float) -> None:
        """Let receivers take so long over each message, so that a campaign outlasts what befalls it; 0: no more."""
        if seconds:
            await self.emulator.ask("strike", strikes=[{"point": "taken", "does": "wait", "wait_s": seconds}])
        else:
            await self.emulator.ask("heal")

    async def status(self, campaign: str) -> CampaignStatus | None:
        found = await self.queue.status([campaign])
        return found[0] if found else None

    async def delivered(self, campaign: str) -> int:
        status = await self.status(campaign)
        return sum(count for (_, state), count in status.final.items() if state is State.DELIVERED) if status else 0

    def copies(self) -> Counter[str]:
        """How often each recipient's receiver took a message: their own record, which outlives everything of ours."""
        copies: Counter[str] = Counter()
        for entry in self.record():
            copies.update(entry.get("recipients", ()))
        return copies

    def record(self) -> list[dict[str, Any]]:
        """What the receivers have written down of what they took, and of its signatures."""
        record = self.directory / RECORD_FILE
        return [json.loads(line) for line in _whole_lines(record)] if record.exists() else []

    async def finished(self, campaign: str, seconds: float = PATIENT_S) -> None:
        """Wait until every recipient of the campaign has its final state."""

        async def check() -> bool:
            status = await self.status(campaign)
            return status is not None and status.complete and not status.queued

        await eventually(f"every recipient of {campaign} in a final state", check, seconds)

    async def conserved(self, campaign: str) -> dict[State, int]:
        """The law: recipients are the sum of the final states, and who we call delivered is in the receivers' record."""
        status = await self.status(campaign)
        assert status is not None
        totals: Counter[State] = Counter()
        for (_, state), count in status.final.items():
            totals[state] += count
        recipients = self.submitted[campaign]
        assert totals.total() == status.accepted == recipients.total()
        copies = self.copies()
        reached = sum(copies[recipient] > 0 for recipient in recipients)
        assert reached >= totals[State.DELIVERED]
        return dict(totals)

    async def told_delivered(self) -> dict[str, float]:
        """When each recipient's delivery was recorded, Unix seconds."""
        cursor, found = "", dict[str, float]()
        while True:
            cursor, lines = await self.queue.events(cursor, 5_000)
            if not lines:
                return found
            events = map(json.loads, lines)
            found.update((event["to"], event["at"]) for event in events if event["type"] == "delivered")

    def fleet_processes(self) -> dict[int, str]:
        """What runs of the fleets of this stage."""
        marks = ("workers.cli run", "valkey-server")
        found = processes_of(self.directory).items()
        return {number: words for number, words in found if any(mark in words for mark in marks)}

    @property
    def store(self) -> int:
        """The process number of the fleet's own Valkey; its guard is another process."""
        for number in self.fleet_processes():
            if Path(f"/proc/{number}/exe").resolve().name in ("valkey-server", "redis-server"):
                return number
        raise AssertionError("no store runs")

    async def answers(self) -> bool:
        """Whether the fleet's Valkey takes commands."""
        if not self.socket.exists():
            return False
        try:
            stream = await trio.open_unix_socket(str(self.socket))
        except OSError:
            return False
        async with stream:
            try:
                await stream.send_all(b"PING\r\n")
                return bytes(await stream.receive_some(64)).startswith(b"+PONG")
            except trio.BrokenResourceError:  # it has just ended
                return False


@asynccontextmanager
async def stage(
    *,
    troubles: float = 0.0,
    settings: Callable[[str], str] = lambda text: text,
    world: Mapping[str, object] | None = None,
) -> AsyncIterator[Stage]:
    """The emulated internet and a configuration for it; no fleet runs yet.

    `settings` may change penstock.toml; `world` has more options for the emulator (see `workers.emulator.process`).
    """
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(scene.stage())
        config = directory / "config"
        config.mkdir(mode=0o700)
        records = scene.make_keys(config)
        options = {"records": records, "record": True, "troubles": troubles, "greylist_s": 0.2, **(world or {})}
        emulator = await stack.enter_async_context(scene.emulator(directory, options))
        scene.write_config(config, None, emulator.ready, free_ports(8))
        penstock = config / "penstock.toml"
        penstock.write_text(settings(penstock.read_text()))
        yield Stage(directory=directory, config=config, emulator=emulator)


def readers(count: int) -> list[str]:
    """Different addresses in the proportions of a consumer list."""
    return list(addresses(build(WorldOptions()), count))


def run_in_background(command: list[str], environment: dict[str, str], output: Path) -> subprocess.Popen[bytes]:
    """A process whose output goes to a file, in a session of its own."""
    with output.open("wb") as file:
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
