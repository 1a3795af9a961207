"""What the audit stream says becomes events: all of it, at least once, under the same ids."""

import json
from typing import Any

import pytest

from sender.errors import BackendError
from sender.queue.memory import MemoryQueue
from sender.warming.audit import Entry
from sender.warming.herald import CAMPAIGN_PAUSED, LANES_HELD, LANES_RESUMED, tell_changes


class Shaky(MemoryQueue):
    forgets = False

    async def audit_told(self, last: str) -> None:
        if self.forgets:
            raise BackendError("the store is away")
        await super().audit_told(last)


async def told(queue: MemoryQueue) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await queue.events("", 10_000))[1]]


async def test_each_change_becomes_an_event_of_its_type() -> None:
    queue = MemoryQueue()
    entries = [
        Entry(at=1.0, name="s1/google", what="step back", why="blocks 3 %", plan="steady", stage=4),
        Entry(at=2.0, name="s1/*", what=LANES_HELD, why="new list", by="ann@host"),
        Entry(at=3.0, name="s1/*", what=LANES_RESUMED, by="ann@host"),
        Entry(at=4.0, name="campaign spring", what=CAMPAIGN_PAUSED, by="ann@host"),
        Entry(at=5.0, name="@shop.example", what="complaints", by="ann@host", complaints=3),
        Entry(at=6.0, name="*/google", what=LANES_HELD, by="ann@host", until=7206.0),
    ]
    await queue.tell_audit([entry.encode() for entry in entries])
    assert await tell_changes(queue) == 6
    events = await told(queue)
    assert [(event["type"], event["subject"]) for event in events] == [
        ("warmup", "s1/google"),
        ("held", "s1/*"),
        ("resumed", "s1/*"),
        ("paused", "campaign spring"),
        ("warmup", "@shop.example"),
        ("held", "*/google"),
    ]
    assert len({event.pop("id") for event in events}) == 6
    assert events[0] == {
        "v": 1,
        "type": "warmup",
        "at": 1.0,
        "subject": "s1/google",
        "what": "step back",
        "why": "blocks 3 %",
        "plan": "steady",
        "stage": 4,
    }
    assert events[4]["complaints"] == 3
    assert "what" not in events[1]
    assert [event.get("until") for event in events] == [None, None, None, None, None, 7206.0]
    assert await tell_changes(queue) == 0


async def test_who_dies_before_it_is_noted_repeats_the_same_ids_and_what_can_t_be_read_stops_nothing() -> None:
    queue = Shaky()
    await queue.tell_audit([b"{", Entry(at=1.0, name="s1/*", what=LANES_HELD).encode()])
    queue.forgets = True
    with pytest.raises(BackendError):
        await tell_changes(queue)
    queue.forgets = False
    assert await tell_changes(queue) == 2
    first, second = await told(queue)
    assert first == second
