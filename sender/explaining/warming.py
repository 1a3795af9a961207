"""Where lanes stand in their warmup, for live views: asked for now and then, and of so many at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sender.explaining.lane_rows import LaneRow
from sender.model import LaneId
from sender.policy.receivers import Profiles
from sender.queue.base import Queue
from sender.settings import Settings
from sender.warming.assignments import Assignments
from sender.warming.wards import ward_name, wards
from sender.warming.warmer import Standing, look

_EVERY_S = 5.0
_AT_ONCE = 400  # lanes; of more, each is asked for less often


class Standings:
    """What `penstock warmup` shows, beside lanes."""

    def __init__(self, queue: Queue, settings: Settings) -> None:
        """Raises ConfigErrors with all that is wrong in profiles and plans."""
        profiles = Profiles.parse(settings.receivers)
        self._queue, self._assignments = queue, Assignments.of(settings, profiles)
        every = wards(self._assignments, settings.sources, profiles)
        self._planned = {name: ward for name, ward in every.items() if ward.plan is not None}
        self._kept: dict[str, Standing | None] = {}  # by ward, those asked for longest ago first; None: it can't be read
        self._next = float("-inf")

    async def add(self, rows: Sequence[LaneRow], now: float) -> list[LaneRow]:
        """The same lanes, each with where it stands as far as that is known."""
        if not self._planned:
            return list(rows)
        if now >= self._next:
            await self._ask(dict.fromkeys(self._name(row.lane) for row in rows), now)
            self._next = now + _EVERY_S
        return [replace(row, standing=self._kept.get(self._name(row.lane))) for row in rows]

    def _name(self, lane: LaneId) -> str:
        return ward_name(self._assignments, lane)

    async def _ask(self, names: Iterable[str], now: float) -> None:
        wanted = {name for name in names if name in self._planned}
        unseen = sorted(wanted - self._kept.keys())
        again = [name for name in self._kept if name in wanted]
        asked = [self._planned[name] for name in [*unseen, *again][:_AT_ONCE]]
        if not asked:
            return
        states = await self._queue.progress([ward.name for ward in asked])
        used = await self._queue.use([ward.account for ward in asked], now)
        fresh: dict[str, Standing | None] = {}
        for ward in asked:
            self._kept.pop(ward.name, None)
            try:
                fresh[ward.name] = look(ward, states.get(ward.name), used[ward.account], now)[0]
            except ValueError:  # of a newer version
                fresh[ward.name] = None
        self._kept = {name: standing for name, standing in self._kept.items() if name in wanted} | fresh

    def __repr__(self) -> str:
        return f"<Standings of {len(self._kept)} of {len(self._planned)} lanes with a plan>"
