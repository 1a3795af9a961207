"""The emulator as a process: it says where it is, counts on request and ends with its parent."""

import json
import signal
import smtplib
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.asyncresolver
import trio

from tests.emulator.test_internet import files
from tests.emulator.test_verifier import MESSAGE_TEXT, Signer
from workers.emulator.process import RECORD_FILE


class Emulator:
    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self._buffer = b""

    async def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        while b"\n" not in self._buffer:
            data = await self.process.stdout.receive_some()
            assert data, "the emulator ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        parsed: dict[str, Any] = json.loads(line)
        return parsed

    async def ask(self, request: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(json.dumps(request).encode() + b"\n")
        return await self.line()


@asynccontextmanager
async def emulator(directory: Path, **options: object) -> AsyncIterator[Emulator]:
    command = [sys.executable, "-m", "workers.emulator.process", json.dumps({"directory": str(directory), **options})]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        with trio.fail_after(60):
            yield Emulator(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            await stream.aclose()


async def test_it_serves_counts_and_ends_with_its_input(tmp_path: Path) -> None:
    signer = Signer()
    records = [[name, "TXT", text] for name, text in signer.texts.items()]
    async with emulator(tmp_path, records=records, troubles=0.0) as running:
        ready = await running.line()
        assert ready["ready"] is True
        assert ready["ca_file"] == str(tmp_path / "ca.pem")

        def send() -> None:
            with smtplib.SMTP("127.77.2.1", ready["smtp_port"], local_hostname="out.example", timeout=60) as smtp:
                smtp.sendmail("news@shop.example", ["joe@outlook.com"], signer.sign(MESSAGE_TEXT))

        await trio.to_thread.run_sync(send)
        settled = await running.ask({"ask": "settle"})
        assert list(settled["receivers"]) == ["microsoft"]
        assert (settled["total"]["accepted"], settled["total"]["dkim_pass"]) == (1, 1)
        taken, judged = [json.loads(line) for line in (tmp_path / RECORD_FILE).read_text().splitlines()]
        assert (taken["serial"], taken["recipients"]) == (1, ["joe@outlook.com"])
        assert judged["signatures"] == ["pass shop.example"]
        assert running.process.stdin is not None
        await running.process.stdin.aclose()
        assert await running.process.wait() == 0
    assert files(tmp_path) == [RECORD_FILE]


async def test_requests_are_answered_and_mistakes_explained(tmp_path: Path) -> None:
    async with emulator(tmp_path, verifiers=0, record=False) as running:
        ready = await running.line()
        assert "unknown request" in (await running.ask({"ask": "dance"}))["error"]
        assert "one JSON object" in (await running.ask(["stats"]))["error"]
        assert "nonsense" in (await running.ask({"ask": "records", "records": [["a.example", "A", "nonsense"]]}))["error"]
        assert "total" in await running.ask({"ask": "records", "records": [["new.example", "A", "127.77.1.1"]]})
        assert "total" in await running.ask({"ask": "forgive"})
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = [ready["dns_address"]], ready["dns_port"]
        [address] = await resolver.resolve("new.example", "A")
        assert address.address == "127.77.1.1"


async def test_a_signal_ends_it_in_order(tmp_path: Path) -> None:
    async with emulator(tmp_path, record=False) as running:
        await running.line()
        running.process.send_signal(signal.SIGTERM)
        assert await running.process.wait() == 0
    assert files(tmp_path) == []
