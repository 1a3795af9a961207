"""What a receiver says to harm whoever reads it arrives in files and webhooks as mere words, bounded, and as valid JSON."""

import json
import unicodedata
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from sender.model import Outcome, Scope, State, Step, Verdict
from sender.policy.retry import Final
from sender.queue.memory import MemoryQueue
from sender.record import Attempt, event_of
from sender.smtp.reply import ReplyParser
from tests.consumers.hooks import webhook
from tests.consumers.receiver import Receiver
from tests.consumers.test_file import sink
from tests.consumers.world import following
from tests.holding import LANE, held
from tests.rig import EPOCH

pytestmark = pytest.mark.usefixtures("no_threads")

SAID = {
    "terminal": b"550 5.1.1 \x1b[2J\x1b]0;owned\x07Hark\x1b[31m\x9b1m\x00\x08\x7f\r\n",
    "markup": b"550 5.1.1 <script>alert(1)</script>{{ name }}{% raw %}[red]Hark[/red]\"'\\n,]}\r\n",
    "not UTF-8": b"550 5.1.1 Hark \xff\xfe\xc3\x28\xed\xa0\x80\r\n",
    "turned round": "550 5.1.1 \u202eHark\u2066\u200b\ufeff\u2028\u2029\r\n".encode(),
    "64 kB": b"550-5.1.1 Hark\r\n" + b"".join(b"550-" + b"x" * 900 + b"\r\n" for _ in range(70)) + b"550 Hark\r\n",
}
_OCTETS_MOST = 16_384  # of one event


def told_of(said: bytes) -> bytes:
    """The event of a recipient who was refused in these words."""
    parser = ReplyParser()
    parser.feed(said)
    reply = parser.take()
    assert reply is not None
    outcome = Outcome(verdict=Verdict.REJECTED, scope=Scope.RECIPIENT)
    final = Final(state=State.REJECTED)
    (one,) = held(1)
    attempt = Attempt(
        at=EPOCH,
        held=one,
        lane=LANE,
        mx="mx.big.example",
        step=Step.RCPT,
        reply=reply,
        why="",
        outcome=outcome,
        next=final,
        seconds=0.1,
    )
    return event_of(attempt, State.REJECTED)


def are_mere_words(octets: bytes) -> None:
    for line in octets.splitlines():
        assert len(line) <= _OCTETS_MOST
        (event,) = found if isinstance(found := json.loads(line), list) else [found]
        assert "Hark" in event["reply"]
        for text in (line.decode(), event["reply"]):
            assert [one for one in text if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp", "Cs")] == []


@pytest.mark.parametrize("kind", SAID)
async def test_hostile_words_are_mere_words_in_files_and_webhooks(tmp_path: Path, autojump_clock: MockClock, kind: str) -> None:
    queue = MemoryQueue()
    await queue.tell("s1/big", [told_of(SAID[kind])])
    async with Receiver().open() as receiver, AsyncExitStack() as stack:
        await stack.enter_async_context(following(queue, webhook(receiver, tmp_path), name="hooks"))
        await stack.enter_async_context(following(queue, sink(tmp_path)))
        await trio.sleep(5)
    (request,) = receiver.requests
    are_mere_words(request.body)
    are_mere_words((tmp_path / "log.jsonl").read_bytes())
    assert len((tmp_path / "log.jsonl").read_bytes().splitlines()) == 1
