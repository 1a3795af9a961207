"""Packs keep what they are given, say their size without being opened, and refuse all that is not theirs."""

import struct
import zlib
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.model import Envelope
from sender.queue.pack import HEADER, MAX_ENVELOPES, PackError, band, decode, encode, encode_all, oldest, place_of, runs, size
from tests.queue.feeding import envelopes

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_fields = st.dictionaries(_text, _text, max_size=4)
_envelope = st.builds(
    Envelope,
    campaign=st.just("spring"),
    ordinal=st.integers(0, 2**60),
    address=st.builds(lambda local, domain: f"{local}@{domain}", _text, _text.filter(lambda text: "@" not in text)),
    fields=_fields,
    attempts=st.integers(0, 1000),
    doubts=st.integers(0, 1000),
    queued_at=st.floats(0, 1e10),
    tried_at=st.just(0.0) | st.floats(0, 1e10),
)


@given(st.lists(_envelope, min_size=1, max_size=30))
def test_a_pack_gives_back_what_was_packed(some: list[Envelope]) -> None:
    pack = encode(some)
    assert decode(pack) == some
    assert (size(pack), oldest(pack)) == (len(some), min(envelope.queued_at for envelope in some))
    assert encode(some) == pack


@given(st.lists(_envelope, min_size=1, max_size=5), st.data())
@pytest.mark.row("S30")
def test_a_damaged_pack_is_refused_or_harmless(some: list[Envelope], data: st.DataObject) -> None:
    damaged = bytearray(encode(some))
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(damaged))
    except PackError:
        return
    assert all(isinstance(envelope, Envelope) for envelope in found)


@given(st.binary(max_size=200))
@pytest.mark.row("S30")
def test_octets_that_are_no_pack_are_refused(octets: bytes) -> None:
    with pytest.raises(PackError):
        decode(octets)


def test_the_header_stands_where_the_scripts_look_for_it() -> None:
    pack = encode(envelopes("spring", 7, start=40, queued_at=1234.5))
    assert struct.unpack_from(">d", pack, 2 - 1) == (1234.5,)  # Lua counts from 1
    assert struct.unpack_from(">I", pack, 18 - 1) == (7,)


@pytest.mark.row("S30")
def test_a_pack_that_inflates_without_end_is_refused_unread() -> None:
    bomb = HEADER.pack(1, 0.0, 0, 1) + zlib.compress(b"\0" * 200_000_000)
    with pytest.raises(PackError, match="larger than"):
        decode(bomb)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"not msgpack", "malformed|expected|Expected"),
        (msgspec.msgpack.encode({"campaign": "x"}), "array"),
        (msgspec.msgpack.encode(["x", [], ["a", "b"], ["c"], [0], [0], [0.0], [], [], []]), "header says 1"),
        (msgspec.msgpack.encode(["x", [], ["a"], ["c", "d"], [0], [0], [0.0], [], [], []]), "do not match"),
        (msgspec.msgpack.encode(["x", [], ["a"], ["c"], [0], [0], [0.0], ["n"], [], []]), "1 names, 0 columns"),
        (msgspec.msgpack.encode(["x", [], ["a"], ["c"], [0], [0], [0.0], [], [], [1]]), "object"),
    ],
)
@pytest.mark.row("S30")
def test_a_body_of_another_shape_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(PackError, match=why):
        decode(HEADER.pack(1, 0.0, 0, 1) + zlib.compress(body))


def test_another_version_is_refused_by_name() -> None:
    with pytest.raises(PackError, match="pack version 3; this program reads 1 and 2"):
        size(b"\3" + encode(envelopes("spring", 1))[1:])


def test_a_pack_is_of_one_campaign_and_of_a_bounded_size() -> None:
    with pytest.raises(ValueError, match="of one campaign"):
        encode([*envelopes("a", 1), *envelopes("b", 1)])
    with pytest.raises(ValueError, match="not 0"):
        encode([])
    with pytest.raises(ValueError, match="not 1001"):
        encode(envelopes("a", MAX_ENVELOPES + 1))
    with pytest.raises(ValueError, match="needs an @"):
        encode([Envelope(campaign="a", ordinal=0, address="nobody")])


