"""The demo's stage: a temporary directory, a configuration in it, the emulated internet and the fleet."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from sender.content.key import generate
from sender.content.rotation import Algorithm
from sender.errors import SenderError
from workers.demo.mailing import DOMAIN
from workers.lifeline import LIFELINE

_READY_S = 60.0
_STOP_S = 50.0  # longer than the fleet's own bound: drain_s and 5 s, twice 3 s, 20 s for its store
_SOURCES = 4
_TEMP_PATH_MAX = 50  # characters of the system's temporary directory: below it a unix socket's path may have 100

# Sources stand on loopback addresses of their own, so that the receivers see four senders and judge each by itself.
_PENSTOCK = """\
[redis]
partitions = 4

[fleet]
host = "demo"
delivery = 2
signers = 2
runtime_dir = "{runtime}"
state_dir = "{state}"
drain_s = "15s"

[net]
nameservers = ["{dns_address}"]
dns_port = {dns_port}
smtp_port = {smtp_port}
allow_targets = ["{network}"]
ca_file = "{ca_file}"
ip = "ipv4"

[retry]
curve = ["2h", "4h", "8h", "12h"]
give_up = "30s"
scale = {scale}

[metrics]
port = {metrics_port}

[log]
level = "info"

[tokens]
key_file = "tokens.key"

[[identity]]
domain = "{domain}"
keys = [
  {{ selector = "demo-rsa", file = "rsa.pem", algorithm = "rsa-sha256" }},
  {{ selector = "demo-ed", file = "ed25519.pem", algorithm = "ed25519-sha256" }},
]
"""

_SOURCE = """\
[[source]]
name = "source-{number}"
address = "127.78.0.{number}"
ehlo = "mta{number}.{domain}"
pool = "main"
"""

_WARMUP = 'warmup = "steady"\n'  # of the last source
_CONSUMER = """
[[consumer]]
name = "demo"
kind = "file"
"""

WAITS_SCALE = 1 / 3600  # an hour of patience becomes a second, in rules, retries and pauses alike


class Emulator:
    """The emulated internet's process, and the questions it answers."""

    def __init__(self, process: trio.Process, ready: dict[str, Any], lines: AsyncIterator[dict[str, Any]]) -> None:
        self._process, self._lines = process, lines
        self.ready = ready

    async def ask(self, question: str, **more: Any) -> dict[str, Any]:
        """One request, one answer; SenderError where the emulator has died."""
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send_all(msgspec.json.encode({"ask": question, **more}) + b"\n")
            return await anext(self._lines)
        except (trio.BrokenResourceError, StopAsyncIteration):
            raise SenderError("the emulated internet has ended unexpectedly") from None


@contextmanager
def stage() -> Iterator[Path]:
    """A private temporary directory, gone afterwards. Its path is short: a unix socket's may not exceed 107 octets."""
    place = tempfile.gettempdir()
    directory = Path(tempfile.mkdtemp(prefix="penstock-", dir=place if len(place) <= _TEMP_PATH_MAX else "/tmp"))  # noqa: S108  mkdtemp makes it ours alone
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def emulator(directory: Path, options: dict[str, Any]) -> AsyncIterator[Emulator]:
    """The emulated internet, ended on the way out."""
    command = [
        sys.executable,
        "-m",
        "workers.emulator.process",
        msgspec.json.encode({"directory": str(directory), **options}).decode(),
    ]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        async with aclosing(_json_lines(process)) as lines:
            with trio.fail_after(_READY_S):
                try:
                    ready = await anext(lines)
                except StopAsyncIteration:
                    raise SenderError("the emulated internet did not start") from None
            yield Emulator(process, ready, lines)
    finally:
        await _end(process)


@asynccontextmanager
async def fleet(config: Path, log: Path) -> AsyncIterator[trio.Process]:
    """`penstock run` with this configuration, its log in `log`; drained on the way out and, by its lifeline, should we die."""
    reading, writing = os.pipe()
    with log.open("wb") as file:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "workers.cli", "run", "--config", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, LIFELINE: str(reading)},
            pass_fds=(reading,),
            start_new_session=True,
        )
        os.close(reading)
        try:
            yield process
        finally:
            await _end(process)
            os.close(writing)


async def _end(process: trio.Process) -> None:
    """SIGTERM, and in the end SIGKILL: whatever interrupts the demo, no process stays behind."""
    with trio.CancelScope(shield=True):
        if process.stdin is not None:
            await process.stdin.aclose()
        if process.poll() is None:
            process.terminate()
        with trio.move_on_after(_STOP_S):
            await process.wait()
        if process.poll() is None:
            process.kill()
            await process.wait()
        if process.stdout is not None:
            await process.stdout.aclose()


async def _json_lines(process: trio.Process) -> AsyncGenerator[dict[str, Any], None]:
    assert process.stdout is not None
    buffer = b""
    async for data in process.stdout:
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            yield msgspec.json.decode(line)


def make_keys(config: Path) -> tuple[tuple[str, str, str], ...]:
    """Make the demo's DKIM and token keys; returns the DNS records that publish the former."""
    records = []
    for selector, file, algorithm in (("demo-rsa", "rsa.pem", Algorithm.RSA), ("demo-ed", "ed25519.pem", Algorithm.ED25519)):
        key = generate(algorithm, config / file)
        records.append((f"{selector}._domainkey.{DOMAIN}", "TXT", key.dns_record()))
    tokens = config / "tokens.key"
    tokens.touch(mode=0o600)
    tokens.write_text(f"a {secrets.token_hex(32)}\n", encoding="ascii")
    return tuple(records)


def write_config(config: Path, base: Path | None, ready: dict[str, Any], metrics_port: int, *, watched: bool = False) -> None:
    """The demo's own network, keys and sources over the user's configuration, whose receivers and warmup plans stay.

    `watched`: so that there is something to see of everything, one source warms up, and a file follows the events.
    """
    if base is not None:
        shutil.copytree(base, config, dirs_exist_ok=True)
    runtime, state = config.parent / "run", config.parent / "state"
    for directory in (runtime, state):
        directory.mkdir(mode=0o700)
    text = _PENSTOCK.format(
        runtime=runtime,
        state=state,
        domain=DOMAIN,
        scale=WAITS_SCALE,
        metrics_port=metrics_port,
        **{key: ready[key] for key in ("dns_address", "dns_port", "smtp_port", "ca_file", "network")},
    )
    sources = "\n".join(_SOURCE.format(number=number, domain=DOMAIN) for number in range(1, _SOURCES + 1))
    if watched:
        text, sources = text + _CONSUMER, sources + _WARMUP
    (config / "penstock.toml").write_text(text, encoding="utf-8")
    (config / "sources.toml").write_text(sources, encoding="utf-8")
