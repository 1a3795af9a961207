"""What the audit stream says, told to the world as events: stages of warmups, and operators' words on lanes and campaigns.

An entry is written together with the change that it is about, and it is told at least once: the store remembers how far, and an
event's id is its entry's, so that several schedulers, or one that was killed, repeat it under the same id.
"""

from sender.events import NOT_DUE, ChangeEvent
from sender.queue.base import Queue
from sender.warming.audit import Entry

LANES_HELD, LANES_RESUMED = "lanes held", "lanes resumed"
CAMPAIGN_PAUSED, CAMPAIGN_RESUMED = "campaign paused", "campaign resumed"
_TYPES = {LANES_HELD: "held", LANES_RESUMED: "resumed", CAMPAIGN_PAUSED: "paused", CAMPAIGN_RESUMED: "resumed"}
_AT_ONCE = 500


async def tell_changes(queue: Queue) -> int:
    """Tell what has not been told yet; how many there were. Call it about once a second."""
    entries = await queue.untold_audit(_AT_ONCE)
    for name, body in entries:
        if (event := _event(name, body)) is not None:
            await queue.tell(event.subject, [event.encode()])
    if entries:
        await queue.audit_told(entries[-1][0])
    return len(entries)


def _event(name: str, body: bytes) -> ChangeEvent | None:
    """None where a later version wrote what we can't read: its own schedulers tell it."""
    try:
        entry = Entry.decode(body)
    except ValueError:
        return None
    kind = _TYPES.get(entry.what, "warmup")
    return ChangeEvent(
        id=f"change:{name}",
        type=kind,
        at=entry.at,
        subject=entry.name,
        what=entry.what if kind == "warmup" else "",
        why=entry.why,
        by=entry.by,
        plan=entry.plan,
        stage=entry.stage,
        warm=entry.warm,
        complaints=entry.complaints,
        until=entry.until or NOT_DUE,
    )
