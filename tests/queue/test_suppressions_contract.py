"""Who gets no mail: what every backend keeps of it, for how long, and how others hear of it."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import pytest

from sender.errors import BackendError
from sender.model import State
from sender.queue import open_queue
from sender.queue.base import Queue
from sender.queue.client import Client
from sender.queue.keys import SUPPRESSED, SUPPRESSION_EXPIRY, SUPPRESSION_LISTS, SUPPRESSION_NEWS
from sender.queue.suppressions import GLOBAL, News, Suppression
from tests.queue.backends import on_one_server
from tests.queue.feeding import QUEUED_AT, all_delivered, filled, leased, settlement

NOW = QUEUED_AT
DAY = 86_400.0


def digest(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=16).digest()


def entry(name: str, **values: Any) -> Suppression:
    given: dict[str, Any] = {"reason": "unsubscribe", "at": NOW, **values}
    return Suppression(digest=digest(name), **given)


async def reasons(queue: Queue, *names: str, of: str = GLOBAL, now: float = NOW) -> list[str | None]:
    found = await queue.suppressed([digest(name) for name in names], of, now)
    return [one.reason if one is not None else None for one in found]


async def everything(queue: Queue, limit: int = 10) -> list[Suppression]:
    found: list[Suppression] = []
    cursor, some = await queue.suppressions("", limit)
    found += some
    while cursor:
        cursor, some = await queue.suppressions(cursor, limit)
        found += some
    return found


async def news(queue: Queue, after: str, limit: int = 100) -> News:
    return await queue.suppression_news(after, limit)


def names_of(entries: Sequence[Suppression], *names: str) -> list[str]:
    by_digest = {digest(name): name for name in names}
    return [by_digest[one.digest] for one in entries]


async def test_an_entry_holds_for_its_list_and_a_global_one_for_all(queue: Queue) -> None:
    assert (
        await queue.suppress([entry("ann", reason="complaint"), entry("bob", list="offers"), entry("bob", list="{x} y")]) == 3
    )
    assert await reasons(queue, "ann", "bob", "eve") == ["complaint", None, None]
    assert await reasons(queue, "ann", "bob", "eve", of="offers") == ["complaint", "unsubscribe", None]
    assert await reasons(queue, "bob", of="{x} y") == ["unsubscribe"]
    assert await reasons(queue, "ann", "bob", of="news") == ["complaint", None]
    assert await reasons(queue) == []


async def test_a_list_s_own_entry_goes_before_the_global_one(queue: Queue) -> None:
    await queue.suppress([entry("ann", reason="complaint"), entry("ann", list="offers", reason="unsubscribe")])
    assert await reasons(queue, "ann", of="offers") == ["unsubscribe"]
    assert await reasons(queue, "ann", of="news") == ["complaint"]


async def test_what_is_kept_comes_back_as_it_was(queue: Queue) -> None:
    one = entry("ann", list="offres d'été", reason="complaint", source="spring:17", at=NOW + 0.5, expires=NOW + DAY)
    await queue.suppress([one])
    assert await queue.suppressed([digest("ann")], "offres d'été", NOW) == [one]
    assert await everything(queue) == [one]


async def test_telling_it_again_changes_nothing(queue: Queue) -> None:
    start = (await news(queue, "")).cursor
    assert await queue.suppress([entry("ann", source="first")]) == 1
    assert await queue.suppress([entry("ann", source="second"), entry("ann", reason="manual", expires=NOW + DAY)]) == 0
    assert [one.source for one in await everything(queue)] == ["first"]
    assert len((await news(queue, start)).entries) == 1


async def test_a_longer_one_takes_the_place_of_a_shorter_one_and_is_news(queue: Queue) -> None:
    start = (await news(queue, "")).cursor
    await queue.suppress([entry("ann", source="a", expires=NOW + 2 * DAY)])
    assert await queue.suppress([entry("ann", source="b", expires=NOW + DAY)]) == 0
    assert await queue.suppress([entry("ann", source="c", expires=NOW + 3 * DAY)]) == 0
    assert await queue.suppress([entry("ann", source="d")]) == 0
    assert await queue.suppress([entry("ann", source="e", expires=NOW + 9 * DAY)]) == 0
    assert [(one.source, one.expires) for one in await everything(queue)] == [("d", 0.0)]
    assert [one.source for one in (await news(queue, start)).entries] == ["a", "c", "d"]
    await queue.reclaim(NOW + 10 * DAY)
    assert await reasons(queue, "ann", now=NOW + 10 * DAY) == ["unsubscribe"], "it no longer expires"


async def test_one_that_has_expired_holds_no_more_and_can_be_added_anew(queue: Queue) -> None:
    await queue.suppress([entry("ann", expires=NOW + DAY), entry("ann", list="offers", expires=NOW + 2 * DAY)])
    assert await reasons(queue, "ann", now=NOW + DAY - 1) == ["unsubscribe"]
    assert await reasons(queue, "ann", now=NOW + DAY) == [None]
    assert await reasons(queue, "ann", of="offers", now=NOW + DAY) == ["unsubscribe"]
    assert await queue.suppress([entry("ann", at=NOW + 2 * DAY, expires=NOW + 3 * DAY)]) == 1
    assert await reasons(queue, "ann", now=NOW + 2 * DAY) == ["unsubscribe"]


async def test_a_list_s_expired_entry_does_not_hide_the_global_one(queue: Queue) -> None:
    await queue.suppress([entry("ann", list="offers", expires=NOW + DAY), entry("ann", reason="complaint")])
    assert await reasons(queue, "ann", of="offers", now=NOW + DAY) == ["complaint"]


async def test_the_expired_are_swept(queue: Queue) -> None:
    await queue.suppress([entry("ann", expires=NOW + DAY), entry("bob", list="offers", expires=NOW + DAY), entry("eve")])
    await queue.reclaim(NOW + DAY - 1)
    assert len(await everything(queue)) == 3
    await queue.reclaim(NOW + DAY)
    assert names_of(await everything(queue), "ann", "bob", "eve") == ["eve"]


async def test_removing_says_how_many_there_were_and_leaves_other_lists_alone(queue: Queue) -> None:
    await queue.suppress([entry("ann"), entry("ann", list="offers"), entry("bob", expires=NOW + DAY)])
    assert await queue.unsuppress([digest("ann"), digest("bob"), digest("eve")], GLOBAL) == 2
    assert await queue.unsuppress([digest("ann"), digest("bob")], GLOBAL) == 0
    assert await queue.unsuppress([], GLOBAL) == 0
    assert await reasons(queue, "ann", "bob") == [None, None]
    assert await reasons(queue, "ann", of="offers") == ["unsubscribe"]
    await queue.suppress([entry("bob")])
    await queue.reclaim(NOW + 2 * DAY)
    assert await reasons(queue, "bob", now=NOW + 2 * DAY) == ["unsubscribe"], "what was removed no longer expires"


async def test_all_entries_are_given_once_in_bounded_steps(queue: Queue) -> None:
    lists = (GLOBAL, "a list", "b", "z")
    for name in lists:
        await queue.suppress([entry(f"{name} {number}", list=name, source="x" * 70) for number in range(700)])
    found, steps = list[Suppression](), 0
    cursor = ""
    while steps == 0 or cursor:
        cursor, some = await queue.suppressions(cursor, 100)
        assert len(some) <= 200
        found += some
        steps += 1
    assert len(found) == len({(one.list, one.digest) for one in found}) == 2_800
    assert {one.list for one in found} == set(lists)


async def test_an_export_of_nothing_ends_at_once(queue: Queue) -> None:
    assert await queue.suppressions("", 100) == ("", [])


async def test_news_begin_now_and_come_in_order(queue: Queue) -> None:
    await queue.suppress([entry("old")])
    begun = await news(queue, "")
    assert (begun.entries, begun.missed) == ((), False)
    assert (await news(queue, begun.cursor)).entries == ()
    await queue.suppress([entry("ann"), entry("bob", list="offers")])
    await queue.suppress([entry("eve")])
    first = await news(queue, begun.cursor, 2)
    assert [(one.digest, one.list) for one in first.entries] == [(digest("ann"), GLOBAL), (digest("bob"), "offers")]
    second = await news(queue, first.cursor, 2)
    assert names_of(second.entries, "eve") == ["eve"]
    assert not first.missed
    assert not second.missed
    assert (await news(queue, second.cursor)).entries == ()


async def test_news_of_a_store_without_any_begin_with_the_first(queue: Queue) -> None:
    begun = await news(queue, "")
    await queue.suppress([entry("ann")])
    found = await news(queue, begun.cursor)
    assert names_of(found.entries, "ann") == ["ann"]
    assert not found.missed


@on_one_server
async def test_who_falls_behind_the_news_that_are_kept_is_told(queue: Queue) -> None:
    begun = await news(queue, "")
    for start in range(0, 101_000, 1_000):
        await queue.suppress([entry(str(number)) for number in range(start, start + 1_000)])
    found = await news(queue, begun.cursor, 10)
    assert found.missed
    assert len(found.entries) == 10
    assert not (await news(queue, found.cursor, 10)).missed


async def test_the_first_key_s_mark_stands(queue: Queue) -> None:
    assert await queue.suppression_mark("one") == "one"
    assert await queue.suppression_mark("two") == "one"


async def test_who_does_not_exist_is_suppressed_with_the_settlement(queue: Queue) -> None:
    await filled(queue, 2)
    (lease,) = await leased(queue, 2)
    refused = entry("user0", reason="unknown_user", source="spring:0")
    told = replace(settlement(lease, final=[(0, State.REJECTED), (1, State.DELIVERED)]), refused=(refused,))
    await queue.settle([told], NOW)
    await queue.settle([told], NOW)
    assert await queue.suppressed([digest("user0"), digest("user1")], "offers", NOW) == [refused, None]
    (status,) = await queue.status(["spring"])
    assert status.finished == 2


async def test_a_settlement_that_came_too_late_still_says_who_does_not_exist(queue: Queue) -> None:
    await filled(queue, 1)
    (lease,) = await leased(queue, 1)
    await queue.settle([all_delivered(lease)], NOW)
    await queue.settle([replace(settlement(lease, final=[(0, State.REJECTED)]), refused=(entry("user0"),))], NOW)
    assert await reasons(queue, "user0") == ["unsubscribe"]


@pytest.mark.integration
@pytest.mark.row("S30")
async def test_what_others_wrote_among_the_entries_stops_nothing_and_suppresses(valkey_url: str, client: Client) -> None:
    queue = await open_queue(valkey_url)
    await client.run([("HSET", SUPPRESSED, digest("ann"), b"\xc1 junk"), ("HSET", SUPPRESSED, digest("bob"), b"\x93\x01")])
    assert await reasons(queue, "ann", "bob") == ["unreadable", "unreadable"]
    assert {one.reason for one in await everything(queue)} == {"unreadable"}
    assert await queue.suppress([entry("ann", reason="manual"), entry("bob", reason="manual")]) == 2
    assert await reasons(queue, "ann", "bob") == ["manual", "manual"]
    await queue.aclose()


@pytest.mark.integration
async def test_nothing_is_left_behind_in_the_store(valkey_url: str, client: Client) -> None:
    queue = await open_queue(valkey_url)
    await queue.suppress(
        [
            entry("ann", expires=NOW + DAY),
            entry("bob", list="offers", expires=NOW + DAY),
            entry("eve", list="b", expires=NOW + DAY),
        ]
    )
    assert await client.run([("ZCARD", SUPPRESSION_EXPIRY), ("ZCARD", SUPPRESSION_LISTS)]) == [3, 2]
    await queue.unsuppress([digest("eve")], "b")
    assert await client.run([("ZCARD", SUPPRESSION_EXPIRY), ("ZCARD", SUPPRESSION_LISTS)]) == [2, 1]
    await queue.reclaim(NOW + DAY)
    keys = (SUPPRESSED, SUPPRESSION_EXPIRY, SUPPRESSION_LISTS)
    assert await client.run([("EXISTS", key) for key in keys]) == [0, 0, 0]
    assert await client.run([("XLEN", SUPPRESSION_NEWS)]) == [3]
    await queue.aclose()


@pytest.mark.integration
async def test_a_digest_of_another_length_is_refused_before_anything_is_written(valkey_url: str, client: Client) -> None:
    """The sweeper cuts digests off by their length."""
    queue = await open_queue(valkey_url)
    with pytest.raises(ValueError, match="a digest has 16 octets, found 3"):
        await queue.suppress([entry("ann"), Suppression(digest=b"abc", reason="manual", at=NOW)])
    assert await everything(queue) == []
    await queue.aclose()


@pytest.mark.integration
async def test_a_full_store_takes_no_list_and_still_settles_with_who_does_not_exist(valkey_url: str, client: Client) -> None:
    queue = await open_queue(valkey_url)
    await filled(queue, 1)
    (lease,) = await leased(queue, 1)
    await queue.suppress([entry("bob", expires=NOW + DAY), entry("eve")])
    await client.run([("CONFIG", "SET", "maxmemory", 1)])
    try:
        with pytest.raises(BackendError, match="OOM"):
            await queue.suppress([entry("ann")])
        refused = entry("user0", reason="unknown_user")
        await queue.settle([replace(settlement(lease, final=[(0, State.REJECTED)]), refused=(refused,))], NOW)
        assert await reasons(queue, "ann", "user0") == [None, "unknown_user"]
        assert await queue.unsuppress([digest("eve")], GLOBAL) == 1
        await queue.reclaim(NOW + DAY)
        assert names_of(await everything(queue), "bob", "eve", "user0") == ["user0"]
    finally:
        await client.run([("CONFIG", "SET", "maxmemory", 0)])
    await queue.aclose()
