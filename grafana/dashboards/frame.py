"""What all dashboards share: their variables, the links between them, and what happened by itself as annotations."""

import json
from collections.abc import Collection, Sequence

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    Panel,
    RowPanel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from grafana.dashboards.panels import DATASOURCE, AnyPanel
from grafana.dashboards.promql import FLEET

_TAG = "penstock"
_STEP = "60s"  # of annotations: what lasts longer than that is drawn as a span

# Where a table's names lead: to the dashboard of what they name, of the same fleet and time.
_SAME = "?${datasource:queryparam}&${job:queryparam}&${__url_time_range}"
RECEIVER_PAGE = f"/d/penstock-receiver{_SAME}&var-receiver=${{__value.raw}}"
CAMPAIGN_PAGE = f"/d/penstock-campaign{_SAME}&var-campaign=${{__value.raw}}"

# Every process tells how late its loop is, so this finds all fleets, whatever their jobs are called.
_JOBS = "label_values(penstock_loop_lag_duration_seconds_count, job)"

_LANE = "{{source}}/{{receiver}}"
_ALERT = f'max by (alertname, severity, receiver, source, instance) (ALERTS{{{FLEET},alertstate="firing"}})'


def variable(name: str, label: str, query: str, *, many: bool = True) -> QueryVariable:
    """A choice among a label's values; all of them are chosen at first, or the first one where only one can be."""
    made = QueryVariable(name).label(label).query(query).datasource(DATASOURCE)
    made = made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
    if many:
        everything = VariableOption(selected=True, text=["All"], value=["$__all"])
        made = made.multi(True).include_all(True).current(everything)
    return made


def sources(metric: str) -> QueryVariable:
    """The sources that this metric knows."""
    return variable("source", "Source", f"label_values({metric}{{{FLEET}}}, source)").all_value(".+")


def receivers(metric: str) -> QueryVariable:
    """The receivers that this metric knows."""
    return variable("receiver", "Receiver", f"label_values({metric}{{{FLEET}}}, receiver)").all_value(".+")


def dashboard(
    uid: str,
    title: str,
    why: str,
    rows: Sequence[tuple[str, Sequence[AnyPanel]]],
    variables: Sequence[QueryVariable] = (),
    span: str = "now-3h",
) -> Dashboard:
    """A dashboard of rows, each with a title but the first, which is what to look at first."""
    made = Dashboard(title).uid(uid).description(why).tags([_TAG]).timezone("browser").time(span, "now").refresh("30s")
    made = made.tooltip(DashboardCursorSync.CROSSHAIR).readonly()
    made = made.with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    made = made.with_variable(variable("job", "Fleet", _JOBS))
    for each in variables:
        made = made.with_variable(each)
    made = made.link(
        DashboardLink("Penstock").type(DashboardLinkType.DASHBOARDS).tags([_TAG]).include_vars(True).keep_time(True)
    )
    for mark in _annotations({each.build().name for each in variables}):
        made = made.annotation(mark)
    for heading, panels in rows:
        if heading:
            made = made.with_row(Row(heading))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def encoded(made: Dashboard) -> str:
    """The file that Grafana loads: panels are numbered from the top, and keys are in order, so that a change is a small one."""
    built = made.build()
    for number, panel in enumerate(built.panels or (), 1):
        assert isinstance(panel, Panel | RowPanel)
        panel.id_val = number
    raw = json.loads(json.dumps(built, cls=JSONEncoder))
    for each in (*raw["links"], *raw["annotations"]["list"]):
        del each["placement"]  # the SDK knows one place alone, the menu, where nobody sees them
    return json.dumps(raw, indent=1, sort_keys=True) + "\n"


def _annotations(chosen: Collection[str]) -> list[AnnotationQuery]:
    """What the engine and its operators did that explains a bend in a line, of the lanes that the variables choose."""
    lane, held = FLEET, FLEET
    for name in sorted({"source", "receiver"} & set(chosen)):
        lane += f',{name}=~"${name}"'
        held += f',{name}=~"${name}|[*]"'  # a hold of all is one of each
    stage = f"max by (source, receiver) (penstock_warmup_stage{{{lane}}})"
    before = f"max by (source, receiver) (penstock_warmup_stage{{{lane}}} offset 1m)"
    stopped = f"max by (source, receiver) (penstock_warmup_stopped{{{lane}}}) == 1"
    paused = f"sum by (source, receiver) (penstock_lanes_paused{{{lane}}}) > 0"
    again = f"sum by (job, child) (increase(penstock_process_restarts_total{{{FLEET}}}[1m])) > 0"
    return [
        _annotation("Restarts", "orange", again, "Started again", "{{child}}"),
        _annotation("Alerts", "red", _ALERT, "{{alertname}}", "{{receiver}} {{source}} {{instance}}"),
        _annotation("Warmup: next stage", "green", f"{stage} > {before}", "Next stage", _LANE),
        _annotation("Warmup: stage back", "orange", f"{stage} < {before}", "Stage back", _LANE),
        _annotation("Warmup: stopped by a gate", "red", stopped, "Stopped by a gate", _LANE),
        _annotation("Held lanes", "purple", f"max by (source, receiver) (penstock_lane_holds{{{held}}})", "Held", _LANE),
        # some lane of a whole fleet pauses at any time: shown at first where a receiver is looked at
        _annotation("Paused by a rule", "blue", paused, "Paused", _LANE, enabled="receiver" in chosen),
    ]


def _annotation(name: str, colour: str, expression: str, title: str, text: str, *, enabled: bool = True) -> AnnotationQuery:
    made = AnnotationQuery().name(name).datasource(DATASOURCE).enable(enabled)
    return made.icon_color(colour).expr(expression).step(_STEP).title_format(title).text_format(text)
