"""Campaign: how far each of those is that moved last, how fast, and what became of its recipients."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.dashboards.frame import CAMPAIGN_PAGE, dashboard, variable
from grafana.dashboards.panels import COUNT, RATE, SECONDS, SHARE, AnyPanel, Column, lines, stat, table
from grafana.dashboards.promql import FLEET, or_none, or_zero, per_second, total

_RED, _ORANGE = "red", "orange"
_LATELY = "15m"
_NOW = "1m"  # the engine tells of campaigns every few seconds: a shorter rate would jump
_CHOSEN = f'{FLEET},campaign=~"$campaign"'
_ALL = f"max by (job, campaign, state) (penstock_campaign_envelopes{{{_CHOSEN}}})"


def campaign() -> Dashboard:
    """The campaigns that moved last, at most 50: the engine tells of no more, so that the label stays bounded."""
    why = "How far campaigns are: the 50 that moved last. `penstock campaigns` knows all of them, and what holds each."
    return dashboard(
        "penstock-campaign",
        "Penstock: campaign",
        why,
        [("", [*_figures(), _table()]), ("Over time", _progress()), ("What comes in", _intake())],
        [variable("campaign", "Campaign", f"label_values(penstock_campaign_envelopes{{{FLEET}}}, campaign)").all_value(".+")],
    )


def _in(*states: str) -> str:
    """The chosen campaigns' recipients in these states."""
    return f'max by (job, campaign, state) (penstock_campaign_envelopes{{{_CHOSEN},state=~"{"|".join(states)}"}})'


def _finished(over: str) -> str:
    """How many of each campaign reach a final state in a second."""
    return f'max by (job, campaign, state) (rate(penstock_campaign_envelopes{{{_CHOSEN},state!="open"}}[{over}]))'


def _each(expression: str) -> str:
    return f"sum by (campaign) ({expression})"


def _count(*states: str) -> str:
    """How many of each campaign's recipients, 0 too."""
    return or_none(_each(_in(*states)), _each(_ALL))


def _of_all(*states: str) -> str:
    """As a share of a campaign's recipients."""
    return f"({_count(*states)}) / {_each(_ALL)}"


def _figures() -> list[AnyPanel]:
    final = f"sum({_in('delivered', 'rejected', 'expired', 'suppressed', 'invalid', 'cancelled', 'unknown')})"
    return [
        stat("Recipients", "Recipients of the chosen campaigns.", total(_ALL), COUNT),
        stat("Open", "Recipients that have no final state yet.", total(_in("open")), COUNT),
        stat("Done", "The share of recipients with a final state.", f"({final} or vector(0)) / sum({_ALL})", SHARE),
        stat("Delivered", "Messages that receivers accepted.", total(_in("delivered")), COUNT),
        stat(
            "Unreached",
            "Of those with a final state, the share that was rejected, has expired, or is unknown.",
            f"(sum({_in('rejected', 'expired', 'unknown')}) or vector(0)) / {final} or vector(0)",
            SHARE,
            steps=[(0.05, _ORANGE), (0.2, _RED)],
        ),
        stat(
            "Done in",
            "What is open, at the pace of the last 15 minutes; `penstock plan` looks at caps and windows, too.",
            f"sum({_in('open')}) / (sum({_finished(_LATELY)}) > 0) or vector(0)",
            SECONDS,
        ),
    ]


def _table() -> AnyPanel:
    return table(
        "Campaigns",
        "Each campaign with what became of its recipients, the most open first. Click on one to look at it alone.",
        [
            Column(title="Open", expression=_count("open"), unit=COUNT),
            Column(title="Done", expression=f"1 - {_of_all('open')}", unit=SHARE),
            Column(title="Delivered", expression=_count("delivered"), unit=COUNT),
            Column(title="Rejected", expression=_of_all("rejected"), unit=SHARE, steps=[(0.02, _ORANGE), (0.1, _RED)]),
            Column(title="Expired", expression=_of_all("expired"), unit=SHARE, steps=[(0.02, _ORANGE), (0.1, _RED)]),
            Column(title="Unknown", expression=_count("unknown"), unit=COUNT, steps=[(1, _ORANGE)]),
            Column(title="Left out", expression=_count("suppressed", "invalid", "cancelled"), unit=COUNT),
            Column(title="Finished", expression=_each(_finished(_LATELY)), unit=RATE),
        ],
        {"campaign": "Campaign"},
        links={"Campaign": CAMPAIGN_PAGE},
        sort="Open",
        width=24,
    )


def _progress() -> list[AnyPanel]:
    return [
        lines(
            "Open",
            "Recipients without a final state. A line that does not fall is held, waits for its window, or lacks lanes.",
            {"{{campaign}}": _count("open")},
            COUNT,
            stacked=True,
        ),
        lines(
            "Finished",
            "Recipients that reach a final state. Campaigns of one priority share fairly.",
            {"{{campaign}}": _each(_finished(_NOW))},
            RATE,
            stacked=True,
        ),
        lines(
            "Where the recipients are",
            "All chosen campaigns together: open, or in which final state.",
            {"{{state}}": f"sum by (state) ({_ALL})"},
            COUNT,
            stacked=True,
        ),
        lines(
            "Done",
            "The share of each campaign's recipients with a final state.",
            {"{{campaign}}": f"1 - {_of_all('open')}"},
            SHARE,
        ),
    ]


def _intake() -> list[AnyPanel]:
    expanded = per_second(f"penstock_expanded_recipients_total{{{FLEET}}}", "outcome")
    refused = per_second(f"penstock_inbox_refused_total{{{FLEET}}}", "what")
    return [
        lines(
            "Submitted",
            "Recipients read from the inbox, of all campaigns.",
            {"submitted": per_second(f"penstock_submitted_recipients_total{{{FLEET}}}")},
            RATE,
            width=8,
        ),
        lines(
            "Expanded, by outcome",
            "The same by what became of them there: queued for a receiver, or final before any attempt.",
            {"{{outcome}}": or_zero(expanded, "outcome")},
            RATE,
            stacked=True,
            width=8,
        ),
        lines(
            "Refused entries",
            "Entries of the inbox that could not be used and went to the dead letters, with the reason.",
            {"{{what}}": or_zero(refused, "what")},
            RATE,
            width=8,
        ),
    ]
