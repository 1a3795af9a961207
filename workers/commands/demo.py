"""`penstock demo`: a campaign through the whole engine against an emulated internet, with nothing to set up."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from pathlib import Path

import click
import trio
from rich.console import Console
from rich.live import Live

from sender.errors import SenderError
from sender.queue.base import CampaignStatus, Queue
from workers.commands.submit import submit
from workers.demo import mailing, scene, view
from workers.demo.prometheus import find_program, prometheus
from workers.emulator.world import WorldOptions, build
from workers.store import open_configured_queue

_FRAME_S = 0.25
_PATIENCE_S = 600.0  # a demo that has not finished by then has failed
_LOWEST, _HIGHEST = 19_464, 32_000  # below the ephemeral ones
_PORTS = 8  # side by side: the fleet counts up from the first, the last is Prometheus's
_CLAIM = 6  # of those, the one that nobody serves: who has it has them all


@click.command()
@click.option("--recipients", type=click.IntRange(10, 1_000_000), default=10_000, show_default=True)
@click.option("--keep", is_flag=True, help="Stay up when the campaign is through, to look around; Ctrl-C ends it.")
@click.option("--prometheus", "scraped", is_flag=True, help="Run the Prometheus on PATH beside it, with the shipped alerts.")
@click.option(
    "--config",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Your configuration directory: its receivers are used; network, keys and sources are the demo's own.",
)
def command(recipients: int, keep: bool, scraped: bool, config: Path | None) -> None:
    """Send a campaign to an emulated internet.

    It lives on this machine's loopback. Every recipient is accounted for.
    """
    console = Console()
    if scraped:
        find_program()  # before anything is started
    try:
        complete = trio.run(_until_signal, console, recipients, keep, scraped, config)
    except KeyboardInterrupt:
        complete = False
    if not complete:
        raise click.exceptions.Exit(1)


async def _until_signal(console: Console, recipients: int, keep: bool, scraped: bool, config: Path | None) -> bool:
    """Play the demo; SIGTERM and a closed terminal end it like Ctrl-C does, with everything put away."""
    result = False
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:  # before there is anything
        async with trio.open_nursery() as nursery:

            async def end_on_signal() -> None:
                async for _ in signals:
                    console.print("ending ...")
                    nursery.cancel_scope.cancel()

            nursery.start_soon(end_on_signal)
            result = await _play(console, recipients, keep, scraped, config)
            nursery.cancel_scope.cancel()
    return result


async def _play(console: Console, recipients: int, keep: bool, scraped: bool, base: Path | None) -> bool:
    with scene.stage() as directory, free_ports() as port:
        config = directory / "config"
        config.mkdir(mode=0o700)
        campaign, rows = mailing.write(directory, build(WorldOptions()), recipients)
        records = scene.make_keys(config)
        async with scene.emulator(directory, {"records": records, "record": False}) as emulator:
            scene.write_config(config, base, emulator.ready, port, watched=keep or scraped)
            console.print(f"The emulated internet is up: {len(emulator.ready['receivers'])} receivers. Starting the fleet.")
            log = directory / "fleet.log"
            async with (
                _beside(scraped, directory, port) as prometheus_url,
                scene.fleet(config, log) as fleet,
                open_configured_queue(config, patience_s=30.0) as (settings, queue),
            ):
                began = time.monotonic()
                with rows.open("rb") as stream:
                    await submit(campaign, stream, mailing.CAMPAIGN, settings, queue)
                status = await _watch(console, queue, emulator, fleet, recipients, log)
                seconds = time.monotonic() - began
                sums = view.totals(recipients, status, await emulator.ask("settle"))
                view.summarise(console, sums, seconds, f"http://127.0.0.1:{port}/metrics and the ports after it")
                if keep:
                    await stay(console, config, log, prometheus_url)
                return not sums.problems()


async def _watch(
    console: Console, queue: Queue, emulator: scene.Emulator, fleet: trio.Process, recipients: int, log: Path
) -> CampaignStatus:
    """Show the campaign until every recipient has a final state; SenderError where that does not come."""
    picture = view.View(recipients)
    with Live(picture.renderable, console=console, auto_refresh=False) as live, trio.move_on_after(_PATIENCE_S):
        while True:
            if fleet.poll() is not None:
                raise SenderError(f"the fleet has ended with status {fleet.returncode}:\n{_tail(log)}")
            found = await queue.status([mailing.CAMPAIGN])
            if found:
                picture.update(found[0], await emulator.ask("stats"))
                live.update(picture.renderable, refresh=True)
                if found[0].complete and found[0].finished >= recipients:
                    return found[0]
            await trio.sleep(_FRAME_S)
    raise SenderError(f"not finished after {_PATIENCE_S:.0f} s:\n{_tail(log)}")


def _beside(scraped: bool, directory: Path, first: int) -> AbstractAsyncContextManager[str | None]:
    """The Prometheus that was asked for, or none."""
    return (
        prometheus(directory / "prometheus", port=first + _PORTS - 1, first=first, consumers=True) if scraped else nullcontext()
    )


async def stay(console: Console, config: Path, log: Path, prometheus_url: str | None) -> None:
    """Say where there is something to see, and wait. Nothing is wrapped: it shall be copied from the terminal as it is."""
    lines = [f"Staying up. Look around with: penstock top --config {config}"]
    if prometheus_url is not None:
        lines.append(f"Prometheus, with the shipped rules and alerts: {prometheus_url}")
    lines.append(f"What became of each message, line by line: {config.parent / 'state' / 'events' / 'demo.jsonl'}")
    lines.append(f"The fleet's log: {log}. Ctrl-C ends it all.")
    console.print("\n".join(lines), soft_wrap=True)
    await trio.sleep_forever()


@contextmanager
def free_ports(lowest: int = _LOWEST) -> Iterator[int]:
    """The first of some neighbouring ports of the loopback that nobody listens on, kept from other demos meanwhile."""
    for first in range(lowest, _HIGHEST, _PORTS):
        with socket.socket() as claim:
            if _is_free(claim, first + _CLAIM) and all(map(_could_listen, _served(first))):
                yield first
                return
    raise SenderError("no free ports for metrics")


def _served(first: int) -> list[int]:
    return [port for port in range(first, first + _PORTS) if port != first + _CLAIM]


def _could_listen(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _is_free(probe, port)


def _is_free(probe: socket.socket, port: int) -> bool:
    """Whether it can be bound; it is then, as long as `probe` is open."""
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-15:])
