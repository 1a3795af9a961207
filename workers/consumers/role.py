"""The consumer process: everybody in the configuration who follows the events, side by side."""

import os
import secrets
from random import Random

import trio

from sender.queue.groups import Start
from sender.settings import Consumer, WebhookConsumer
from workers.consumers.assembly import dead_letters, deliverer
from workers.consumers.consumer import Follower
from workers.consumers.file import MIB, FileSink
from workers.consumers.sink import Sink
from workers.consumers.webhook import WebhookSink
from workers.places import events_dir, host_name
from workers.process import Process


async def consume(process: Process) -> None:
    """Follow the events until told to drain; one that is slow or in trouble holds up no other."""
    reader = f"{host_name(process.settings)}/{process.name}-{os.getpid()}-{secrets.token_hex(3)}"
    async with trio.open_nursery() as nursery:
        for consumer in process.settings.consumers:
            one = Follower(
                name=consumer.name,
                queue=process.queue,
                sink=_sink(process, consumer),
                reader=reader,
                start=Start(consumer.start),
                clock=process.clock,
                rng=Random(),
                metrics=process.metrics,
                on_trouble=process.trouble,
            )
            nursery.start_soon(one.run, process.draining)
        process.ready = True


def _sink(process: Process, consumer: Consumer) -> Sink:
    if isinstance(consumer, WebhookConsumer):
        return _webhook(process, consumer)
    return FileSink(
        directory=events_dir(process.settings, consumer),
        name=consumer.name,
        rotate_octets=consumer.rotate_mb * MIB,
        rotate_every_s=consumer.rotate_every,
        keep_files=consumer.keep_files,
        clock=process.clock,
    )


def _webhook(process: Process, consumer: WebhookConsumer) -> Sink:
    return WebhookSink(
        deliverer=deliverer(process.settings, consumer, process.clock),
        dead=dead_letters(process.settings, consumer, process.clock),
        ways=consumer.connections,
        retry_most_s=consumer.retry_most,
        give_up_s=consumer.give_up,
        clock=process.clock,
    )
