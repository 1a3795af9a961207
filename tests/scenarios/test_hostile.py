"""Receivers whose words are meant to harm who reads them: logs, events, hooks, metrics and terminals show mere words."""

import base64
import json
import unicodedata
from urllib.request import urlopen

import pytest

from sender.model import State
from sender.settings import load
from tests.consumers.receiver import Receiver
from tests.scenarios.stage import Stage, eventually, stage
from workers.fleet import DELIVERY_PORT, EXPANDER_PORT, SCHEDULER_PORT

pytestmark = pytest.mark.integration

_MARK = "Zwischenruf"  # stands in each of them, so that it can be looked for
_TERMINAL = f"\x1b[2J\x1b]0;owned\x07{_MARK}\x1b[31m\x9b1m\x00\x08\x7f"
_MARKUP = f"<script>alert(1)</script>{{{{ name }}}}[red]{_MARK}[/red]%n%s${{IFS}}"
_TURNED = f"\u202e{_MARK}\u2066\u200b\ufeff"
_LONG = _MARK * 5_800  # just short of the 64 KiB at which a reply is no reply any more
_SAID = {
    "ann@gmail.com": f"550 5.1.1 {_TERMINAL}",
    "bob@orange.fr": f"554 5.7.1 {_MARKUP}",
    "cid@free.fr": f"550 5.1.1 {_TURNED}",
    "dan@gmx.net": f"550 5.1.1 {_LONG}",
}
_READ_S = 60.0
_CONSUMERS = """
[[consumer]]
name = "file"
kind = "file"
[[consumer]]
name = "hook"
kind = "webhook"
url = "{url}"
format = "lines"
secret_env = "HOOK_SECRET"
allow_private = true
"""
_LINE_MOST = 16_384  # characters of one line, whoever writes it


async def _refused(play: Stage) -> None:
    """Each is told its own words, again and again where they are no reply."""
    strikes = [{"point": "rcpt", "to": to, "times": 1, "says": says} for to, says in _SAID.items()]
    answer = await play.emulator.ask("strike", strikes=strikes)
    assert "error" not in answer
    await play.submit("spring", _SAID)
    await play.finished("spring")


def _harmful(text: str) -> list[str]:
    """The characters that would do anything but be read."""
    return [character for character in text if unicodedata.category(character) in ("Cc", "Cf") and character != "\n"]


def _scraped(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=_READ_S) as answer:
        text: str = answer.read().decode()
    return text


async def _followed(play: Stage, hooks: Receiver) -> dict[str, str]:
    """What consumers of events have been given of all four, once they have."""
    path = play.directory / "state" / "events" / "file.jsonl"

    async def all_of_them() -> bool:
        found = [path.read_bytes() if path.exists() else b"", b"".join(request.body for request in hooks.requests)]
        return all(to.encode() in text for text in found for to in _SAID)

    await eventually("the file and the webhook have all of it", all_of_them)
    return {"the file": path.read_text(), "the webhook": b"".join(request.body for request in hooks.requests).decode()}


async def test_what_a_hostile_receiver_says_is_harmless_wherever_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", f"whsec_{base64.b64encode(bytes(32)).decode()}")
    async with (
        Receiver().open() as hooks,
        stage(settings=lambda text: text + _CONSUMERS.format(url=hooks.url)) as play,
        play.fleet(),
    ):
        await _refused(play)
        told = await play.conserved("spring")
        assert told[State.REJECTED] >= 3
        _, lines = await play.queue.events("", 1000)
        shown = {
            "the log": play.log.read_text(),
            "events": b"\n".join(lines).decode(),
            "lanes": await play.penstock("lanes"),
            "top": await play.penstock("top", "--once"),
            "top as JSON": await play.penstock("top", "--once", "--json"),
            "status": await play.penstock("status", "spring"),
            "why": "".join([await play.penstock("why", f"spring:{number}") for number in range(len(_SAID))]),
            **await _followed(play, hooks),
        }
        for where, text in shown.items():
            assert _harmful(text) == [], where
            assert max(map(len, text.splitlines())) <= _LINE_MOST, where
        for where in ("the log", "events", "the file", "the webhook"):
            assert _MARK in shown[where], "nobody could say what the receiver said"
        assert {json.loads(line)["type"] for line in lines} <= {"queued", "rejected", "deferred", "delivered", "action"}
        first = load(play.config).metrics.port
        for port in (EXPANDER_PORT, SCHEDULER_PORT, DELIVERY_PORT, DELIVERY_PORT + 1):
            assert _MARK not in _scraped(first + port)
