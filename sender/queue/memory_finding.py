"""The memory backend's search: it looks everywhere, because it is small."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice

import trio

from sender.model import LaneId, Route
from sender.queue import inbox
from sender.queue.base import BATCH_ROWS
from sender.queue.fairshare import ReadyWork
from sender.queue.fates import STATES
from sender.queue.finding import Found, LaneReport, RouteWork, Waits, Whereabouts, newest
from sender.queue.memory_part import MemoryPart
from sender.queue.pack import decode, place_of, size

_EVENTS_LOOKED_AT = 10_000


class MemoryFinding(MemoryPart):
    """See `sender.queue.finding.Finds`."""

    async def find(self, campaign: str, ordinal: int) -> Found:
        await trio.lowlevel.checkpoint()
        inbox.campaign_id(campaign)
        looks = (self._find_leased, self._find_ready, self._find_later)
        found = next(filter(None, (look(campaign, ordinal) for look in looks)), None)
        return found or self._elsewhere(campaign, ordinal)

    def _find_leased(self, campaign: str, ordinal: int) -> Found | None:
        for held in self._leases.values():
            place = place_of(held.pack, ordinal) if held.campaign == campaign else None
            if place is not None and place in held.open:
                return Found(
                    where=Whereabouts.LEASED,
                    envelope=decode(held.pack)[place],
                    route=held.lease.route,
                    lane=held.lease.lane,
                    owner=held.lease.owner,
                    hold=self._holds.get(campaign),
                )
        return None

    def _find_ready(self, campaign: str, ordinal: int) -> Found | None:
        for route, work in self._ready.items():
            ahead = 0
            for pack in work.packs(campaign):
                place = place_of(pack, ordinal)
                if place is not None:
                    return Found(
                        where=Whereabouts.READY,
                        envelope=decode(pack)[place],
                        route=route,
                        ahead=ahead + place,
                        aside=campaign in work.aside,
                        hold=self._holds.get(campaign),
                        budget=self._budgets.get(campaign),
                    )
                ahead += size(pack)
        return None

    def _find_later(self, campaign: str, ordinal: int) -> Found | None:
        for due, route, name, pack in self._later:
            place = place_of(pack, ordinal) if name == campaign else None
            if place is not None:
                envelope, hold = decode(pack)[place], self._holds.get(campaign)
                return Found(where=Whereabouts.LATER, envelope=envelope, route=route, due=due, hold=hold)
        return None

    def _elsewhere(self, name: str, ordinal: int) -> Found:
        campaign = self._campaigns.get(name)
        if campaign is not None and (fate := campaign.fates[ordinal]) in STATES:
            return Found(where=Whereabouts.FINAL, state=STATES[fate])
        batch = ordinal // BATCH_ROWS
        waiting = campaign is not None and batch in campaign.seen and batch not in campaign.done
        return Found(where=Whereabouts.INBOX if waiting else Whereabouts.UNKNOWN)

    async def waits(self, campaign: str, limit: int) -> Waits:
        await trio.lowlevel.checkpoint()
        routes = Counter({route: work.of(campaign) for route, work in self._ready.items() if work.of(campaign)})
        dues = [due for due, _, name, _ in self._later if name == campaign]
        shown = dict(routes.most_common(limit))
        return Waits(
            routes=shown,
            oldest={route: work.oldest_of(campaign) for route in shown if campaign not in (work := self._ready[route]).aside},
            more=len(routes) - len(shown),
            ready=routes.total(),
            later=len(dues),
            due=min(dues, default=None),
            aside=sum(campaign in work.aside for work in self._ready.values()),
            budget=self._budgets.get(campaign),
        )

    async def work_on(self, routes: Sequence[Route]) -> Mapping[Route, RouteWork]:
        await trio.lowlevel.checkpoint()
        works = [(route, self._ready.get(route, ReadyWork())) for route in routes]
        return {route: RouteWork(ready=work.envelopes, aside=work.envelopes - work.in_line) for route, work in works}

    async def last_event(self, campaign: str, ordinal: int, route: Route | None) -> bytes | None:
        await trio.lowlevel.checkpoint()
        line = f'{{"v":1,"id":"{inbox.campaign_id(campaign)}:{ordinal}:'.encode()
        latest = islice((event for told in reversed(self._events) for event in reversed(told.events)), _EVENTS_LOOKED_AT)
        return next((event for event in latest if event.startswith(line)), None)

    async def report_lanes(self, owner: str, reports: Sequence[LaneReport]) -> None:
        await trio.lowlevel.checkpoint()
        self._reports[owner] = tuple(reports)

    async def lanes(self) -> Mapping[LaneId, LaneReport]:
        await trio.lowlevel.checkpoint()
        return newest(report for owner, some in self._reports.items() if owner in self._beats for report in some)
