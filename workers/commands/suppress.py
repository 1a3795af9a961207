"""`penstock suppress`: who gets no mail, by an operator's word: add, remove, show, import and export."""

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar

import click
import msgspec
import trio

from sender.content.address import parse_address
from sender.errors import ConfigError, ConfigErrors, ContentError
from sender.explaining.explanation import counted
from sender.policy.suppression import Digests, canonical
from sender.queue.base import Queue
from sender.queue.suppressions import GLOBAL, Suppression
from sender.settings import load
from workers.commands.options import config_option
from workers.digests import checked_digests
from workers.places import suppression_digests
from workers.store import connected
from workers.suppression_file import (
    MANUAL,
    Checked,
    Writer,
    read_expiry,
    read_list_name,
    read_reason,
    read_source,
    write_time,
)

_PAGE = 5_000
_ADDRESSES_MOST = 100_000  # that one call of add, remove or show takes
_ERRORS_SHOWN = 20

T = TypeVar("T")

_addresses = click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
_list = click.option("--list", "list_name", default=GLOBAL, metavar="NAME", help="Only this list; all lists if not given.")


@click.group()
def command() -> None:
    """Who gets no mail: of one list, or of all.

    ADDRESS may be "-": one a line from standard input. The store keeps no addresses, only digests of them.
    """


@command.command()
@_addresses
@_list
@click.option("--reason", default=MANUAL, show_default=True, help="Lower-case letters, digits, '_' and '-'.")
@click.option("--source", default="operator", show_default=True, help="Where this comes from, for whoever asks later.")
@click.option("--expires", default="", help="A duration like 90d, a day, or a time with its offset; never if not given.")
@config_option
def add(addresses: Sequence[str], list_name: str, reason: str, source: str, expires: str, config: Path | None) -> None:
    """Send nothing more to these addresses. Nothing is added unless all of them can be read."""
    now, wanted, name = time.time(), _read(addresses), _option(lambda: read_list_name(list_name))
    why, whence = _option(lambda: read_reason(reason)), _option(lambda: read_source(source))
    until = _option(lambda: read_expiry(expires, now))
    if until and until <= now:
        raise ConfigError("--expires", "", f"{expires!r} has passed")

    def entry(digest: bytes) -> Suppression:
        return Suppression(digest=digest, list=name, reason=why, source=whence, at=now, expires=until)

    async def run() -> int:
        async with _opened(config) as (queue, digests):
            return await queue.suppress([entry(digests.of(one)) for one in wanted])

    new = trio.run(run)
    click.echo(f"{counted(len(wanted), 'address')}: {new:,} added, {len(wanted) - new:,} there already ({_where(list_name)})")


@command.command()
@_addresses
@_list
@config_option
def remove(addresses: Sequence[str], list_name: str, config: Path | None) -> None:
    """Let these addresses have mail again.

    Without --list what holds for all lists is removed, and nothing else.
    """
    wanted, name = _read(addresses), _option(lambda: read_list_name(list_name))

    async def run() -> int:
        async with _opened(config) as (queue, digests):
            return await queue.unsuppress([digests.of(one) for one in wanted], name)

    removed = trio.run(run)
    click.echo(
        f"{counted(len(wanted), 'address')}: {removed:,} removed, {len(wanted) - removed:,} not there ({_where(list_name)})"
    )


@command.command()
@_addresses
@_list
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
@config_option
def show(addresses: Sequence[str], list_name: str, as_json: bool, config: Path | None) -> None:
    """Say whether these addresses would get mail now.

    Of a campaign of --list NAME, or of one without a list.
    """
    wanted, name = _read(addresses), _option(lambda: read_list_name(list_name))

    async def run() -> Sequence[Suppression | None]:
        async with _opened(config) as (queue, digests):
            return await queue.suppressed([digests.of(one) for one in wanted], name, time.time())

    found = trio.run(run)
    if as_json:
        documents = [_document(address, entry) for address, entry in zip(wanted, found, strict=True)]
        click.echo(msgspec.json.format(msgspec.json.encode(documents)).decode())
        return
    for address, entry in zip(wanted, found, strict=True):
        click.echo(f"{address}: {_in_words(entry) if entry else 'not suppressed'}")


