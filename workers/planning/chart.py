"""The forecast for eyes: an SVG that reads on light and on dark ground, drawn without any library.

Above, what goes out on each day, receiver upon receiver; below, a line for each receiver from its first message to its last,
thick where much of it goes, with what holds it. A viewer that knows no `prefers-color-scheme` shows it on white.
"""

from collections.abc import Iterator, Sequence
from html import escape
from math import floor, log10

from sender.policy.forecast import RouteForecast
from sender.policy.schedule import FOR_EVER
from workers.planning.report import Report, Span, binding, delivered, largest, spans

_WIDTH, _LEFT, _RIGHT = 1000, 130, 250
_TOP, _HEIGHT = 96, 260  # of the days
_LINE = 36  # of a receiver
_COLUMNS_MOST, _TITLES_MOST = 62, 8
# Vega's tableau10 with a grey of our own: of middle lightness, so that all stand out on white and on black.
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#8a8f98")
_STYLE = """\
text { font: 13px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 }
.dim { fill: #59636e }
.ground { fill: #ffffff }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.end { stroke: #1f2328; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .dim { fill: #9198a1 }
  .ground { fill: #0d1117 }
  .grid { stroke: #3d444d }
  .end { stroke: #e6edf3 }
}"""


def draw(report: Report) -> str:
    """The whole picture."""
    routes = largest(report.forecast, len(_COLOURS))
    lines_at = _TOP + _HEIGHT + 76
    height = lines_at + _LINE * len(routes) + 24
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(_title(report))}">'
    )
    body = [head, f"<style>{_STYLE}</style>", f'<rect class="ground" width="{_WIDTH}" height="{height}"/>']
    body += [_text(24, 32, _title(report), "title"), _text(24, 54, _subtitle(report), "dim")]
    columns = spans(report.forecast, _COLUMNS_MOST)
    if columns:
        body += _days(routes, columns)
        body += _receivers(report, routes, columns, lines_at)
    return "\n".join((*body, "</svg>")) + "\n"


def _title(report: Report) -> str:
    return f"{report.campaign}: {report.census.mailable:,} recipients"


def _subtitle(report: Report) -> str:
    found = report.forecast
    lost = "".join(
        f" · {round(found.total(name)):,} {words}"
        for name, words in (
            ("expired", "expire"),
            ("spilled", "go to warm sources beside cold ones"),
            ("left", "nobody may take"),
        )
        if found.total(name) >= 1
    )
    tried = f"everybody tried once by {report.moment(found.tried)}" if found.tried < FOR_EVER else "not everybody is tried"
    return f"{tried} · all done {report.moment(found.eta)}{lost}"


def _days(routes: Sequence[RouteForecast], columns: Sequence[Span]) -> Iterator[str]:
    """A column for each day, or for several."""
    totals = [sum(delivered(route, column) for route in routes) for column in columns]
    top = _ceiling(max(totals))
    for part in range(5):
        y = _TOP + _HEIGHT * (1 - part / 4)
        yield f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>'
        yield _text(_LEFT - 8, y + 4, f"{top * part / 4:,.0f}", "dim", "end")
    for place, column in enumerate(columns):
        left, right = _edge(columns, place), _edge(columns, place + 1)
        gap = min(4.0, (right - left) / 5)
        y = float(_TOP + _HEIGHT)
        for colour, route in enumerate(routes):
            height = _HEIGHT * delivered(route, column) / top
            y -= height
            if height > 0.05:
                title = f"<title>{escape(f'{route.receiver}, {column.title}: {delivered(route, column):,.0f}')}</title>"
                yield _bar(left + gap / 2, y, right - left - gap, height, _COLOURS[colour], title=title)
        if place % -(-len(columns) // _TITLES_MOST) == 0:
            yield _text((left + right) / 2, _TOP + _HEIGHT + 18, column.title, "dim", "middle")
    yield _text(_LEFT, _TOP - 10, "delivered" + (" a day" if columns[0].first == columns[0].last else ""), "dim")
    for colour, route in enumerate(routes):
        y = _TOP + 14 + 22 * colour
        yield _bar(_WIDTH - _RIGHT + 24, y - 11, 12, 12, _COLOURS[colour])
        yield _text(_WIDTH - _RIGHT + 44, y, f"{route.receiver} {route.envelopes:,}")


def _receivers(report: Report, routes: Sequence[RouteForecast], columns: Sequence[Span], top: float) -> Iterator[str]:
    """A line for each receiver: when it begins and ends, and how much of it goes when."""
    yield _text(_LEFT, top - 14, "from the first message to the last, and what holds it", "dim")
    for place, route in enumerate(routes):
        y = top + _LINE * place + _LINE / 2
        most = max((delivered(route, column) for column in columns), default=0.0)
        yield _text(_LEFT - 8, y + 4, route.receiver, "", "end")
        yield f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>'
        for number, column in enumerate(columns):
            count = delivered(route, column)
            if count and most:
                left = max(_edge(columns, number), _at(report, columns, route.begins))
                right = min(_edge(columns, number + 1), _at(report, columns, route.eta))
                height = 2 + (_LINE - 14) * count / most
                yield _bar(left, y - height / 2, max(1.0, right - left), height, _COLOURS[place])
        yield from _end(report, route, columns, y)


def _end(report: Report, route: RouteForecast, columns: Sequence[Span], y: float) -> Iterator[str]:
    if route.eta < FOR_EVER:
        x = _at(report, columns, route.eta)
        yield f'<line class="end" x1="{x:.1f}" y1="{y - 11:.1f}" x2="{x:.1f}" y2="{y + 11:.1f}"/>'
    yield _text(_WIDTH - _RIGHT + 24, y - 2, report.short(route.eta))
    yield _text(_WIDTH - _RIGHT + 24, y + 12, binding(route), "dim")


def _edge(columns: Sequence[Span], place: int) -> float:
    """Where a column begins, or the last one ends."""
    day = columns[place].first if place < len(columns) else columns[-1].last + 1
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (day - columns[0].first) / (columns[-1].last + 1 - columns[0].first)


def _at(report: Report, columns: Sequence[Span], moment: float) -> float:
    """Where a time lies, at the right end if that is past the last day."""
    place = min(report.place(moment), columns[-1].last + 1)
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (place - columns[0].first) / (columns[-1].last + 1 - columns[0].first)


def _ceiling(most: float) -> float:
    """The first round number above: 1, 2, 4 or 8 and zeros, so that its quarters are whole."""
    if most <= 4:
        return 4.0
    unit = 10.0 ** floor(log10(most))
    return next(step * unit for step in (1, 2, 4, 8, 10) if step * unit >= most)


def _bar(x: float, y: float, width: float, height: float, fill: str, *, title: str = "") -> str:
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"'
    return f"{shape}>{title}</rect>" if title else f"{shape}/>"


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
