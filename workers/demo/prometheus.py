"""A Prometheus of one's own, with the shipped configuration, rules and alerts, for a fleet on this machine's loopback.

It has a directory for itself: copies of the shipped files, so that rules are found beside the configuration, its data, its log.
"""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from sender.errors import SenderError
from sender.settings.sections import PenstockFile
from workers.guard import end_guarded, guarded

_START_S = 60.0
_STOP_S = 10.0
_POLL_S = 0.05
_DOCUMENTED_PORT = PenstockFile().metrics.port  # where the shipped configuration looks for a fleet's first process


def shipped() -> Path:
    """The files that travel with the program: `deploy/prometheus` in a checkout, beside this one once installed."""
    here = Path(__file__).resolve()
    installed = here.with_name("deploy")
    return installed if installed.is_dir() else here.parents[2] / "deploy" / "prometheus"


def find_program() -> str:
    """Where Prometheus is; SenderError where it is not."""
    found = shutil.which("prometheus")
    if found is None:
        raise SenderError(
            "no `prometheus` on PATH: install it (`apt install prometheus`, `brew install prometheus` or "
            "https://prometheus.io/download), or leave --prometheus out"
        )
    return found


@asynccontextmanager
async def prometheus(
    directory: Path, *, port: int, first: int, files: Path | None = None, consumers: bool = False, every: str = "1s"
) -> AsyncIterator[str]:
    """Prometheus on this port of the loopback, scraping the fleet whose first metrics port is `first`; gives its URL.

    It runs while the block does, and no longer than this process. `directory` must not exist yet; `files` are the
    shipped ones where nothing else is said; `consumers` says that the fleet has some. One that is up for seconds is
    scraped `every` second. SenderError where it does not start.
    """
    _configure(files or shipped(), directory, partial(_adapted, first=first, consumers=consumers, every=every))
    log = directory / "log"
    with log.open("wb") as file:
        process = await trio.lowlevel.open_process(
            guarded([find_program(), *_arguments(directory, port)]),
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C is for us
        )
    try:
        await _until_ready(process, port, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        with trio.CancelScope(shield=True):
            await end_guarded(process, _STOP_S)


def _arguments(directory: Path, port: int) -> list[str]:
    return [
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]


def _configure(files: Path, directory: Path, adapted: Callable[[str], str]) -> None:
    directory.mkdir(mode=0o700)
    for name in ("rules.yml", "alerts.yml"):
        shutil.copy(files / name, directory)
    (directory / "prometheus.yml").write_text(adapted((files / "prometheus.yml").read_text()))


def _adapted(text: str, *, first: int, consumers: bool, every: str) -> str:
    """This fleet's ports, how often it is looked at, and nobody who is told of alerts."""
    text = re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{int(found[1]) - _DOCUMENTED_PORT + first}", text)
    text = re.sub(r"^alerting:\n(?: .*\n)+", "", text, flags=re.MULTILINE)
    if consumers:
        text = re.sub(r"^( +)# (- targets: .*\n +)# (  labels: {role: consumer})", r"\1\2\3", text, flags=re.MULTILINE)
    return re.sub(r"(scrape|evaluation)_interval: \w+", rf"\1_interval: {every}", text)


async def _until_ready(process: trio.Process, port: int, log: Path) -> None:
    with trio.move_on_after(_START_S):
        while process.poll() is None:
            if await _is_ready(port):
                return
            await trio.sleep(_POLL_S)
    raise SenderError(f"Prometheus did not start:\n{_last_words(log)}")


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])


async def _is_ready(port: int) -> bool:
    try:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET /-/ready HTTP/1.0\r\n\r\n")
            return b" 200 " in bytes(await stream.receive_some(64))
    except (OSError, trio.BrokenResourceError):  # nobody listens yet
        return False
