"""The command line: `penstock COMMAND`. A command is a file in `workers/commands` and a line in `COMMANDS`.

Commands are imported when they are called, so that `penstock --version` does not wait for what only `penstock run` needs.
"""

import importlib
import sys
from typing import Any

import click

from sender.errors import BackendError, SenderError

COMMANDS = {
    "init": "workers.commands.init:command",
    "check": "workers.commands.check:command",
    "keygen": "workers.commands.keygen:command",
    "demo": "workers.commands.demo:command",
    "run": "workers.commands.run:command",
    "plan": "workers.commands.plan:command",
    "submit": "workers.commands.submit:command",
    "status": "workers.commands.status:command",
    "suppress": "workers.commands.suppress:command",
    "campaigns": "workers.commands.campaigns:command",
    "pause": "workers.commands.pause:command",
    "hold": "workers.commands.hold:command",
    "lanes": "workers.commands.lanes:command",
    "top": "workers.commands.top:command",
    "resume": "workers.commands.resume:command",
    "cancel": "workers.commands.cancel:command",
    "why": "workers.commands.why:command",
    "warmup": "workers.commands.warmup:command",
    "rules": "workers.commands.rules:command",
    "doubts": "workers.commands.doubts:command",
    "events": "workers.commands.events:command",
    "simulate": "workers.commands.simulate:command",
}


class _Temporary(click.ClickException):
    """The store is away or full: the same command may do later."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class Commands(click.Group):
    """A group whose commands are imported on demand, and whose expected errors are words, not tracebacks."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name]} is no click command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SenderError as error:
            raise _told(str(error), isinstance(error, BackendError)) from error
        except BaseExceptionGroup as group:  # tasks fail together
            expected, rest = group.split(SenderError)
            if rest is not None or expected is None:
                raise
            leaves = _leaves(expected)
            raise _told(
                "\n".join(dict.fromkeys(map(str, leaves))), all(isinstance(leaf, BackendError) for leaf in leaves)
            ) from group


def _told(text: str, temporary: bool) -> click.ClickException:
    return _Temporary(text) if temporary else click.ClickException(text)


def _leaves(group: BaseExceptionGroup[SenderError]) -> list[SenderError]:
    found: list[SenderError] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="penstock", prog_name="penstock")
def main() -> None:
    """Send bulk e-mail at the speed each receiver will take, and no faster."""


if __name__ == "__main__":
    sys.exit(main())
