"""The marks that a picture is made of: boxes, paths, words, and the colours of values."""

from collections.abc import Sequence
from html import escape
from itertools import compress
from typing import NamedTuple

# Vega's tableau10: of middle lightness, so that all stand out on white and on black.
LINES = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#ff9da6", "#eeca3b", "#8a8f98")
_LETTER = 6.4  # about as wide as a letter of 12 px is
_COLOURS = {"green": "#2f8f4e", "orange": "#d9822b", "red": "#c8323c", "purple": "#8250df", "blue": "#3b73b9"}
# From nothing to all: matplotlib's viridis in six steps, which keeps its order in grey and for the colour-blind.
_HEAT = ((68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37))


class Box(NamedTuple):
    """A part of the page."""

    x: float
    y: float
    width: float
    height: float

    def inside(self, margin: float, top: float) -> "Box":
        return Box(self.x + margin, self.y + top, self.width - 2 * margin, self.height - top - margin)


def colour_of(name: str) -> str:
    """One of the colours that thresholds and annotations name."""
    return _COLOURS[name]


def heat_of(share: float) -> str:
    """The colour of a share of the largest value."""
    place = min(max(share, 0.0), 1.0) * (len(_HEAT) - 1)
    low = min(int(place), len(_HEAT) - 2)
    mixed = (round(a + (b - a) * (place - low)) for a, b in zip(_HEAT[low], _HEAT[low + 1], strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def bar(box: Box, fill: str, *, rounded: bool = False) -> str:
    corner = ' rx="3"' if rounded else ""
    size = f'width="{max(0.0, box.width):.1f}" height="{max(0.0, box.height):.1f}"'
    return f'<rect x="{box.x:.1f}" y="{box.y:.1f}" {size}{corner} fill="{fill}"/>'


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line through the points."""
    return f'<polyline class="{kind}" points="{_steps(points)}"/>' if points else ""


def area(points: Sequence[tuple[float, float]], below: Sequence[tuple[float, float]], kind: str) -> str:
    """What is between two lines."""
    return f'<polygon class="{kind}" points="{_steps(points)} {_steps(below[::-1])}"/>' if points else ""


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def cut(words: str, width: float) -> str:
    """As many letters as there is room for."""
    fits = max(2, int(width / _LETTER))
    return words if len(words) <= fits else words[: fits - 1] + "…"


def _steps(points: Sequence[tuple[float, float]]) -> str:
    """The points, without those in the middle of a level stretch: most lines are level for most of the time."""
    steps = [f"{x:.1f},{y:.1f}" for x, y in points]
    levels = [f"{y:.1f}" for _, y in points]
    kept = [not 0 < place < len(points) - 1 or len(set(levels[place - 1 : place + 2])) > 1 for place in range(len(points))]
    return " ".join(compress(steps, kept))
