"""Campaigns as live views show them: what each is doing, how far it is, and when it may be through."""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass

from sender.condition import Condition, Phase, condition, schedule_of
from sender.content.spec import CampaignSpec
from sender.explaining.facts import read_spec
from sender.model import State
from sender.policy.schedule import Schedule
from sender.queue.base import BATCH_ROWS, CampaignStatus, Queue

_OVER = (Phase.COMPLETE, Phase.CANCELLED)
_NEVER_SENT = (State.INVALID, State.SUPPRESSED, State.CANCELLED)  # these may end by the million in a moment


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRow:
    """One campaign as it is shown."""

    status: CampaignStatus
    condition: Condition
    spec: CampaignSpec | None  # None once the campaign is finished and its content gone
    rate: float | None = None  # recipients a second that got their final state by being sent to; None: not known yet

    @property
    def over(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.condition.phase in _OVER and self.status.complete and not self.status.queued

    @property
    def delivered(self) -> int:
        return self.ended(State.DELIVERED)

    def ended(self, state: State) -> int:
        """Recipients with this final state."""
        return sum(count for (_, own), count in self.status.final.items() if own is state)

    @property
    def sent(self) -> int:
        """Recipients whose final state came of being sent to: what its rate counts."""
        return sum(count for (_, state), count in self.status.final.items() if state not in _NEVER_SENT)

    @property
    def open(self) -> int:
        """Recipients without a final state; of those that are still in the inbox about as many as there are."""
        return self.status.queued + BATCH_ROWS * self.status.waiting_batches

    @property
    def left_s(self) -> float | None:
        """For how long it goes on at its rate of now; None where nobody can tell."""
        if self.over or not self.open:
            return 0.0 if self.over else None
        return self.open / self.rate if self.rate else None


async def campaign_rows(
    queue: Queue, names: Sequence[str], now: float, specs: MutableMapping[str, CampaignSpec | None] | None = None
) -> list[CampaignRow]:
    """These campaigns, as far as the queue knows them; no content is asked for that is among `specs`, and it is kept there."""
    words, kept = await queue.controls(names), specs if specs is not None else {}
    rows = []
    for status in await queue.status(names):
        spec = None if status.complete and not status.queued else await _spec(queue, status.campaign, kept)
        schedule = schedule_of(spec) if spec is not None else Schedule()
        doing = condition(words.get(status.campaign), schedule, status, now)
        rows.append(CampaignRow(status=status, condition=doing, spec=spec))
    return rows


async def _spec(queue: Queue, campaign: str, kept: MutableMapping[str, CampaignSpec | None]) -> CampaignSpec | None:
    if campaign not in kept:
        kept[campaign] = read_spec(campaign, await queue.spec(campaign))
    return kept[campaign]
