"""Scores as they are written, and the bands they fall into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.policy.engagement import FLOORS, NOBODY_KNOWS, PLAIN, band_of, read


@given(st.integers(0, 100) | st.decimals(0, 100, places=3).map(float))
def test_a_number_from_0_to_100_is_a_score_and_its_band_holds_it(score: float) -> None:
    text = str(score) if "e" not in str(score) else f"{score:.3f}"
    assert read(text) == pytest.approx(score)
    band = band_of({"engagement": text})
    assert FLOORS[band] <= score < (*FLOORS, 101)[band + 1]


@pytest.mark.parametrize("text", ["", "  ", "50", " 50 ", "050", "50.0"])
def test_who_has_no_score_counts_as_50(text: str) -> None:
    assert read(text) == NOBODY_KNOWS
    assert band_of({"engagement": text}) == band_of({}) == PLAIN == 2


@pytest.mark.parametrize("text", ["101", "100.1", "-1", "+5", "1e1", "nan", "inf", "0x10", "5 0", "1000", "٣", "true", "7."])
def test_anything_else_is_none_and_says_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="is no score: write a number from 0 to 100, or nothing"):
        read(text)


@given(st.dictionaries(st.just("engagement"), st.text(max_size=200)))
def test_whatever_was_queued_has_a_band(fields: dict[str, str]) -> None:
    assert band_of(fields) in range(len(FLOORS))
