"""`penstock run`: a fleet on this host, or one role of it."""

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
from workers.delivery import deliver
from workers.expander import expand
from workers.fleet import DELIVERY_PORT, EXPANDER_PORT, SCHEDULER_PORT, run_fleet
from workers.lifeline import take_lifeline
from workers.places import make_private, runtime_dir, signer_sockets
from workers.process import run_role
from workers.scheduler import schedule

_ROLES = ("delivery", "expander", "scheduler", "signer")
_SINGLE = ("expander", "scheduler")  # one a host: a second one would take the first one's metrics port


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
            _check(config)
            trio.run(run_fleet, config)
        case "delivery":
            run_role(deliver, f"delivery-{index}", config, DELIVERY_PORT + index)
        case "expander":
            run_role(expand, f"expander-{index}", config, EXPANDER_PORT)
        case "scheduler":
            run_role(schedule, f"scheduler-{index}", config, SCHEDULER_PORT)
        case "signer":
            _sign(index, config)


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
    """The signer's whole life: nothing of the network is opened. What it does with keys no other role imports."""
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
