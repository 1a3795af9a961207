"""The pool against signers that die, hang, refuse and lie: each message gets its signature or an error, and nobody hangs."""

import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest
import trio
import trio.testing

from sender.content.key import PrivateKey, generate
from sender.content.rotation import Algorithm
from sender.errors import SigningError
from sender.net.signing import LocalSigner, PoolStatistics, SignerPool, SigningOptions, ping
from sender.net.signing_wire import JOBS_LIMIT, FrameReader, answers_frame, jobs_of
from tests.signer_process import SignerProcess

NAME = "shop.example/e1"
QUICK = SigningOptions(reconnect_s=0.01, batch=4)
PATIENT_S = 60  # a test that takes longer has hung


def digest(number: int) -> bytes:
    return sha256(str(number).encode()).digest()


POISON = digest(-1)


class Keys:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key: PrivateKey = generate(Algorithm.ED25519, folder / "e1.pem")

    def signer(self, number: int = 0) -> SignerProcess:
        return SignerProcess(self.path(number), {NAME: (self.folder / "e1.pem", Algorithm.ED25519)})

    def path(self, number: int = 0) -> Path:
        return self.folder / f"signer-{number}.sock"

    def expected(self, numbers: range) -> list[bytes]:
        return [self.key.sign(digest(number)) for number in numbers]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    tmp_path.chmod(0o700)
    return Keys(tmp_path)


def requests(numbers: range) -> list[tuple[str, bytes]]:
    return [(NAME, digest(number)) for number in numbers]


@asynccontextmanager
async def running(*paths: Path, options: SigningOptions = QUICK) -> AsyncIterator[SignerPool]:
    pool = SignerPool(paths, options)
    with trio.fail_after(PATIENT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.run)
            yield pool
            nursery.cancel_scope.cancel()


async def until(pool: SignerPool, true: Callable[[PoolStatistics], bool]) -> None:
    while not true(pool.statistics()):
        await trio.lowlevel.checkpoint()


class Fake:
    """A signer that behaves as told: `behave` gets each connection's digests and answers, or leaves by raising."""

    def __init__(self, path: Path, behave: Callable[[list[bytes]], Awaitable[list[bytes | str]]]) -> None:
        self.path = path
        self.behave = behave
        self.batches: list[list[bytes]] = []

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        listening = trio.socket.socket(socket.AF_UNIX)
        with listening:
            await listening.bind(str(self.path))
            listening.listen()
            task_status.started()
            async with trio.open_nursery() as nursery:
                while True:
                    nursery.start_soon(self._serve, trio.SocketStream((await listening.accept())[0]))

    async def _serve(self, stream: trio.SocketStream) -> None:
        reader = FrameReader()
        async with stream:
            with contextlib.suppress(Gone, trio.BrokenResourceError):
                async for data in stream:
                    for frame in reader.feed(bytes(data)):
                        digests = [digest for _, digest in jobs_of(frame)]
                        if digests:
                            self.batches.append(digests)
                        await stream.send_all(answers_frame(frame.number, await self.behave(digests) if digests else []))


class Gone(Exception):
    pass


async def sign(digests: list[bytes]) -> list[bytes | str]:
    await trio.lowlevel.checkpoint()
    return [b"signed " + digest for digest in digests]


async def die_of_poison(digests: list[bytes]) -> list[bytes | str]:
    if POISON in digests:
        raise Gone
    return await sign(digests)


# real processes


@pytest.mark.integration
async def test_many_tasks_share_the_signers(keys: Keys) -> None:
    with keys.signer(0) as first, keys.signer(1) as second:
        async with running(first.path, second.path) as pool:
            await until(pool, lambda now: all(signer.ready for signer in now.signers))

            async def caller(start: int) -> None:
                numbers = range(start, start + 7)
                assert await pool.sign(requests(numbers)) == keys.expected(numbers)

            async with trio.open_nursery() as nursery:
                for start in range(0, 700, 7):
                    nursery.start_soon(caller, start)
            signed = [signer.signed for signer in pool.statistics().signers]
            assert sum(signed) == 700
            assert min(signed) > 0
            assert pool.statistics().waiting == sum(signer.outstanding for signer in pool.statistics().signers) == 0


