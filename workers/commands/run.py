"""`penstock run`: a fleet on this host, or one role of it.

What only one role needs is imported by that role: a fleet is up sooner, and a signer has no client of the store in its memory.
"""

import os
import sys
from functools import partial
from pathlib import Path

import click
import trio

from sender.content.rotation import Algorithm
from sender.errors import ConfigError
from sender.settings import load
from workers import log
from workers.commands.options import config_option
from workers.lifeline import take_lifeline
from workers.places import make_private, runtime_dir, signer_sockets

_ROLES = ("delivery", "expander", "scheduler", "consumer", "signer")
_SINGLE = ("expander", "scheduler", "consumer")  # one a host: a second one would take the first one's metrics port


@click.command()
@click.argument("role", required=False, type=click.Choice(_ROLES))
@click.option("--index", default=0, show_default=True, type=click.IntRange(0, 255), help="Which one of its kind on this host.")
@config_option
def command(role: str | None, index: int, config: Path | None) -> None:
    """Run a fleet on this host, or only ROLE.

    ROLE is for a service manager that looks after roles by itself.

    SIGTERM drains: nothing new is begun, open transactions finish, the rest goes back to the queue. A second SIGTERM stops
    at once; still nothing is lost.
    """
    if index and role in _SINGLE:
        raise click.BadParameter(f"there is one {role} on a host: {index} can't be run", param_hint="--index")
    match role:
        case None:
            _fleet(config)
        case "signer":
            _sign(index, config)
        case _:
            _serve(role, index, config)


def _fleet(config: Path | None) -> None:
    from workers.fleet import run_fleet

    _check(config)
    trio.run(run_fleet, config)


def _serve(role: str, index: int, config: Path | None) -> None:
    """A role that works with the store."""
    from workers.fleet import DELIVERY_PORT, EXPANDER_PORT, SCHEDULER_PORT, consumer_port
    from workers.process import run_role

    name = f"{role}-{index}"
    match role:
        case "delivery":
            from workers.delivery import deliver

            run_role(deliver, name, config, DELIVERY_PORT + index)
        case "expander":
            from workers.expander import expand

            run_role(expand, name, config, EXPANDER_PORT)
        case "scheduler":
            from workers.scheduler import schedule

            run_role(schedule, name, config, SCHEDULER_PORT)
        case "consumer":
            from workers.consumers.role import consume

            settings = load(config)
            if not settings.consumers:
                raise ConfigError("penstock.toml", "consumer", "none: there is nothing to do for this process")
            run_role(consume, name, config, consumer_port(settings))


def _check(config: Path | None) -> None:
    """Refuse to start a fleet that could not work, with all errors at once, rather than restart its parts for ever.

    `penstock check` runs as a process of its own, since it opens private keys: none may stay in our memory.
    """
    command = [sys.executable, "-m", "workers.cli", "check", *(["--config", str(config)] if config else [])]
    checked = trio.run(partial(trio.run_process, command, capture_stdout=True, capture_stderr=True, check=False))
    if checked.returncode:
        click.echo(checked.stderr.decode(errors="backslashreplace"), err=True, nl=False)
        raise click.exceptions.Exit(1)


def _sign(index: int, config: Path | None) -> None:
    """The signer's whole life: nothing of the network is opened."""
    from sender.content.key import load_all
    from workers.signer import harden, serve, stop_at_sigterm

    harden()
    stops = [stop_at_sigterm()]
    lifeline = take_lifeline()
    settings = load(config)
    writer = log.set_up(f"signer-{index}", level=settings.log.level, style=settings.log.format)
    make_private(runtime_dir(settings))
    sockets = signer_sockets(settings)
    if index >= len(sockets):
        raise ConfigError("penstock.toml", "fleet.signers", f"there is no signer {index}: {len(sockets)} are configured")
    files = {
        f"{identity.domain}/{key.selector}": (settings.path(key.file), Algorithm(key.algorithm))
        for identity in settings.identities
        for key in identity.keys
    }
    serve(sockets[index], load_all(files), stop=[*stops, *([lifeline] if lifeline is not None else [])])
    writer.close()
    os._exit(0)  # nothing is left to do, and key material is best gone at once
