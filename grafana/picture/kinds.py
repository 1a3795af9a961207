"""One panel of each kind, drawn into the box that the grid gives it. What has an axis of time is drawn by `graphs`."""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from grafana.asking import Shown, Span
from grafana.picture.graphs import Marks, heat, lines
from grafana.picture.marks import Box, area, bar, colour_of, cut, text
from grafana.picture.numbers import written

_ROW = 22  # of a table

Row = dict[str, str | float]  # by the title of the column


def draw(shown: Shown, box: Box, span: Span, marks: Marks) -> Iterator[str]:
    """The panel's inside; a panel without data says so."""
    kind = shown.panel.kind
    if kind == "table":
        yield from _table(shown, box, span)
    elif not shown.series:
        yield text(box.x + box.width / 2, box.y + box.height / 2, "no data", "dim", "middle")
    elif kind == "stat":
        yield from _stat(shown, box)
    elif kind == "timeseries":
        yield from lines(shown, box, span, marks)
    else:
        yield from heat(shown, box, span)


def _stat(shown: Shown, box: Box) -> Iterator[str]:
    series = shown.series[0]
    is_loud = shown.panel.raw["options"]["colorMode"] == "background"
    if is_loud:
        yield bar(box, colour_of(_threshold(shown.panel.raw["fieldConfig"]["defaults"], series.last)), rounded=True)
    if len(series.points) > 1 and series.most > 0:
        bottom, height = box.y + box.height, box.height * 0.55
        begin, end = series.points[0][0], series.points[-1][0]
        past = [
            (box.x + box.width * (at - begin) / (end - begin), bottom - height * value / series.most)
            for at, value in series.points
            if isfinite(value)
        ]
        yield area(past, [(x, bottom) for x, _ in past], "quiet")
    yield text(box.x + 8, box.y + 18, cut(shown.panel.title, box.width - 12), "on" if is_loud else "head")
    yield text(box.x + 8, box.y + box.height - 14, written(series.last, shown.panel.unit), "on figure" if is_loud else "figure")


def _table(shown: Shown, box: Box, span: Span) -> Iterator[str]:
    titles, rows = _merged(shown)
    styles = _styles(shown.panel.raw)
    width = box.width / len(titles)
    for place, title in enumerate(titles):
        yield text(box.x + width * place + 6, box.y + 12, cut(title, width - 8), "dim")
    for number, row in enumerate(rows[: int(box.height // _ROW) - 1], 1):
        y = box.y + _ROW * number
        yield f'<line class="grid" x1="{box.x:.1f}" y1="{y - 4:.1f}" x2="{box.x + box.width:.1f}" y2="{y - 4:.1f}"/>'
        for place, title in enumerate(titles):
            cell = Box(box.x + width * place + 1, y - 3, width - 2, _ROW - 2)
            yield from _cell(row.get(title, ""), styles.get(title, {}), cell, span)
    if not rows:
        yield text(box.x + box.width / 2, box.y + box.height / 2, "nothing", "dim", "middle")


def _cell(value: str | float, style: Mapping[str, Any], box: Box, span: Span) -> Iterator[str]:
    kind = "link" if "links" in style else ""
    if isinstance(value, float):
        colour = _threshold(style, value) if "thresholds" in style and isfinite(value) else "transparent"
        if colour != "transparent":
            yield bar(box, colour_of(colour))
            kind = "on"
        value = written(value, style.get("unit", "short"), span.end)
    yield text(box.x + 5, box.y + 15, cut(value, box.width - 8), kind)


def _merged(shown: Shown) -> tuple[list[str], list[Row]]:
    """Column titles, and a row for each set of labels with a column for each query, sorted as the panel says."""
    organised = next(each["options"] for each in shown.panel.raw["transformations"] if each["id"] == "organize")
    names, order = organised["renameByName"], organised["indexByName"]
    rows: dict[tuple[tuple[str, str], ...], Row] = {}
    for query, found in shown.answers:
        column = names.get(f"Value #{query.reference}") or names["Value"]
        for series in found:
            key = tuple(sorted(series.labels.items()))
            row = rows.setdefault(key, {names[name]: value for name, value in key if name in names})
            row[column] = series.last
    sort = shown.panel.raw["options"]["sortBy"][0]["displayName"]
    found_rows = sorted(rows.values(), key=lambda row: -_number(row.get(sort)))
    titles = [names[name] for name in sorted(names, key=order.__getitem__)]
    return [title for title in titles if any(title in row for row in found_rows)] or titles, found_rows


def _number(value: object) -> float:
    return value if isinstance(value, float) and isfinite(value) else -1.0


def _styles(raw: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the panel says of each column, by title."""
    styles: dict[str, dict[str, Any]] = {}
    for each in raw["fieldConfig"]["overrides"]:
        style = styles.setdefault(each["matcher"]["options"], {})
        style.update((one["id"], one["value"]) for one in each["properties"])
    return styles


def _threshold(style: Mapping[str, Any], value: float) -> str:
    """The colour of the last step that the value has reached."""
    steps = style["thresholds"]["steps"]
    return str([step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1])
