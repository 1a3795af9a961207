"""`penstock rules`: are the reply rules sound, and what do they make of a reply.

Neither asks the store or the network: a directory of rules can be tried before it is anybody's.
"""

import shutil
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from sender.errors import ConfigError, ConfigErrors
from sender.policy.lint import Fault, lint
from sender.policy.receivers import DEFAULT, Flaw, Profiles
from sender.policy.rules import ASKED
from sender.settings import read, shipped
from workers.commands.options import config_option
from workers.ruling import Known, Ruling, document, lines

_NAME_WIDTH, _WIDEST = 11, 100


class Question(msgspec.Struct):
    """One line of `penstock rules test --json -`. Other keys are the asker's own, and ignored."""

    reply: str
    receiver: str | None = None
    mx: str | None = None
    step: str | None = None


@click.group()
def command() -> None:
    """Check the reply rules, and ask them about a reply."""


@command.command("lint")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@config_option
def lint_command(as_json: bool, config: Path | None) -> None:
    """Find rules that never decide, and patterns that decide too much or take too long.

    Reports, at once, what loading would refuse, rules that match no reply or come too late, patterns that are found in
    replies about other things or take too long, profiles that nobody is recognised by, and names that end in a dot. Exits
    with 1 where there is any of it.
    """
    faults = _faults(config)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([_fault(fault) for fault in faults])).decode())
    else:
        for fault in faults:
            click.echo(str(fault))
        total = f"{len(faults)} finding{'s' if len(faults) > 1 else ''}" if faults else "good"
        click.echo(f"{config or 'shipped configuration'}: {total}", err=bool(faults))
    if faults:
        click.get_current_context().exit(1)


@command.command("test")
@click.argument("reply")
@click.option("--receiver", default="", help="Who gave it: a profile's name, or a domain that is its own.")
@click.option("--mx", default="", metavar="HOST", help="Who gave it: the name of the MX host.")
@click.option("--step", default="", help=f"What it answers: {', '.join(ASKED)}. RCPT where nothing is said.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document; with - for REPLY, one a line.")
@config_option
def test_command(reply: str, receiver: str, mx: str, step: str, as_json: bool, config: Path | None) -> None:
    """Say which rule decides REPLY, why, and what it would do.

    REPLY is what came over the wire ("421 4.7.28 ..."), or as it stands in a log or a bounce. `--json -` reads one JSON object
    a line from standard input, with the keys reply, receiver or mx, and step, all but reply optional, and answers each with
    one JSON object a line; a line that can't be read is answered with its error.
    """
    known = Known(_profiles(config))
    if reply != "-":
        ruling = Ruling.of(known, reply, receiver=receiver, mx=mx, step=step)
        click.echo(_encoded(document(ruling)).decode() if as_json else "\n".join(_laid_out(ruling)))
        return
    if not as_json:
        raise ConfigError("REPLY", "", "- reads JSON lines from standard input: give --json as well")
    standing = Question(reply="", receiver=receiver, mx=mx, step=step)
    for answer in _answers(known, sys.stdin.buffer, standing):
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()  # whoever asks may wait for the answer before it asks again


def _answers(known: Known, asked: BinaryIO, standing: Question) -> Iterator[bytes]:
    """One answer a line, in order. What a line leaves out is as the options say."""
    decoder = msgspec.json.Decoder(Question)
    for number, line in enumerate(asked, 1):
        try:
            question = decoder.decode(line.strip())
            ruling = Ruling.of(
                known,
                question.reply,
                receiver=question.receiver or standing.receiver or "",
                mx=question.mx or ("" if question.receiver else standing.mx) or "",
                step=question.step or standing.step or "",
            )
            yield _encoded(document(ruling))
        except (msgspec.MsgspecError, ConfigError, UnicodeError) as error:
            yield _encoded({"error": f"line {number}: {error}"})


def _encoded(answer: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(answer, enc_hook=float)  # a duration is a float of a type of its own


def _laid_out(ruling: Ruling) -> Iterator[str]:
    """Names in one column, what is said beside them, folded to the terminal."""
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    for name, text in lines(ruling):
        head = f"{name:<{_NAME_WIDTH}}"
        yield textwrap.fill(
            text,
            width,
            initial_indent=head,
            subsequent_indent=" " * _NAME_WIDTH,
            break_long_words=False,
            break_on_hyphens=False,
        )


def _profiles(config: Path | None) -> Profiles:
    reading = read(config)
    unreadable = _about_receivers(reading.errors, reading.settings.directory)
    if unreadable:
        raise ConfigErrors(unreadable)
    return Profiles.parse(reading.settings.receivers)


def _faults(config: Path | None) -> list[Fault]:
    """Files that can't be read at all, and all that is wrong in the others."""
    reading = read(config)
    unreadable = _about_receivers(reading.errors, reading.settings.directory)
    bad = {error.file for error in unreadable if not error.key}  # a wrong key hides nothing else of its file
    tables = {name: raw for name, raw in reading.settings.receivers.items() if raw[0] not in bad}
    if any(raw[0] in bad for name, raw in reading.settings.receivers.items() if name == DEFAULT):
        tables[DEFAULT] = (str(shipped() / "receivers" / f"{DEFAULT}.toml"), _shipped_default())  # its stand-in for the others
    return [Fault(flaw=Flaw.ERROR, error=error) for error in unreadable] + lint(tables, _shipped_default())


def _about_receivers(errors: tuple[ConfigError, ...], home: Path) -> list[ConfigError]:
    """What is wrong with the rest of the configuration is for `penstock check`."""
    others = {str(place / name) for place in (home, shipped()) for name in ("penstock.toml", "sources.toml")}
    plans = {str(place / "warmup") for place in (home, shipped())}
    return [error for error in errors if error.file not in others and str(Path(error.file).parent) not in plans]


def _shipped_default() -> Mapping[str, Any]:
    return tomllib.loads((shipped() / "receivers" / f"{DEFAULT}.toml").read_text(encoding="utf-8"))


def _fault(fault: Fault) -> dict[str, Any]:
    error = fault.error
    return {"kind": fault.flaw, "file": error.file, "key": error.key, "rule": fault.rule, "why": error.why}
