"""A whole dashboard as one SVG: Grafana's grid of 24 columns, rows with their headings, panels where the file puts them."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import chain

from grafana.asking import Asker, Shown, Span
from grafana.picture.graphs import Marks
from grafana.picture.kinds import draw
from grafana.picture.marks import LINES, Box, bar, text
from grafana.reading import Dashboard

_COLUMN, _UNIT, _GAP = 60.0, 34.0, 8.0
_TOP, _MARGIN = 56.0, 12.0
_COLUMNS = 24

_STYLE = """\
text { font: 12px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
.title { font-size: 18px; font-weight: 600 }
.head { font-weight: 600 }
.row { font-size: 14px; font-weight: 600 }
.figure { font-size: 26px; font-weight: 600 }
.on { fill: #ffffff }
.link { fill: #0969da }
.dim { fill: #59636e }
.ground { fill: #f3f5f7 }
.panel { fill: #ffffff; stroke: #d1d9e0 }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.quiet { fill: #8a8f98; opacity: 0.25 }
polyline { fill: none; stroke-width: 1.5; stroke-linejoin: round }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .on { fill: #ffffff }
  .link { fill: #4493f8 }
  .dim { fill: #9198a1 }
  .ground { fill: #0d1117 }
  .panel { fill: #161b22; stroke: #3d444d }
  .grid { stroke: #30363d }
}"""


def picture(dashboard: Dashboard, asker: Asker) -> str:
    """The dashboard with what Prometheus has for it."""
    return drawn(dashboard, asker.shown(dashboard), asker.span, asker.marks(dashboard))


def drawn(dashboard: Dashboard, shown: Sequence[Shown], span: Span, marks: Marks) -> str:
    """The dashboard with these answers."""
    width = _COLUMN * _COLUMNS + 2 * _MARGIN
    bottom = max(raw["gridPos"]["y"] + raw["gridPos"]["h"] for raw in dashboard.raw["panels"])
    height = _TOP + _UNIT * bottom + _MARGIN
    colours = "".join(
        f".l{place} {{ stroke: {colour} }} .f{place} {{ fill: {colour} }} .a{place} {{ fill: {colour}; opacity: 0.35 }}\n"
        for place, colour in enumerate(LINES)
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(dashboard.title)}">'
    )
    body = [head, f"<style>{colours}{_STYLE}</style>", f'<rect class="ground" width="{width:.0f}" height="{height:.0f}"/>']
    body.append(text(_MARGIN + 4, 34, dashboard.title, "title"))
    body.append(text(width - _MARGIN - 4, 34, dashboard.raw["description"], "dim", "end"))
    body += [
        text(_MARGIN + 4, _TOP + _UNIT * raw["gridPos"]["y"] + 24, raw["title"], "row")
        for raw in dashboard.raw["panels"]
        if raw["type"] == "row"
    ]
    body += chain.from_iterable(_panel(each, span, marks) for each in shown)
    return "\n".join((*filter(None, body), "</svg>")) + "\n"


def _panel(shown: Shown, span: Span, marks: Marks) -> Iterator[str]:
    panel = shown.panel
    box = Box(
        _MARGIN + _COLUMN * panel.x + _GAP / 2,
        _TOP + _UNIT * panel.y + _GAP / 2,
        _COLUMN * panel.width - _GAP,
        _UNIT * panel.height - _GAP,
    )
    frame = bar(box, "none", rounded=True).replace('fill="none"', 'class="panel"')
    if panel.kind == "stat":
        yield from (frame, *draw(shown, box, span, marks))
    else:
        yield from (frame, text(box.x + 10, box.y + 20, panel.title, "head"), *draw(shown, box.inside(10, 30), span, marks))
