"""Engine internals: the processes, and what a message needs of them on its way. For whoever asks why it is slow."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.dashboards.frame import dashboard
from grafana.dashboards.panels import BYTES, COUNT, RATE, SECONDS, SHARE, AnyPanel, lines, stat
from grafana.dashboards.promql import FLEET, or_none, or_zero, per_second, quantile, total

_RED, _ORANGE = "red", "orange"
_AGES = f"time() - min by (domain, selector) (penstock_dkim_key_created_timestamp_seconds{{{FLEET}}})"


def engine() -> Dashboard:
    """Process by process, then along a message's way: inbox, queue, signer, DNS, dialogue, store."""
    why = "Where time and memory go, along a message's way. The fleet overview says whether that matters."
    return dashboard(
        "penstock-engine",
        "Penstock: engine internals",
        why,
        [
            ("", [*_process_figures(), *_service_figures()]),
            ("Processes", _processes()),
            ("Inbox and queue", _queue()),
            ("From lease to reply", _path()),
            ("Signers and DNS", _services()),
            ("Store", _store()),
            ("Consumers of events, and keys", _consumers()),
        ],
    )


def _process_figures() -> list[AnyPanel]:
    return [
        stat("Processes", "Processes that answer Prometheus.", total(f"up{{{FLEET}}}"), COUNT, width=3),
        stat(
            "Versions",
            "How many versions run. More than one: an upgrade is under way, or was left half done.",
            f"count(count by (version) (penstock_build_info{{{FLEET}}}))",
            COUNT,
            steps=[(2, _ORANGE)],
            width=3,
        ),
        stat(
            "Journals that fail",
            "Delivery processes that can't write their journal: they lease nothing, and send nothing.",
            f"count(penstock_journal_healthy{{{FLEET}}} == 0) or vector(0)",
            COUNT,
            steps=[(1, _RED)],
            width=3,
        ),
        stat(
            "Latest loop, 99 %",
            "How late the worst process comes to what is due. Above 0.1 s receivers wait for us.",
            f"max(job_instance:penstock_loop_lag_duration_seconds:p99_5m{{{FLEET}}} >= 0) or vector(0)",
            SECONDS,
            steps=[(0.05, _ORANGE), (0.1, _RED)],
            width=3,
        ),
    ]


def _service_figures() -> list[AnyPanel]:
    dns = f"max(job:penstock_dns_failures_per_queries:ratio_rate5m{{{FLEET}}} >= 0) or vector(0)"
    return [
        stat(
            "Signing, 95 %",
            "Time until a micro-batch of signatures came back. A signer that takes five seconds is replaced.",
            f"max(job:penstock_signing_duration_seconds:p95_5m{{{FLEET}}} >= 0) or vector(0)",
            SECONDS,
            steps=[(0.5, _ORANGE), (2, _RED)],
            width=3,
        ),
        stat(
            "DNS that fails",
            "The share of DNS questions that got no answer in five minutes.",
            dns,
            SHARE,
            steps=[(0.05, _ORANGE), (0.1, _RED)],
            width=3,
        ),
        stat(
            "Settled late in an hour",
            "Outcomes that came after their lease had been taken back: others may have sent again.",
            total(f"increase(penstock_settled_late_total{{{FLEET}}}[1h])"),
            COUNT,
            steps=[(1, _ORANGE)],
            width=3,
        ),
        stat(
            "Disk waits in an hour",
            "Times the store waited for a slow disk before it could go on.",
            total(f"increase(penstock_store_delayed_fsyncs{{{FLEET}}}[1h])"),
            COUNT,
            steps=[(1, _ORANGE)],
            width=3,
        ),
    ]


