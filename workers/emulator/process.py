"""The emulated internet as a process of its own: `python -m workers.emulator.process '{"directory": "..."}'`.

1. One JSON line on standard output says where everything is.
2. Each JSON line on standard input is a request, answered by one line: `requests` has the list of them.
3. The end of standard input ends it, so that it can't outlive its parent; SIGTERM and SIGINT do too.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import trio

from workers.emulator.internet import Internet, emulate
from workers.emulator.ledger import Judged, Taken
from workers.emulator.requests import answer
from workers.emulator.world import World, WorldOptions, build
from workers.emulator.zone import Zone

Report = Callable[[dict[str, Any]], None]
_REQUEST_OCTETS = 4 * 1024 * 1024
RECORD_FILE = "accepted.jsonl"


class Options(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What the parent decides. The directory must exist; `ca.pem` lives there, and with `record` the list of what was taken."""

    directory: str
    seed: int = 1
    small_domains: int = 400
    troubles: float = 1.0
    greylist_s: float = 2.0
    strict: bool = False
    requires_dkim: bool = True
    pipelining: bool | None = None  # whether all receivers offer it; None: each as it does
    chunking: bool | None = None  # likewise
    ttl_s: int = 300
    tail: bool = False
    verifiers: int = 1
    record: bool = True
    dns_port: int = 0
    smtp_port: int = 0
    records: tuple[tuple[str, str, str], ...] = ()  # (name, kind, value): DKIM keys, SPF, DMARC of the sender under test


async def run(options: Options, report: Report) -> None:
    """Run the world until standard input ends or a signal comes; `report` gets the lines for the parent."""
    world = build(
        WorldOptions(
            seed=options.seed,
            small_domains=options.small_domains,
            troubles=options.troubles,
            greylist_s=options.greylist_s,
            strict=options.strict,
            requires_dkim=options.requires_dkim,
            pipelining=options.pipelining,
            chunking=options.chunking,
            ttl_s=options.ttl_s,
            tail=options.tail,
        )
    )
    zone = world.zone()
    for name, kind, value in options.records:
        zone.add(name, kind, value)
    async with trio.open_nursery() as nursery:
        await nursery.start(_end_on_signal, nursery.cancel_scope)
        await _serve(options, world, zone, report)
        nursery.cancel_scope.cancel()


async def _serve(options: Options, world: World, zone: Zone, report: Report) -> None:
    directory = Path(options.directory)
    with ExitStack() as stack:
        record = _recorder(stack, directory / RECORD_FILE) if options.record else None
        async with emulate(
            world,
            zone=zone,
            verifiers=options.verifiers,
            directory=directory,
            dns_port=options.dns_port,
            smtp_port=options.smtp_port,
            keep=False,
            record=record,
        ) as internet:
            report(_ready(internet))
            await _answer_requests(internet, report)


def _recorder(stack: ExitStack, path: Path) -> Callable[[Taken | Judged], None]:
    """Append each entry as one line, at once: who counts copies after a crash counts all of them."""
    file = stack.enter_context(path.open("ab", buffering=0))

    def record(entry: Taken | Judged) -> None:
        file.write(msgspec.json.encode(entry) + b"\n")

    return record


def _ready(internet: Internet) -> dict[str, Any]:
    address, port = internet.dns_address
    return {
        "ready": True,
        "dns_address": address,
        "dns_port": port,
        "smtp_port": internet.smtp_port,
        "ca_file": str(internet.ca_file),
        "network": "127.77.0.0/16",
        "receivers": [receiver.name for receiver in internet.world.receivers],
    }


async def _end_on_signal(scope: trio.CancelScope, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


async def _answer_requests(internet: Internet, report: Report) -> None:
    buffer = b""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
        async for data in stdin:
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                report(await answer(internet, line))
            if len(buffer) > _REQUEST_OCTETS:
                return


def main() -> None:
    try:
        options = msgspec.json.decode(sys.argv[1] if len(sys.argv) > 1 else "{}", type=Options)
    except msgspec.DecodeError as error:
        raise SystemExit(f"emulator: options: {error}") from None

    def report(line: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    trio.run(run, options, report)


if __name__ == "__main__":
    main()
