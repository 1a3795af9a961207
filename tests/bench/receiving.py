"""The receiving side: `sink.c`, or Postfix's smtp-sink to see that it is not ours that is measured."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import trustme

from tests.bench.rig import Case


def compile_sink(directory: Path) -> Path:
    """Build the receiving side; CalledProcessError where there is no compiler."""
    program = directory / "sink"
    source = Path(__file__).with_name("sink.c")
    subprocess.run(["cc", "-O2", "-o", str(program), str(source), "-lssl", "-lcrypto"], check=True)
    return program


@contextmanager
def receiving_side(case: Case, directory: Path, program: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The sink of a case, listening, with further options of its own; its JSON is read when it has ended."""
    command = _postfixs(case) if case.sink == "smtp-sink" else [str(program), *_ours(case, directory), *options]
    pipe = subprocess.PIPE
    with subprocess.Popen([*case.place.far, *command], stdout=pipe, stderr=pipe, text=True) as sink:
        try:
            _await(sink, case)
            yield sink
        finally:
            sink.kill()


def _ours(case: Case, directory: Path) -> list[str]:
    certificate = _certificate(case, directory) if case.tls else []
    return [str(case.place.port), "-a", case.place.sink, *certificate, *(["-B"] if case.bdat else [])]


def _postfixs(case: Case) -> list[str]:
    found = shutil.which("smtp-sink") or "/usr/sbin/smtp-sink"
    user = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to run as root
    return [found, *user, f"inet:{case.place.sink}:{case.place.port}", "1000"]


def _await(sink: subprocess.Popen[str], case: Case) -> None:
    """Ours says when it listens; RuntimeError with its last words where it can't. Postfix's says nothing."""
    assert sink.stderr is not None
    if case.sink == "ours" and (words := sink.stderr.readline()) != "ready\n":
        raise RuntimeError(f"the receiving side on {case.place.sink}: {words.strip() or 'it ended'}")


def _certificate(case: Case, directory: Path) -> list[str]:
    leaf = trustme.CA().issue_cert(*(f"in.mx{number}.example" for number in range(case.domains)))
    chain, key = directory / "chain.pem", directory / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return ["-t", str(chain), str(key)]


def sink_report(sink: subprocess.Popen[str]) -> dict[str, Any]:
    """What the receiving side saw; it ends here, if it has not ended by itself."""
    sink.terminate()
    text, _ = sink.communicate()
    return dict(msgspec.json.decode(text)) if text.startswith("{") else {}