@pytest.mark.integration
@pytest.mark.row("F43")
async def test_killed_signer_costs_nothing_but_time(keys: Keys) -> None:
    with keys.signer(0) as first, keys.signer(1) as second:
        async with running(first.path, second.path) as pool:
            await until(pool, lambda now: all(signer.ready for signer in now.signers))
            first.send(signal.SIGSTOP)  # so that it surely has something in hand when it dies
            results: list[list[bytes]] = []

            async def caller() -> None:
                results.append(await pool.sign(requests(range(40))))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(caller)
                await until(pool, lambda now: now.signers[0].outstanding > 0)
                first.kill()
            assert results == [keys.expected(range(40))]
            assert pool.statistics().quarantined == 0
            with keys.signer(0):
                await until(pool, lambda now: now.signers[0].ready)
                assert await pool.sign(requests(range(3))) == keys.expected(range(3))


@pytest.mark.integration
@pytest.mark.row("F43")
async def test_only_signer_killed_and_replaced(keys: Keys) -> None:
    async with running(keys.path()) as pool:
        with keys.signer() as signer:
            await until(pool, lambda now: now.signers[0].ready)
            signer.send(signal.SIGSTOP)
            async with trio.open_nursery() as nursery:
                results: list[bytes] = []

                async def caller() -> None:
                    results.extend(await pool.sign(requests(range(10))))

                nursery.start_soon(caller)
                await until(pool, lambda now: now.signers[0].outstanding > 0)
                signer.kill()
                replacement = await trio.to_thread.run_sync(keys.signer)
                try:
                    await until(pool, lambda _: len(results) == 10)
                finally:
                    replacement.kill()
                    replacement.__exit__(None, None, None)
            assert results == keys.expected(range(10))


@pytest.mark.integration
@pytest.mark.row("F44")
async def test_stopped_signer_is_noticed_and_left(keys: Keys) -> None:
    with keys.signer(0) as first, keys.signer(1) as second:
        async with running(first.path, second.path) as pool:
            await until(pool, lambda now: all(signer.ready for signer in now.signers))
            assert await ping(first.path, PATIENT_S)
            first.send(signal.SIGSTOP)
            assert await pool.sign(requests(range(40))) == keys.expected(range(40))
            await until(pool, lambda now: now.signers[0].hung > 0)
            assert not pool.statistics().signers[0].ready  # though it takes connections
            assert not await ping(first.path, 0.05)
            assert await pool.sign(requests(range(40))) == keys.expected(range(40))
            first.send(signal.SIGCONT)
            await until(pool, lambda now: now.signers[0].ready)


@pytest.mark.integration
@pytest.mark.row("F44")
async def test_only_signer_stopped_is_an_error_in_time_and_never_silence(keys: Keys) -> None:
    options = SigningOptions(limit_s=0.5, silence_s=0.2, reconnect_s=0.01)
    with keys.signer() as signer:
        async with running(signer.path, options=options) as pool:
            await until(pool, lambda now: now.signers[0].ready)
            signer.send(signal.SIGSTOP)
            with pytest.raises(SigningError, match=r"no signature within 0\.5 s"):
                await pool.sign(requests(range(2)))
            assert pool.statistics().expired == 2
            signer.send(signal.SIGCONT)
            await until(pool, lambda now: now.signers[0].ready)
            assert await pool.sign(requests(range(2))) == keys.expected(range(2))


@pytest.mark.integration
async def test_ending_signer_hands_its_jobs_back_without_blame(keys: Keys) -> None:
    with keys.signer(0) as first, keys.signer(1) as second:
        async with running(first.path, second.path) as pool:
            await until(pool, lambda now: all(signer.ready for signer in now.signers))
            first.send(signal.SIGTERM)
            assert await pool.sign(requests(range(40))) == keys.expected(range(40))
            assert pool.statistics().quarantined == 0
            assert await trio.to_thread.run_sync(first.end) == (0, b"")


