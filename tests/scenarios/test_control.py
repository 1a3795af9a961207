"""A real fleet under an operator's hand: campaigns that pause, go on, end, wait for their time, and share with others."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from sender.controlling import BURST_S
from sender.model import State
from sender.queue.inbox import cut
from tests.scenarios.stage import Stage, eventually, readers, stage

pytestmark = pytest.mark.integration

RECIPIENTS = 4_000
_THINK_S = 0.4  # a campaign outlasts the start of the command that stops it
# A word is heard within about a second, and what is at its end of data then still finishes: far more than both take, for
# the machine may be busy, and far less than sending all of it would.
_IN_FLIGHT_S = 15.0


async def under_load(play: Stage, campaign: str = "spring", delivered: int = 200) -> None:
    async def check() -> bool:
        return await play.delivered(campaign) >= delivered

    await eventually(f"{delivered} deliveries of {campaign}", check)


async def stopped(play: Stage) -> None:
    """Wait until no process holds anything."""

    async def check() -> bool:
        return (await play.queue.depth(time.time())).leased == 0

    await eventually("nothing is leased any more", check)


def of(play: Stage, campaign: str) -> int:
    """How many copies the receivers took of this campaign, whose recipients are no other's."""
    copies = play.copies()
    return sum(copies[recipient] for recipient in play.submitted[campaign])


async def enqueue(play: Stage, campaign: str, addresses: Sequence[str], **terms: str) -> None:
    """Submit, not by the command line: on a busy machine that takes as long as a large campaign does."""
    spec = {"from": "Shop <news@shop.example>", "subject": "Hello", "text": "Spring.", **terms}
    await play.queue.announce(campaign, json.dumps(spec).encode())
    batches = list(cut(json.dumps({"to": address}).encode() for address in addresses))
    await play.queue.add_rows(campaign, batches)
    await play.queue.close_rows(campaign, len(batches))
    play.submitted[campaign] = Counter(addresses)


async def told(play: Stage, kind: str) -> list[dict[str, object]]:
    cursor, found = "", list[dict[str, object]]()
    while True:
        cursor, lines = await play.queue.events(cursor, 5_000)
        if not lines:
            return found
        found += [event for event in map(json.loads, lines) if event["type"] == kind]


async def test_a_pause_stops_within_seconds_and_goes_on_where_it_stopped() -> None:
    addresses = readers(RECIPIENTS + 100)
    async with stage() as play, play.fleet():
        await play.receivers_think(_THINK_S)
        await play.submit("spring", addresses[:RECIPIENTS])
        await under_load(play)
        assert "spring: paused with" in await play.penstock("pause", "spring", "--why", "wrong price")
        await stopped(play)
        at_stop = of(play, "spring")
        assert at_stop < RECIPIENTS, "too fast: everything was delivered before the pause"
        await play.receivers_think(0)
        (shown,) = json.loads(await play.penstock("campaigns", "--json"))
        assert (shown["state"], shown["why"]) == ("paused", "wrong price")
        await play.submit("summer", addresses[RECIPIENTS:])
        await play.finished("summer")
        assert of(play, "spring") == at_stop, "another campaign passed, and nothing of this one beside it"
        await play.penstock("resume", "spring")
        await play.finished("spring")
        assert await play.conserved("spring") == {State.DELIVERED: RECIPIENTS}
        assert set(play.copies().values()) == {1}


async def test_a_cancelled_campaign_ends_and_everybody_is_accounted_for() -> None:
    async with stage() as play, play.fleet():
        await play.receivers_think(_THINK_S)
        await play.submit("spring", readers(RECIPIENTS))
        await under_load(play)
        await play.penstock("cancel", "spring", "--why", "wrong price")
        await play.finished("spring")
        totals = await play.conserved("spring")
        assert totals.keys() == {State.DELIVERED, State.CANCELLED}
        assert totals[State.DELIVERED] == of(play, "spring") < RECIPIENTS
        # the campaign's own end is told behind that of its last recipient
        await eventually("the end is told", lambda: told(play, "ended"))
        assert {(event["campaign"], event["state"], event["why"]) for event in await told(play, "ended")} == {
            ("spring", "cancelled", "wrong price")
        }


async def test_a_small_campaign_does_not_wait_for_a_large_one() -> None:
    """What lanes have leased ahead goes first: here they lease little ahead, so that shares alone decide."""
    addresses = readers(20_200)
    async with stage(settings=lambda text: f"{text}\n[delivery]\npack_size = 10\nlookahead = 8\n") as play, play.fleet():
        await play.submit("large", addresses[:20_000])
        await under_load(play, "large")
        await enqueue(play, "small", addresses[20_000:])
        before = await play.delivered("large")
        await play.finished("small")
        assert await play.delivered("large") - before < 10_000
        assert await play.conserved("small") == {State.DELIVERED: 200}


async def test_a_rate_is_never_passed_and_is_used() -> None:
    async with stage() as play, play.fleet():
        await play.submit("spring", readers(400), 'rate = "20/s"')
        await play.finished("spring")
        moments = sorted((await play.told_delivered()).values())
    for first in range(0, 400, 20):
        for last in range(first + 1, 400):
            # what is granted is sent at once, but for a little while in which it is prepared and answered
            assert last - first <= 20 * (moments[last] - moments[first] + BURST_S + 2.0)
    assert moments[-1] - moments[0] < 2 * 400 / 20


async def test_nothing_leaves_before_the_start_or_after_the_deadline() -> None:
    async with stage() as play, play.fleet():
        start = datetime.fromtimestamp(round(time.time()) + 12, UTC)
        await play.submit("spring", readers(300), f"start = {start.isoformat()}")
        await play.finished("spring")
        assert await play.conserved("spring") == {State.DELIVERED: 300}
        assert min((await play.told_delivered()).values()) >= start.timestamp()
        later = readers(1_300)[300:]

        deadline = datetime.fromtimestamp(round(time.time()) + 20, UTC)
        await enqueue(play, "summer", later, deadline=deadline.isoformat(), rate="10/s")
        await play.finished("summer")
        status = await play.status("summer")
        assert status is not None
        totals: Counter[State] = Counter()
        for (_, state), count in status.final.items():
            totals[state] += count
        assert 0 < totals[State.DELIVERED] == of(play, "summer")
        assert totals == {State.DELIVERED: totals[State.DELIVERED], State.EXPIRED: 1_000 - totals[State.DELIVERED]}
        assert max((await play.told_delivered()).values()) <= deadline.timestamp() + _IN_FLIGHT_S
