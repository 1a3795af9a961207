"""What dead owners knew and the store does not: their journals, settled before their leases go back.

`run_once` takes each journal of this host whose lock is free, because its process is gone, in steps:

1. Read it: for each envelope its outcome, or that its end of data may have gone out unanswered.
2. Ask the store what the owner still holds, and settle that: outcomes as they were written; what was unanswered is in doubt,
   and comes back for another try or is parked as UNKNOWN, as the campaign's curve says.
3. Fence the owner: `reclaim` gives back the rest, which nobody had begun to send. Not before: what has gone back can't be
   settled any more.
4. Remove the journal.

Killed anywhere in between, it begins again and finds the same: what is settled stays settled. Where an owner has been fenced
but its process is still there, frozen, its journal is read and left.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from sender.campaigns import Campaign
from sender.errors import ConfigErrors
from sender.events import NOT_DUE, Event, change_id
from sender.model import Envelope, Mark, State, Step
from sender.policy.retry import Final, Later, RetryCurve, decide
from sender.policy.verdict import IN_DOUBT
from sender.queue.base import Again, HeldLease, Lease, Settlement, Ticket
from sender.queue.doubts import Parked
from sender.queue.journal_left import JournalLeft, homes
from sender.queue.journal_record import Back, Ended, JournalVersionError, Outcome, Story
from sender.settling import Sheet

_LEASES_AT_ONCE = 200
_WHY = "the process that sent it ended before the answer was known"

_MARKS = frozenset(Mark)
_events = msgspec.json.Decoder(Event)


class Settles(Protocol):
    """What of the queue recovery needs."""

    async def fenced(self) -> Sequence[str]: ...
    async def fence(self, owners: Mapping[str, int | None], *, told: bool = False) -> Sequence[str]: ...
    async def held(self, owner: str) -> Sequence[HeldLease]: ...
    async def settle(self, settlements: Sequence[Settlement], now: float) -> int: ...


class KnowsCampaigns(Protocol):
    async def get(self, campaign_id: str) -> Campaign | None: ...


class Counts(Protocol):
    """What the metrics must offer."""

    def finished(self, source: str, receiver: str, state: State) -> None: ...
    def in_doubt(self, receiver: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doubt:
    """An envelope whose end of data may have gone out unanswered, and what becomes of it."""

    ticket: Ticket
    position: int
    envelope: Envelope
    at: float
    fate: Later | Final

    def event(self, campaign: Campaign | None) -> bytes:
        """The same as if the answer had been waited for in vain."""
        envelope, fate = self.envelope, self.fate
        kind = str(fate.state) if isinstance(fate, Final) else "deferred"
        return Event(
            id=change_id(envelope, envelope.attempts + 1, kind),
            type=kind,
            at=self.at,
            campaign=envelope.campaign,
            ordinal=envelope.ordinal,
            to=envelope.address,
            fields=campaign.extras(envelope.fields) if campaign is not None else {},
            attempt=envelope.attempts + 1,
            receiver=self.ticket.lane.receiver,
            source=self.ticket.lane.source,
            step=Step.DOT,
            category=IN_DOUBT.category,
            scope=IN_DOUBT.scope,
            rule=IN_DOUBT.rule,
            due=fate.due if isinstance(fate, Later) else NOT_DUE,
            why=_WHY,
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What one journal had to tell that the store did not know."""

    owner: str
    outcomes: int
    doubts: int
    frozen: bool  # its process is still there, and finds itself fenced once it runs again


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Settles from the journals of a host what their owners can't settle any more. Any number may run at a time."""

    directory: Path
    queue: Settles
    campaigns: KnowsCampaigns
    curve: RetryCurve  # for envelopes of campaigns that this configuration can't send
    counts: Counts
    label: Callable[[str], str]  # what metrics call a receiver
    clock: Callable[[], float]  # Unix seconds
    chance: Callable[[], float]  # in [0, 1)
    on_trouble: Callable[[str], None] = lambda text: None

    async def run_once(self) -> Sequence[Recovered]:
        """Recover what there is; BackendError where the store can't be reached: call again."""
        recovered = []
        fenced: Sequence[str] | None = None
        for home in await trio.to_thread.run_sync(self._homes):
            if (left := self._open(home)) is None:
                continue
            with left:
                if not left.abandoned and fenced is None:
                    fenced = await self.queue.fenced()
                if left.abandoned or left.owner in (fenced or ()):
                    recovered.append(await self._recover(left))
        return [one for one in recovered if one is not None]

    def _homes(self) -> Sequence[Path]:
        try:
            return homes(self.directory)
        except OSError as error:
            self.on_trouble(f"journals in {self.directory} can't be looked at: {error.strerror}")
            return ()

    def _open(self, home: Path) -> JournalLeft | None:
        try:
            return JournalLeft(home)
        except FileNotFoundError:
            return None  # its owner has just ended in order, or somebody else was faster
        except OSError as error:
            self.on_trouble(f"journal {home} can't be opened: {error.strerror}")
            return None

    async def _recover(self, left: JournalLeft) -> Recovered | None:
        """Settle one journal; None where it has nothing to tell, or can't be read."""
        try:
            begun, story = await trio.to_thread.run_sync(lambda: (left.begun, left.story()))
        except FileNotFoundError:
            return None  # its lock was held by somebody who has recovered it meanwhile
        except (JournalVersionError, OSError) as error:
            self.on_trouble(f"journal left alone, and what it says is not settled: {error}")
            return None
        outcomes, doubts = await self._settle(left.owner, story) if story.said else (0, 0)
        if begun:
            await self.queue.fence({left.owner: None}, told=True)
        if left.abandoned:
            await trio.to_thread.run_sync(self._remove, left)
        frozen = not left.abandoned
        if not begun or (frozen and not outcomes and not doubts):
            return None
        return Recovered(owner=left.owner, outcomes=outcomes, doubts=doubts, frozen=frozen)

    def _remove(self, left: JournalLeft) -> None:
        try:
            left.remove()
        except OSError as error:
            self.on_trouble(f"journal {left.home} can't be removed: {error.strerror}; all in it is settled")

    async def _settle(self, owner: str, story: Story) -> tuple[int, int]:
        """Settle what the owner holds and the journal speaks of; how many outcomes, and how many doubts."""
        settlements: list[Settlement] = []
        doubts: list[_Doubt] = []
        for held in await self.queue.held(owner):
            told = _told(held, story)
            if not told:
                continue
            sheet, campaign = Sheet(held.lease.ticket()), await self._campaign(held.lease)
            for position, outcome in told:
                envelope = held.lease.envelopes[position]
                if outcome is None:
                    doubts.append(self._doubt(sheet, position, envelope, campaign))
                else:
                    _retell(sheet, position, envelope, outcome, _identity(campaign))
            settlements.append(sheet.settlement())
        for start in range(0, len(settlements), _LEASES_AT_ONCE):
            await self.queue.settle(settlements[start : start + _LEASES_AT_ONCE], self.clock())
        self._count(doubts)
        known = sum(len(settlement.final) + len(settlement.again) for settlement in settlements)
        return known - len(doubts), len(doubts)

    async def _campaign(self, lease: Lease) -> Campaign | None:
        try:
            return await self.campaigns.get(lease.envelopes[0].campaign)
        except ConfigErrors:
            return None

    def _doubt(self, sheet: Sheet, position: int, envelope: Envelope, campaign: Campaign | None) -> _Doubt:
        curve, now = campaign.curve if campaign is not None else self.curve, self.clock()
        fate = decide(curve, envelope, IN_DOUBT, now, self.chance)
        doubt = _Doubt(ticket=sheet.ticket, position=position, envelope=envelope, at=now, fate=fate)
        sheet.events.append(doubt.event(campaign))
        sheet.mark(position, Mark.DOUBTED, _identity(campaign))
        if isinstance(fate, Final):
            sheet.final.append((position, fate.state))
            doubted = replace(envelope, attempts=envelope.attempts + 1, doubts=envelope.doubts + 1)
            sheet.parked.append(Parked(position=position, envelope=doubted, at=now, why=_WHY))
        else:
            counts = replace(envelope, attempts=fate.attempts, doubts=fate.doubts, tried_at=fate.tried_at)
            sheet.again.append(Again(position=position, envelope=counts, due=fate.due))
        return doubt

    def _count(self, doubts: Sequence[_Doubt]) -> None:
        for doubt in doubts:
            label = self.label(doubt.ticket.lane.receiver)
            self.counts.in_doubt(label)
            if isinstance(doubt.fate, Final):
                self.counts.finished(doubt.ticket.lane.source, label, doubt.fate.state)


