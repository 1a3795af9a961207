"""Programs that send from memory: each reads a job, says "ready", begins when it is told a line, and sends.

A sender of the jobs of `shares` does without a queue: there are as many as the engine has delivery processes, and they share
the connections that the engine has.
"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sender.content.key import generate
from sender.content.rotation import Algorithm
from tests.bench import work
from tests.bench.peers.contender import Started, status
from tests.bench.rig import Case

ROLE = "senders"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one sender is to do, as it reads it in JSON."""

    host: str
    port: int
    tls: bool
    connections: int
    sender: str
    domain: str
    selector: str
    key: str  # PEM; "": unsigned
    subject: str  # templates for those that build messages
    text: str
    message: str  # a template for those that take whole ones
    readers: Sequence[Mapping[str, str]]


def shares(case: Case, directory: Path) -> list[Job]:
    """The jobs of those that send to the receiving side themselves."""
    key, readers = "", work.readers(case)
    if case.sign:
        generate(Algorithm(case.sign), directory / "dkim.pem")
        key = (directory / "dkim.pem").read_text()
    return [
        Job(
            host=case.place.sink,
            port=case.place.port,
            tls=case.tls,
            connections=case.connections // case.delivery,
            sender=work.SENDER,
            domain=work.DOMAIN,
            selector=work.SELECTOR,
            key=key,
            subject=work.SUBJECT,
            text=work.text(case),
            message=work.message(case),
            readers=readers[number :: case.delivery],
        )
        for number in range(case.delivery)
    ]


@contextmanager
def sending(
    jobs: Sequence[Job], directory: Path, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[Started]:
    """A sender for each job, all ready; `command` is given the file of the job."""
    with ExitStack() as stack:
        senders = []
        for number, job in enumerate(jobs):
            path = directory / f"job{number}.json"
            path.write_bytes(msgspec.json.encode(job))
            log = directory / f"sender{number}.log"
            senders.append(stack.enter_context(_sender([*command, str(path)], log, environment)))
        for sender in senders:
            _await_ready(sender, directory)
        yield Started(
            roots={ROLE: [sender.pid for sender in senders]},
            go=lambda: _tell(senders),
            broken=lambda: _last_words(directory) if any(status(sender.pid) for sender in senders) else "",
        )


@contextmanager
def _sender(command: Sequence[str], log: Path, environment: Mapping[str, str] | None) -> Iterator["subprocess.Popen[str]"]:
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        file = stack.enter_context(log.open("w"))
        sender = stack.enter_context(
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=file, env=environment, text=True)
        )
        stack.callback(sender.kill)
        yield sender


def _await_ready(sender: "subprocess.Popen[str]", directory: Path) -> None:
    assert sender.stdout is not None
    if sender.stdout.readline() != "ready\n":
        raise RuntimeError(f"a sender did not get ready: {_last_words(directory)}")


def _tell(senders: "Sequence[subprocess.Popen[str]]") -> None:
    for sender in senders:
        assert sender.stdin is not None
        sender.stdin.write("go\n")
        sender.stdin.flush()


def _last_words(directory: Path) -> str:
    return "\n".join(path.read_text()[-500:] for path in sorted(directory.glob("sender*.log"))).strip() or "it said nothing"
