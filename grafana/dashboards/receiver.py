"""Receiver: what one of them makes of us, source by source. Reached by a click on a name in the fleet overview."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.dashboards.frame import dashboard, receivers, sources
from grafana.dashboards.panels import COUNT, RATE, SHARE, AnyPanel, Column, lines, stat, table
from grafana.dashboards.promql import LANE, RECEIVER, or_none, or_zero, per_second, share_deferred, total

_RED, _ORANGE = "red", "orange"
_TRIED = f'penstock_attempts_total{{{LANE},outcome!="unsent"}}'
_LATELY = "15m"  # of a table: as the alerts look at it
_DELIVERED = f'penstock_attempts_total{{{LANE},outcome="delivered"}}'


_ALLOWED = f"penstock_lane_connections_allowed{{{LANE}}}"
_PACE = f"penstock_lane_messages_per_second{{{LANE}}}"


def receiver() -> Dashboard:
    """One receiver, or some; sources side by side, since a receiver judges each by itself."""
    why = "What a receiver makes of us, and whether it is one source or all of them. `penstock lanes RECEIVER` shows its words."
    return dashboard(
        "penstock-receiver",
        "Penstock: receiver",
        why,
        [
            ("", [*_figures(), _lanes()]),
            ("What it answers", _answers()),
            ("Source by source", _sources()),
            ("Connections", _connections()),
        ],
        [receivers("penstock_attempts_total"), sources("penstock_attempts_total")],
    )


def _figures() -> list[AnyPanel]:
    return [
        stat(
            "Delivered",
            "Messages accepted by the chosen receivers from the chosen sources.",
            total(per_second(_DELIVERED)),
            RATE,
        ),
        stat(
            "Deferred",
            "The share of attempts put off in 15 minutes, without greylisting and blocks. An alert fires above 20 %.",
            f"max(job_receiver:penstock_deferrals_per_attempts:ratio_rate15m{{{RECEIVER}}} >= 0) or vector(0)",
            SHARE,
            steps=[(0.1, _ORANGE), (0.2, _RED)],
        ),
        stat(
            "Blocked in 15 minutes",
            "Attempts that were refused because of our addresses or their reputation.",
            total(f"job_receiver:penstock_blocks:increase15m{{{RECEIVER}}}"),
            COUNT,
            steps=[(1, _RED)],
        ),
        stat(
            "Ready",
            "Envelopes that wait for a lane to these receivers.",
            total(f"job_receiver:penstock_queue_ready_envelopes:sum{{{RECEIVER}}}"),
            COUNT,
            width=3,
        ),
        stat("Sessions", "SMTP connections that are open now.", total(f"penstock_sessions_open{{{LANE}}}"), COUNT, width=3),
        stat(
            "Paused lanes",
            "Lanes that a rule keeps still because of what the receiver said.",
            total(f"penstock_lanes_paused{{{LANE}}}"),
            COUNT,
            steps=[(1, _ORANGE)],
            width=3,
        ),
        stat(
            "In doubt in an hour",
            "Attempts whose end of data was sent and whose reply never came: `penstock doubts list`.",
            total(f"increase(penstock_in_doubt_total{{{RECEIVER}}}[1h])"),
            COUNT,
            steps=[(1, _ORANGE)],
            width=3,
        ),
    ]


def _lanes() -> AnyPanel:
    cap = f"job_source_receiver:penstock_warmup_used_per_cap:ratio{{{LANE}}}"
    lane = ("source", "receiver")
    return table(
        "Lanes",
        "Each source at each of these receivers, the most deferred first. Allowed is the window: the most sessions. "
        "Without a stage a lane is warm.",
        [
            Column(
                title="Deferred",
                expression=share_deferred(*lane, over=_LATELY),
                unit=SHARE,
                steps=[(0.1, _ORANGE), (0.2, _RED)],
            ),
            Column(title="Tried", expression=per_second(_TRIED, *lane, over=_LATELY), unit=RATE),
            Column(title="Sessions", expression=f"sum by (source, receiver) (penstock_sessions_open{{{LANE}}})", unit=COUNT),
            Column(title="Allowed", expression=f"sum by (source, receiver) ({_ALLOWED})", unit=COUNT),
            Column(title="Pace", expression=f"sum by (source, receiver) ({_PACE})", unit=RATE),
            Column(
                title="Paused",
                expression=f"sum by (source, receiver) (penstock_lanes_paused{{{LANE}}})",
                unit=COUNT,
                steps=[(1, _ORANGE)],
            ),
            Column(title="Stage", expression=f"max by (source, receiver) (penstock_warmup_stage{{{LANE}}})", unit=COUNT),
            Column(title="Of its cap", expression=f"max by (source, receiver) ({cap})", unit=SHARE),
        ],
        {"source": "Source", "receiver": "Receiver"},
        sort="Deferred",
        width=24,
    )


def _answers() -> list[AnyPanel]:
    refusals = per_second(f"penstock_refusals_total{{{RECEIVER}}}", "category")
    shadow = f"sum by (rule, would) (increase(penstock_shadow_rules_total{{{RECEIVER}}}[$__rate_interval]))"
    return [
        lines(
            "Attempts by outcome",
            "What became of attempts. Unsent ones were given back before a receiver saw them, and cost nothing.",
            {"{{outcome}}": per_second(f"penstock_attempts_total{{{LANE}}}", "outcome")},
            RATE,
            stacked=True,
        ),
        lines(
            "Refusals by reason",
            "Deferrals and rejections by what the receiver's words mean to our rules (config/receivers).",
            {"{{category}}": or_zero(refusals, "category")},
            RATE,
            stacked=True,
        ),
        lines(
            "Final states",
            "Envelopes that reached their final state.",
            {"{{outcome}}": per_second(f"penstock_deliveries_total{{{LANE}}}", "outcome")},
            RATE,
            stacked=True,
            width=8,
        ),
        lines(
            "Rules in shadow",
            "What rules with `shadow = true` would have decided: look here before they are let loose.",
            {"{{rule}}: {{would}}": or_zero(shadow, "rule")},
            COUNT,
            width=8,
        ),
        lines(
            "In doubt",
            "Attempts whose end of data was sent and whose reply never came, in an hour.",
            {
                "{{receiver}}": or_none(
                    f"sum by (receiver) (increase(penstock_in_doubt_total{{{RECEIVER}}}[1h]))",
                    f"sum by (receiver) (rate(penstock_sessions_total{{{RECEIVER}}}[$__rate_interval]))",
                )
            },
            COUNT,
            width=8,
        ),
    ]


def _sources() -> list[AnyPanel]:
    return [
        lines(
            "Delivered by source",
            "Messages accepted, by source.",
            {"{{source}}": per_second(_DELIVERED, "source")},
            RATE,
            stacked=True,
        ),
        lines(
            "Deferred share by source",
            "One line above the others is that source's reputation; all together are the receiver, or what is sent.",
            {"{{source}}": share_deferred("source")},
            SHARE,
        ),
    ]


def _connections() -> list[AnyPanel]:
    opened = f"penstock_sessions_total{{{RECEIVER}}}"
    failures = per_second(f"penstock_session_failures_total{{{RECEIVER}}}", "kind")
    return [
        lines(
            "Sessions by source",
            "SMTP connections that are open now.",
            {"{{source}}": f"sum by (source) (penstock_sessions_open{{{LANE}}})"},
            COUNT,
            stacked=True,
            width=8,
        ),
        lines(
            "Window by source",
            "How many connections lanes may have: fewer after a refusal, and again more as messages are taken.",
            {"{{source}}": f"sum by (source) ({_ALLOWED})"},
            COUNT,
            width=8,
        ),
        lines(
            "Pace by source",
            "Messages a second that lanes may send, of those that have a pace; 0 in a pause.",
            {"{{source}}": f"sum by (source) ({_PACE} < Inf)"},
            RATE,
            width=8,
        ),
        lines(
            "Lanes that run, and that pause",
            "A rule pauses a lane because of what the receiver said: `penstock why SOURCE/RECEIVER` names it.",
            {
                "run": f"sum(penstock_lanes_running{{{LANE}}})",
                "pause": f"sum(penstock_lanes_paused{{{LANE}}})",
            },
            COUNT,
            width=8,
        ),
        lines(
            "New sessions by TLS version",
            'Connections that became ready to send. "none" is mail in clear.',
            {"{{tls}}": per_second(opened, "tls")},
            RATE,
            stacked=True,
            width=8,
        ),
        lines(
            "Failed sessions by kind",
            '"reply" is a receiver that turns us away in words; the rest is the network.',
            {"{{kind}}": or_zero(failures, "kind")},
            RATE,
            stacked=True,
            width=8,
        ),
    ]
