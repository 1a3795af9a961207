"""Processes that die, freeze, or find no room: kill -9 of anything, at any moment."""

import resource
import signal
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from tests.scenarios.faults.row import NOBODY, PARKED, Row, World
from tests.scenarios.faults.scene import RECIPIENTS, Doubt, Scene
from tests.scenarios.freezing import frozen
from tests.scenarios.stage import BOUND_S, eventually

# Where a worker is held up while it dies: each point of the dialogue at a receiver of its own.
_POINTS = {
    "greeting": "*.laposte.net",
    "ehlo": "*.sfr.fr",
    "starttls": "*.icloud.com",
    "mail": "*.yahoodns.net",
    "rcpt": "*.free.fr",
    "data": "*.gmx.net",
    "dot": "*.orange.fr",
    "taken": "*.google.com",
}
_DOMAINS = ("laposte.net", "sfr.fr", "icloud.com", "yahoo.com", "free.fr", "gmx.net", "orange.fr", "gmail.com")
_EACH = 60  # recipients at each of them
_EACH_LIFE, _FIRST = 400, 20  # recipients of a worker's life, and how many are reached before it may end
_EARNED = 30  # messages after which a receiver is chained to for certain
_DESCRIPTORS = 64
_MANY_POINTS = frozenset({"mail", "rcpt", "data", "dot", "taken"})  # come with every message


def _at_every_step(pipelining: str) -> Callable[[Scene], Awaitable[Doubt]]:
    """Hold one session at each point, let all others finish, kill the process that has them."""

    async def inject(scene: Scene) -> Doubt:
        chained = pipelining in ("chain", "bdat")
        for point, host in _POINTS.items():
            if point != "data" or pipelining != "bdat":  # BDAT has no 354 to wait for
                skip = _EARNED if chained and point in _MANY_POINTS else 0
                await scene.strike(point=point, host=host, does="hold", skip=skip, times=1)
        await scene.submit(f"reader-{number}@{domain}" for number in range(_EACH) for domain in _DOMAINS)
        await scene.all_met()
        await scene.calm()
        doubt = await scene.unrecorded()  # those who are held read nothing more
        scene.strikes()
        scene.kill("delivery-0")
        return doubt

    return inject


async def _holding_leases(scene: Scene) -> Doubt:
    """Everything is leased and nobody has been greeted yet."""
    await scene.strike(point="greeting", does="hold")
    await scene.submit()
    await scene.all_met(20)
    scene.strikes()
    scene.kill("delivery-0")
    await scene.ask("heal")
    return NOBODY


async def _after_the_reply(scene: Scene) -> Doubt:
    """The receivers have answered, the worker has read it, and the store could not be told before the worker died.

    What the worker sent just then, and had no answer to, is in doubt like any other.
    """
    await scene.strike(point="taken", does="hold", skip=200, times=20)
    await scene.submit()
    await scene.all_met(8)
    await scene.calm()
    (held,) = await scene.met()
    with frozen(scene.store):
        await scene.ask("heal")
        await scene.calm()  # what the worker holds has gone out, too
        await eventually("the worker has read the replies that were held", lambda: _all_read(scene, held))
        return await _killed_unheard(scene)


async def _store_frozen_under_load(scene: Scene) -> Doubt:
    """What the worker reads from now on stands in its journal alone."""
    await scene.under_load()
    with frozen(scene.store):
        await scene.passing(0.5)
        return await _killed_unheard(scene)


async def _killed_unheard(scene: Scene) -> Doubt:
    """Kill the worker while the store is frozen: only who was sent to and had not answered yet is in doubt."""
    scene.strikes()
    scene.kill("delivery-0")
    await scene.calm()  # a receiver works off what it has been sent at its own pace
    return frozenset(scene.play.copies()) - _read(scene)


def _read(scene: Scene) -> Doubt:
    """Whose delivery the worker has logged: it was in the journal before."""
    return frozenset(line["to"] for line in scene.play.logged("attempt") if line["verdict"] == "delivered")


async def _all_read(scene: Scene, several: Sequence[str]) -> bool:
    return _read(scene).issuperset(several)


def _killed(*children: str, in_doubt: bool = False) -> Callable[[Scene], Awaitable[Doubt]]:
    """Under load; only who sends mail can leave a doubt."""

    async def inject(scene: Scene) -> Doubt:
        await scene.under_load()
        scene.kill(*children)
        return await scene.in_doubt() if in_doubt else NOBODY

    return inject


async def _everything_killed(scene: Scene) -> Doubt:
    await scene.under_load()
    await scene.kill_everything()
    await scene.rise()
    return await scene.in_doubt()


async def _supervisor_killed(scene: Scene) -> Doubt:
    """Its children notice, drain, and end."""
    await scene.under_load()
    scene.fleet.send_signal(signal.SIGKILL)
    await scene.fleet.wait()
    await eventually("its children end", lambda: _none_left(scene), BOUND_S)
    await scene.rise()
    return NOBODY


async def _none_left(scene: Scene) -> bool:
    return not scene.play.fleet_processes()


