"""Rows are cut into batches the inbox takes: none is empty, and the same rows give the same batches."""

import json

import pytest

from sender.queue.base import BATCH_ROWS, Announcement
from sender.queue.inbox import MAX_ROWS, check, cut, read_announcement


def test_batches_are_full_and_numbered() -> None:
    rows = [f'{{"n":{n}}}'.encode() for n in range(2 * BATCH_ROWS + 1)]
    batches = list(cut(rows))
    assert [(batch.number, batch.rows.count(b"\n") + 1) for batch in batches] == [(0, BATCH_ROWS), (1, BATCH_ROWS), (2, 1)]
    assert b"\n".join(batch.rows for batch in batches) == b"\n".join(rows)


@pytest.mark.parametrize("before", [0, 1])
def test_a_row_too_large_for_any_batch_stands_alone_and_is_told(before: int) -> None:
    large = b"x" * (MAX_ROWS + 1)
    batches = list(cut([b"{}"] * before + [large, b"{}"]))
    assert [batch.rows for batch in batches] == [b"{}"] * before + [large, b"{}"]
    assert [batch.number for batch in batches] == list(range(before + 2))
    with pytest.raises(ValueError, match=f"batch {before} has"):
        check(batches)


def test_no_rows_are_no_batches() -> None:
    assert list(cut([])) == []


def test_a_ready_made_message_may_wait_for_its_time() -> None:
    times = {b"start": b"2026-03-01T09:00:00+01:00", b"deadline": b"2026-03-02T09:00:00Z"}
    fields = {b"v": b"1", b"id": b"order-1", b"from": b"a@shop.example", b"to": b"ann@example.org", b"raw": b"x", **times}
    found = read_announcement("campaigns/1-0", fields)
    assert isinstance(found, Announcement)
    spec = json.loads(found.spec)
    assert (spec["start"], spec["deadline"]) == ("2026-03-01T09:00:00+01:00", "2026-03-02T09:00:00Z")
