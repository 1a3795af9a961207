"""Lines over time, and heat maps: what has an axis of time."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import ceil, isfinite
from time import gmtime, strftime

from grafana.asking import Series, Shown, Span
from grafana.picture.marks import Box, area, bar, colour_of, cut, heat_of, path, text
from grafana.picture.numbers import ceiling, written

Marks = Sequence[tuple[str, Sequence[Series]]]  # what annotations found, with their colours
Points = Sequence[tuple[float, float]]

_ROW = 22  # of a legend
_BESIDE = 0.36  # the part of a panel that a legend beside the lines takes
_BELOW = 40
_TIMES = 4
_COLOURS = 10
_FIGURE = 58  # a column of the legend


def lines(shown: Shown, box: Box, span: Span, marks: Marks) -> Iterator[str]:
    """Lines, or areas upon each other, with a legend beside or below them; the largest line is drawn last."""
    is_beside = shown.panel.raw["options"]["legend"]["placement"] == "right"
    width = box.width * (1 - _BESIDE) if is_beside else box.width
    height = box.height if is_beside else box.height - _BELOW
    plot = Box(box.x + 62, box.y + 6, width - 66, height - 26)
    is_stacked = "stacking" in shown.panel.raw["fieldConfig"]["defaults"].get("custom", {})
    drawn = _stacked(shown.series) if is_stacked else [each.points for each in shown.series]
    most = max((value for points in drawn for _, value in points if isfinite(value)), default=0.0)
    top = ceiling(most, shown.panel.unit)
    yield from _axes(plot, top, shown.panel.unit, span)
    for colour, found in marks:
        for series in found:
            yield from _mark(series, colour, plot, span)
    placed = [list(_placed(points, plot, top, span)) for points in drawn]
    if is_stacked:
        ground = [[(x, plot.y + plot.height) for x, _ in placed[0]], *placed]
        for place, (below, line) in enumerate(pairwise(ground)):
            yield area(line, below, f"a{place % _COLOURS}")
    for place in sorted(range(len(placed)), key=lambda place: _size(shown.series[place])):
        yield path(placed[place], f"l{place % _COLOURS}")
    if is_beside:
        yield from _listed(shown, Box(box.x + width + 12, box.y, box.width - width - 12, box.height))
    else:
        yield from _named(shown, Box(box.x, box.y + height + 8, box.width, _BELOW))


def heat(shown: Shown, box: Box, span: Span) -> Iterator[str]:
    """A row for each series, by name; the scale stands beside it."""
    rows = sorted(shown.series, key=lambda each: each.name)
    most = max((each.most for each in rows if isfinite(each.most)), default=1.0) or 1.0
    plot = Box(box.x + 130, box.y + 4, box.width - 210, box.height - 26)
    height = plot.height / len(rows)
    for number, series in enumerate(rows):
        y = plot.y + height * number
        if number % ceil(14 / height) == 0:
            yield text(plot.x - 8, y + height / 2 + 4, cut(series.name, 118), "", "end")
        for at, value, until in _cells(series, span):
            left, right = _across(at, plot, span), _across(until, plot, span)
            yield bar(Box(left, y + 0.5, right - left, height - 1), heat_of(value / most))
    yield from _times(plot, span)
    scale = Box(plot.x + plot.width + 16, plot.y, 12, plot.height)
    for part in range(20):
        yield bar(Box(scale.x, scale.y + scale.height * (1 - (part + 1) / 20), 12, scale.height / 20), heat_of(part / 19))
    yield text(scale.x + 18, scale.y + 10, written(most, shown.panel.unit), "dim")
    yield text(scale.x + 18, scale.y + scale.height, written(0.0, shown.panel.unit), "dim")


def _stacked(series: Sequence[Series]) -> list[Points]:
    """Each line on top of those before it, at every time that any of them knows."""
    times = sorted({at for each in series for at, _ in each.points})
    sums: dict[float, float] = dict.fromkeys(times, 0.0)
    found: list[Points] = []
    for each in series:
        values: Mapping[float, float] = dict(each.points)
        for at in times:
            value = values.get(at, 0.0)
            sums[at] += value if isfinite(value) else 0.0
        found.append(list(sums.items()))
    return found


def _placed(points: Points, plot: Box, top: float, span: Span) -> Iterator[tuple[float, float]]:
    for at, value in points:
        if isfinite(value):
            yield _across(at, plot, span), plot.y + plot.height * (1 - min(1.0, value / top))


def _across(at: float, plot: Box, span: Span) -> float:
    return plot.x + plot.width * (min(at, span.end) - span.start) / (span.end - span.start)


def _axes(plot: Box, top: float, unit: str, span: Span) -> Iterator[str]:
    for part in range(5):
        y = plot.y + plot.height * (1 - part / 4)
        yield f'<line class="grid" x1="{plot.x:.1f}" y1="{y:.1f}" x2="{plot.x + plot.width:.1f}" y2="{y:.1f}"/>'
        if part % 2 == 0:
            yield text(plot.x - 6, y + 4, written(top * part / 4, unit), "dim", "end")
    yield from _times(plot, span)


def _times(plot: Box, span: Span) -> Iterator[str]:
    length = span.end - span.start
    form = "%H:%M:%S" if length < 1_800 else "%H:%M" if length < 172_800 else "%d %b"
    for part in range(_TIMES):
        at = span.start + length * (part + 0.5) / _TIMES
        yield text(_across(at, plot, span), plot.y + plot.height + 17, strftime(form, gmtime(at)), "dim", "middle")


def _mark(series: Series, colour: str, plot: Box, span: Span) -> Iterator[str]:
    """What an annotation found: a line where it begins, and a shade as long as it lasts."""
    left, right = _across(series.points[0][0], plot, span), _across(series.points[-1][0], plot, span)
    fill = colour_of(colour)
    yield f'<g opacity="0.12">{bar(Box(left, plot.y, max(1.0, right - left), plot.height), fill)}</g>'
    place = f'x1="{left:.1f}" y1="{plot.y:.1f}" x2="{left:.1f}" y2="{plot.y + plot.height:.1f}"'
    yield f'<line {place} stroke="{fill}" stroke-dasharray="3 3"/>'


def _listed(shown: Shown, box: Box) -> Iterator[str]:
    """The largest first; those for which there is no room are counted."""
    fits = int(box.height // _ROW) - 1
    right, unit = box.x + box.width, shown.panel.unit
    yield text(right - _FIGURE, box.y + 12, "last", "dim", "end")
    yield text(right, box.y + 12, "max", "dim", "end")
    places = sorted(range(len(shown.series)), key=lambda place: -_size(shown.series[place]))
    if len(places) > fits:
        yield text(box.x + 18, box.y + 14 + _ROW * fits, f"and {len(places) - fits + 1} more", "dim")
        fits -= 1
    for row, place in enumerate(places[:fits], 1):
        series, y = shown.series[place], box.y + 14 + _ROW * row
        yield f'<rect class="f{place % _COLOURS}" x="{box.x:.1f}" y="{y - 7:.1f}" width="12" height="4"/>'
        yield text(box.x + 18, y, cut(series.name, box.width - 2 * _FIGURE - 18))
        yield text(right - _FIGURE, y, written(series.last, unit), "", "end")
        yield text(right, y, written(series.most, unit), "", "end")


def _named(shown: Shown, box: Box) -> Iterator[str]:
    """Names alone, in as many lines as there is room for."""
    x, y = box.x, box.y + 14
    for place, series in enumerate(shown.series):
        name = cut(series.name, box.width / 2)
        width = 26 + 7 * len(name)
        if x + width > box.x + box.width:
            x, y = box.x, y + 18
        if y > box.y + box.height:
            return
        yield f'<rect class="f{place % _COLOURS}" x="{x:.1f}" y="{y - 7:.1f}" width="12" height="4"/>'
        yield text(x + 16, y, name)
        x += width


def _size(series: Series) -> float:
    return series.most if isfinite(series.most) else 0.0


def _cells(series: Series, span: Span) -> Iterator[tuple[float, float, float]]:
    """From when, which value, until when: neighbours of one value are one cell, and gaps stay gaps."""
    begun: tuple[float, float, float] | None = None
    for at, value in series.points:
        if not isfinite(value):
            continue
        if begun and value == begun[1] and at - begun[2] < span.step:
            begun = (begun[0], value, at + span.step)
            continue
        if begun:
            yield begun
        begun = (at, value, at + span.step)
    if begun:
        yield begun