def _at_random(times: int, seed: int) -> Callable[[Scene], Awaitable[Doubt]]:
    """A worker that lives a random while, over and over, beside one that stays; receivers think, so that many dots wait.

    Each life has a campaign of its own, which begins when the worker is at work: nobody knows how long it takes to start.
    """

    async def inject(scene: Scene) -> Doubt:
        chance, submitted = Random(seed), 0
        await scene.strike(point="taken", does="wait", wait_s=0.6)  # longer than usual: a campaign must outlast a life
        doubt: Doubt = NOBODY
        for life in range(times):
            async with scene.role("delivery", 1):
                numbers = range(submitted, submitted + _EACH_LIFE)
                await scene.submit((f"reader-{number}@{_DOMAINS[number % 8]}" for number in numbers), f"spring-{life}")
                submitted += _EACH_LIFE
                await scene.reached(scene.play.copies().total() + _FIRST)
                await scene.passing(chance.uniform(0.1, 1.5))
            doubt |= await scene.in_doubt()
        scene.strikes()
        assert scene.play.copies().total() < submitted, "nobody was left to be sent to when the last one died"
        await scene.ask("heal")
        return doubt

    return inject


async def _drained(scene: Scene) -> Doubt:
    """SIGTERM to all at once, under load; then a new fleet."""
    await scene.under_load()
    scene.fleet.send_signal(signal.SIGTERM)
    await scene.fleet.wait()
    assert not scene.play.fleet_processes()
    await scene.rise()
    return NOBODY


def _frozen(child: str, seconds: float) -> Callable[[Scene], Awaitable[Doubt]]:
    """It stands still, past the time after which others may take it for dead, and comes back in the middle of its sentence."""

    async def inject(scene: Scene) -> Doubt:
        await scene.under_load()
        with frozen(scene.play.pid(child)):
            doubt = await scene.in_doubt()
            await scene.passing(seconds)
        return doubt

    return inject


async def _few_descriptors(scene: Scene) -> Doubt:
    """A worker that starts with room for a few sessions only, where all receivers together ask for hundreds."""
    resource.prlimit(scene.fleet.pid, resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    scene.kill("delivery-0")  # the next one inherits the limit
    scene.strikes()
    await scene.submit()
    await scene.play.finished("spring")
    tried = [line for line in scene.play.logged("attempt") if "open files" in line["reply"]]
    assert tried == [], "our own lack of descriptors was counted as an attempt"
    return NOBODY


def _wrong_clock(offset: str) -> Callable[[Scene], Awaitable[Doubt]]:
    """One of two workers lives in another hour; its monotonic clock is right, as on a host whose time was set wrongly."""

    async def inject(scene: Scene) -> Doubt:
        library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
        environment = {"LD_PRELOAD": library, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        scene.strikes()
        async with scene.role("delivery", 1, environment):
            await scene.under_load()
            await scene.play.finished("spring")
        return NOBODY

    return inject


async def _journal_full(scene: Scene) -> Doubt:
    """No intent can be written down any more: nothing is sent until there is room again, and nothing is forgotten."""
    await scene.under_load()
    async with scene.full("state/journal"):
        await scene.passing(4)
        assert scene.play.copies().total() < RECIPIENTS, "mail went out that no journal knows of"
    return NOBODY


_TWO = World(delivery=2)
_ALONE = ("signer-0", "expander-0", "scheduler-0")

ROWS = (
    *(
        Row(
            name=f"worker killed at every step of the dialogue, {pipelining}",
            inject=_at_every_step(pipelining),
            world=World(pipelining=pipelining),
            long=pipelining != "chain",
        )
        for pipelining in ("lockstep", "group", "chain", "bdat")
    ),
    Row(name="worker killed with everything leased and nothing sent", inject=_holding_leases, long=True),
    Row(name="worker killed between the replies and the store", inject=_after_the_reply),
    Row(name="worker killed under load, the store frozen", inject=_store_frozen_under_load, long=True),
    Row(name="worker killed under load", inject=_killed("delivery-0", in_doubt=True), world=_TWO, long=True),
    Row(name="all workers killed", inject=_killed("delivery-0", "delivery-1", in_doubt=True), world=_TWO, long=True),
    *(Row(name=f"{child[:-2]} killed under load", inject=_killed(child), long=True) for child in _ALONE),
    Row(name="signer, expander and scheduler killed under load", inject=_killed(*_ALONE)),
    Row(name="supervisor killed under load", inject=_supervisor_killed, long=True),
    Row(name="everything killed at once, the store too", inject=_everything_killed, world=_TWO),
    Row(name="SIGTERM under load", inject=_drained, world=_TWO, long=True),
    Row(name="worker killed at 5 random moments", inject=_at_random(5, seed=1), ends=PARKED),
    Row(name="worker killed at 50 random moments", inject=_at_random(50, seed=2), ends=PARKED, within_s=240, long=True),
    Row(name="worker frozen for 20 s", inject=_frozen("delivery-0", 20.0), world=_TWO),
    Row(name="scheduler frozen for 20 s", inject=_frozen("scheduler-0", 20.0), long=True),
    Row(name="worker with few descriptors", inject=_few_descriptors, long=True),
    Row(name="worker whose clock is 2 hours ahead", inject=_wrong_clock("+2h")),
    Row(name="worker whose clock is 2 hours behind", inject=_wrong_clock("-2h"), long=True),
    Row(
        name="journal's disk full for 4 s",
        inject=_journal_full,
        world=World(disks={"state/journal": "1m"}),
        tells="No space left on device",
    ),
)
