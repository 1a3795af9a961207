"""`penstock events`: how far consumers are behind, what could not be delivered, and the events themselves."""

from contextlib import aclosing
from itertools import islice
from pathlib import Path

import click
import msgspec
import trio
from rich.console import Console

from sender.errors import ConfigError
from sender.events import TYPES
from sender.queue.inbox import campaign_id
from sender.settings import Settings, WebhookConsumer, load
from workers.commands.events_lines import as_json as json_line
from workers.commands.events_lines import in_words
from workers.commands.events_standing import Row, rows
from workers.commands.events_tail import tail as follow
from workers.commands.events_view import WIDEST, as_document, lines
from workers.commands.events_view import dead as dead_words
from workers.commands.options import config_option
from workers.consumers.assembly import dead_letters, deliverer
from workers.consumers.letters import every, look
from workers.consumers.replay import replay as send_again
from workers.store import open_configured_queue

_consumer = click.argument("consumer")
_KIB = 1024


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table; times in Unix seconds.")
@config_option
@click.pass_context
def command(context: click.Context, as_json: bool, config: Path | None) -> None:
    """Show how far each consumer of events is behind.

    Those of the configuration, and all other groups of readers in the store: how many events each has not dealt with and how
    old the oldest is, who reads, when and why it last failed, and dead letters on this host.
    """
    if context.invoked_subcommand is not None:
        return
    found, now = trio.run(_fetch, config)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([as_document(row) for row in found])).decode())
    else:
        console = Console()
        console.print(lines(found, now, console.width if console.is_terminal else WIDEST), soft_wrap=True)


async def _fetch(config: Path | None) -> tuple[list[Row], float]:
    async with open_configured_queue(config) as (settings, queue):
        return await rows(queue, settings), await queue.time()


@command.command(short_help="Print events as they come, a line of JSON each.")
@click.option("--campaign", "campaigns", multiple=True, metavar="CAMPAIGN", help="Of this one alone; may be given again.")
@click.option(
    "--type", "types", multiple=True, type=click.Choice(TYPES), metavar="TYPE", help="Of this type alone; may be given again."
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many.")
@config_option
def tail(campaigns: tuple[str, ...], types: tuple[str, ...], count: int | None, config: Path | None) -> None:
    """Print events as they come, a line of JSON each, until Ctrl-C.

    It begins now, and only looks: no consumer's place moves. What a terminal could not print is escaped, as JSON does it.
    """
    for campaign in campaigns:
        try:
            campaign_id(campaign)
        except ValueError as error:
            raise ConfigError("--campaign", "", str(error)) from error
    try:
        trio.run(_tail, campaigns, types, count, config)
    except* KeyboardInterrupt:
        pass


async def _tail(campaigns: tuple[str, ...], types: tuple[str, ...], count: int | None, config: Path | None) -> None:
    async with open_configured_queue(config) as (_, queue), aclosing(follow(queue, campaigns, types)) as found:
        async for events in found:
            shown = events[:count]
            click.echo("\n".join(map(json_line, shown)))
            if count is not None and (count := count - len(shown)) == 0:
                return


@command.command()
@_consumer
@click.option("--limit", default=20, type=click.IntRange(min=1), show_default=True, help="Events, the oldest file's first.")
@click.option("--json", "as_json", is_flag=True, help="All of them, a line of JSON each.")
@config_option
def dead(consumer: str, limit: int, as_json: bool, config: Path | None) -> None:
    """Show the dead letters of the webhook CONSUMER on this host.

    Events that were not taken for as long as its give_up. Nothing is moved: `penstock events replay` sends them again.
    """
    settings = load(config)
    letters = dead_letters(settings, _webhook(settings, consumer), lambda: 0.0)
    try:
        if as_json:
            for line in every(letters):
                click.echo(json_line(line))
            return
        found = look(letters)
        if not found.files:
            click.echo(f"{consumer}: no dead letters here")
            return
        for path in found.files:
            click.echo(f"{path}: {path.stat().st_size // _KIB:,} KiB")
        for line in islice(every(letters), limit):
            click.echo(in_words(line))
    except OSError as error:
        raise ConfigError(str(error.filename or letters.directory), "", f"can't be read: {error.strerror or error}") from error
    left = found.events - limit
    rest = f"; {left:,} more with --limit or --json" if left > 0 else ""
    click.echo(f"{consumer}: {dead_words(found)}{rest}")


@command.command()
@_consumer
@config_option
def replay(consumer: str, config: Path | None) -> None:
    """Send the dead letters of the webhook CONSUMER again.

    Files go as they are taken. It ends with the first request that is not: what is left stays for the next time. Events keep
    their ids. Run it on the host that has the files.
    """
    count = trio.run(_replay, consumer, config)
    click.echo(f"{consumer}: {count:,} events sent" if count else f"{consumer}: no dead letters here")


async def _replay(name: str, config: Path | None) -> int:
    settings = load(config)
    webhook = _webhook(settings, name)
    async with open_configured_queue(config) as (_, queue):
        ahead = await queue.time() - trio.current_time()
    sender = deliverer(settings, webhook, lambda: trio.current_time() + ahead)
    try:
        return await send_again(dead_letters(settings, webhook, lambda: 0.0), sender, click.echo)
    finally:
        await sender.poster.aclose()


def _webhook(settings: Settings, name: str) -> WebhookConsumer:
    webhooks = {one.name: one for one in settings.consumers if isinstance(one, WebhookConsumer)}
    if name not in webhooks:
        known = f"there are: {', '.join(webhooks)}" if webhooks else "there is none"
        raise ConfigError("CONSUMER", name, f"no webhook of the configuration is called so; {known}")
    return webhooks[name]
