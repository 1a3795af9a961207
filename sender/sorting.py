"""Rows of the inbox, one by one: each becomes an envelope, or a final state with the reason."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from sender.campaigns import Campaign
from sender.content.row import read_row
from sender.errors import ContentError
from sender.events import CampaignEvent, Event
from sender.model import Envelope, State
from sender.policy import engagement
from sender.queue.base import AT_ONCE, BATCH_ROWS, Chunk, Inflow, RoutedPack, RowBatch, Spill

_lines = msgspec.json.Decoder()


@dataclass(slots=True)
class Sorting:
    """What a chunk's rows came to, while they are being sorted."""

    campaign: Campaign
    now: float
    envelopes: list[Envelope] = field(default_factory=list)
    states: dict[State, int] = field(default_factory=lambda: defaultdict(int))
    ended: list[tuple[int, State]] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)

    def sort(self, ordinal: int, row: object) -> None:
        """One row becomes an envelope or a final state."""
        if not isinstance(row, dict):
            self.end(ordinal, {}, State.INVALID, f"row: expected an object with a key 'to', found {str(row)[:200]!r}")
            return
        try:
            address, fields = read_row(row)
            _check_engagement(fields)
        except ContentError as error:
            self.end(ordinal, row, State.INVALID, str(error))
            return
        if missing := self.campaign.compiled.missing(fields):
            self.end(ordinal, row, State.INVALID, f"the template needs {', '.join(missing)}")
            return
        self.envelopes.append(
            Envelope(
                campaign=self.campaign.id,
                ordinal=ordinal,
                address=str(address),
                fields=fields,
                queued_at=self.now,
            )
        )

    def end(self, ordinal: int, row: Mapping[str, object], state: State, why: str) -> None:
        """This recipient goes no further; what came with it goes back as it came, as far as it is text."""
        fields = {name: value for name, value in row.items() if isinstance(value, str)}
        self.states[state] += 1
        self.ended.append((ordinal, state))
        event = Event(
            id=f"{self.campaign.id}:{ordinal}:0:{state}",
            type=str(state),
            at=self.now,
            campaign=self.campaign.id,
            ordinal=ordinal,
            to=fields.pop("to", ""),
            fields=self.campaign.extras(fields),
            why=why,
        )
        self.events.append(event.encode())

    def chunk(self, inflow: Inflow, batches: Sequence[RowBatch], packs: Sequence[RoutedPack]) -> Chunk:
        """All that these batches came to."""
        spec = self.campaign.spec
        return Chunk(
            campaign=self.campaign.id,
            number=inflow.chunk,
            priority=spec.priority,
            batches=tuple(batches),
            packs=tuple(packs),
            states=dict(self.states),
            ended=tuple(self.ended),
            drop=inflow.repeats,
            events=(*self.events, *self._queued(inflow.chunk, packs)),
            spill=Spill(after_s=float(spec.spill), start=self.campaign.schedule.start) if spec.spill else AT_ONCE,
        )

    def _queued(self, number: int, packs: Sequence[RoutedPack]) -> list[bytes]:
        """One event for all that these batches queued: one for each would double what is told of a message."""
        count, campaign = sum(pack.count for pack in packs), self.campaign.id
        event = CampaignEvent(id=f"{campaign}:queued:{number}", type="queued", at=self.now, campaign=campaign, count=count)
        return [event.encode()] if count else []


def _check_engagement(fields: Mapping[str, str]) -> None:
    """A score that can't be read would be one that is read and ignored: who has it ends here, and the event says why."""
    try:
        engagement.read(fields.get(engagement.FIELD, ""))
    except ValueError as error:
        raise ContentError(engagement.FIELD, str(error)) from error


def read_batch(batch: RowBatch) -> Sequence[object]:
    """The rows of a batch; ContentError where it is not lines of JSON."""
    try:
        rows: list[object] = _lines.decode_lines(batch.rows)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContentError(f"batch {batch.number}", f"not JSON lines: {error}") from error
    if len(rows) > BATCH_ROWS:
        raise ContentError(f"batch {batch.number}", f"{len(rows)} recipients, at most {BATCH_ROWS} are allowed")
    return rows
