"""What the fleet's own processes, disks and keys may come to."""

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import trio

from tests.redis.disks import small_disk
from tests.scenarios.alerts.cause import Cause, Fault
from tests.scenarios.alerts.fleet import Around, Fleet, Shape
from tests.scenarios.disks import full
from tests.scenarios.freezing import frozen
from tests.scenarios.stage import Stage, eventually

_JOURNAL = "state/journal"
_JOURNAL_MB = 16
_OLD_S = 181 * 86_400


@asynccontextmanager
async def _on_a_small_disk(play: Stage) -> AsyncIterator[Around]:
    """The journal has a disk of its own, which can be full without anything else being so; needs root."""
    with small_disk(play.directory / _JOURNAL, _JOURNAL_MB) as disk:
        disk.chmod(0o700)
        yield Around()


SMALL_DISK = Shape(around=_on_a_small_disk)


@asynccontextmanager
async def _store_without_a_log(fleet: Fleet) -> AsyncIterator[None]:
    await fleet.play.redis_cli("CONFIG", "SET", "appendonly", "no")
    yield
    await fleet.play.redis_cli("CONFIG", "SET", "appendonly", "yes")


def _frozen(*children: str) -> Fault:
    """These processes of the fleet hang."""

    @asynccontextmanager
    async def fault(fleet: Fleet) -> AsyncIterator[None]:
        with ExitStack() as stack:
            for child in children:
                stack.enter_context(frozen(fleet.play.pid(child)))
            yield

    return fault


@asynccontextmanager
async def _too_little_processor(fleet: Fleet) -> AsyncIterator[None]:
    """A delivery process gets to run half of the time, in slices of a fifth of a second."""
    number = fleet.play.pid("delivery-1")

    async def starve() -> None:
        try:
            while True:
                for word in (signal.SIGSTOP, signal.SIGCONT):
                    os.kill(number, word)
                    await trio.sleep(0.2)
        finally:
            os.kill(number, signal.SIGCONT)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(starve)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _expander_dies(fleet: Fleet) -> AsyncIterator[None]:
    """Three times, each as soon as Prometheus has seen it again."""
    for _ in range(3):
        before = await _begun(fleet)
        os.kill(fleet.play.pid("expander-0"), signal.SIGKILL)

        async def again(before: float = before) -> bool:
            return await _begun(fleet) > before

        await eventually("the expander is back", again)
    yield


async def _begun(fleet: Fleet) -> float:
    """When the expander began that Prometheus has seen last, Unix seconds."""
    found = await fleet.server.series('last_over_time(process_start_time_seconds{role="expander"}[1m])')
    return max(float(each["value"][1]) for each in found)


@asynccontextmanager
async def _signer_dies(fleet: Fleet) -> AsyncIterator[None]:
    """As soon as it is started, while the other one works on. It has no metrics of its own: its supervisor counts."""
    for _ in range(3):
        number = fleet.play.pid("signer-1")
        os.kill(number, signal.SIGKILL)

        async def again(number: int = number) -> bool:
            return fleet.play.pid("signer-1") != number

        await eventually("the signer is started again", again)
    yield


@asynccontextmanager
async def _journal_full(fleet: Fleet) -> AsyncIterator[None]:
    async with full(fleet.play.directory / _JOURNAL):
        yield


@asynccontextmanager
async def _store_frozen(fleet: Fleet) -> AsyncIterator[None]:
    """It answers nothing, and its connections stay."""
    with frozen(fleet.play.store):
        yield


@asynccontextmanager
async def _key_old(fleet: Fleet) -> AsyncIterator[None]:
    """A key was made half a year ago, and is made anew."""
    file, now = fleet.play.config / "rsa.pem", time.time()
    os.utime(file, (now - _OLD_S, now - _OLD_S))
    yield
    os.utime(file)


GONE = Cause(alert="PenstockProcessGone", fault=_frozen("expander-0"))
UNWELL = Cause(alert="PenstockStoreUnwell", fault=_store_without_a_log)

CAUSES = (
    Cause(alert="PenstockLoopLag", fault=_too_little_processor),
    Cause(alert="PenstockSigningFailing", fault=_frozen("signer-0", "signer-1")),
    Cause(alert="PenstockRestartLoop", fault=_expander_dies),
    Cause(alert="PenstockRestartLoop", fault=_signer_dies),
    Cause(alert="PenstockJournalUnhealthy", fault=_journal_full),
    Cause(alert="PenstockStoreCallsFailing", fault=_store_frozen),
    Cause(alert="PenstockKeyOld", fault=_key_old),
)