def _told(held: HeldLease, story: Story) -> Sequence[tuple[int, Outcome | None]]:
    """The positions that the store has open and the journal speaks of."""
    keys = ((held.lease.id, position) for position in sorted(held.open))
    return [(key[1], story.said[key]) for key in keys if key in story.said]


def _identity(campaign: Campaign | None) -> str:
    return f"@{campaign.identity.domain}" if campaign is not None else ""


def _retell(sheet: Sheet, position: int, envelope: Envelope, outcome: Outcome, identity: str) -> None:
    """What the owner had written down, as it would have settled it."""
    sheet.events.append(outcome.event)
    if outcome.mark:  # one that a later program knows has used its unit, for all that is known
        sheet.mark(position, Mark(outcome.mark) if outcome.mark in _MARKS else Mark.DOUBTED, identity)
    match outcome:
        case Ended():
            sheet.final.append((position, outcome.state))
            if outcome.why:
                tried = _tried(envelope, outcome.event)
                sheet.parked.append(Parked(position=position, envelope=tried, at=outcome.at, why=outcome.why))
            if outcome.refused is not None:
                sheet.refused.append(outcome.refused)
        case Back():
            counts = replace(envelope, attempts=outcome.attempts, doubts=outcome.doubts, tried_at=outcome.tried_at)
            sheet.again.append(Again(position=position, envelope=counts, due=outcome.due, source=outcome.source))


def _tried(envelope: Envelope, line: bytes) -> Envelope:
    """The envelope with its last attempt in its counts, as the event about that tells."""
    try:
        event = _events.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):  # of another version
        return envelope
    doubts = envelope.doubts + (event.rule == IN_DOUBT.rule)
    return replace(envelope, attempts=max(envelope.attempts, event.attempt), doubts=doubts)
