"""What feeds Postfix: merged messages over several SMTP connections, commands in groups. `python -m ... injector JOB`.

It is the cheapest we could write, since it shares the processors with what it feeds.
"""

import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import msgspec

from tests.bench.peers.senders import Job
from tests.bench.work import merged, slots


class _Shared:
    """The readers, handed out to threads one by one."""

    def __init__(self, readers: Iterator[Mapping[str, str]]) -> None:
        self._readers, self._lock = readers, threading.Lock()

    def __iter__(self) -> Iterator[Mapping[str, str]]:
        while True:
            with self._lock:
                reader = next(self._readers, None)
            if reader is None:
                return
            yield reader


def _inject(job: Job, template: list[str], readers: _Shared) -> None:
    """One connection; RuntimeError at the first refusal."""
    with socket.create_connection((job.host, job.port)) as connection, connection.makefile("rb") as replies:
        _expect(replies, b"220")
        connection.sendall(b"EHLO injector.bench.example\r\n")
        _expect(replies, b"250")
        for reader in readers:
            group = f"MAIL FROM:<{job.sender}>\r\nRCPT TO:<{reader['to']}>\r\nDATA\r\n"
            connection.sendall(group.encode())
            for code in (b"250", b"250", b"354"):
                _expect(replies, code)
            connection.sendall(merged(template, reader) + b"\r\n.\r\n")  # no line of the template begins with a dot
            _expect(replies, b"250")
        connection.sendall(b"QUIT\r\n")
        _expect(replies, b"221")


def _expect(replies: BinaryIO, code: bytes) -> None:
    while (line := replies.readline())[3:4] == b"-":
        pass
    if not line.startswith(code):
        raise RuntimeError(f"Postfix said {line!r}")


def main() -> None:
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job)
    template, readers = slots(job.message), _Shared(iter(job.readers))
    with ThreadPoolExecutor(job.connections) as threads:
        print("ready", flush=True)
        sys.stdin.readline()
        for done in [threads.submit(_inject, job, template, readers) for _ in range(job.connections)]:
            done.result()


main()
