"""Where each consumer of events stands: what `penstock events` looks at, in the store and on this host."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import trio

from sender.queue.base import Queue
from sender.queue.groups import GroupStanding
from sender.queue.owners import BEAT_S
from sender.settings import Consumer, Settings, WebhookConsumer
from workers.consumers.assembly import dead_letters
from workers.consumers.letters import Letters, look

_LOOKS_S = 0.5
_LOOKED_FOR_S = 2 * BEAT_S  # who has not beaten for so long is silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A consumer of the configuration, or a group of readers that the streams know."""

    name: str
    consumer: Consumer | None = None  # None: this configuration has none of that name
    group: GroupStanding | None = None  # None: it has not begun
    silent: frozenset[str] = frozenset()  # its readers that have not beaten while we looked
    letters: Letters | None = None  # on this host; None where there can't be any
    unread: str = ""  # why they could not be looked at

    @property
    def kind(self) -> str:
        if self.consumer is not None:
            return self.consumer.kind
        return "removed" if self.group is not None and self.group.ours else "another's"


async def rows(queue: Queue, settings: Settings) -> list[Row]:
    """Those of the configuration in its order, then all other groups. Takes some seconds where a reader is silent."""
    first = await queue.groups(await queue.time())
    last, silent = await _watched(queue, first)
    groups = {group.name: group for group in last if group.ours}
    found = []
    for consumer in settings.consumers:
        letters, why = await trio.to_thread.run_sync(_letters, settings, consumer)
        found.append(
            Row(
                name=consumer.name,
                consumer=consumer,
                group=groups.pop(consumer.name, None),
                silent=silent.get(consumer.name, frozenset()),
                letters=letters,
                unread=why,
            )
        )
    rest = [*groups.values(), *(group for group in last if not group.ours)]
    return [*found, *(Row(name=group.name, group=group, silent=silent.get(group.name, frozenset())) for group in rest)]


async def _watched(
    queue: Queue, first: Sequence[GroupStanding]
) -> tuple[Sequence[GroupStanding], Mapping[str, frozenset[str]]]:
    """Look again until all readers of ours have beaten, or have had the time for it; the last look, and who has not."""
    before, last = {group.name: group for group in first if group.ours}, first
    deadline = trio.current_time() + _LOOKED_FOR_S
    while True:
        still = {group.name: _still(before[group.name], group) for group in last if group.ours and group.name in before}
        if not any(still.values()) or trio.current_time() >= deadline:
            return last, still
        await trio.sleep(_LOOKS_S)
        last = await queue.groups(await queue.time())


def _still(before: GroupStanding, now: GroupStanding) -> frozenset[str]:
    """Readers of whom no beat has moved."""
    return frozenset(name for name, beats in now.readers.items() if list(before.readers.get(name, ())) == list(beats))


def _letters(settings: Settings, consumer: Consumer) -> tuple[Letters | None, str]:
    if not isinstance(consumer, WebhookConsumer):
        return None, ""
    try:
        return look(dead_letters(settings, consumer, lambda: 0.0)), ""
    except OSError as error:
        return None, f"{error.filename or consumer.directory}: {error.strerror or error}"
