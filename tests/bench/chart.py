"""The comparison with peers for eyes: an SVG of messages a second and of CPU in signatures, drawn without any library.

It reads on light and on dark ground; a viewer that knows no `prefers-color-scheme` shows it on white.
"""

from collections.abc import Iterator, Sequence
from html import escape

from tests.bench.figures import Row

_WIDTH, _NAMES, _GAP, _EDGE = 940, 220, 110, 24
_LINE, _HEAD, _TOP = 26, 44, 72
_HALF = (_WIDTH - _NAMES - 2 * _GAP - _EDGE) / 2  # what the longest bar of each half takes; the gap is for its figure
_OURS, _THEIRS = "#4c78a8", "#8a8f98"  # of middle lightness: they stand out on white and on black
_STYLE = """\
text { font: 13px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 }
.case { font-weight: 600 }
.dim { fill: #59636e }
.ground { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .dim { fill: #9198a1 }
  .ground { fill: #0d1117 }
}"""


def draw(rows: Sequence[Row]) -> str:
    """The whole picture; rows without figures are left out."""
    there = [row for row in rows if row.rounds]
    cases = list(dict.fromkeys(row.case for row in there))
    height = _TOP + _LINE * len(there) + _HEAD * len(cases) + _EDGE
    label = "Messages a second, and CPU a message"
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{label}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{height}"/>',
        _text(_EDGE, 32, label, "title"),
        _text(_NAMES, 56, "messages/s", "dim"),
        _text(_NAMES + _HALF + _GAP, 56, "CPU a message, in RSA-2048 signatures", "dim"),
    ]
    y = float(_TOP)
    for case in cases:
        some = [row for row in there if row.case == case]
        body += _block(case, some, y)
        y += _HEAD + _LINE * len(some)
    return "\n".join((*body, "</svg>")) + "\n"


def _block(case: str, rows: Sequence[Row], top: float) -> Iterator[str]:
    """One case: a line for each contender, the first of which is ours."""
    yield _text(_EDGE, top + _HEAD - 16, case, "case")
    for place, row in enumerate(rows):
        y = top + _HEAD + _LINE * place
        colour = _THEIRS if place else _OURS
        yield _text(_EDGE, y + 13, row.who)
        yield from _bar(_NAMES, y, rows, row, "messages_per_s", ",.0f", colour)
        yield from _bar(_NAMES + _HALF + _GAP, y, rows, row, "cpu_in_s", ".1f", colour)


def _bar(x: float, y: float, rows: Sequence[Row], row: Row, name: str, form: str, colour: str) -> Iterator[str]:
    """A bar as a share of the case's longest, and its figure."""
    value = row.median(name) or 0.0
    longest = max(one.median(name) or 0.0 for one in rows)
    width = max(1.0, _HALF * value / longest) if longest else 1.0
    yield f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_LINE - 9}" fill="{colour}"/>'
    yield _text(x + width + 8, y + 13, row.cell(name, form))


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
