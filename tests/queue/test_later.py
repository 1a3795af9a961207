"""How envelopes that go back are packed."""

from sender.queue.base import Again
from sender.queue.later import group
from sender.queue.pack import HEADER, decode, distance, place_of
from tests.queue.feeding import envelopes


def test_by_ordinal_whatever_their_dues_so_that_a_header_finds_them() -> None:
    some = envelopes("spring", 30)
    again = [Again(position=place, envelope=some[place], due=1_000.0 + due) for due, place in enumerate((17, 4, 9))]
    (back,) = group(again)
    assert back.due == 1_002.0
    assert [envelope.ordinal for envelope in decode(back.pack)] == [4, 9, 17]
    assert HEADER.unpack_from(back.pack)[2] == 4


def test_a_place_in_a_pack_without_reading_all_of_it() -> None:
    (back,) = group(
        [Again(position=place, envelope=one, due=0.0) for place, one in enumerate(envelopes("spring", 40, start=7))]
    )
    assert [place_of(back.pack, ordinal) for ordinal in (6, 7, 30, 46, 47)] == [None, 0, 23, 39, None]
    assert place_of(b"no pack", 7) is None
    assert place_of(back.pack[:-3], 7) is None
    assert sorted((47, 8, 6, 7), key=lambda ordinal: distance(back.pack, ordinal)) == [7, 8, 47, 6]
