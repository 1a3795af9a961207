"""Plays a mailing calendar, day by day: submit, let the day pass, give what is left to others, write down what came of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from sender.model import LaneId, Source
from workers.simulation.mailing import Mailing
from workers.simulation.record import Book, LaneDay
from workers.simulation.stage import DAY_S, Recipients, Setup, Stage, play
from workers.simulation.wire import seen_from

_HOUR_S = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Diary:
    """A calendar as it was played."""

    days: Sequence[LaneDay]  # by day, then by lane
    troubles: Sequence[str]  # what the sender told an operator


def keep_diary(setup: Setup, mailing: Mailing, days: int, progress: Callable[[int], None] = lambda day: None) -> Diary:
    """Play so many days; `progress` is told of each that is over."""
    book = Book()
    setup = replace(setup, start=mailing.starts, on_attempt=book.note, on_change=book.change, on_complaint=book.complained)
    troubles = play(setup, lambda stage: _Days(stage, mailing, book, progress).run(days))
    return Diary(days=tuple(book), troubles=troubles)


class _Days:
    def __init__(self, stage: Stage, mailing: Mailing, book: Book, progress: Callable[[int], None]) -> None:
        self._stage, self._mailing, self._book, self._progress = stage, mailing, book, progress
        self._pools: dict[str, list[Source]] = {}
        for source in stage.setup.settings.sources:
            self._pools.setdefault(source.pool, []).append(source)

    async def run(self, days: int) -> Sequence[str]:
        for day in range(days):
            await self._live(day)
            self._progress(day)
        return tuple(self._stage.parts.troubles)

    async def _live(self, day: int) -> None:
        stage, starts = self._stage, self._mailing.starts + day * DAY_S
        await stage.sleep_until(starts)
        self._book.begin(day, stage.process.standings)
        self._bar(day, starts)
        if volume := self._mailing.volume(day):
            await stage.sleep_until(starts + self._mailing.hour * _HOUR_S)
            sent = [await self._send(pool, day, volume) for pool in self._pools]
            await stage.sleep_until(starts + (self._mailing.hour + self._mailing.hours) * _HOUR_S)
            for campaign in sent:
                await stage.drop(campaign)
        await stage.sleep_until(starts + DAY_S)
        await stage.process.warm(stage.clock())

    def _bar(self, day: int, now: float) -> None:
        """What receivers hold against the sources from today on, whatever these have done."""
        for event in self._mailing.event:
            if event.blocked and event.day == day:
                for name in filter(event.concerns, self._mailing.receivers):
                    office = self._stage.internet.office(name)
                    for source in self._stage.setup.settings.sources:
                        office.standing(seen_from(source)).bar(now + event.days * DAY_S)

    async def _send(self, pool: str, day: int, volume: int) -> str:
        """The day's campaign of a pool; its name."""
        campaign, sources = f"day-{day:03}-{pool}", self._pools[pool]
        several = list(self._recipients(day, volume, len(sources)))
        await self._stage.submit(campaign, several, {"pool": pool})
        for recipients in several:
            receiver = self._stage.receiver(recipients.receiver)
            for source in sources:
                self._book.lane(LaneId(source=source.name, receiver=receiver)).asked += recipients.count // len(sources)
        return campaign

    def _recipients(self, day: int, volume: int, sources: int) -> Iterator[Recipients]:
        """Each receiver's share of each segment, with what today's events add."""
        for receiver, share in self._mailing.receivers.items():
            events = [event for event in self._mailing.events(day) if event.concerns(receiver)]
            for segment in self._mailing.segment:
                yield Recipients(
                    receiver=receiver,
                    count=round(volume * share * segment.share) * sources,
                    complaining=min(1.0, segment.complaining + sum(event.complaining for event in events)),
                    unknown=min(1.0, segment.unknown + sum(event.unknown for event in events)),
                )
