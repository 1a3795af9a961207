"""Warmup: where each lane stands in its plan, how much of its day it has used, and what holds it."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.dashboards.frame import dashboard, receivers, sources
from grafana.dashboards.panels import COUNT, RATE, SHARE, SINCE, AnyPanel, Column, heat, lines, stat, table
from grafana.dashboards.promql import LANE, per_second, share_deferred, total

_RED, _ORANGE = "red", "orange"
_LANE = "{{source}}/{{receiver}}"
_BY = ("source", "receiver")
_TRIED = per_second(f'penstock_attempts_total{{{LANE},outcome!="unsent"}}', *_BY)
_STAGE = f"max by (source, receiver) (penstock_warmup_stage{{{LANE}}})"
_CAP = f"max by (source, receiver) (penstock_warmup_cap_envelopes{{{LANE}}} < Inf)"
_USED = f"max by (source, receiver) (penstock_warmup_used_envelopes{{{LANE}}})"
_HELD = f"max by (source, receiver) (penstock_warmup_held{{{LANE}}})"
_STOPPED = f"max by (source, receiver) (penstock_warmup_stopped{{{LANE}}})"
# In milliseconds, as Grafana has times.
_DAY_ENDS = f"1000 * max by (source, receiver) (penstock_warmup_day_end_timestamp_seconds{{{LANE}}})"
_OF_CAP = f"max by (source, receiver) (job_source_receiver:penstock_warmup_used_per_cap:ratio{{{LANE}}})"


_GATE = "max by (source, receiver, gate)"
_RATIO = f"{_GATE} (penstock_warmup_gate_ratio{{{LANE}}})"
_LIMIT = f"{_GATE} (penstock_warmup_gate_limit_ratio{{{LANE}}})"


def warmup() -> Dashboard:
    """Every lane that warms up, as heat maps: time from left to right, a row for each lane."""
    why = "Where each lane stands in its plan. `penstock warmup` says what happens next, and why."
    return dashboard(
        "penstock-warmup",
        "Penstock: warmup",
        why,
        [
            ("", [*_figures(), *_today()]),
            ("By lane, over time", _maps()),
            ("Gates", _gates()),
            ("What the receivers say meanwhile", _answers()),
        ],
        [sources("penstock_warmup_stage"), receivers("penstock_warmup_stage")],
        span="now-7d",
    )


def _figures() -> list[AnyPanel]:
    return [
        _figure("Stopped by a gate", "Lanes that a gate has stopped: nothing may go today.", f"count({_STOPPED} == 1)", _RED),
        _figure("Held", "Lanes whose stage an operator holds: `penstock warmup hold`.", f"count({_HELD} == 1)", _ORANGE),
        _figure(
            "Gates at their limit",
            "Gates that measure as much as they allow, or more: their lanes keep the stage, or go back.",
            f"count({_RATIO} >= {_LIMIT})",
            _ORANGE,
        ),
        _figure("Caps used up", "Lanes that have sent all they may today, and rest.", f"count({_OF_CAP} >= 0.99)"),
        _figure("Still climbing", "Lanes that have a cap. The others have passed their last stage.", f"count({_CAP})"),
        stat("Sent today", "Envelopes that have used a unit of a cap this sending day.", total(_USED), COUNT, width=3),
        stat("May go today", "The sum of the caps of this sending day.", total(_CAP), COUNT, width=3),
        stat(
            "Of all caps",
            "Sent of what may go, over all lanes. A stage is passed with 90 % of its day delivered.",
            f"sum({_USED} and {_CAP}) / sum({_CAP})",
            SHARE,
            width=3,
        ),
    ]


def _figure(title: str, why: str, count: str, colour: str = "") -> AnyPanel:
    """How many lanes or gates; of a colour as soon as there is one."""
    return stat(title, why, f"{count} or vector(0)", COUNT, steps=[(1, colour)] if colour else (), width=3)


def _today() -> list[AnyPanel]:
    return [
        table(
            "Lanes",
            "Each lane's stage, cap, and what it has sent of it this sending day, the fullest first.",
            [
                Column(title="Of its cap", expression=_OF_CAP, unit=SHARE),
                Column(title="Stage", expression=_STAGE, unit=COUNT),
                Column(title="Cap", expression=_CAP, unit=COUNT),
                Column(title="Sent", expression=_USED, unit=COUNT),
                Column(title="Day ends", expression=_DAY_ENDS, unit=SINCE),
                Column(title="Held", expression=_HELD, unit=COUNT, steps=[(1, _ORANGE)]),
                Column(title="Stopped", expression=_STOPPED, unit=COUNT, steps=[(1, _RED)]),
                Column(
                    title="Deferred",
                    expression=f"{share_deferred(*_BY, over='15m')} and {_STAGE}",
                    unit=SHARE,
                    steps=[(0.1, _ORANGE), (0.2, _RED)],
                ),
            ],
            {"source": "Source", "receiver": "Receiver"},
            sort="Of its cap",
            width=24,
        )
    ]


def _maps() -> list[AnyPanel]:
    return [
        heat(
            "Sent, of the cap",
            "How full each lane's sending day is. A lane that stays dark had no work, or could not.",
            _OF_CAP,
            _LANE,
            SHARE,
        ),
        heat(
            "Stage",
            "The stage of each lane's plan. A row whose colour falls back was taken back.",
            _STAGE,
            _LANE,
            COUNT,
            width=12,
        ),
        heat(
            "Cap of the day",
            "How many envelopes each lane may send in a day. Without a colour it is warm, and has no cap.",
            _CAP,
            _LANE,
            COUNT,
            width=12,
        ),
        lines(
            "Stage by lane",
            "The same as lines, for few lanes: choose a source or a receiver above.",
            {_LANE: _STAGE},
            COUNT,
        ),
        lines("Sent by lane", "Envelopes that have used a unit of the day's cap.", {_LANE: _USED}, COUNT),
    ]


def _gates() -> list[AnyPanel]:
    return [
        table(
            "Gates, the closest to their limit first",
            "What each gate measures of each lane, and from where on it holds the stage or worse: config/README.md, warmup.",
            [
                Column(title="Of its limit", expression=f"{_RATIO} / {_LIMIT}", unit=SHARE, steps=[(0.5, _ORANGE), (1, _RED)]),
                Column(title="Measured", expression=f"{_RATIO} and {_LIMIT}", unit=SHARE),
                Column(title="Limit", expression=_LIMIT, unit=SHARE),
            ],
            {"source": "Source", "receiver": "Receiver", "gate": "Gate"},
            sort="Of its limit",
        ),
        lines(
            "Each gate, of its limit, worst lane",
            "At 100 % the gate holds the stage of the lane that is worst, or worse. 0 where there is too little to judge by.",
            {"{{gate}}": f"max by (gate) ({_RATIO} / {_LIMIT})"},
            SHARE,
        ),
        heat(
            "Nearest gate, by lane",
            "How much of a limit the gate that is nearest to it has used, for each lane.",
            f"max by (source, receiver) ({_RATIO} / {_LIMIT})",
            _LANE,
            SHARE,
        ),
    ]


def _answers() -> list[AnyPanel]:
    return [
        lines("Tried by lane", "Attempts of lanes under a plan.", {_LANE: f"{_TRIED} and {_STAGE}"}, RATE, stacked=True),
        lines(
            "Deferred share by lane",
            "Of what such a lane tried, the share that its receiver put off. A plan's gate holds, or takes a stage back.",
            {_LANE: f"{share_deferred(*_BY)} and {_STAGE}"},
            SHARE,
        ),
    ]