def _processes() -> list[AnyPanel]:
    name = "{{role}} {{instance}}"
    return [
        lines(
            "CPU",
            "Cores that each process uses. An event loop can have one: at 100 %, give the fleet more processes.",
            {name: f"rate(process_cpu_seconds_total{{{FLEET}}}[$__rate_interval])"},
            SHARE,
        ),
        lines("Memory", "Resident memory of each process.", {name: f"process_resident_memory_bytes{{{FLEET}}}"}, BYTES),
        lines(
            "Lateness of the event loop, 99 %",
            "How late a process comes to what is due.",
            {"{{instance}}": f"max by (instance) (job_instance:penstock_loop_lag_duration_seconds:p99_5m{{{FLEET}}} >= 0)"},
            SECONDS,
            width=8,
        ),
        lines(
            "Started again",
            "Processes that the supervisor had to start again, in an hour, by role: look into the log for why they ended.",
            {"{{child}}": f"sum by (child) (increase(penstock_process_restarts_total{{{FLEET}}}[1h]))"},
            COUNT,
            width=8,
        ),
        lines(
            "Descriptors in use",
            "Of the file descriptors that a process may open, the share that is. Each session takes one.",
            {name: f"process_open_fds{{{FLEET}}} / process_max_fds{{{FLEET}}}"},
            SHARE,
            width=8,
        ),
    ]


def _queue() -> list[AnyPanel]:
    expanded = per_second(f"penstock_expanded_recipients_total{{{FLEET}}}", "outcome")
    refused = per_second(f"penstock_inbox_refused_total{{{FLEET}}}", "what")
    return [
        lines(
            "Recipients expanded",
            "Recipients that left the inbox, by what became of them.",
            {"{{outcome}}": or_zero(expanded, "outcome")},
            RATE,
            stacked=True,
        ),
        lines(
            "Inbox entries refused",
            "Entries that could not be used and went to the dead letters, with the reason.",
            {"{{what}}": or_zero(refused, "what")},
            RATE,
        ),
        lines(
            "Envelopes by where they are",
            "Ready: waiting for a lane. Leased: a worker has them. Later: they wait for their next attempt.",
            {
                "ready": f"sum(job_receiver:penstock_queue_ready_envelopes:sum{{{FLEET}}})",
                "{{state}}": f"sum by (state) (max by (job, state) (penstock_queue_held_envelopes{{{FLEET}}}))",
            },
            COUNT,
            stacked=True,
        ),
        lines(
            "Ready by pool",
            "Envelopes that wait for a lane, by the pool whose sources may take them.",
            {"{{pool}}": f"sum by (pool) (max by (job, pool, receiver) (penstock_queue_ready_envelopes{{{FLEET}}}))"},
            COUNT,
            stacked=True,
        ),
    ]


def _path() -> list[AnyPanel]:
    replies = f"penstock_lease_to_reply_duration_seconds_bucket{{{FLEET}}}"
    steps = f"penstock_step_duration_seconds_bucket{{{FLEET}}}"
    return [
        lines(
            "From lease to reply",
            "Time from an envelope's lease to the receiver's last word, of all attempts.",
            {"half": quantile(0.5, replies), "95 %": quantile(0.95, replies), "99 %": quantile(0.99, replies)},
            SECONDS,
        ),
        lines(
            "Steps of the dialogue, 95 %",
            "How long receivers take to answer. Without the network, all but DOT should be milliseconds.",
            {"{{step}}": quantile(0.95, steps, "step")},
            SECONDS,
        ),
        lines(
            "Attempts by process",
            "What each delivery process carries. A process that is far behind has few lanes, or is starved.",
            {"{{instance}}": per_second(f"penstock_attempts_total{{{FLEET}}}", "instance")},
            RATE,
            stacked=True,
        ),
        lines(
            "Settled late",
            "Outcomes whose lease had been taken back before they came: the process was frozen, or the store too slow.",
            {"{{instance}}": f"sum by (instance) (increase(penstock_settled_late_total{{{FLEET}}}[$__rate_interval]))"},
            COUNT,
        ),
    ]


