"""The memory backend's controls: what holds a campaign back, or ends it."""

from collections.abc import Mapping, Sequence

import trio

from sender.model import State
from sender.queue import inbox
from sender.queue.control import Control, Hold
from sender.queue.memory_part import MemoryPart
from sender.queue.pack import size
from sender.queue.ration import Place


class MemoryControl(MemoryPart):
    """See `sender.queue.control.Controls`."""

    async def set_control(self, control: Control) -> Control:
        await trio.lowlevel.checkpoint()
        stands = self._controls.get(inbox.campaign_id(control.campaign))
        if stands is None or stands.ended is None:
            self._controls[control.campaign] = control
        return self._controls[control.campaign]

    async def controls(self, campaigns: Sequence[str] | None = None) -> Mapping[str, Control]:
        await trio.lowlevel.checkpoint()
        wanted = self._controls if campaigns is None else campaigns
        return {campaign: self._controls[campaign] for campaign in wanted if campaign in self._controls}

    async def schedules(self) -> Mapping[str, bytes]:
        await trio.lowlevel.checkpoint()
        known = sorted(self._campaigns.items())
        return {name: campaign.spec for name, campaign in known if campaign.scheduled and campaign.spec is not None}

    async def hold(self, holds: Sequence[Hold]) -> None:
        await trio.lowlevel.checkpoint()
        for hold in holds:
            if hold.start < hold.end:
                self._holds[inbox.campaign_id(hold.campaign)] = hold
            else:
                self._holds.pop(hold.campaign, None)

    async def limit_rate(self, campaign: str, limited: bool) -> None:
        await trio.lowlevel.checkpoint()
        if limited:
            self._budgets.setdefault(inbox.campaign_id(campaign), 0)
        else:
            self._budgets.pop(campaign, None)
            self._tokens.pop(campaign, None)

    async def wake(self, now: float, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        woken = 0
        for campaign in sorted({campaign for work in self._ready.values() for campaign in work.aside}):
            woken += self._wake(campaign, now, limit - woken)
        return woken

    def _wake(self, campaign: str, now: float, most: int) -> int:
        """A limited rate lets no more routes line up than it has envelopes left."""
        works = [work for work in self._ready.values() if campaign in work.aside]
        woken = works[: int(min(len(works), most, self._permitted(campaign, now)))]
        for work in woken:
            work.line_up(campaign)
        return len(woken)

    async def grant(self, campaign: str, rate: float, burst: float, now: float) -> int:
        await trio.lowlevel.checkpoint()
        if campaign not in self._budgets:
            return 0
        place = Place(ready=sum(work.of(campaign) for work in self._ready.values()), budget=self._budgets[campaign])
        back = max(0, place.budget - place.ready)
        tokens, at = self._tokens.get(campaign, (burst, now))
        most = max(0.0, burst - (place.budget - back))
        tokens = min(tokens + back + max(0.0, now - at) * rate, most)
        taken = min(int(tokens), place.room)
        self._tokens[campaign] = tokens - taken, max(at, now)
        self._budgets[campaign] += taken - back
        if taken:
            self._wake(campaign, now, taken)
        return taken

    async def discard(self, campaign: str, state: State, limit: int, now: float) -> int:
        await trio.lowlevel.checkpoint()
        final, ended = self._campaign(campaign).final, 0
        for route, work in list(self._ready.items()):
            while ended < limit and work.of(campaign):
                count = size(work.drop(campaign))
                final[route.receiver, state] += count
                ended += count
            if not work:
                del self._ready[route]
        for item in [item for item in self._later if item[2] == campaign]:
            if ended >= limit:
                break
            _, route, _, pack = item
            self._later.remove(item)
            final[route.receiver, state] += size(pack)
            ended += size(pack)
        return ended
