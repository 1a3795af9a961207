"""Why an envelope that a lane holds must not be sent any more: its campaign was stopped, or its recipient suppressed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sender.backlog import Held
from sender.model import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """What happens to the envelope instead: a final state, or None where it goes back to the queue untried."""

    state: State | None
    why: str


Withdraws = Callable[[Held], Withdrawn | None]  # asked just before an end of data: must be cheap, and may not block


def first_of(several: Sequence[Withdraws]) -> Withdraws:
    """The first reason that any of these gives."""

    def withdrawn(held: Held) -> Withdrawn | None:
        for ask in several:
            if (reason := ask(held)) is not None:
                return reason
        return None

    return withdrawn
