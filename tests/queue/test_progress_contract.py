"""Where lanes stand in their warmup, and who changed it, on every backend."""

from sender.queue.base import Queue
from sender.queue.warmups import Change, Kept


def change(name: str, version: int, body: bytes, audit: bytes = b"") -> Change:
    return Change(name=name, version=version, body=body, audit=audit)


async def test_a_state_is_kept_as_it_was_written(queue: Queue) -> None:
    octets = bytes(range(256))
    assert await queue.progress() == {}
    assert await queue.change_progress([change("s1/google", 0, octets), change("@shop.example", 0, b"7 x")]) == [
        "s1/google",
        "@shop.example",
    ]
    kept = {
        "s1/google": Kept(name="s1/google", version=1, body=octets),
        "@shop.example": Kept(name="@shop.example", version=1, body=b"7 x"),
    }
    assert await queue.progress() == kept
    assert await queue.progress(["s1/google", "s1/other"]) == {"s1/google": kept["s1/google"]}
    assert await queue.progress([]) == {}


async def test_of_two_who_change_the_same_state_the_first_one_wins(queue: Queue) -> None:
    await queue.change_progress([change("a", 0, b"old"), change("b", 0, b"old")])
    assert await queue.change_progress([change("a", 1, b"mine")]) == ["a"]
    assert await queue.change_progress([change("a", 1, b"theirs"), change("b", 1, b"theirs")]) == ["b"]
    assert {name: kept.body for name, kept in (await queue.progress()).items()} == {"a": b"mine", "b": b"theirs"}
    assert await queue.change_progress([change("a", 0, b"anew")]) == []


async def test_a_state_that_is_removed_begins_anew(queue: Queue) -> None:
    await queue.change_progress([change("a", 0, b"old")])
    assert await queue.change_progress([change("a", 1, b"")]) == ["a"]
    assert await queue.progress() == {}
    assert await queue.change_progress([change("a", 0, b"new")]) == ["a"]


async def test_the_audit_hears_of_what_was_written_and_of_nothing_else(queue: Queue) -> None:
    await queue.change_progress([change("a", 0, b"1", b"first"), change("b", 0, b"1")])
    await queue.change_progress([change("a", 0, b"2", b"too late"), change("a", 1, b"2", b"second")])
    await queue.tell_audit([b"by hand", b"and more"])
    assert await queue.audit() == ("", [b"and more", b"by hand", b"second", b"first"])


async def test_the_audit_is_read_page_by_page_newest_first(queue: Queue) -> None:
    await queue.tell_audit([f"{number}".encode() for number in range(5)])
    cursor, seen = "", list[bytes]()
    while True:
        cursor, some = await queue.audit(cursor, 2)
        seen += some
        if not cursor:
            break
    assert seen == [b"4", b"3", b"2", b"1", b"0"]