@pytest.mark.integration
async def test_unknown_key_fails_its_job_alone(keys: Keys) -> None:
    with keys.signer() as signer:
        async with running(signer.path) as pool:
            good, bad = await pool.attempt([(NAME, digest(0)), ("shop.example/none", digest(1))])
            assert good == keys.key.sign(digest(0))
            assert "no such key" in str(bad)
            with pytest.raises(SigningError, match="no such key"):
                await pool.sign([(NAME, digest(0)), ("shop.example/none", digest(1))])


async def test_ping_finds_nobody(keys: Keys) -> None:
    assert not await ping(keys.path(), 1.0)


# signers that behave as told


@pytest.mark.row("F43")
async def test_job_that_kills_two_signers_is_given_up_alone(keys: Keys) -> None:
    fakes = [Fake(keys.path(number), die_of_poison) for number in range(2)]
    async with running(*(fake.path for fake in fakes)) as pool, trio.open_nursery() as nursery:
        for fake in fakes:
            await nursery.start(fake.run)
        digests = [digest(number) for number in range(30)]
        digests[13] = POISON
        results = await pool.attempt([(NAME, each) for each in digests])
        assert str(results.pop(13)) == "2 signers were lost with it"
        digests.pop(13)
        assert results == [b"signed " + each for each in digests]
        assert pool.statistics().quarantined == 1
        assert sorted(len(batch) for fake in fakes for batch in fake.batches if POISON in batch) == [1, 4]
        nursery.cancel_scope.cancel()


async def test_room_is_bounded_and_jobs_of_many_callers_travel_together(keys: Keys) -> None:
    gate = trio.Event()

    async def wait(digests: list[bytes]) -> list[bytes | str]:
        await gate.wait()
        return await sign(digests)

    fake = Fake(keys.path(), wait)
    options = SigningOptions(batch=4, frames=2, reconnect_s=0.01)
    async with running(fake.path, options=options) as pool, trio.open_nursery() as nursery:
        await nursery.start(fake.run)
        await until(pool, lambda now: now.signers[0].ready)
        async with trio.open_nursery() as callers:
            for number in range(10):
                callers.start_soon(pool.sign, [(NAME, digest(number))])
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert pool.statistics().signers[0].outstanding == 2
            assert pool.statistics().waiting == pool.waiting == 8
            gate.set()
        assert sorted(map(len, fake.batches)) == [1, 1, 4, 4]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("lie", [b"\x00\x00\x00\x00" * 4, b"HTTP/1.1 400 Bad Request\r\n\r\n", answers_frame(1, [b"x", b"y"])])
async def test_signer_that_talks_nonsense_is_left(keys: Keys, lie: bytes) -> None:
    class Liar(Fake):
        async def _serve(self, stream: trio.SocketStream) -> None:
            async with stream:
                await stream.send_all(lie)

    liar, honest = Liar(keys.path(0), sign), Fake(keys.path(1), sign)
    async with running(liar.path, honest.path) as pool, trio.open_nursery() as nursery:
        await nursery.start(liar.run)
        await nursery.start(honest.run)
        assert await pool.sign([(NAME, POISON)]) == [b"signed " + POISON]
        assert not pool.statistics().signers[0].ready
        nursery.cancel_scope.cancel()


async def test_signer_that_leaves_is_not_blamed_and_gets_no_more(keys: Keys) -> None:
    """Farewells in answer to the job, each time the last word of a connection that stays open a while."""
    visits: list[trio.SocketStream] = []

    class Leaver(Fake):
        async def _serve(self, stream: trio.SocketStream) -> None:
            if len(visits) == 3:
                await super()._serve(stream)
            visits.append(stream)
            reader, said = FrameReader(), False
            async for data in stream:
                for frame in reader.feed(bytes(data)):
                    assert not said
                    said = bool(frame.count)
                    await stream.send_all(answers_frame(0 if said else frame.number, []))
                if said:
                    await trio.testing.wait_all_tasks_blocked(0.01)
                    assert not pool.statistics().signers[0].ready
                    await stream.aclose()
                    return

    leaver = Leaver(keys.path(), sign)
    async with running(leaver.path) as pool, trio.open_nursery() as nursery:
        await nursery.start(leaver.run)
        assert await pool.sign([(NAME, POISON)]) == [b"signed " + POISON]
        assert len(visits) == 3
        assert pool.statistics().quarantined == 0
        nursery.cancel_scope.cancel()


