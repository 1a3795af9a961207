"""Real signer processes: what they answer, what they refuse, and how they end."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from sender.content.key import PrivateKey, generate
from sender.content.rotation import Algorithm
from sender.errors import ConfigError
from sender.net.signing_wire import FAREWELL, Frame, FrameReader, answers_of, jobs_frame
from tests.signer_process import SignerProcess
from workers.signer import serve

pytestmark = pytest.mark.integration

NAME = b"shop.example/e1"
DIGEST = sha256(b"header").digest()
FLOOD = 8 * 2**20  # octets: many times what the sockets buffer


class Keys:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = generate(Algorithm.ED25519, folder / "e1.pem")
        self.files = {NAME.decode(): (folder / "e1.pem", Algorithm.ED25519)}

    def signer(self) -> SignerProcess:
        return SignerProcess(self.folder / "signer.sock", self.files)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(30)
    connection.connect(str(path))
    return connection


def frames(connection: socket.socket, count: int | None = None) -> list[Frame]:
    """The next `count` frames, or all up to the end."""
    reader, found = FrameReader(), list[Frame]()
    while count is None or len(found) < count:
        data = connection.recv(65536)
        if not data:
            break
        found += reader.feed(data)
    return found


def flood(connection: socket.socket, data: bytes, total: int) -> int:
    """Send up to `total` octets, giving up when the other end takes none for a while; how many were taken."""
    connection.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < total:
            place = sent % len(data)
            sent += connection.send(data[place:])
    return sent


def test_jobs_are_answered_in_order_and_pings_too(keys: Keys) -> None:
    with keys.signer() as signer, connected(signer.path) as worker:
        worker.sendall(jobs_frame(7, [(NAME, DIGEST), (NAME, bytes(32))]) + jobs_frame(8, []))
        first, second = frames(worker, 2)
        assert (first.number, answers_of(first)) == (7, [keys.key.sign(DIGEST), keys.key.sign(bytes(32))])
        assert (second.number, answers_of(second)) == (8, [])


def test_unknown_key_is_refused_for_its_job_alone(keys: Keys) -> None:
    with keys.signer() as signer, connected(signer.path) as worker:
        worker.sendall(jobs_frame(1, [(b"none\xff", DIGEST), (NAME, DIGEST)]))
        (frame,) = frames(worker, 1)
        assert answers_of(frame) == [r"no such key: b'none\xff'", keys.key.sign(DIGEST)]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", jobs_frame(1, [(NAME, DIGEST)])[:-1] + b"", bytes(20)])
def test_worker_that_talks_nonsense_or_leaves_disturbs_nobody(keys: Keys, data: bytes) -> None:
    with keys.signer() as signer, connected(signer.path) as other:
        with connected(signer.path) as worker:
            worker.sendall(data)
            worker.shutdown(socket.SHUT_WR)
            assert frames(worker) == []
        other.sendall(jobs_frame(1, [(NAME, DIGEST)]))
        (frame,) = frames(other, 1)
        assert answers_of(frame) == [keys.key.sign(DIGEST)]


def test_worker_that_does_not_read_delays_nobody(keys: Keys) -> None:
    with keys.signer() as signer, connected(signer.path) as deaf, connected(signer.path) as other:
        assert flood(deaf, jobs_frame(1, [(b"", DIGEST)] * 100), FLOOD) < FLOOD  # it stops reading before its memory fills
        other.sendall(jobs_frame(2, [(NAME, DIGEST)]))
        (frame,) = frames(other, 1)
        assert answers_of(frame) == [keys.key.sign(DIGEST)]


def test_socket_is_ours_alone_and_goes_with_the_signer(keys: Keys) -> None:
    with keys.signer() as signer:
        assert stat.S_IMODE(signer.path.stat().st_mode) == 0o600
        signer.send(signal.SIGTERM)
        assert signer.end() == (0, b"")
        assert [path.name for path in keys.folder.iterdir()] == ["e1.pem"]


def test_replacement_takes_the_place_and_keeps_it(keys: Keys) -> None:
    with keys.signer() as first, keys.signer() as second:
        first.send(signal.SIGTERM)
        assert first.end() == (0, b"")
        with connected(second.path) as worker:
            worker.sendall(jobs_frame(1, []))
            assert len(frames(worker, 1)) == 1


def test_what_arrived_before_sigterm_is_answered(keys: Keys) -> None:
    with keys.signer() as signer, connected(signer.path) as worker:
        signer.send(signal.SIGSTOP)
        worker.sendall(jobs_frame(1, [(NAME, DIGEST)] * 100))  # it is there before the signal is
        signer.send(signal.SIGTERM)
        signer.send(signal.SIGCONT)
        *answers, farewell = frames(worker)
        assert [answers_of(frame) for frame in answers] == [[keys.key.sign(DIGEST)] * 100]
        assert (farewell.number, farewell.count) == (FAREWELL, 0)
        assert signer.end() == (0, b"")


def test_signer_ends_with_its_parent(keys: Keys) -> None:
    with keys.signer() as signer, connected(signer.path) as worker:
        signer.orphan()
        assert [frame.number for frame in frames(worker)] == [FAREWELL]
        assert signer.end() == (0, b"")


@pytest.mark.row("S31")
def test_hardened_process_can_be_neither_dumped_nor_traced() -> None:
    code = "import ctypes, workers.signer; workers.signer.harden(); print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"0\n"  # PR_GET_DUMPABLE


@pytest.mark.row("F43")
def test_signer_fits_into_64_mib(keys: Keys) -> None:
    with keys.signer() as signer, connected(signer.path) as worker:
        worker.sendall(jobs_frame(1, [(NAME, DIGEST)] * 100))
        assert len(frames(worker, 1)) == 1
        status = Path(f"/proc/{signer.process.pid}/status").read_text()
        (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        assert int(peak) < 64 * 1024


@pytest.mark.row("S31")
def test_no_core_dump_when_it_crashes(keys: Keys) -> None:
    with keys.signer() as signer:
        process = Path(f"/proc/{signer.process.pid}")
        (limit,) = (line for line in (process / "limits").read_text().splitlines() if line.startswith("Max core file size"))
        assert limit.split()[4:6] == ["0", "0"]
        signer.send(signal.SIGABRT)
        status, errors = signer.end()
        assert (status, errors) == (-signal.SIGABRT, b"")


@pytest.mark.row("S31")
def test_key_is_in_no_argument_and_no_environment(keys: Keys) -> None:
    with keys.signer() as signer:
        secret = (keys.folder / "e1.pem").read_bytes().splitlines()[1]
        for name in ("cmdline", "environ"):
            assert secret not in Path(f"/proc/{signer.process.pid}/{name}").read_bytes()


@pytest.mark.row("S31")
def test_a_signer_has_no_socket_but_unix_ones(keys: Keys) -> None:
    with keys.signer() as signer, connected(signer.path) as worker:
        worker.sendall(jobs_frame(1, [(NAME, DIGEST)]))
        assert len(frames(worker, 1)) == 1
        process = Path(f"/proc/{signer.process.pid}")
        targets = [str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()]
        sockets = {target.removeprefix("socket:[").removesuffix("]") for target in targets if target.startswith("socket:[")}
        local = {line.split()[6] for line in (process / "net/unix").read_text().splitlines()[1:]}
    assert len(sockets) >= 2, "the one it listens on, and ours"
    assert sockets <= local


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701])
def test_directory_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ConfigError, match=f"{folder}: mode {mode:04o}: others may reach"):
        serve(folder / "signer.sock", {})
    assert list(folder.iterdir()) == []


def test_impossible_sockets_are_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(ConfigError, match="No such file"):
        serve(tmp_path / "none" / "signer.sock", {})
    with pytest.raises(ConfigError, match="no socket can be made here"):
        serve(tmp_path / ("s" * 120), {})


def test_serve_in_this_process_ends_at_its_stop(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    reading, writing = os.pipe()
    keys: dict[str, PrivateKey] = {}
    ready: list[bool] = []
    os.close(writing)
    serve(tmp_path / "signer.sock", keys, stop=[reading], ready=lambda: ready.append(True))
    os.close(reading)
    assert ready == [True]
    assert list(tmp_path.iterdir()) == []


def test_roles_that_hold_no_key_import_nothing_that_could_read_one() -> None:
    code = "import sys, workers.commands.run; sys.exit('cryptography.hazmat' in sys.modules or 'workers.signer' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
