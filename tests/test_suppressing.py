"""A process that holds envelopes hears in time who gets no mail: at the lease, and of what comes after."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from sender.backlog import Held
from sender.errors import BackendError
from sender.model import State
from sender.queue.suppressions import GLOBAL, News, Suppression
from sender.suppressing import Suppressing, why_suppressed
from sender.withdrawal import Withdrawn
from tests.holding import campaign, held
from tests.rig import DIGESTS, SPEC, Store, clock

OFFERS = campaign(spec={**SPEC, "list": "offers"})


class Asked(Store):
    """Notes who was asked about; may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, int]] = []

    async def suppressed(self, digests: Sequence[bytes], list_name: str, now: float) -> Sequence[Suppression | None]:
        self.asked.append((list_name, len(digests)))
        await self._door("suppressed")
        return await super().suppressed(digests, list_name, now)

    async def suppression_news(self, after: str, limit: int) -> News:
        await self._door("suppression_news")
        return await super().suppression_news(after, limit)


def entry(address: str, **values: Any) -> Suppression:
    given: dict[str, Any] = {"reason": "unsubscribe", "at": clock(), **values}
    return Suppression(digest=DIGESTS.of(address), **given)


def mine(count: int = 3, leased_at: float | None = None) -> list[Held]:
    """Envelopes of a campaign for the list "offers", asked about now."""
    now = trio.current_time() if leased_at is None else leased_at
    return [replace(one, leased_at=now) for one in held(count, of=OFFERS)]


def states(suppressing: Suppressing, several: Sequence[Held]) -> list[State | str | None]:
    """For each its state, None where it may go out, "back" where it goes back."""
    found = [suppressing.withdrawn(one) for one in several]
    return [None if one is None else one.state or "back" for one in found]


@asynccontextmanager
async def following(suppressing: Suppressing) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(suppressing.run)
        await trio.sleep(0.5)
        yield
        nursery.cancel_scope.cancel()


async def test_asking_gives_what_holds_for_the_list(autojump_clock: MockClock) -> None:
    queue = Asked()
    await queue.suppress([entry("R0@big.example"), entry("r1@big.example", list="offers", reason="complaint")])
    suppressing = Suppressing(queue, DIGESTS, clock)
    addresses = ["r0@big.example", "r1@big.example", "r2@big.example"]
    found = await suppressing.ask(addresses, "offers")
    assert [one.reason if one else None for one in found] == ["unsubscribe", "complaint", None]
    assert [one is None for one in await suppressing.ask(addresses, GLOBAL)] == [False, True, True]


async def test_lanes_that_ask_at_the_same_time_share_a_call(autojump_clock: MockClock) -> None:
    queue = Asked()
    await queue.suppress([entry("r7@big.example")])
    suppressing = Suppressing(queue, DIGESTS, clock)
    queue.seconds = 0.1
    found: dict[int, Sequence[Suppression | None]] = {}

    async def ask(number: int) -> None:
        found[number] = await suppressing.ask([f"r{number}@big.example"] * (number + 1), "ab"[number % 2])

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(ask, number)
    assert len(queue.asked) <= 4, "those of one list together, and who came first by himself"
    assert {number: len(answers) for number, answers in found.items()} == {number: number + 1 for number in range(50)}
    assert [number for number, answers in found.items() if any(answers)] == [7]


async def test_while_the_store_is_away_everybody_who_asks_is_told(autojump_clock: MockClock) -> None:
    queue = Asked()
    suppressing = Suppressing(queue, DIGESTS, clock)
    queue.away, queue.seconds, refused = True, 5.0, 0

    async def ask() -> None:
        nonlocal refused
        with pytest.raises(BackendError, match="the store is away"):
            await suppressing.ask(["r0@big.example"], GLOBAL)
        refused += 1

    with trio.fail_after(11):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(ask)
    assert refused == 100
    queue.away = False
    assert await suppressing.ask(["r0@big.example"], GLOBAL) == [None]


async def test_one_who_is_cancelled_while_asking_for_all_leaves_nobody_without_an_answer(autojump_clock: MockClock) -> None:
    queue = Asked()
    await queue.suppress([entry("r1@big.example")])
    suppressing = Suppressing(queue, DIGESTS, clock)
    queue.seconds = 1.0
    answers: list[Sequence[Suppression | None]] = []

    async def ask(patience_s: float) -> None:
        with trio.move_on_after(patience_s):
            answers.append(await suppressing.ask(["r1@big.example"], GLOBAL))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, 60.0)  # asks for himself, until the second second
        await trio.sleep(0.1)
        nursery.start_soon(ask, 2.4)  # then for himself and all behind him, but not to the end
        await trio.sleep(0.1)
        for _ in range(3):
            nursery.start_soon(ask, 60.0)
    assert [bool(answer[0]) for answer in answers] == [True] * 4


