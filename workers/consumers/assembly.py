"""A webhook's parts, from the configuration: for the process that sends, and for the command that sends again."""

import ssl
from collections.abc import Callable

from sender.errors import ConfigError
from sender.net.addresses import Targets
from sender.settings import Settings, WebhookConsumer
from workers.consumers.file import MIB, FileSink
from workers.consumers.http import Poster
from workers.consumers.webhook import Batches, Deliverer
from workers.places import events_dir, webhook_keys

_EVERYWHERE = ("0.0.0.0/0", "::/0")
_KEPT = 10_000  # full files of dead letters: a bound, and more than a disk should hold


def deliverer(settings: Settings, consumer: WebhookConsumer, clock: Callable[[], float]) -> Deliverer:
    """ConfigError where a secret or certificates can't be used."""
    ca_file = str(settings.path(consumer.ca_file)) if consumer.ca_file else ""
    try:
        poster = Poster(
            consumer.url,
            Targets(allow=_EVERYWHERE if consumer.allow_private else ()),
            connections=consumer.connections,
            timeout_s=consumer.timeout,
            ca_file=ca_file,
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(ca_file, "", f"no certificates: {error.strerror or error}") from error
    batches = Batches(lines=consumer.format == "lines", events=consumer.batch_events, octets=consumer.batch_kb * 1024)
    return Deliverer(poster=poster, keys=webhook_keys(settings, consumer), batches=batches, clock=clock)


def dead_letters(settings: Settings, consumer: WebhookConsumer, clock: Callable[[], float]) -> FileSink:
    return FileSink(
        directory=events_dir(settings, consumer),
        name=f"{consumer.name}-dead",
        rotate_octets=100 * MIB,
        rotate_every_s=0.0,
        keep_files=_KEPT,
        clock=clock,
    )
