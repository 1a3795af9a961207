"""The scheduler process: what is due becomes ready again, what a dead process held comes back, and the depth is measured.

Its duties run side by side, each at its own pace: a slow one holds up no other.
"""

from collections import Counter
from collections.abc import Awaitable, Callable

import trio

from sender.assembly import controller, recovery, warmer
from sender.campaign_figures import Movers
from sender.controlling import Controller
from sender.errors import BackendError
from sender.policy.receivers import Profiles
from sender.policy.warmup import Decision
from sender.recovery import Recovery
from sender.store_watch import StoreWatch
from sender.warming.figures import figures
from sender.warming.herald import tell_changes
from sender.warming.warmer import Warmer
from sender.watch import Watch
from workers.key_files import written
from workers.places import journal_dir
from workers.process import Process
from workers.recovering import recover

_AT_ONCE = 20_000


async def schedule(process: Process) -> None:
    """Keep the queue moving until told to drain."""
    profiles, watch = Profiles.parse(process.settings.receivers), Watch(process.queue)
    store = StoreWatch(process.queue, process.trouble, process.metrics.store)
    settings, queue, around = process.settings, process.queue, process.surroundings()
    words = controller(settings, queue, around)
    caps = warmer(settings, queue, around, lambda name, decision: _tell(process, name, decision))
    movers = Movers(queue)
    journals = recovery(settings, queue, journal_dir(settings), around)
    async with trio.open_nursery() as duties:
        # seconds from the end of one round to the next
        duties.start_soon(_repeat, process, 0.25, lambda: _promote(process))
        duties.start_soon(_repeat, process, 1.0, lambda: _keep_owners(process, watch, journals))
        duties.start_soon(_repeat, process, 1.0, lambda: _control(process, words))
        duties.start_soon(_repeat, process, 1.0, lambda: _tell_changes(process))
        duties.start_soon(_repeat, process, 2.0, lambda: _measure(process, profiles))
        duties.start_soon(_repeat, process, 2.0, store.run_once)
        duties.start_soon(_repeat, process, 3.0, lambda: _warm(process, caps))
        duties.start_soon(_repeat, process, 5.0, lambda: _unbind(process))
        duties.start_soon(_repeat, process, 5.0, lambda: _follow(process, movers))
        duties.start_soon(_repeat, process, 30.0, lambda: _forget_events(process))
        duties.start_soon(_repeat, process, 60.0, lambda: _date_keys(process))
        process.ready = True


async def _repeat(process: Process, pause_s: float, duty: Callable[[], Awaitable[None]]) -> None:
    """Do it again and again until told to drain; while the store is away, too."""
    while not process.draining.is_set():
        try:
            await duty()
        except BackendError as error:
            process.trouble(str(error))
        with trio.move_on_after(pause_s):
            await process.draining.wait()


async def _promote(process: Process) -> None:
    await process.queue.promote(process.clock(), _AT_ONCE)


async def _keep_owners(process: Process, watch: Watch, journals: Recovery) -> None:
    """Who is dead is fenced, then what he knew is settled, then the rest goes back: in this order, one after the other."""
    for owner in await watch.look():
        process.log.warning("fenced", owner=owner, why="it has not beaten for too long")
    await recover(process, journals)
    count = await process.queue.reclaim(process.clock())
    if count:
        process.log.warning("reclaimed", envelopes=count, why="their owner is gone")


async def _control(process: Process, controller: Controller) -> None:
    while await controller.run_once(process.clock()) and not process.draining.is_set():
        pass  # millions may have to end: each round a bounded part of them


async def _unbind(process: Process) -> None:
    """What stays with a source that is gone, or that does not come for it for as long as mail lives, is anybody's."""
    pools = {source.name: source.pool for source in process.settings.sources}
    patience_s = process.settings.retry.give_up
    while count := await process.queue.unbind(pools, patience_s, process.clock(), _AT_ONCE):
        process.log.warning("unbound", envelopes=count, why="they waited for a source that is gone, or does not come for them")


async def _forget_events(process: Process) -> None:
    """Read or not: a group that had not read them is told how many they were."""
    await process.queue.forget_events(process.clock() - process.settings.events.keep)


async def _tell_changes(process: Process) -> None:
    while await tell_changes(process.queue) and not process.draining.is_set():
        pass


def _tell(process: Process, name: str, decision: Decision) -> None:
    process.log.info("warmup", lane=name, what=str(decision.what), why=decision.why)


async def _warm(process: Process, warmer: Warmer) -> None:
    now = process.clock()
    process.metrics.warmups([figures(standing, now) for standing in await warmer.run_once(now) if standing.kept])


async def _follow(process: Process, movers: Movers) -> None:
    process.metrics.campaigns(await movers.look(process.clock()))


async def _date_keys(process: Process) -> None:
    await trio.lowlevel.checkpoint()
    process.metrics.dkim_keys(written(process.settings))


async def _measure(process: Process, profiles: Profiles) -> None:
    now = process.clock()
    depth, holds = await process.queue.depth(now), await process.queue.lane_holds()
    process.metrics.lane_holds([(hold.source, hold.receiver) for hold in holds if now < hold.until])
    ready: Counter[tuple[str, str]] = Counter()
    for route, envelopes in depth.ready.items():
        ready[route.pool, profiles.label(route.receiver)] += envelopes - depth.aside[route]
    process.metrics.queue(
        ready,
        aside=sum(depth.aside.values()),
        leased=depth.leased,
        later=depth.later,
        oldest_ready_s=depth.oldest_ready_s,
        oldest_due_s=depth.oldest_due_s,
        dead=depth.refused,
    )
