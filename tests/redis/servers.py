"""A Redis or Valkey process that a test may kill, freeze and start again over the same data.

Usable outside pytest: `async with one_server(directory) as server:` gives its URL and its pid.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio

from sender.errors import BackendError
from sender.queue.node import Command, Node
from sender.settings.store_url import StoreUrl
from tests.ports import free_port
from workers.embedded import find_server

HOST = "127.0.0.1"
_GUARD = 'exec 3<&0; ( read _ <&3 || kill -KILL $$ ) & exec "$@" 3<&- </dev/null'  # it ends with us, however we end
_READY_S = 30.0
_POLL_S = 0.02
_ORDINARY = """\
bind 127.0.0.1
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
repl-diskless-sync-delay 0
"""


class Server:
    """One server; `lines` are added to its configuration, later ones win."""

    def __init__(
        self,
        directory: Path,
        *lines: str,
        ordinary: str = _ORDINARY,
        program: Path | None = None,
        mode: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory, self.port = directory, free_port()
        self.log = directory / "server.log"
        self._lines, self._ordinary, self._mode = list(lines), ordinary, mode
        self._program = program or find_server()
        self._environment = dict(os.environ) | dict(environment or {})
        self._process: trio.Process | None = None
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._configuration = directory / "server.conf"
        self._configuration.write_text(f"port {self.port}\ndir {directory}\nlogfile {self.log}\n{ordinary}" + "\n".join(lines))

    def __repr__(self) -> str:
        return f"<Server {HOST}:{self.port}>"

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def aof(self) -> Path:
        """The part of the append-only file that grows."""
        (found,) = self.directory.glob("appendonlydir/*.incr.aof")
        return found

    @property
    def status(self) -> int | None:
        """How the process ended, None while it runs."""
        assert self._process is not None, "not started"
        return self._process.poll()

    async def start(self, *, wait: bool = True) -> None:
        """Start it, for the first time or again; AssertionError with its last words where it does not get ready."""
        self._process = await trio.lowlevel.open_process(
            ["/bin/sh", "-c", _GUARD, "guard", str(self._program), str(self._configuration), *self._mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            start_new_session=True,
        )
        if wait:
            await until(partial(self._answers), f"{self} to be ready", self._last_words)

    async def _answers(self) -> bool:
        assert self.status is None, self._last_words()
        with suppress(BackendError):
            await self.ask("PING")
            return True
        return False

    async def ask(self, *command: str | int, url: str = "") -> Any:
        """Run one command; BackendError where it is refused or the server is not there."""
        return await ask(url or self.url, command)

    def kill(self) -> None:
        """SIGKILL: no last word, nothing written out."""
        os.kill(self.pid, signal.SIGKILL)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def wait(self) -> int:
        """Wait until it has ended."""
        assert self._process is not None, "not started"
        return await self._process.wait()

    async def stop(self) -> None:
        """End it and its guard, whatever state it is in; nothing where it does not run."""
        if self._process is None:
            return
        with trio.CancelScope(shield=True):
            if self._process.poll() is None:
                self._process.kill()  # also where it is frozen
            await self._process.wait()
            if self._process.stdin is not None:
                with suppress(trio.BrokenResourceError):
                    await self._process.stdin.send_all(b"\n")  # the guard leaves a process number that is no longer ours
                await self._process.stdin.aclose()
        self._process = None

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-5:]) if self.log.exists() else "no log"


@asynccontextmanager
async def one_server(directory: Path, *lines: str, **how: Any) -> AsyncIterator[Server]:
    """A server with an append-only file, fsynced every second."""
    server = Server(directory, *lines, **how)
    async with running(server):
        yield server


@asynccontextmanager
async def running(*servers: Server) -> AsyncIterator[None]:
    """Start servers, and end them with the block."""
    try:
        for server in servers:
            await server.start()
        yield
    finally:
        for server in servers:
            await server.stop()


async def ask(url: str, command: Command) -> Any:
    """One command to one server."""

    def run() -> Any:
        parsed = StoreUrl.parse(url)
        node = Node(parsed.hosts[0], parsed, {}, 5.0)
        try:
            (reply,) = node.ask(command)
        finally:
            node.close()
        return reply

    return await trio.to_thread.run_sync(run)


async def until(condition: Any, what: str, why: Any = lambda: "") -> None:
    """Wait for what a real process does in its own time."""
    deadline = trio.current_time() + _READY_S
    while trio.current_time() < deadline:
        if await condition():
            return
        await trio.sleep(_POLL_S)
    raise AssertionError(f"waited in vain for {what}: {why()}")


def debian_redis() -> Path:
    """Redis 7.0 of Debian 12: the oldest that Penstock promises to run on, and it speaks TLS."""
    found = shutil.which("redis-server")
    assert found is not None, "redis-server is missing: tests/setup-debian.sh installs it"
    return Path(found)
