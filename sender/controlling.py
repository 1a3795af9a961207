"""Carries operators' words and campaigns' schedules into the queue, where the lease script obeys them.

One round, which anybody may repeat, at the same time too:

1. Read what operators have said, and which campaigns have times or a rate.
2. Say which of them are limited by a rate, before anything is let go of.
3. Set the holds that have changed: now, or ahead of time where a window will close, so that no moment is missed.
4. Wake what no hold holds any more, and grant what the rates permit; to campaigns whose signing domain warms up by itself,
   what is left of the domain's cap (`purses`).
5. Of campaigns that are over by an operator's word or by their deadline, tell it once, then end what waits, a bounded part
   at a time. What is leased comes back sooner or later, and what still stands in the inbox ends as it is expanded.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from sender.condition import ending, hold_of, schedule_of
from sender.content.spec import parse
from sender.errors import ConfigErrors
from sender.events import CampaignEvent
from sender.model import State
from sender.policy.schedule import FOR_EVER, Outlook, Schedule
from sender.queue.base import CampaignStatus, Chunk, Queue
from sender.queue.control import Control, Hold
from sender.warming.purses import Purse

BURST_S = 5.0  # a rate may catch up on so much where rounds come late
_REFRESH_S = 30.0  # everything is said again after this: another's late word may have come in between
_AT_ONCE = 200  # campaigns in one call
_ROUTES, _WAKES = 2_000, 10  # routes woken in one call, and such calls in one round
_ENDING_AT_ONCE = 50  # campaigns whose rest is ended in one round
_DISCARD = 20_000  # envelopes of one campaign in one round


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """A campaign with times or a rate."""

    document: bytes
    outlook: Outlook
    rate: float = 0.0  # envelopes a second; 0: no limit
    domain: str = ""  # the signing domain, where that has a warmup plan of its own

    @property
    def limited(self) -> bool:
        """Whether it is leased only as far as it is granted."""
        return bool(self.rate or self.domain)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What this controller has told the queue of a campaign, and upon which word: a pause that was lifted is another word."""

    hold: Hold
    word: Control | None


