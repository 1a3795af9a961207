"""Broken receivers: each fault is what it claims to be, seen through a bare socket."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.emulator.named import NamedSmtp
from workers.emulator.certificates import Authority
from workers.emulator.faultmx import FaultMx, fault_mx
from workers.emulator.faults import FAULTS, Fault
from workers.emulator.script import parse

MESSAGE = b"Subject: x\r\n\r\n..dot\r\n.\r\n"


class Peer:
    """The other end of a broken receiver: sends one thing at a time and gathers what comes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream

    async def say(self, data: bytes) -> bytes:
        await self.stream.send_all(data)
        return await self.hear()

    async def hear(self, within_s: float = 0.5) -> bytes:
        """What comes until nothing has come for a while; RESET when the connection is reset."""
        heard = b""
        try:
            while len(heard) < 300_000:
                with trio.move_on_after(within_s) as patience:
                    data = await self.stream.receive_some()
                if patience.cancelled_caught:
                    return heard
                if not data:
                    return heard + b"[END]"
                heard += data
        except trio.BrokenResourceError:
            return heard + b"[RESET]"
        return heard

    async def to_dot(self) -> bytes:
        """Go as far as the end of data; gives what came in answer to it."""
        await self.hear()
        await self.say(b"EHLO x\r\n")
        await self.say(b"MAIL FROM:<>\r\nRCPT TO:<joe@fault.example>\r\nDATA\r\n")
        return await self.say(MESSAGE)


@asynccontextmanager
async def connect(mx: FaultMx) -> AsyncIterator[Peer]:
    async with await trio.open_tcp_stream(*mx.address) as stream:
        yield Peer(stream)


async def test_without_a_fault_it_is_a_good_receiver(autojump_clock: MockClock) -> None:
    async with fault_mx("none") as mx, connect(mx) as peer:
        assert await peer.to_dot() == b"250 2.0.0 Ok: queued\r\n"
        assert await peer.say(b"QUIT\r\n") == b"221 2.0.0 Bye\r\n[END]"
        [copy] = mx.copies
        assert (copy.rcpt, copy.content) == ("joe@fault.example", b"Subject: x\r\n\r\n.dot\r\n")


DOTS: dict[str, tuple[Callable[[bytes], bool], int]] = {
    "dot-close": (lambda heard: heard == b"[END]", 1),
    "dot-reset": (lambda heard: heard == b"[RESET]", 1),
    "dot-silence": (lambda heard: heard == b"", 1),
    "dot-late": (lambda heard: heard == b"", 1),
    "dot-421": (lambda heard: heard.startswith(b"421") and heard.endswith(b"[END]"), 0),
    "dot-451-kept": (lambda heard: heard.startswith(b"451"), 1),
    "dot-garbage": (lambda heard: heard == b"queued I guess\r\n", 1),
    "dot-garbage-dropped": (lambda heard: heard == b"queued I guess\r\n", 0),
    "dot-354": (lambda heard: heard.startswith(b"354"), 0),
    "dot-surplus": (lambda heard: heard.count(b"250") == 2, 1),
    "dot-endless": (lambda heard: heard.count(b"250-") > 1_000, 1),
    "dot-250-close": (lambda heard: heard.startswith(b"250") and heard.endswith(b"[END]"), 1),
    "dot-trickle": (lambda heard: heard == b"2", 1),
    "data-deaf": (lambda heard: heard == b"", 0),
}


@pytest.mark.parametrize("name", DOTS)
async def test_faults_at_the_dot(name: str, autojump_clock: MockClock) -> None:
    expected, copies = DOTS[name]
    async with fault_mx(name) as mx, connect(mx) as peer:
        assert expected(await peer.to_dot())
        assert len(mx.copies) == copies


BEFORE: dict[str, bytes] = {
    "connect-close": b"[END]",
    "connect-421": b"421 4.3.2 Service shutting down\r\n[END]",
    "connect-silence": b"",
    "connect-trickle": b"2",
}


@pytest.mark.parametrize("name", BEFORE)
async def test_faults_at_the_greeting(name: str, autojump_clock: MockClock) -> None:
    async with fault_mx(name) as mx, connect(mx) as peer:
        assert await peer.hear() == BEFORE[name]


