"""What receivers' replies have made of lanes, told to the world as events: pauses, slower paces, stopped domains.

Each refusal may lengthen what an earlier one began, thousands of times a second. So a look each second tells what has begun,
what another rule has taken over, and what ends more than a minute later than was told.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, TypeAlias

import trio

from sender.errors import BackendError
from sender.events import ActionEvent
from sender.model import Action
from sender.policy.pace import Pause
from sender.policy.stops import Stop, Stops
from sender.queue.groups import Groups
from sender.reporting import Lanes

Cause: TypeAlias = Pause | Stop  # each says why, by which rule, and until when by trio's clock

_EVERY_S = 1.0
_MOVED_S = 60.0
_AT_ONCE = 200  # events in a look: the rest follows in the next
_WHY_MOST = 500  # characters of a receiver's words: every event of an attempt has them all


class Key(NamedTuple):
    """What an action is done to: a lane, or a domain or a campaign at a receiver."""

    subject: str
    action: Action
    name: str = ""


@dataclass(slots=True, kw_only=True)
class RuleActions:
    """Tells what one process's lanes do because a receiver said so."""

    lanes: Lanes
    stops: Stops
    queue: Groups
    owner: Callable[[], str]
    clock: Callable[[], float]  # Unix seconds
    on_trouble: Callable[[str], None] = lambda text: None
    _told: dict[Key, Cause] = field(default_factory=dict)

    async def run(self) -> None:
        """Tell for ever. What the store can't take is told a moment later, unless it is over by then."""
        while True:
            try:
                await self.tell()
            except BackendError as error:
                self.on_trouble(str(error))
            await trio.sleep(_EVERY_S)

    async def tell(self) -> None:
        """Tell what is new. Raises BackendError; what was told by then is not told again."""
        now = trio.current_time()
        self._told = {key: cause for key, cause in self._told.items() if now < cause.until}
        for key, cause in list(islice(self._news(now), _AT_ONCE)):
            await self.queue.tell(key.subject, [self._event(key, cause, now).encode()])
            self._told[key] = cause

    def _news(self, now: float) -> Iterator[tuple[Key, Cause]]:
        for key, cause in self._all(now):
            told = self._told.get(key)
            if told is None or cause.rule != told.rule or cause.until > told.until + _MOVED_S:
                yield key, cause

    def _all(self, now: float) -> Iterator[tuple[Key, Cause]]:
        """All that is in force now."""
        throttles = [(lane.id, lane.throttle) for lane in self.lanes.running()]
        throttles += [(lane, throttle) for lane, _, throttle in self.lanes.resting(now)]
        for lane, throttle in throttles:
            for action, pause in throttle.actions(now):
                yield Key(str(lane), action), pause
        for receiver, action, name, stop in self.stops.actions(now):
            yield Key(f"*/{receiver}", action, name), stop

    def _event(self, key: Key, cause: Cause, now: float) -> ActionEvent:
        at = self.clock()
        return ActionEvent(
            id=f"action:{self.owner()}:{key.subject}:{key.action}:{key.name}:{cause.rule}:{cause.until:.3f}",
            type="action",
            at=at,
            subject=key.subject,
            what=key.action,
            until=at + cause.until - now,
            rule=cause.rule,
            category=cause.category,
            why=cause.reason[:_WHY_MOST],
            campaign=key.name if key.action is Action.PAUSE_CAMPAIGN else "",
            domain=key.name if key.action is Action.STOP_DOMAIN else "",
        )

    def __repr__(self) -> str:
        return f"<RuleActions {len(self._told)} in force>"
