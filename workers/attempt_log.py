"""The line of one finished attempt: who, where, what was answered at which step, and which rule decided.

Nearly all lines of a fleet are these. They go past structlog, which would cost a message more than all else that is told of it.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from sender.model import Category, Step, Verdict
from sender.policy.rules import in_shadow
from sender.record import Attempt
from workers.log import LINE_MOST, VALUE_MOST, Level, Renderer, Style

_encode = msgspec.json.Encoder().encode


class AttemptLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is told, in this order."""

    time: str
    level: str
    role: str
    event: str
    envelope: str
    to: str
    source: str
    receiver: str
    mx: str
    attempt: int
    step: Step
    reply: str
    verdict: Verdict
    category: Category
    rule: str
    seconds: float
    in_doubt: bool
    shadow: str = ""  # what a rule that is only being tried would have come to

    @property
    def plain(self) -> bool:
        """Whether it can be written as it stands: all that a stranger may have written is short and printable."""
        texts = f"{self.envelope}{self.to}{self.source}{self.receiver}{self.mx}{self.reply}{self.rule}{self.shadow}"
        return len(texts) <= VALUE_MOST and texts.isprintable()

    def values(self) -> dict[str, Any]:
        """What the renderer does not know."""
        told = msgspec.structs.asdict(self)
        left_out = ("time", "level", "role") if self.shadow else ("time", "level", "role", "shadow")
        return {key: value for key, value in told.items() if key not in left_out}


class AttemptLog:
    """Hands each attempt's line to `write`, as safe as `renderer` would have made it."""

    def __init__(self, write: Callable[[bytes], None], role: str, renderer: Renderer, style: Style = "json") -> None:
        self._write, self._role, self._renderer, self._json = write, role, renderer, style == "json"

    def __call__(self, told: Attempt) -> None:
        envelope, outcome = told.held.envelope, told.outcome
        line = AttemptLine(
            time=self._renderer.stamp(),
            level="info",
            role=self._role,
            event="attempt",
            envelope=envelope.id,
            to=envelope.address,
            source=told.lane.source,
            receiver=told.lane.receiver,
            mx=told.mx,
            attempt=envelope.attempts + 1,
            step=told.step,
            reply=str(told.reply) if told.reply is not None else told.why,
            verdict=outcome.verdict,
            category=outcome.category,
            rule=outcome.rule,
            seconds=round(told.seconds, 3),
            in_doubt=outcome.in_doubt,
            shadow="" if outcome.shadow is None else in_shadow(outcome.shadow),
        )
        self._write(self.whole(line))

    def whole(self, line: AttemptLine) -> bytes:
        """The line's octets: in one go, where nothing of it needs to be cleaned or cut."""
        if self._json and line.plain:
            octets = _encode(line) + b"\n"
            if len(octets) <= LINE_MOST:
                return octets
        return self._renderer(None, "info", line.values())


def attempt_log(write: Callable[[bytes], None], role: str, level: Level, style: Style) -> Callable[[Attempt], None]:
    """What hears of every attempt of this process; at a level above "info" nobody reads of them."""
    if level in ("warning", "error"):
        return lambda told: None
    return AttemptLog(write, role, Renderer(role, style), style)
