"""Receivers that fail at the worst moment, and hosts that are away or slow."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.scenarios.faults.row import DELIVERED, NOBODY, PARKED, Row, World
from tests.scenarios.faults.scene import Doubt, Scene

_EACH = 60  # recipients at each failing receiver
_IMPATIENT = """
[timeouts]
mail = "2s"
rcpt = "2s"
data = "2s"
dot = "2s"
"""
_BUSY = "421 4.3.2 Service shutting down"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failing:
    """One receiver's fault. `in_doubt`: it has the message, and our side can't know."""

    name: str
    domain: str
    host: str
    strike: Mapping[str, object]
    in_doubt: bool = False


_FAILING = (
    _Failing(name="never answers DATA", domain="gmx.net", host="*.gmx.net", strike={"point": "data", "does": "silence"}),
    _Failing(
        name="never answers the dot",
        domain="orange.fr",
        host="*.orange.fr",
        strike={"point": "taken", "does": "silence"},
        in_doubt=True,
    ),
    _Failing(
        name="closes after the dot",
        domain="free.fr",
        host="*.free.fr",
        strike={"point": "taken", "does": "close"},
        in_doubt=True,
    ),
    _Failing(
        name="resets after the dot",
        domain="icloud.com",
        host="*.icloud.com",
        strike={"point": "taken", "does": "reset"},
        in_doubt=True,
    ),
    _Failing(
        name="answers the dot when our time is up",
        domain="sfr.fr",
        host="*.sfr.fr",
        strike={"point": "taken", "does": "wait", "wait_s": 3.0},
        in_doubt=True,
    ),
    _Failing(
        name="closes after each dot, for ever",
        domain="laposte.net",
        host="*.laposte.net",
        strike={"point": "taken", "does": "close", "to": "doubt-*", "times": 0},
        in_doubt=True,
    ),
    _Failing(
        name="keeps what it refuses with 451",
        domain="hotmail.com",
        host="*.outlook.com",
        strike={"point": "taken", "says": "451 4.3.0 Try again", "times": 1},
        in_doubt=True,
    ),
    _Failing(
        name="says 421 in the middle of a chain",
        domain="yahoo.com",
        host="*.yahoodns.net",
        strike={"point": "mail", "says": _BUSY, "skip": 30},
    ),
    _Failing(
        name="resets in the middle of the dialogue",
        domain="gmail.com",
        host="*.google.com",
        strike={"point": "rcpt", "does": "reset", "skip": 20},
    ),
)


def _fail(failing: Sequence[_Failing]) -> Callable[[Scene], Awaitable[Doubt]]:
    """These receivers, each a few times and then no more; beside them everybody else."""

    async def inject(scene: Scene) -> Doubt:
        for one in failing:
            await scene.strike(host=f"{one.host}", **{"times": 3, **one.strike})
        people = [f"{'doubt' if number < 5 else 'reader'}-{number}@{one.domain}" for number in range(_EACH) for one in failing]
        scene.strikes()
        await scene.submit(people)
        await scene.all_met()
        await scene.play.finished("spring")
        met = await scene.met()
        return frozenset(who for one, names in zip(failing, met, strict=True) if one.in_doubt for who in names)

    return inject


def _away(hosts: str, seconds: float) -> Callable[[Scene], Awaitable[Doubt]]:
    """Connections are refused for a while; those that are open stay."""

    async def inject(scene: Scene) -> Doubt:
        scene.strikes()
        await scene.ask("shut", hosts=hosts)
        await scene.submit()
        await scene.passing(seconds)
        await scene.ask("open", hosts=hosts)
        return NOBODY

    return inject


async def _one_dead(scene: Scene) -> Doubt:
    """One of three hosts of equal preference takes no connection, for good."""
    await scene.ask("shut", hosts="mta5.*")
    scene.strikes()
    await scene.submit(f"reader-{number}@yahoo.com" for number in range(600))
    await scene.play.finished("spring")
    return NOBODY


async def _one_slow(scene: Scene) -> Doubt:
    """One of three hosts of equal preference takes 50 times as long: it must not draw all sessions to itself."""
    await scene.strike(point="taken", host="mta5.*", does="wait", wait_s=1.0)
    await scene.strike(point="taken", host="mta[67].*", does="wait", wait_s=0.02)
    scene.strikes()
    await scene.submit(f"reader-{number}@yahoo.com" for number in range(1_200))
    await scene.play.finished("spring")
    hosts = [entry["host"] for entry in scene.record()]
    assert hosts.count("mta5.am0.yahoodns.net") < len(hosts) / 3, "the slow one got more than its share"
    return NOBODY


def _row(failing: _Failing) -> Row:
    return Row(
        name=f"receiver {failing.name}",
        inject=_fail([failing]),
        ends=PARKED if failing.in_doubt else DELIVERED,
        world=World(more=_IMPATIENT),
        long=True,
    )


ROWS = (
    Row(name="nine receivers, each failing in its way", inject=_fail(_FAILING), ends=PARKED, world=World(more=_IMPATIENT)),
    *(_row(failing) for failing in _FAILING),
    Row(name="all receivers away for 4 s", inject=_away("*", 4), long=True),
    Row(name="all receivers away for 60 s", inject=_away("*", 60), within_s=240, long=True),
    Row(name="one of three hosts dead", inject=_one_dead, long=True),
    Row(name="one of three hosts 50 times slower", inject=_one_slow, long=True),
)
