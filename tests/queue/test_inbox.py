"""Rows are cut into batches the inbox takes: none is empty, and the same rows give the same batches."""

import pytest

from sender.queue.base import BATCH_ROWS
from sender.queue.inbox import MAX_ROWS, check, cut


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
