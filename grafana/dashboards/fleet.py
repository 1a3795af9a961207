"""Fleet overview: the first look of whoever is on call. What is wrong, where, since when, and what it runs on."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.dashboards.frame import RECEIVER_PAGE, dashboard
from grafana.dashboards.panels import BYTES, COUNT, RATE, SECONDS, SHARE, SINCE, AnyPanel, Column, lines, stat, table
from grafana.dashboards.promql import FLEET, or_zero, total

_RED, _ORANGE = "red", "orange"
_REPLY = "job_outcome:penstock_lease_to_reply_duration_seconds:p95_5m"
_ATTEMPTS = f"job_receiver:penstock_attempts:rate15m{{{FLEET}}}"


def fleet() -> Dashboard:
    """The whole fleet on one page; two rows of figures, then a table of what is wrong beside one of where."""
    why = "What is wrong, where, and since when. What to do about an alert: deploy/prometheus/README.md."
    return dashboard(
        "penstock-fleet",
        "Penstock: fleet overview",
        why,
        [
            ("", [*_mail_figures(), *_engine_figures(), *_tables()]),
            ("Since when", _mail()),
            ("Connections", _connections()),
            ("What it runs on", _ground()),
        ],
    )


def _mail_figures() -> list[AnyPanel]:
    delivered = f'job_outcome:penstock_deliveries:rate5m{{{FLEET},outcome="delivered"}}'
    oldest = f'max(job_what:penstock_queue_oldest_seconds:max{{{FLEET},what="ready"}})'
    return [
        stat(
            "Alerts firing",
            "How many alerts fire now. The table below names them, and since when.",
            f'count(ALERTS{{{FLEET},alertstate="firing"}}) or vector(0)',
            COUNT,
            steps=[(1, _RED)],
        ),
        stat(
            "Processes down",
            "Processes that Prometheus knows of and that do not answer it.",
            f"count(up{{{FLEET}}} == 0) or vector(0)",
            COUNT,
            steps=[(1, _RED)],
        ),
        stat("Delivered", "Messages that receivers accepted, over 5 minutes.", total(delivered), RATE),
        stat(
            "Deferred, worst receiver",
            "The largest share of attempts that a receiver put off in 15 minutes, without greylisting and blocks. An alert "
            "fires above 20 %.",
            f"max(job_receiver:penstock_deferrals_per_attempts:ratio_rate15m{{{FLEET}}} >= 0) or vector(0)",
            SHARE,
            steps=[(0.1, _ORANGE), (0.2, _RED)],
        ),
        stat(
            "Blocked in 15 minutes",
            "Attempts that receivers refused because of our addresses or their reputation.",
            total(f"job_receiver:penstock_blocks:increase15m{{{FLEET}}}"),
            COUNT,
            steps=[(1, _RED)],
        ),
        stat(
            "Oldest that is ready",
            "How long the envelope at the very front has waited for a lane. A sending day is too long.",
            oldest,
            SECONDS,
            steps=[(3600, _ORANGE), (86400, _RED)],
        ),
    ]


def _engine_figures() -> list[AnyPanel]:
    failed = f'increase(penstock_signatures_total{{{FLEET},outcome="failed"}}[10m])'
    return [
        stat(
            "Ready",
            "Envelopes that wait for a lane.",
            total(f"job_receiver:penstock_queue_ready_envelopes:sum{{{FLEET}}}"),
            COUNT,
        ),
        stat("Sessions", "SMTP connections that are open now.", total(f"penstock_sessions_open{{{FLEET}}}"), COUNT),
        stat(
            "Holds",
            "Words of operators that keep lanes still: `penstock hold`.",
            f"count(max by (job, source, receiver) (penstock_lane_holds{{{FLEET}}})) or vector(0)",
            COUNT,
            steps=[(1, _ORANGE)],
        ),
        stat(
            "Dead letters",
            "Inbox entries that could not be used, and are kept with the reason.",
            f"sum(max by (job) (penstock_queue_dead_entries{{{FLEET}}}))",
            COUNT,
            steps=[(1, _ORANGE)],
        ),
        stat(
            "Signatures failed in 10 minutes", "Nothing leaves unsigned: these wait.", total(failed), COUNT, steps=[(1, _RED)]
        ),
        stat(
            "Servers of the store unwell",
            "Servers of the store that need an operator: no append-only file, a failed snapshot, 90 % of maxmemory.",
            f"count(min by (job, server) (penstock_store_well{{{FLEET}}}) == 0) or vector(0)",
            COUNT,
            steps=[(1, _RED)],
        ),
    ]


def _tables() -> list[AnyPanel]:
    known = "alertname, alertstate, severity, receiver, source, instance, server"
    since = f"1000 * ALERTS{{{FLEET}}} * ignoring(alertstate) group_left ALERTS_FOR_STATE{{{FLEET}}}"
    return [
        table(
            "What is wrong",
            "Alerts that fire, or are about to (pending), the newest first. What to do stands in deploy/prometheus/README.md "
            "under the alert's name. An empty table is a good one.",
            [Column(title="Since", expression=f"max by ({known}) ({since})", unit=SINCE)],
            {
                "alertname": "Alert",
                "alertstate": "State",
                "severity": "Severity",
                "receiver": "Receiver",
                "source": "Source",
                "instance": "Process",
                "server": "Store",
            },
            sort="Since",
        ),
        table(
            "Where",
            "Each receiver: what is tried, put off, blocked, waiting and connected. Click on one to look closer.",
            [
                Column(
                    title="Deferred",
                    expression=f"max by (receiver) (job_receiver:penstock_deferrals_per_attempts:ratio_rate15m{{{FLEET}}})",
                    unit=SHARE,
                    steps=[(0.1, _ORANGE), (0.2, _RED)],
                ),
                Column(
                    title="Blocked",
                    expression=f"sum by (receiver) (job_receiver:penstock_blocks:increase15m{{{FLEET}}})",
                    unit=COUNT,
                    steps=[(1, _RED)],
                ),
                Column(title="Tried", expression=f"sum by (receiver) ({_ATTEMPTS})", unit=RATE),
                Column(
                    title="Ready",
                    expression=f"sum by (receiver) (job_receiver:penstock_queue_ready_envelopes:sum{{{FLEET}}})",
                    unit=COUNT,
                ),
                Column(
                    title="Sessions",
                    expression=f"sum by (receiver) (job_receiver:penstock_sessions_open:sum{{{FLEET}}})",
                    unit=COUNT,
                ),
                Column(
                    title="Paused",
                    expression=f"sum by (receiver) (penstock_lanes_paused{{{FLEET}}})",
                    unit=COUNT,
                    steps=[(1, _ORANGE)],
                ),
            ],
            {"receiver": "Receiver"},
            links={"Receiver": RECEIVER_PAGE},
            sort="Deferred",
        ),
    ]


def _mail() -> list[AnyPanel]:
    return [
        lines(
            "Final states",
            "Envelopes that reached their final state. Anything but delivered that grows is worth a look at the receivers.",
            {"{{outcome}}": f"sum by (outcome) (job_outcome:penstock_deliveries:rate5m{{{FLEET}}})"},
            RATE,
            stacked=True,
        ),
        lines(
            "Deferred share by receiver",
            "Of what was tried in 15 minutes, the share that was put off; greylisting and blocks are not counted.",
            {"{{receiver}}": f"max by (receiver) (job_receiver:penstock_deferrals_per_attempts:ratio_rate15m{{{FLEET}}})"},
            SHARE,
        ),
        lines(
            "Refusals by reason",
            "Attempts that were deferred or rejected, by what the receiver's words meant to our rules.",
            {
                "{{category}}": f"sum by (category) (job_receiver_category:penstock_refusals:rate5m{{{FLEET}}})",
            },
            RATE,
            stacked=True,
        ),
        lines(
            "Blocks in 15 minutes, by receiver",
            "Attempts that were refused because of our addresses or their reputation. One in a thousand is an alert.",
            {"{{receiver}}": f"sum by (receiver) (job_receiver:penstock_blocks:increase15m{{{FLEET}}})"},
            COUNT,
        ),
        lines(
            "Ready by receiver",
            "Envelopes that wait for a lane. A receiver whose line does not fall is slow, held, or without lanes.",
            {"{{receiver}}": f"sum by (receiver) (job_receiver:penstock_queue_ready_envelopes:sum{{{FLEET}}})"},
            COUNT,
            stacked=True,
        ),
        lines(
            "Age of what waits",
            "Ready: the oldest envelope that could go. Due: the oldest whose next attempt is due and has not been made ready, "
            "which is the scheduler's work.",
            {"{{what}}": f"max by (what) (job_what:penstock_queue_oldest_seconds:max{{{FLEET}}})"},
            SECONDS,
        ),
    ]


def _connections() -> list[AnyPanel]:
    return [
        lines(
            "Sessions by receiver",
            "SMTP connections that are open now.",
            {"{{receiver}}": f"sum by (receiver) (job_receiver:penstock_sessions_open:sum{{{FLEET}}})"},
            COUNT,
            stacked=True,
        ),
        lines(
            "Failed sessions by receiver",
            "Connections that failed or could not be opened.",
            {"{{receiver}}": f"sum by (receiver) (job_receiver:penstock_session_failures:rate5m{{{FLEET}}})"},
            RATE,
        ),
        lines(
            "From lease to reply, 95 %",
            "Time from an envelope's lease to the receiver's last word on the attempt: what a lane holds, and how fast it is.",
            {"{{outcome}}": f"max by (outcome) ({_REPLY}{{{FLEET}}} >= 0)"},
            SECONDS,
        ),
        lines(
            "Steps of the dialogue, 95 %",
            "How long receivers take to answer at each step. DOT is their decision about a message.",
            {"{{step}}": f"max by (step) (job_step:penstock_step_duration_seconds:p95_5m{{{FLEET}}} >= 0)"},
            SECONDS,
        ),
    ]


def _ground() -> list[AnyPanel]:
    signed = f"sum by (outcome) (rate(penstock_signatures_total{{{FLEET}}}[$__rate_interval]))"
    return [
        lines(
            "Lateness of event loops, 99 %",
            "How late a process comes to what is due. Above 0.1 s receivers wait for us: too little CPU, or swapping.",
            {"{{instance}}": f"max by (instance) (job_instance:penstock_loop_lag_duration_seconds:p99_5m{{{FLEET}}} >= 0)"},
            SECONDS,
        ),
        lines(
            "CPU by process",
            "Cores that each process uses; 100 % is a whole one, which is all that an event loop can have.",
            {"{{role}} {{instance}}": f"rate(process_cpu_seconds_total{{{FLEET}}}[$__rate_interval])"},
            SHARE,
        ),
        lines(
            "Signatures",
            "DKIM signatures that signers returned, and those that could not be had.",
            {"{{outcome}}": signed},
            RATE,
        ),
        lines(
            "DNS questions that fail",
            "Timeouts, SERVFAIL and broken answers. Known receivers are still found in the cache.",
            {"failed": f"max(job:penstock_dns_failures_per_queries:ratio_rate5m{{{FLEET}}} >= 0) or vector(0)"},
            SHARE,
        ),
        lines(
            "Memory of the store",
            "What each server uses of its maxmemory, which is 0 where it has none. At 90 % submissions are refused.",
            {
                "{{server}} used": f"max by (server) (penstock_store_memory_bytes{{{FLEET}}})",
                "{{server}} limit": f"max by (server) (penstock_store_memory_limit_bytes{{{FLEET}}})",
            },
            BYTES,
        ),
        lines(
            "Recipients expanded",
            "Recipients that left the inbox, by what became of them: what comes in, beside what goes out above.",
            {
                "{{outcome}}": or_zero(
                    f"sum by (outcome) (rate(penstock_expanded_recipients_total{{{FLEET}}}[$__rate_interval]))", "outcome"
                )
            },
            RATE,
            stacked=True,
        ),
    ]
