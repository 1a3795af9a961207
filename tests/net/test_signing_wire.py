"""The signers' frames: whatever way they are cut, and whatever else arrives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.net.signing_wire import (
    FRAME_LIMIT,
    JOBS_LIMIT,
    NAME_LIMIT,
    Frame,
    FrameReader,
    WireError,
    answers_frame,
    answers_of,
    jobs_frame,
    jobs_of,
)

JOBS = st.lists(st.tuples(st.binary(max_size=NAME_LIMIT), st.binary(min_size=32, max_size=32)), max_size=20)
ANSWERS = st.lists(st.binary(max_size=512) | st.text(max_size=40), max_size=20)
NUMBER = st.integers(0, 2**32 - 1)


@given(NUMBER, JOBS, ANSWERS, st.lists(st.integers(1, 400), min_size=1))
def test_frames_survive_any_cutting(
    number: int, jobs: list[tuple[bytes, bytes]], answers: list[bytes | str], cuts: list[int]
) -> None:
    stream = jobs_frame(number, jobs) + answers_frame(number, answers)
    reader, frames = FrameReader(), []
    while stream:
        for cut in cuts:
            frames += reader.feed(stream[:cut])
            stream = stream[cut:]
    asked, answered = frames
    assert (asked.number, asked.count, jobs_of(asked)) == (number, len(jobs), jobs)
    assert (answered.number, answered.count, answers_of(answered)) == (number, len(answers), answers)


@given(st.binary(max_size=200))
def test_anything_else_is_an_error_or_a_frame(data: bytes) -> None:
    reader = FrameReader()
    try:
        for frame in reader.feed(data):
            jobs_of(frame)
            answers_of(frame)
    except WireError:
        pass


@pytest.mark.parametrize("size", [0, 5, FRAME_LIMIT + 1, 2**32 - 1])
def test_size_out_of_bounds_is_an_error_before_the_frame_is_there(size: int) -> None:
    with pytest.raises(WireError, match=f"a frame of {size} octets"):
        FrameReader().feed(size.to_bytes(4, "big") + bytes(6))


@pytest.mark.parametrize("items", [b"\x01", b"\x00" + bytes(31), b"\x00" + bytes(33), b"\xff" + bytes(40)])
def test_items_that_do_not_fill_their_frame(items: bytes) -> None:
    with pytest.raises(WireError, match="do not fill"):
        jobs_of(Frame(number=1, count=1, items=items))
    with pytest.raises(WireError, match="do not fill"):
        answers_of(Frame(number=1, count=5, items=items))


def test_wrong_count_is_an_error() -> None:
    (frame,) = FrameReader().feed(jobs_frame(1, [(b"d/s", bytes(32))]))
    with pytest.raises(WireError, match="do not fill"):
        jobs_of(Frame(number=1, count=2, items=frame.items))


def test_largest_batch_fits_both_ways() -> None:
    assert len(jobs_frame(1, [(bytes(NAME_LIMIT), bytes(32))] * JOBS_LIMIT)) <= FRAME_LIMIT
    assert len(answers_frame(1, [bytes(512)] * JOBS_LIMIT)) <= FRAME_LIMIT
    with pytest.raises(WireError, match="octets"):
        answers_frame(1, [bytes(512)] * (2 * JOBS_LIMIT))
