"""What hold, resume and lanes share: which lanes a word on the command line means.

A lane is `source/receiver`; `*` on either side means all of them. A name alone is a source or a receiver of the configuration:
where it is both, the form with the star says which.
"""

import difflib
from collections.abc import Iterable, Sequence

from sender.errors import ConfigError
from sender.explaining.explanation import joined
from sender.policy.receivers import DEFAULT
from sender.queue.base import Queue
from sender.queue.lane_holds import ANY, LaneHold
from sender.queue.warmups import OTHER, TAIL
from sender.settings import Settings
from sender.warming.audit import NO_END, Entry

_LIKE = 0.75  # how alike names are of which one may be meant for the other


def read_lanes(text: str, settings: Settings) -> LaneHold:
    """The lanes that a word means, as a hold that says nothing else yet; ConfigError where it means none, or two things."""
    sources = [source.name for source in settings.sources]
    receivers = [*sorted(settings.receivers.keys() - {DEFAULT}), OTHER]
    if "/" in text:
        source, _, receiver = text.partition("/")
        if source not in (ANY, *sources):
            raise _unknown(text, "source", source, sources)
        if receiver not in (ANY, *receivers) and not receiver.startswith(TAIL):
            raise _unknown(text, "receiver", receiver, receivers)
        return LaneHold(source=source, receiver=receiver)
    is_receiver = text in receivers or (text.startswith(TAIL) and len(text) > 1)
    if text in sources and is_receiver:
        raise ConfigError("LANE", text, f"a source and a receiver have this name: write {text}/* or */{text}")
    if text in sources:
        return LaneHold(source=text)
    if is_receiver:
        return LaneHold(receiver=text)
    raise _unknown(text, "source or receiver", text, [*sources, *receivers])


def _unknown(text: str, kind: str, name: str, names: Sequence[str]) -> ConfigError:
    near = difflib.get_close_matches(name, names, 3, _LIKE)
    which = f"did you mean {' or '.join(near)}?" if near else f"there are: {joined(sorted(names), 12)}"
    return ConfigError("LANE", text[:80], f"no {kind} is called {name[:80]!r}; {which}")


async def record(queue: Queue, names: Sequence[str], what: str, why: str, *, by: str, at: float, until: float = NO_END) -> None:
    """Tell the audit stream what somebody has done with these lanes."""
    await queue.tell_audit([Entry(at=at, name=name, what=what, why=why, by=by, until=until).encode() for name in names])


def in_force(holds: Iterable[LaneHold], now: float) -> list[LaneHold]:
    """The holds that are not over."""
    return [hold for hold in holds if now < hold.until]
