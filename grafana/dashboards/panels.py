"""The few kinds of panel there are: figures, lines, tables and heat maps, each with a unit and a reason to look at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    StackingConfig,
    TableSortByFieldState,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.heatmap import HeatmapColorOptions
from grafana_foundation_sdk.builders.heatmap import Panel as HeatMap
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as Lines
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

AnyPanel: TypeAlias = Stat | Lines | Table | HeatMap
Steps: TypeAlias = Sequence[tuple[float, str]]  # from this value on, this colour; below the first, green

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
RATE = "suffix: /s"
COUNT, SHARE, SECONDS, BYTES, SINCE = "short", "percentunit", "s", "bytes", "dateTimeFromNow"

_STAT_HEIGHT, _HEIGHT = 3, 8
_WIDE = 10  # columns that a panel needs for a legend beside its lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table of figures: a query with one series a row."""

    title: str
    expression: str
    unit: str
    steps: Steps = ()


def stat(title: str, why: str, expression: str, unit: str, *, steps: Steps = (), width: int = 4, link: str = "") -> Stat:
    """One figure with its recent past behind it; its ground turns from green where `steps` say so."""
    made = Stat().title(title).description(why).datasource(DATASOURCE).unit(unit).span(width).height(_STAT_HEIGHT)
    made = made.with_target(_query("A", expression, "")).graph_mode(BigValueGraphMode.AREA)
    made = made.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    made = made.color_mode(BigValueColorMode.BACKGROUND if steps else BigValueColorMode.NONE)
    made = made.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
    if link:
        made = made.links([_link(title, link)])
    return made.thresholds(_thresholds(steps))


def lines(
    title: str, why: str, queries: Mapping[str, str], unit: str, *, stacked: bool = False, width: int = 12, steps: Steps = ()
) -> Lines:
    """Lines over time: `queries` are by legend."""
    made = Lines().title(title).description(why).datasource(DATASOURCE).unit(unit).span(width).height(_HEIGHT)
    for place, (legend, expression) in enumerate(queries.items()):
        made = made.with_target(_query(_reference(place), expression, legend))
    made = made.legend(_listed() if width >= _WIDE else _named())
    made = made.tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    made = made.color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    made = made.min(0).line_width(1).fill_opacity(30 if stacked else 8).show_points(VisibilityMode.NEVER)
    if stacked:
        made = made.stacking(StackingConfig().mode(StackingMode.NORMAL).group("A"))
    return made.thresholds(_thresholds(steps))


def table(
    title: str,
    why: str,
    columns: Sequence[Column],
    labels: Mapping[str, str],
    *,
    links: Mapping[str, str] | None = None,
    sort: str,
    width: int = 12,
    height: int = _HEIGHT,
) -> Table:
    """A row for each set of `labels` (by name, with their titles) and a column for each query; the worst comes first.

    `links` are addresses by the title of the column that leads there.
    """
    made = Table().title(title).description(why).datasource(DATASOURCE).unit(COUNT).span(width).height(height)
    for place, column in enumerate(columns):
        made = made.with_target(_query(_reference(place), column.expression, "").instant().format(PromQueryFormat.TABLE))
    # Grafana calls a single query's column "Value", and of several "Value #A" and so on
    fields = [f"Value #{_reference(place)}" for place in range(len(columns))] if len(columns) > 1 else ["Value"]
    titles = {**labels, **dict(zip(fields, (column.title for column in columns), strict=True))}
    order = {name: place for place, name in enumerate(titles)}
    made = made.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    made = made.with_transformation(_organised(titles, order))
    for column in columns:
        made = made.override_by_name(column.title, _cell(column))
    for name, address in (links or {}).items():
        link = {"title": "Show", "url": address}
        made = made.override_by_name(name, [DynamicConfigValue(id_val="links", value=[link])])
    return made.sort_by([TableSortByFieldState().display_name(sort).desc(True)]).thresholds(_thresholds(()))


def heat(title: str, why: str, expression: str, legend: str, unit: str, *, width: int = 24, height: int = 10) -> HeatMap:
    """A row for each series, time from left to right, and its value as a colour."""
    made = HeatMap().title(title).description(why).datasource(DATASOURCE).unit(unit).span(width).height(height)
    made = made.with_target(_query("A", expression, legend)).calculate(False).cell_gap(1).show_value(VisibilityMode.NEVER)
    colour = HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Viridis").scale(HeatmapColorScale.LINEAR).steps(64)
    return made.color(colour.fill("dark-orange").exponent(0.5).reverse(False)).show_legend()


def _listed() -> VizLegendOptions:
    """Beside the lines, each with its last and its largest value."""
    made = VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.TABLE).placement(LegendPlacement.RIGHT)
    return made.calcs(["lastNotNull", "max"])


def _named() -> VizLegendOptions:
    """Below the lines, names alone: there is no room for more."""
    made = VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    return made.calcs([])


def _query(reference: str, expression: str, legend: str) -> Dataquery:
    made = Dataquery().ref_id(reference).expr(" ".join(expression.split())).legend_format(legend)
    return made.datasource(DATASOURCE).range()


def _reference(place: int) -> str:
    return "ABCDEFGHIJKLMNOP"[place]


def _link(title: str, address: str) -> DashboardLink:
    return DashboardLink(title).type(DashboardLinkType.LINK).url(address)


def _thresholds(steps: Steps, ground: str = "green") -> ThresholdsConfig:
    ladder = [Threshold(value=None, color=ground), *(Threshold(value=value, color=colour) for value, colour in steps)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(ladder)


def _organised(titles: Mapping[str, str], order: Mapping[str, int]) -> DataTransformerConfig:
    """The columns by their titles and in their order, without the time of the query."""
    options = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": titles}
    return DataTransformerConfig(id_val="organize", options=options)


def _cell(column: Column) -> list[DynamicConfigValue]:
    found = [DynamicConfigValue(id_val="unit", value=column.unit)]
    if column.steps:
        found.append(DynamicConfigValue(id_val="thresholds", value=_thresholds(column.steps, "transparent").build()))
        found.append(DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-background"}))
    return found
