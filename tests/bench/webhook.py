"""A webhook receiver that is down for five minutes at 1,000 events a second: what delivery notices of it, and what is lost.

1. A fleet sends, paced at 1,000 messages a second, and nobody follows its events: how fast it is.
2. The consumer process begins, and its receiver is down: how fast the fleet is meanwhile.
3. The receiver is there: how fast the fleet is while it catches up, how long that takes, and what came how often.

The receiver and this process share the machine's cores with the fleet, the sink and the consumer.
"""

import base64
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sized
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from sender.queue.base import Queue
from sender.queue.control import FOR_EVER, Hold
from sender.queue.groups import Lag
from tests.bench.account import cpu_by_role
from tests.bench.figures import Columns, Figures, Row, show
from tests.bench.preloading import release
from tests.bench.receiving import compile_sink, receiving_side
from tests.bench.rig import running_alone
from tests.bench.steady import Load, at_work
from tests.consumers.receiver import OK, Receiver, Reply, Request
from tests.ports import free_ports
from tests.scenarios.stage import eventually

_NAME = "hooks"
_LANES, _RATE = 20, 1_000
_CURRENT = 200  # entries that a consumer is behind who follows
_SETTLE_S = 10.0  # before each phase is measured
_CATCH_UP_S = 240.0
_COLUMNS: Columns = (
    ("messages/s", "rate_per_s", ",.1f"),
    ("delivery, CPU µs a message", "delivery_us", ".1f"),
    ("events lost", "lost", ",.0f"),
    ("told more than once", "doubles", ",.0f"),
    ("seconds to catch up", "caught_up_s", ".1f"),
    ("events/s meanwhile", "events_per_s", ",.0f"),
)
_CONSUMER = """
[[consumer]]
name = "{name}"
kind = "webhook"
url = "{url}"
secret_file = "hooks.secret"
allow_private = true
"""


@dataclass
class _Heard:
    """How often the receiver was told of each change."""

    times: Counter[str] = field(default_factory=Counter)

    def answer(self, request: Request) -> Reply:
        self.times.update(request.ids)
        return OK


def run(quiet_s: float = 60.0, down_s: float = 300.0) -> list[Row]:
    """Measure and print the table."""
    found = trio.run(_measured, quiet_s, down_s)
    rows = [Row(who="Penstock", case=case, rounds=(figures,)) for case, figures in found.items()]
    show(
        f"a webhook receiver that is down for {down_s:.0f} s at {_RATE:,} events a second", rows, _COLUMNS, heads=("", "phase")
    )
    return rows


async def _measured(quiet_s: float, down_s: float) -> dict[str, Figures]:
    messages = int((2 * quiet_s + down_s + _CATCH_UP_S + 4 * _SETTLE_S) * _RATE)
    load = Load(name="webhook", lanes=_LANES, connections=2, messages=messages, pace=_RATE / _LANES, warm=2 * _RATE)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        with receiving_side(load.case, directory, compile_sink(directory)) as sink:
            async with at_work(load, directory) as (_, queue, process):
                watched = _Watched(queue=queue, spent=partial(cpu_by_role, process.pid, sink.pid))
                await release(queue, "bench")
                return await _phases(watched, directory, quiet_s, down_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched:
    """The fleet, from outside."""

    queue: Queue
    spent: Callable[[], dict[str, float]]

    async def finished(self, *campaigns: str) -> int:
        return sum(status.finished for status in await self.queue.status(campaigns or ("bench",)))

    async def phase(self, seconds: float) -> Figures:
        """How fast it is for so long, and what a message costs its delivery processes."""
        await trio.sleep(_SETTLE_S)
        began, before, first = time.monotonic(), self.spent(), await self.finished()
        await trio.sleep(seconds)
        took, after, done = time.monotonic() - began, self.spent(), await self.finished() - first
        print(f"{done:,} messages in {took:.1f} s", file=sys.stderr)
        return {"rate_per_s": done / took, "delivery_us": (after["delivery"] - before["delivery"]) / done * 1e6}

    async def behind(self) -> Lag:
        return (await self.queue.lag([_NAME], await self.queue.time()))[_NAME]

    async def is_followed(self) -> bool:
        return _NAME in await self.queue.lag([_NAME], await self.queue.time())

    async def caught_up(self) -> bool:
        return (await self.behind()).entries <= _CURRENT


async def _phases(watched: _Watched, directory: Path, quiet_s: float, down_s: float) -> dict[str, Figures]:
    heard, found = _Heard(), dict[str, Figures]()
    receiver = Receiver(answer=heard.answer)
    async with receiver.open():
        pass  # it has its port, and is down
    found["nobody follows"] = await watched.phase(quiet_s)
    async with _following(directory, receiver.url):
        await eventually("the consumer is there", watched.is_followed)
        found["its receiver is down"] = await watched.phase(down_s - _SETTLE_S)
        receiver.keeps = False
        async with receiver.open(), trio.open_nursery() as nursery:
            began = time.monotonic()
            caught_up = dict[str, float]()

            async def catch_up() -> None:
                await eventually("the consumer has caught up", watched.caught_up, _CATCH_UP_S)
                caught_up["caught_up_s"] = time.monotonic() - began
                caught_up["events_per_s"] = heard.times.total() / caught_up["caught_up_s"]

            nursery.start_soon(catch_up)
            found["it catches up"] = await watched.phase(quiet_s)
            await eventually("the consumer has caught up", lambda: _is_there(caught_up), _CATCH_UP_S)
            found["it catches up"] |= caught_up
            found["all in all"] = await _outcome(watched, heard)
    return found


async def _is_there(found: Sized) -> bool:
    return bool(found)


async def _outcome(watched: _Watched, heard: _Heard) -> Figures:
    """What was told of all that was sent, once nothing more is sent."""
    await watched.queue.hold([Hold(campaign="bench", start=-FOR_EVER, end=FOR_EVER)])

    async def is_quiet() -> bool:
        """Nothing more is leased from now on: once nothing is, all has been told that ever will be."""
        now = await watched.queue.time()
        return (await watched.queue.depth(now)).leased == 0 and (await watched.behind()).entries == 0

    await eventually("nothing more is sent, and all has been told", is_quiet, _CATCH_UP_S)
    done = await watched.finished("warm", "bench")
    return {"lost": done - len(heard.times), "doubles": heard.times.total() - len(heard.times)}


@asynccontextmanager
async def _following(directory: Path, url: str) -> AsyncIterator[None]:
    """The consumer process alone, beside a fleet that knows nothing of it."""
    own = directory / "follower"
    shutil.copytree(directory / "config", own)
    text = (own / "penstock.toml").read_text()
    text = re.sub(r"(?m)^port = \d+$", f"port = {free_ports(5)}", text)
    (own / "penstock.toml").write_text(text + _CONSUMER.format(name=_NAME, url=url))
    secret = own / "hooks.secret"
    secret.touch(mode=0o600)
    secret.write_text(f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}")
    async with running_alone("consumer", own):
        yield