class Controller:
    """Keeps the queue in step with what operators and schedules say; holds nothing that matters."""

    def __init__(
        self,
        queue: Queue,
        *,
        warming: Collection[str] = (),
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`warming` are the signing domains that have a warmup plan of their own."""
        self._queue, self._on_trouble = queue, on_trouble
        self._purses = {domain: Purse(queue, domain) for domain in warming}
        self._freed: set[str] = set()  # who has no limit, and was told so
        self._timed: dict[str, _Timed] = {}
        self._said: dict[str, _Said] = {}
        self._limited: set[str] = set()
        self._told: set[str] = set()  # whose end has been told
        self._over: set[str] = set()  # campaigns of which nothing is left
        self._always = Outlook(Schedule())
        self._turn = 0
        self._refresh_at = float("-inf")

    async def run_once(self, now: float) -> bool:
        """One round; True where more waits to be ended, so that the next round need not wait."""
        words, documents = await self._queue.controls(), await self._queue.schedules()
        self._timed = {campaign: self._timed_of(campaign, document) for campaign, document in documents.items()}
        if not 0 <= self._refresh_at - now <= _REFRESH_S:
            self._refresh_at = now + _REFRESH_S
            await self._forget(words)
        concerned = (words.keys() | self._timed.keys()) - self._over
        await self._limit()
        await self._hold(concerned, words, now)
        await self._wake(now)
        await self._grant(now)
        return await self._end(concerned, words, now)

    def _timed_of(self, campaign: str, document: bytes) -> _Timed:
        known = self._timed.get(campaign)
        if known is not None and known.document == document:
            return known
        try:
            spec = parse(document, file=f"campaign {campaign}")
        except ConfigErrors as error:  # of a newer version: held until a newer scheduler comes
            self._on_trouble(str(error))
            return _Timed(document=document, outlook=Outlook(Schedule(start=FOR_EVER)))
        domain = spec.signing_domain if spec.signing_domain in self._purses else ""
        return _Timed(document=document, outlook=Outlook(schedule_of(spec)), rate=spec.rate or 0.0, domain=domain)

    async def _forget(self, words: Mapping[str, Control]) -> None:
        """Begin anew with what is said of each campaign, and ask which of them are finished: those need nothing."""
        self._said.clear()
        self._limited.clear()
        self._told &= words.keys() | self._timed.keys()
        asked = [campaign for campaign in words if campaign not in self._timed]
        unfinished = {status.campaign for status in await self._statuses(asked) if not _finished(status)}
        self._over = set(asked) - unfinished  # anew: an operator may have sent again what was parked

    async def _statuses(self, campaigns: Sequence[str]) -> list[CampaignStatus]:
        statuses: list[CampaignStatus] = []
        for start in range(0, len(campaigns), _AT_ONCE):
            statuses += await self._queue.status(campaigns[start : start + _AT_ONCE])
        return statuses

    async def _limit(self) -> None:
        self._freed &= self._timed.keys()
        for campaign, timed in self._timed.items():
            if timed.limited and campaign not in self._limited:
                await self._queue.limit_rate(campaign, True)
                self._limited.add(campaign)
            elif not timed.limited and campaign not in self._freed:
                await self._queue.limit_rate(campaign, False)  # the plan of its domain may have been taken back
                self._freed.add(campaign)

    async def _hold(self, concerned: Collection[str], words: Mapping[str, Control], now: float) -> None:
        changed: dict[str, _Said] = {}
        for campaign in concerned:
            word = words.get(campaign)
            said = _Said(hold=hold_of(campaign, word, self._outlook(campaign), now), word=word)
            if self._said.get(campaign) != said:
                changed[campaign] = said
        waiting = iter(changed.items())
        while some := dict(islice(waiting, _AT_ONCE)):
            await self._queue.hold([said.hold for said in some.values()])
            self._said.update(some)

    async def _wake(self, now: float) -> None:
        for _ in range(_WAKES):
            if await self._queue.wake(now, _ROUTES) < _ROUTES:
                return

    async def _grant(self, now: float) -> None:
        for campaign, timed in self._timed.items():
            said = self._said.get(campaign)
            if not timed.limited or said is None or said.hold.start <= now < said.hold.end:
                continue
            burst = burst_of(timed.rate)
            if timed.domain:
                await self._purses[timed.domain].grant(campaign, timed.rate, burst if timed.rate else FOR_EVER, now)
            else:
                await self._queue.grant(campaign, timed.rate, burst, now)

    async def _end(self, concerned: Collection[str], words: Mapping[str, Control], now: float) -> bool:
        """End what waits of some campaigns that are over, others each round; whether there was any."""
        states = {campaign: state for campaign in sorted(concerned) if (state := self._ending(campaign, words, now))}
        if not states:
            return False
        first = self._turn % len(states)
        some = [*states, *states][first : first + min(len(states), _ENDING_AT_ONCE)]
        self._turn = first + len(some)
        ended = 0
        for status in await self._statuses(some):
            state = states[status.campaign]
            if _finished(status):
                self._over.add(status.campaign)
                continue
            if status.campaign not in self._told and not await self._tell(status.campaign, state, words, now):
                continue
            if status.queued:
                ended += await self._queue.discard(status.campaign, state, _DISCARD, now)
        return ended > 0

    def _ending(self, campaign: str, words: Mapping[str, Control], now: float) -> State | None:
        return ending(words.get(campaign), self._outlook(campaign).schedule, now)

    def _outlook(self, campaign: str) -> Outlook:
        timed = self._timed.get(campaign)
        return timed.outlook if timed is not None else self._always

    async def _tell(self, campaign: str, state: State, words: Mapping[str, Control], now: float) -> bool:
        """The event that the campaign is over, as a chunk without recipients; False where an expander was at it just now."""
        word = words.get(campaign)
        said = word if word is not None and word.ended is state else Control(campaign=campaign)
        event = CampaignEvent(
            id=f"{campaign}:ended:{state}", type="ended", at=now, campaign=campaign, state=str(state), by=said.by, why=said.why
        )
        chunk = (await self._queue.rows(campaign, 0)).chunk
        told = await self._queue.expand(
            Chunk(campaign=campaign, number=chunk, priority=9, batches=(), packs=(), events=(event.encode(),)), now
        )
        if told:
            self._told.add(campaign)
        return told


def burst_of(rate: float) -> float:
    """How many envelopes may be granted ahead at this rate, those among them that wait to be leased.

    At a trickle one alone is more than BURST_S are worth: it saves up beside that one, or all the time in which it waits for
    a round, or for a lane, would be lost.
    """
    saved = rate * BURST_S
    return max(saved, 1.0 + min(2.0, saved))


def _finished(status: CampaignStatus) -> bool:
    return status.complete and not status.queued
