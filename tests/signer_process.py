"""A real signer in a process of its own, for tests that kill it, stop it or measure it."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from sender.content.key import load_all
from sender.content.rotation import Algorithm
from workers.signer import harden, serve, stop_at_sigterm

READY = b"ready\n"


class SignerProcess:
    """A signer at `path` that has said it is ready; it ends with the block, or when its parent does."""

    def __init__(self, path: Path, files: Mapping[str, tuple[Path, Algorithm]]) -> None:
        self.path = path
        named = [part for name, (file, algorithm) in files.items() for part in (name, str(file), str(algorithm))]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.signer_process", str(path), *named],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == READY

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def orphan(self) -> None:
        """Let go of the pipe that tells it that its parent lives."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> tuple[int, bytes]:
        """Wait for its end: the exit status and what it wrote to stderr."""
        assert self.process.stderr is not None
        errors = self.process.stderr.read()
        return self.process.wait(), errors

    def __enter__(self) -> "SignerProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


def main(path: str, *named: str) -> None:
    harden()
    triples = zip(named[::3], named[1::3], named[2::3], strict=True)
    keys = load_all({name: (Path(file), Algorithm(algorithm)) for name, file, algorithm in triples})
    stop = stop_at_sigterm()
    serve(Path(path), keys, stop=(stop, sys.stdin.fileno()), ready=lambda: _say(READY))


def _say(text: bytes) -> None:
    os.write(sys.stdout.fileno(), text)


if __name__ == "__main__":
    main(*sys.argv[1:])