@command.command("import")
@click.argument("file", type=click.File("rb"))
@config_option
def import_(file: BinaryIO, config: Path | None) -> None:
    """Add the entries of a CSV file, or of standard input.

    FILE may be "-". Nothing is added unless every row is good. Columns: address or digest, list, reason, source, expires,
    at, key; only one of the first two is needed. Digests are those of an export under this same suppression key.
    """
    now, name = time.time(), getattr(file, "name", "<stdin>")
    with Checked() as checked:
        checked.read(file, str(name), suppression_digests(load(config)), now)

        async def run() -> int:
            async with _opened(config) as (queue, _):
                return sum([await queue.suppress(batch) for batch in checked.batches()])

        new = trio.run(run)
        left_out = f", {checked.expired:,} left out as expired" if checked.expired else ""
        click.echo(f"{counted(checked.entries, 'entry')}: {new:,} added, {checked.entries - new:,} there already{left_out}")


@command.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@config_option
def export(file: Path | None, config: Path | None) -> None:
    """Write all entries as CSV to FILE or to standard output.

    FILE must not exist yet. It holds digests, not addresses: `penstock suppress import` reads it wherever the same
    suppression key is used.
    """

    async def run(out: TextIO) -> int:
        count = 0
        async with _opened(config) as (queue, digests):
            writer, cursor = Writer(out, digests), ""
            while True:
                cursor, entries = await queue.suppressions(cursor, _PAGE)
                writer.write(entries)
                count += len(entries)
                if not cursor:
                    return count

    with _output(file) as out:
        count = trio.run(run, out)
    click.echo(f"{counted(count, 'entry')}; digests only: no address can be read from them", err=True)


@asynccontextmanager
async def _opened(config: Path | None) -> AsyncIterator[tuple[Queue, Digests]]:
    settings = load(config)
    async with connected(settings, 0.0) as queue:
        yield queue, await checked_digests(settings, queue)


def _read(arguments: Sequence[str]) -> list[str]:
    """The addresses, each in one of its spellings; ConfigErrors with all that can't be read."""
    found, errors = dict[str, str](), list[ConfigError]()
    for where, text in islice(_texts(arguments), _ADDRESSES_MOST + 1):
        try:
            address = str(parse_address(text))
            found.setdefault(canonical(address), address)
        except ContentError as error:
            errors.append(ConfigError(where, "", error.why))
    if len(found) + len(errors) > _ADDRESSES_MOST:
        raise ConfigError("ADDRESS", "", f"more than {_ADDRESSES_MOST:,}: `penstock suppress import` takes any number")
    if errors:
        more = [ConfigError("ADDRESS", "", f"and {len(errors) - _ERRORS_SHOWN:,} more like these")]
        raise ConfigErrors(errors[:_ERRORS_SHOWN] + (more if len(errors) > _ERRORS_SHOWN else []))
    return list(found.values())


def _texts(arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each address with where it stands; "-" stands for the lines of standard input."""
    for number, text in enumerate(arguments, 1):
        if text != "-":
            yield f"ADDRESS {number}", text
            continue
        for line_number, line in enumerate(sys.stdin, 1):
            if line.strip():
                yield f"standard input, line {line_number}", line.strip()


def _option(read: Callable[[], T]) -> T:
    """The value of an option; what is wrong with it as a ConfigError."""
    try:
        return read()
    except ValueError as error:
        option, _, why = str(error).partition(": ")  # they begin with what a CSV calls the same
        raise ConfigError(f"--{option}", "", why) from error


@contextmanager
def _output(file: Path | None) -> Iterator[TextIO]:
    """Standard output, or a new file for us alone, which is gone again if it could not be filled."""
    if file is None:
        yield sys.stdout
        return
    try:
        out = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline="")
    except FileExistsError as error:
        raise ConfigError(str(file), "", "it exists: not overwritten") from error
    except OSError as error:
        raise ConfigError(str(file), "", error.strerror or str(error)) from error
    try:
        with out:
            yield out
    except BaseException:
        file.unlink()
        raise


def _where(list_name: str) -> str:
    return f"list {list_name}" if list_name != GLOBAL else "all lists"


def _in_words(entry: Suppression) -> str:
    until = f", until {_moment(entry.expires)}" if entry.expires else ""
    return f"suppressed on {_where(entry.list)}: {entry.reason}, since {_moment(entry.at)}, from {entry.source}{until}"


def _moment(at: float) -> str:
    """To the second, with the offset from UTC, for people."""
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S %z}"


def _document(address: str, entry: Suppression | None) -> dict[str, Any]:
    """An answer for scripts; times as they stand in an export."""
    if entry is None:
        return {"address": address, "suppressed": False}
    return {
        "address": address,
        "suppressed": True,
        "list": entry.list,
        "reason": entry.reason,
        "source": entry.source,
        "at": write_time(entry.at),
        "expires": write_time(entry.expires),
    }