@pytest.mark.row("F50")
async def test_what_is_suppressed_after_the_lease_is_withdrawn(autojump_clock: MockClock) -> None:
    queue = Asked()
    suppressing = Suppressing(queue, DIGESTS, clock)
    async with following(suppressing):
        several = mine(4)
        assert states(suppressing, several) == [None] * 4
        await trio.sleep(5)
        await queue.suppress(
            [entry("R0@big.example"), entry("r1@big.example", list="offers"), entry("r2@big.example", list="news")]
        )
        await trio.sleep(1.1)
        assert states(suppressing, several) == [State.SUPPRESSED, State.SUPPRESSED, None, None]
        assert suppressing.withdrawn(several[1]) == Withdrawn(
            state=State.SUPPRESSED, why="suppressed: unsubscribe, list offers"
        )
        assert repr(suppressing) == f"<Suppressing {DIGESTS.mark}: 3 news>"


async def test_what_was_asked_about_later_goes_by_the_answer(autojump_clock: MockClock) -> None:
    """An entry that was removed, or has expired, stops nothing that is leased afterwards."""
    queue = Asked()
    suppressing = Suppressing(queue, DIGESTS, clock)
    async with following(suppressing):
        before = mine(1)
        await queue.suppress([entry("r0@big.example")])
        await trio.sleep(1.1)
        await queue.unsuppress([DIGESTS.of("r0@big.example")], GLOBAL)
        assert await suppressing.ask(["r0@big.example"], GLOBAL) == [None]
        assert states(suppressing, before + mine(1)) == [State.SUPPRESSED, None]


async def test_news_that_have_expired_stop_nothing(autojump_clock: MockClock) -> None:
    queue = Asked()
    suppressing = Suppressing(queue, DIGESTS, clock)
    async with following(suppressing):
        several = mine(1)
        await queue.suppress([entry("r0@big.example", expires=clock() + 60)])
        await trio.sleep(30)
        assert states(suppressing, several) == [State.SUPPRESSED]
        await trio.sleep(60)
        assert states(suppressing, several) == [None]


async def test_more_news_than_are_remembered_send_what_is_older_back_to_be_asked_about_again(autojump_clock: MockClock) -> None:
    queue = Asked()
    suppressing = Suppressing(queue, DIGESTS, clock, remembered=100)
    async with following(suppressing):
        old = mine(2)
        await queue.suppress([entry("r0@big.example"), *(entry(f"x{number}@big.example") for number in range(60))])
        await trio.sleep(2)
        young = mine(2)
        assert states(suppressing, old) == [State.SUPPRESSED, None]
        await queue.suppress([entry("r1@big.example"), *(entry(f"y{number}@big.example") for number in range(60))])
        await trio.sleep(2)
        assert states(suppressing, old) == ["back", "back"]
        assert states(suppressing, young) == [None, State.SUPPRESSED], "asked about after what was forgotten"


async def test_a_process_that_slept_too_long_asks_again_about_all_it_has(autojump_clock: MockClock) -> None:
    queue = Asked()
    suppressing = Suppressing(queue, DIGESTS, clock)
    async with following(suppressing):
        several = mine(2)
        queue.seconds = 50.0  # so long nothing is heard
        await trio.sleep(1)
        for start in range(0, 101_000, 1_000):
            await queue.suppress([entry(f"{number}@x.example") for number in range(start, start + 1_000)])
        await trio.sleep(100)
        queue.seconds = 0.0
        await trio.sleep(100)
        assert states(suppressing, several) == ["back", "back"]
        assert states(suppressing, mine(2)) == [None, None]


async def test_nothing_falls_between_the_answer_and_the_news(autojump_clock: MockClock) -> None:
    """The news begin with the first question, not when the follower comes round to it."""
    queue = Asked()
    suppressing = Suppressing(queue, DIGESTS, clock)
    several = mine(1)
    assert await suppressing.ask(["r0@big.example"], "offers") == [None]
    await queue.suppress([entry("r0@big.example")])
    async with following(suppressing):
        assert states(suppressing, several) == [State.SUPPRESSED]


async def test_an_outage_is_told_and_what_came_meanwhile_is_heard(autojump_clock: MockClock) -> None:
    queue, troubles = Asked(), list[str]()
    suppressing = Suppressing(queue, DIGESTS, clock, on_trouble=troubles.append)
    async with following(suppressing):
        several = mine(2)
        queue.away = True
        await trio.sleep(10)
        await queue.suppress([entry("r0@big.example")])
        assert states(suppressing, several) == [None, None]
        queue.away = False
        await trio.sleep(1.1)
        assert states(suppressing, several) == [State.SUPPRESSED, None]
    assert set(troubles) == {"suppressions: the store is away"}


async def test_a_reason_says_for_whom_it_holds(autojump_clock: MockClock) -> None:
    assert why_suppressed(entry("a@b.example", reason="complaint")) == "suppressed: complaint, all lists"