def _services() -> list[AnyPanel]:
    signing = f"penstock_signing_duration_seconds_bucket{{{FLEET}}}"
    asked = f"penstock_dns_query_duration_seconds_bucket{{{FLEET}}}"
    return [
        lines(
            "Signatures",
            "DKIM signatures that came back, and those that could not be had.",
            {"{{outcome}}": per_second(f"penstock_signatures_total{{{FLEET}}}", "outcome")},
            RATE,
            stacked=True,
            width=8,
        ),
        lines(
            "Signing",
            "Time until a micro-batch of signatures came back.",
            {"half": quantile(0.5, signing), "95 %": quantile(0.95, signing)},
            SECONDS,
            width=8,
        ),
        lines(
            "Digests that wait for a signer",
            "Digests for which no signer of the host has room. Above 0 for long: more signers (`fleet.signers`), or cores.",
            {"{{instance}}": f"sum by (instance) (penstock_signer_waiting{{{FLEET}}})"},
            COUNT,
            width=8,
        ),
        lines(
            "DNS questions by outcome",
            'Questions that left for the resolver. "none": there is no such domain or record.',
            {"{{outcome}}": per_second(f"penstock_dns_queries_total{{{FLEET}}}", "outcome")},
            RATE,
            stacked=True,
            width=8,
        ),
        lines(
            "DNS cache by result",
            'Look-ups by whether the cache had the answer. "stale": the resolver was down, and an expired answer served.',
            {"{{result}}": per_second(f"penstock_dns_lookups_total{{{FLEET}}}", "result")},
            RATE,
            stacked=True,
            width=8,
        ),
        lines(
            "DNS answers",
            "Time until a question was answered or given up.",
            {"half": quantile(0.5, asked), "95 %": quantile(0.95, asked)},
            SECONDS,
            width=8,
        ),
    ]


def _store() -> list[AnyPanel]:
    calls = f"penstock_store_call_duration_seconds_bucket{{{FLEET}}}"
    return [
        lines(
            "Calls to the store",
            "Calls by outcome, each a batch of commands. Failed: no answer, or one of the commands was refused.",
            {"{{outcome}}": per_second(f"penstock_store_calls_total{{{FLEET}}}", "outcome")},
            RATE,
        ),
        lines(
            "Time of a call",
            "Time until the store had answered a call, with the wait for a connection.",
            {"half": quantile(0.5, calls), "95 %": quantile(0.95, calls), "99 %": quantile(0.99, calls)},
            SECONDS,
        ),
        lines(
            "Memory of the store",
            "What each server uses of its maxmemory, which is 0 where it has none.",
            {
                "{{server}} used": f"max by (server) (penstock_store_memory_bytes{{{FLEET}}})",
                "{{server}} limit": f"max by (server) (penstock_store_memory_limit_bytes{{{FLEET}}})",
            },
            BYTES,
            width=8,
        ),
        lines(
            "Well or not",
            "A 1 where nothing of a server needs an operator; 0 for no append-only file, a failed snapshot, 90 % of maxmemory.",
            {"{{server}}": f"min by (server) (penstock_store_well{{{FLEET}}})"},
            COUNT,
            width=8,
        ),
        lines(
            "Waits for the disk",
            "Times the store waited for a slow disk. Each one holds up every worker.",
            {
                "{{server}}": or_none(
                    f"max by (server) (increase(penstock_store_delayed_fsyncs{{{FLEET}}}[$__rate_interval]))",
                    f"max by (server) (penstock_store_well{{{FLEET}}})",
                )
            },
            COUNT,
            width=8,
        ),
    ]


def _consumers() -> list[AnyPanel]:
    name = "{{consumer}}"
    given = f"sum by (consumer, outcome) (rate(penstock_consumer_events_total{{{FLEET}}}[$__rate_interval]))"
    lost = f"sum by (consumer) (increase(penstock_consumer_lost_entries_total{{{FLEET}}}[1h]))"
    return [
        lines(
            "Events given to consumers",
            "Done, retried, or dead: given up, and kept for an operator. Delivery never waits for a consumer.",
            {"{{consumer}} {{outcome}}": given},
            RATE,
            width=8,
        ),
        lines(
            "How far consumers are behind",
            "The age of the oldest entry of events that a consumer has not acknowledged.",
            {name: f"max by (consumer) (penstock_consumer_lag_seconds{{{FLEET}}})"},
            SECONDS,
            width=8,
        ),
        lines(
            "Entries that wait, and that are lost",
            "Lost: they were older than `events.keep` before the consumer had dealt with them, in an hour.",
            {
                "{{consumer}} waiting": f"max by (consumer) (penstock_consumer_lag_entries{{{FLEET}}})",
                "{{consumer}} lost": lost,
            },
            COUNT,
            width=8,
        ),
        lines(
            "Age of DKIM keys",
            "Since the file of each key was written. Keys are best changed within a year, whatever their length.",
            {"{{domain}} {{selector}}": _AGES},
            SECONDS,
            width=24,
        ),
    ]
