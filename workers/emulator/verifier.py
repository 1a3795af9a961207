"""The judge of our signatures: dkimpy over every message the receivers took, with keys from the world's own DNS.

It runs as a process of its own (`python -m workers.emulator.verifier`), so that judging slows no answer:
frames come on standard input, verdicts go to standard output as JSON lines, and the end of input ends it.

Nothing of ours takes part: dkimpy has its own RSA, and PyNaCl for Ed25519.
"""

import json
import logging
import os
import struct
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

import dkim

FRAME = struct.Struct(">cIQ")  # kind, octets that follow, serial
KEYS, MESSAGE = b"K", b"M"
_MOST_SIGNATURES = 10
_SMALLEST_RSA_BITS = 1_024  # RFC 8301 section 3.2


class Judge:
    """Verifies messages against the keys it has been told of; looks nothing up."""

    def __init__(self) -> None:
        self._texts: dict[bytes, str] = {}
        self._parsed: dict[bytes, tuple[Any, Any, Any, Any]] = {}
        self._log = logging.getLogger(__name__)
        self._log.addHandler(logging.NullHandler())
        self._log.propagate = False

    def learn(self, texts: Mapping[str, str]) -> None:
        """Take these as all the TXT records there are."""
        self._texts = {name.encode(): text for name, text in texts.items()}
        self._parsed.clear()

    def judge(self, content: bytes) -> tuple[str, ...]:
        """One entry per signature, topmost first: "pass domain" or "fail domain: why"."""
        try:
            message = dkim.DKIM(content, logger=self._log, minkey=_SMALLEST_RSA_BITS)
        except dkim.DKIMException as error:
            return (f"fail ?: {error}",)
        count = sum(name.lower() == b"dkim-signature" for name, _ in message.headers)
        return tuple(self._signature(message, place) for place in range(min(count, _MOST_SIGNATURES)))

    def _signature(self, message: Any, place: int) -> str:
        message.domain = b"?"
        try:
            signature, included, headers = message.verify_headerprep(place)
            name = (signature[b"s"] + b"._domainkey." + signature[b"d"]).lower()
            key, message.keysize, message.ktag, message.seqtlsrpt = self._key(name)
            message.pk = key
            good = message.verify_sig_process(signature, included, headers[place], None)
        except (dkim.DKIMException, ValueError, KeyError) as error:
            return f"fail {_text(message.domain)}: {error}"
        return f"pass {_text(message.domain)}" if good else f"fail {_text(message.domain)}: the signature does not match"

    def _key(self, name: bytes) -> tuple[Any, Any, Any, Any]:
        parsed = self._parsed.get(name)
        if parsed is None:
            text = self._texts.get(name)
            if text is None:
                raise ValueError(f"no key at {_text(name)}")
            parsed = self._parsed[name] = _parse(name, text)
        return parsed


def _parse(name: bytes, text: str) -> tuple[Any, Any, Any, Any]:
    parsed: tuple[Any, Any, Any, Any] = dkim.evaluate_pk(name, text)
    return parsed


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def frame(kind: bytes, serial: int, payload: bytes) -> bytes:
    """One unit of the judge's input."""
    return FRAME.pack(kind, len(payload), serial) + payload


def verdict_line(serial: int, signatures: tuple[str, ...]) -> bytes:
    """One unit of the judge's output."""
    return json.dumps({"serial": serial, "signatures": signatures}).encode() + b"\n"


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Judge what comes until the input ends."""
    judge = Judge()
    while len(head := source.read(FRAME.size)) == FRAME.size:
        kind, octets, serial = FRAME.unpack(head)
        payload = source.read(octets)
        if kind == KEYS:
            judge.learn(json.loads(payload))
        else:
            sink.write(verdict_line(serial, judge.judge(payload)))
            sink.flush()


def main() -> None:
    os.nice(19)  # the receivers and the sender under test come first
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except (BrokenPipeError, KeyboardInterrupt):
        # Whoever asked is gone. Nothing more may be written, not even by the interpreter's own flush at exit.
        os._exit(0)


if __name__ == "__main__":
    main()
