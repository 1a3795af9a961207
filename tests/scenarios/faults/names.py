"""The DNS: silent, failing, and changing its mind."""

from collections.abc import Awaitable, Callable

from tests.scenarios.faults.row import NOBODY, Row, World
from tests.scenarios.faults.scene import Doubt, Scene
from tests.scenarios.stage import eventually, readers


def _down(fault: str, seconds: float) -> Callable[[Scene], Awaitable[Doubt]]:
    """No name has been looked up before."""

    async def inject(scene: Scene) -> Doubt:
        await scene.ask("names", fault=fault)
        scene.strikes()
        await scene.submit()
        await scene.passing(seconds)
        assert not scene.play.copies()
        await scene.ask("heal")
        return NOBODY

    return inject


async def _down_and_known(scene: Scene) -> Doubt:
    """All names have been looked up: mail goes on while the DNS is away."""
    people = readers(1_600)
    await scene.submit(people[:800], "before")
    await scene.play.finished("before")
    await scene.ask("names", fault="silence")
    scene.strikes()
    known = {address.rpartition("@")[2] for address in people[:800]}
    await scene.submit([address for address in people[800:] if address.rpartition("@")[2] in known])
    await scene.play.finished("spring")
    return NOBODY


async def _moves(scene: Scene) -> Doubt:
    """The old receiver refuses connections; its mail waits, and goes to the new one once the DNS names that."""
    await scene.ask("shut", hosts="mx*.smallhost-1.example")
    scene.strikes()
    await scene.submit(f"reader-{number}@shop-0001.example" for number in range(200))

    async def tried() -> bool:
        return "shop-0001.example" in scene.play.log.read_text() or bool((await scene.play.queue.depth(0.0)).later)

    await eventually("the old receiver has been tried", tried)
    await scene.ask("move", domain="shop-0001.example", to="smallhost-2")
    return NOBODY


ROWS = (
    Row(name="DNS silent for 5 s, nothing known", inject=_down("silence", 5), within_s=120, long=True),
    Row(name="DNS answers SERVFAIL for 5 s, nothing known", inject=_down("servfail", 5), within_s=120, long=True),
    Row(name="DNS silent for 60 s, nothing known", inject=_down("silence", 60), within_s=240, long=True),
    Row(name="DNS silent, everything known", inject=_down_and_known, long=True),
    Row(
        name="domain moves while its mail waits",
        inject=_moves,
        world=World(emulator={"ttl_s": 1}),  # we keep an answer for a minute all the same
        within_s=180,
        long=True,
    ),
)