async def test_each_connection_plays_its_own_fault_and_the_rest_the_last(autojump_clock: MockClock) -> None:
    async with fault_mx("connect-close", "none") as mx:
        async with connect(mx) as first:
            assert await first.hear() == b"[END]"
        for _ in range(2):
            async with connect(mx) as later:
                assert (await later.hear()).startswith(b"220 ")
        assert mx.connections == 3


async def test_all_recipients_refused_and_yet_354(autojump_clock: MockClock) -> None:
    async with fault_mx("rcpt-refused-354") as mx, connect(mx) as peer:
        await peer.hear()
        heard = await peer.say(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n.\r\n")
        assert [line[:3] for line in heard.split(b"\r\n") if line[3:4] == b" "] == [b"250", b"250", b"550", b"354", b"250"]
        assert mx.copies == []


async def test_chunks_end_at_the_same_moment(autojump_clock: MockClock) -> None:
    async with fault_mx(Fault(chunking=True)) as mx, connect(mx) as peer:
        await peer.hear()
        await peer.say(b"EHLO x\r\n")
        await peer.say(b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nBDAT 3\r\nab\nBDAT 2 LAST\r\ncd")
        assert [copy.content for copy in mx.copies] == [b"ab\ncd"]


async def test_injected_replies_come_in_clear_before_the_handshake(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with fault_mx("starttls-inject", authority=Authority(tmp_path)) as mx, connect(mx) as peer:
        await peer.hear()
        assert b"STARTTLS" in await peer.say(b"EHLO x\r\n")
        assert await peer.say(b"STARTTLS\r\n") == b"220 2.0.0 Ready\r\n250 2.0.0 Injected\r\n"


@pytest.mark.parametrize(
    ("name", "why"), [("tls-wrong-name", "Hostname mismatch"), ("tls-unknown-issuer", "unable to get local")]
)
async def test_certificates_that_must_not_be_believed(name: str, why: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with fault_mx(name, host="localhost", authority=authority) as mx:

        def start() -> None:
            with NamedSmtp(*mx.address, local_hostname="out.example", timeout=60) as smtp:
                smtp.ehlo()
                smtp._host = "localhost"
                smtp.starttls(context=ssl.create_default_context(cafile=str(authority.file)))

        with pytest.raises(ssl.SSLCertVerificationError, match=why):
            await trio.to_thread.run_sync(start)


async def test_a_refused_starttls_leaves_the_dialogue_in_clear(autojump_clock: MockClock) -> None:
    async with fault_mx("starttls-454") as mx, connect(mx) as peer:
        await peer.hear()
        await peer.say(b"EHLO x\r\n")
        assert (await peer.say(b"STARTTLS\r\n")).startswith(b"454")
        assert (await peer.say(b"NOOP\r\n")).startswith(b"250")


async def test_a_script_is_played_to_the_letter(autojump_clock: MockClock) -> None:
    script = r"""
    S: 220 mx.example
    # anything goes as a name
    C: EHLO *
    raw: 250 ok\n
    C: MAIL FROM:<>
    S: 250 ok
    wait 30
    close
    """
    async with fault_mx(script) as mx, connect(mx) as peer:
        assert await peer.hear() == b"220 mx.example\r\n"
        assert await peer.say(b"ehlo me\r\n") == b"250 ok\n"
        assert await peer.say(b"mail from:<>\r\n") == b"250 ok\r\n"
        assert await peer.hear(within_s=60) == b"[END]"
        async with connect(mx) as other:
            await other.hear()
            assert await other.say(b"HELO me\r\n") == b"[END]"
        assert [str(mistake) for mistake in mx.mistakes] == ["expected 'EHLO *', heard b'HELO me'"]


def test_a_line_that_is_no_script_line_is_named() -> None:
    with pytest.raises(ValueError, match="line 2: 'T: what'"):
        parse("S: 220 x\nT: what\n")


@pytest.mark.parametrize("name", FAULTS)
async def test_every_fault_runs_and_ends_with_its_server(name: str, tmp_path: Path, autojump_clock: MockClock) -> None:
    async with fault_mx(name, authority=Authority(tmp_path)) as mx, connect(mx) as peer:
        await peer.hear()
        try:
            for line in (b"EHLO x\r\n", b"STARTTLS\r\n", b"NOOP\r\n", b"MAIL FROM:<>\r\n", b"QUIT\r\n"):
                await peer.say(line)
        except trio.BrokenResourceError:
            pass
        assert mx.connections == 1