def test_any_number_of_envelopes_goes_into_as_many_packs() -> None:
    some = envelopes("spring", 2500)
    packs = encode_all(some)
    assert [size(pack) for pack in packs] == [1000, 1000, 500]
    assert [envelope for pack in packs for envelope in decode(pack)] == some
    assert encode_all([]) == []


@given(st.lists(_envelope, min_size=1, max_size=30), st.integers(200, 3000))
def test_what_is_cut_into_runs_fits_into_packs(some: list[Envelope], room: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sender.queue.pack.MAX_BODY", room)
        cut = list(runs(some, 7))
        assert [envelope for run in cut for envelope in run] == some
        assert all(1 <= len(run) <= 7 for run in cut)
        assert all(decode(encode(run)) == run for run in cut if len(run) > 1)


def test_three_short_merge_fields_pack_well_below_sixty_octets() -> None:
    assert len(encode(envelopes("spring", 200))) / 200 < 40


class _FirstBody(msgspec.Struct, array_like=True, frozen=True):
    """The body as it was before it had columns with defaults: what a program of that time reads and writes."""

    campaign: str
    steps: list[int]
    locals: list[str]
    domains: list[str]
    attempts: list[int]
    doubts: list[int]
    queued_at: list[float]
    names: list[str]
    columns: list[list[str]]
    rows: list[dict[str, str]]


@pytest.mark.row("F48")
def test_packs_of_before_are_read_and_programs_of_before_read_ours() -> None:
    some = envelopes("spring", 3, start=5, queued_at=99.0)
    for envelope in some:
        envelope.tried_at = 1234.5
    ours = encode(some)
    theirs = msgspec.msgpack.decode(zlib.decompress(ours[HEADER.size :]), type=_FirstBody)
    assert (theirs.campaign, theirs.steps, theirs.domains, theirs.queued_at) == ("spring", [1, 1], ["example.org"], [99.0])
    old = ours[: HEADER.size] + zlib.compress(msgspec.msgpack.encode(theirs))
    read = decode(old)
    assert [envelope.tried_at for envelope in read] == [0.0] * 3
    for envelope in read:
        envelope.tried_at = 1234.5
    assert read == some


def test_what_was_not_tried_costs_a_pack_one_octet() -> None:
    some = envelopes("spring", 200)
    body = zlib.decompress(encode(some)[HEADER.size :])
    assert body.endswith(b"\x90")  # an empty array


def scored(*scores: str) -> list[Envelope]:
    some = envelopes("spring", len(scores))
    return [replace(one, fields={"engagement": score}) for one, score in zip(some, scores, strict=True)]


def test_a_pack_says_its_band_and_without_scores_has_the_form_it_always_had() -> None:
    for score, expected in (("0", 0), ("24.9", 0), ("25", 1), ("50", 2), ("", 2), ("74", 2), ("75", 3), ("100", 3)):
        some = scored(score, score)
        pack = encode(some)
        assert (band(pack), pack[0], decode(pack), size(pack)) == (expected, 1 if expected == 2 else 2, some, 2)
        assert (place_of(pack, 1), oldest(pack)) == (1, some[0].queued_at)
    assert band(b"") == band(b"\2" * 22) == 2, "what is no pack is among those without a score"


def test_whoever_mixes_bands_keeps_the_least_engaged_safe() -> None:
    assert band(encode(scored("90", "10", ""))) == 0


def test_runs_are_of_one_band_each() -> None:
    cut = list(runs(scored("90", "80", "10", "", "60", "76"), 2))
    assert [[one.fields["engagement"] for one in run] for run in cut] == [["90", "80"], ["10"], ["", "60"], ["76"]]


@pytest.mark.row("F48")
def test_what_was_queued_before_scores_were_checked_may_have_any() -> None:
    pack = encode(scored("high", "low"))
    assert (band(pack), pack[0]) == (2, 1)
