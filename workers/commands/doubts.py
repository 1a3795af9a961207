"""`penstock doubts`: envelopes whose end of data was never answered, parked as UNKNOWN: look at them, send again, or let go.

Each is one that the receiver may have. Sending it again may make a second copy; nobody but an operator decides that.
"""

import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import trio

from sender.errors import ConfigError
from sender.explaining.explanation import printable
from sender.queue.base import Queue
from sender.queue.doubts import Doubt, by_campaign
from sender.queue.inbox import campaign_id
from workers.commands.options import config_option
from workers.commands.words import unknown
from workers.store import open_configured_queue

_AT_ONCE = 1000  # envelopes in one call
_READ_MOST = 1_000_000  # envelope ids on standard input
_LINE_MOST = 200
_MANY, _GROUPS_SHOWN = 20, 40  # envelopes that need a summary, and its lines

_envelopes = click.argument("envelopes", nargs=-1, metavar="ENVELOPE...")
_campaign = click.option("--campaign", default="", help="All of this campaign.")
_receiver = click.option("--receiver", default="", help="Of those only the ones at this receiver.")


@click.group()
def command() -> None:
    """Envelopes that may have arrived: look, resend, drop.

    They are parked as unknown, because no receiver answered their end of data.
    """


@command.command("list")
@click.argument("campaign", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON each.")
@config_option
def list_(campaign: str, as_json: bool, config: Path | None) -> None:
    """Show them: of CAMPAIGN, or all."""
    _check_campaign(campaign)
    groups = trio.run(_list, campaign, as_json, config)
    if not as_json:
        click.echo("\n".join(summary(groups)))


@command.command()
@_envelopes
@_campaign
@_receiver
@config_option
def resend(envelopes: tuple[str, ...], campaign: str, receiver: str, config: Path | None) -> None:
    """Send ENVELOPEs again.

    ENVELOPE is campaign:ordinal; - reads them from standard input. Who has them already gets another copy, and one more
    where that is not answered either (retry.in_doubt_tries).
    """
    count, asked = trio.run(_act, _resend, envelopes, campaign, receiver, config)
    click.echo(_said(count, asked, "queued again"))


@command.command()
@_envelopes
@_campaign
@_receiver
@config_option
def drop(envelopes: tuple[str, ...], campaign: str, receiver: str, config: Path | None) -> None:
    """Forget what is kept of ENVELOPEs: they stay unknown.

    ENVELOPE is campaign:ordinal; - reads them from standard input.
    """
    count, asked = trio.run(_act, _drop, envelopes, campaign, receiver, config)
    click.echo(_said(count, asked, "dropped: they stay unknown"))


async def _list(campaign: str, as_json: bool, config: Path | None) -> Counter[tuple[str, str]]:
    """Print them; how many there are by campaign and receiver."""
    groups: Counter[tuple[str, str]] = Counter()
    async with open_configured_queue(config) as (_, queue):
        await _check_known(queue, campaign)
        async for doubt in _every(queue, campaign):
            groups[doubt.envelope.campaign, doubt.receiver] += 1
            click.echo(msgspec.json.encode(as_document(doubt)).decode() if as_json else line(doubt))
    return groups


async def _check_known(queue: Queue, campaign: str) -> None:
    if campaign and not await queue.status([campaign]):
        raise await unknown(queue, campaign)


async def _every(queue: Queue, campaign: str, receiver: str = "") -> AsyncIterator[Doubt]:
    cursor = ""
    while True:
        cursor, doubts = await queue.doubts(campaign, cursor, _AT_ONCE)
        for doubt in doubts:
            if receiver in ("", doubt.receiver):
                yield doubt
        if not cursor:
            return


_Action = Callable[[Queue, Sequence[str]], Awaitable[int]]


async def _resend(queue: Queue, envelopes: Sequence[str]) -> int:
    return await queue.resend(envelopes, await queue.time())


async def _drop(queue: Queue, envelopes: Sequence[str]) -> int:
    return await queue.drop_doubts(envelopes)


async def _act(
    action: _Action, envelopes: tuple[str, ...], campaign: str, receiver: str, config: Path | None
) -> tuple[int, int]:
    """Do it to all that are named, a bounded part at a time; how many it was done to, and how many were named."""
    named = _named(envelopes, campaign, receiver)
    async with open_configured_queue(config) as (_, queue):
        await _check_known(queue, campaign)
        if campaign:  # all at first: what is sent again may come back while we are at it
            named = [doubt.envelope.id async for doubt in _every(queue, campaign, receiver)]
        done = 0
        for start in range(0, len(named), _AT_ONCE):
            done += await action(queue, named[start : start + _AT_ONCE])
    return done, len(named)


def _named(envelopes: tuple[str, ...], campaign: str, receiver: str) -> list[str]:
    """What the command line and standard input name, all of it checked; ConfigError before anything is done."""
    _check_campaign(campaign)
    if bool(envelopes) == bool(campaign):
        raise ConfigError("ENVELOPE", "", "give envelopes (campaign:ordinal), or --campaign for all of one; one of the two")
    if receiver and not campaign:
        raise ConfigError("--receiver", "", "needs --campaign")
    named: list[str] = []
    for one in envelopes:
        named.extend(_read() if one == "-" else (one,))
    try:
        by_campaign(named)
    except ValueError as error:
        raise ConfigError("ENVELOPE", "", str(error)) from error
    return list(dict.fromkeys(named))


def _read() -> Iterator[str]:
    """Ids from standard input, one a line."""
    stream = sys.stdin
    for number in range(1, _READ_MOST + 2):
        text = stream.readline(_LINE_MOST + 1)
        if not text:
            return
        if number > _READ_MOST or len(text) > _LINE_MOST:
            raise ConfigError("-", f"line {number}", f"too much: at most {_READ_MOST:,} lines of {_LINE_MOST} characters")
        if text.strip():
            yield text.strip()


def _check_campaign(campaign: str) -> None:
    try:
        campaign_id(campaign or "any")
    except ValueError as error:
        raise ConfigError("CAMPAIGN", "", str(error)) from error


def _said(count: int, asked: int, done: str) -> str:
    rest = f"; {asked - count:,} of those named are not parked (any more)" if asked > count else ""
    return f"{count:,} {done}{rest}"


def summary(groups: Counter[tuple[str, str]]) -> Iterator[str]:
    """How many there are; of many also by campaign and receiver, the most first."""
    if groups.total() > _MANY:
        yield ""
        for (campaign, receiver), count in groups.most_common(_GROUPS_SHOWN):
            yield printable(f"{count:>9,}  {campaign}  {receiver}")
        if len(groups) > _GROUPS_SHOWN:
            yield f"{'...':>9}  and {len(groups) - _GROUPS_SHOWN:,} more"
    yield f"{groups.total():,} in doubt"


def line(doubt: Doubt) -> str:
    """One parked envelope for people."""
    envelope = doubt.envelope
    moment = f"{datetime.fromtimestamp(doubt.at).astimezone():%Y-%m-%d %H:%M:%S %z}"
    return printable(f"{envelope.id}  {envelope.address}  {doubt.pool}/{doubt.receiver}  {moment}  {doubt.why}")


def as_document(doubt: Doubt) -> dict[str, Any]:
    """One parked envelope for scripts; the time in Unix seconds."""
    envelope = doubt.envelope
    return {
        "envelope": envelope.id,
        "to": envelope.address,
        "pool": doubt.pool,
        "receiver": doubt.receiver,
        "attempts": envelope.attempts,
        "doubts": envelope.doubts,
        "at": doubt.at,
        "why": doubt.why,
    }