async def test_cancelled_caller_leaves_nothing_behind(keys: Keys) -> None:
    gate = trio.Event()

    async def wait(digests: list[bytes]) -> list[bytes | str]:
        await gate.wait()
        return await sign(digests)

    fake = Fake(keys.path(), wait)
    async with running(fake.path, options=SigningOptions(frames=1, reconnect_s=0.01)) as pool, trio.open_nursery() as nursery:
        await nursery.start(fake.run)
        await until(pool, lambda now: now.signers[0].ready)
        async with trio.open_nursery() as callers:
            for number in range(3):
                callers.start_soon(pool.sign, [(NAME, digest(number))])
            await trio.testing.wait_all_tasks_blocked(0.01)
            callers.cancel_scope.cancel()
        gate.set()
        assert await pool.sign([(NAME, digest(9))]) == [b"signed " + digest(9)]
        assert len(fake.batches) == 2  # the two that were still waiting when their callers left were never sent
        nursery.cancel_scope.cancel()


async def test_pool_that_ends_fails_its_callers() -> None:
    pool = SignerPool([])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)

        async def caller() -> None:
            with pytest.raises(SigningError, match="shut down"):
                await pool.sign([(NAME, POISON)])
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as callers:
            callers.start_soon(caller)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    with pytest.raises(SigningError, match="shut down"):
        await pool.sign([(NAME, POISON)])
    answers = await pool.attempt([(NAME, POISON), (NAME, POISON)])
    assert [str(answer) for answer in answers] == ["the signers are shut down"] * 2


@pytest.mark.row("F44")
async def test_no_signer_at_all_is_an_error_in_time(autojump_clock: trio.testing.MockClock) -> None:
    pool = SignerPool([Path("/nonexistent/signer.sock")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)
        begun = trio.current_time()
        with pytest.raises(SigningError, match="no signature within 5 s"):
            await pool.sign([(NAME, POISON)])
        assert 5.0 <= trio.current_time() - begun <= 5.5
        nursery.cancel_scope.cancel()


async def test_impossible_requests_are_refused() -> None:
    pool = SignerPool([])
    assert await pool.attempt([]) == []
    for name, data in (("x" * 256, POISON), ("é" * 128, POISON), (NAME, b"short")):
        (answer,) = await pool.attempt([(name, data)])
        assert "expected key ids" in str(answer)
        with pytest.raises(SigningError, match="expected key ids"):
            await pool.sign([(name, data)])
    for batch in (0, JOBS_LIMIT + 1):
        with pytest.raises(ValueError, match="batch"):
            SigningOptions(batch=batch)


async def test_an_impossible_request_leaves_the_others_their_signatures(keys: Keys) -> None:
    fake = Fake(keys.path(), sign)
    async with running(fake.path) as pool, trio.open_nursery() as nursery:
        await nursery.start(fake.run)
        good, bad = await pool.attempt([(NAME, digest(1)), (NAME, b"short")])
        assert good == b"signed " + digest(1)
        assert "expected key ids" in str(bad)
        nursery.cancel_scope.cancel()


async def test_local_signer(keys: Keys) -> None:
    local = LocalSigner({NAME: keys.key})
    assert await local.sign(requests(range(3))) == keys.expected(range(3))
    with pytest.raises(SigningError, match=r"no such key: shop\.example/none"):
        await local.sign([("shop.example/none", digest(0))])
    good, bad = await local.attempt([(NAME, digest(0)), (NAME, b"short")])
    assert (good, isinstance(bad, SigningError)) == (keys.key.sign(digest(0)), True)
