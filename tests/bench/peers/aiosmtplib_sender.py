"""One sender of aiosmtplib.py: `python -m tests.bench.peers.aiosmtplib_sender dkimpy|cryptography JOB`."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiosmtplib
import dkim
import msgspec
from cryptography.hazmat.primitives.asymmetric import padding, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.bench.peers.senders import Job
from tests.bench.work import merged, slots


async def _send_all(job: Job) -> None:
    """A task a connection; they share the readers."""
    template, readers = slots(job.message), iter(job.readers)
    async with asyncio.TaskGroup() as group:
        for _ in range(job.connections):
            group.create_task(_send(job, template, readers))


async def _send(job: Job, template: list[str], readers: Iterator[Mapping[str, str]]) -> None:
    client = aiosmtplib.SMTP(hostname=job.host, port=job.port, start_tls=job.tls, validate_certs=False)
    await client.connect()
    for reader in readers:
        message = merged(template, reader)
        if job.key:
            message = _signature(job, message) + message
        await client.sendmail(job.sender, reader["to"], message)


def _signature(job: Job, message: bytes) -> bytes:
    modes = (b"relaxed", b"relaxed")
    field = dkim.sign(message, job.selector.encode(), job.domain.encode(), job.key.encode(), canonicalize=modes)
    return bytes(field)


def _replace_rsa(job: Job) -> None:
    """Let `cryptography` sign what dkimpy has hashed, with a key that is loaded once."""
    key: Any = load_pem_private_key(job.key.encode(), None)

    def sign(digest: Any, _: Any) -> bytes:
        return bytes(key.sign(digest.digest(), padding.PKCS1v15(), utils.Prehashed(SHA256())))

    dkim.RSASSA_PKCS1_v1_5_sign = sign
    dkim.parse_pem_private_key = lambda data: key


def main() -> None:
    rsa, path = sys.argv[1:]
    job = msgspec.json.decode(Path(path).read_bytes(), type=Job)
    if job.key and rsa == "cryptography":
        _replace_rsa(job)
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(_send_all(job))


main()
