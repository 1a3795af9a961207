"""Real programs as fixtures start them: found or asked for, ready before use, ended by their own process id."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

_READY_S = 20.0
_STOP_S = 10.0
_POLL_S = 0.05
_SHOWN = 2_000  # characters of a log that go into a failure
_SYSTEM_PATHS = "/usr/sbin:/sbin"  # where servers are; a user's PATH may lack them


def find(program: str, package: str) -> str:
    """The program's path; fails the test with what to install where there is none."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATHS}")
    if found is None:
        pytest.fail(f"{program} is missing: run tests/setup-debian.sh, or install the package {package}", pytrace=False)
    return found


def need_root(why: str) -> None:
    """Fails the test where it does not run as root."""
    if os.geteuid() != 0:
        pytest.fail(f"{why}: run the tests as root, as CI does; -m 'not integration' leaves this one out", pytrace=False)


@contextmanager
def open_directory() -> Iterator[Path]:
    """A temporary directory that servers may enter after they have dropped their privileges; pytest's own are private.

    Its path is short: a unix socket's may not exceed 107 octets.
    """
    directory = Path(tempfile.mkdtemp(prefix="penstock-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def running(command: Sequence[str], log: Path, ready: Callable[[], bool]) -> Iterator[int]:
    """The program, once `ready` says so; yields its process id. Its words go to `log`, its end comes with the block's."""
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
    try:
        _await_ready(process, command[0], log, ready)
        yield process.pid
    finally:
        _end(process)


def _await_ready(process: subprocess.Popen[bytes], name: str, log: Path, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _READY_S
    while not ready():
        if process.poll() is not None:
            pytest.fail(f"{name} ended with status {process.returncode}: {tail(log)}", pytrace=False)
        if time.monotonic() > deadline:
            pytest.fail(f"{name} was not ready after {_READY_S:g} s: {tail(log)}", pytrace=False)
        time.sleep(_POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM; in the end SIGKILL to the process and to what it has started, which is in a session of its own."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tail(log: Path) -> str:
    """The end of a log, for a failure's text."""
    return log.read_text(errors="replace")[-_SHOWN:] if log.exists() else "it has written no log"


def answers(address: str, port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as connection:
        connection.settimeout(1.0)
        return connection.connect_ex((address, port)) == 0


def own_network() -> str:
    """The first three numbers of 256 loopback addresses that no other test session is likely to have drawn."""
    return f"127.{100 + secrets.randbelow(100)}.{secrets.randbelow(256)}"


async def eventually(holds: Callable[[], bool], what: Callable[[], str], within_s: float = 20.0) -> None:
    """Wait for something a server does in its own time; fails with `what` where it takes too long."""
    with trio.move_on_after(within_s):
        while True:
            if holds():
                return
            await trio.sleep(_POLL_S)
    pytest.fail(f"not within {within_s:g} s: {what()}", pytrace=False)
