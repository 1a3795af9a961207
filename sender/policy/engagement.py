"""How engaged a recipient is with a sender's mail, 0 to 100, as whoever submits knows it; and the bands that packs are cut by.

A source that warms up is to show receivers mail that people want: it takes the most engaged first. Bands are all that the
queue knows of it: a pack holds recipients of one band, and a rule about a score holds for whole bands.
"""

import re
from collections.abc import Mapping

FIELD = "engagement"  # the recipient's column
NOBODY_KNOWS = 50.0  # what counts where none is given
FLOORS = (0, 25, 50, 75)  # the least of each band; the same stand in lease.lua

_SCORE = re.compile(r"\s*(\d{1,3}(?:\.\d{1,9})?)\s*", re.ASCII)


def read(text: str) -> float:
    """A score as it was given; "" is as if there were none. ValueError says what is allowed."""
    if not text.strip():
        return NOBODY_KNOWS
    match = _SCORE.fullmatch(text)
    if match is None or float(match[1]) > 100:
        raise ValueError(f"{text[:80]!r} is no score: write a number from 0 to 100, or nothing")
    return float(match[1])


def band_of(fields: Mapping[str, str]) -> int:
    """The band of a recipient with these fields: 0 to 3, the most engaged last.

    What was queued before scores were checked may have any text there: then nobody knows.
    """
    text = fields.get(FIELD)
    if text is None:
        return PLAIN
    try:
        return _band(read(text))
    except ValueError:
        return PLAIN


def _band(score: float) -> int:
    return sum(score >= floor for floor in FLOORS) - 1


PLAIN = _band(NOBODY_KNOWS)  # the band of who has no score
