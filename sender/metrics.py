"""Every metric the engine has, declared once, with the values its labels may take.

One `Metrics` per process, on a registry of its own or the caller's, never the library's global one. Its methods are named
after what happened; callers hold no metric objects. What happens once a message costs a dictionary look-up and an addition:
the children of a labelled metric are kept.

No label ever carries a recipient's domain: receivers without a profile share the label "other". Callers pass the label, and
the families here hold to it: a name that looks like a rolled-up domain, or one receiver too many, is counted under "other".

Metrics end in their unit, counters in `_total`; times are seconds.
"""

from collections.abc import Collection, Mapping
from typing import Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

from sender.model import Outcome, State, Step, Verdict
from sender.tally import Count, Spread, Tally

Kind = TypeVar("Kind")
Made = TypeVar("Made", covariant=True)

OTHER = "other"
RECEIVERS_KEPT = 200  # labels for this many receivers; shipped profiles are far fewer

# From a reply inside the same data centre to the ten minutes we wait for the end of data (RFC 5321 section 4.5.3.2.6).
_STEP_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
# From an idle lane to a receiver near by, through a lane that holds half a minute's work, to one that trickles under a plan.
_REPLY_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0)
# A loop that has time is late by less than a millisecond; one that is late by more than 20 ms keeps receivers waiting.
_LAG_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0, 5.0)
# A micro-batch of RSA-2048 takes a few milliseconds; a signer that takes five seconds is replaced.
_SIGNING_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
_DNS_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)

_TLS_VERSIONS = frozenset({"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"})


class _Family(Protocol[Made]):
    """What has a child for each set of label values."""

    def labels(self, *values: str) -> Made: ...


class _Children(dict[tuple[str, ...], Kind], Generic[Kind]):
    """A family's children by their label values, made on first use and kept.

    `receiver` is the place of the receiver's label, if it has one: the only label whose values come from outside.
    """

    def __init__(self, family: _Family[Kind], receiver: int | None = None) -> None:
        super().__init__()
        self._family, self._receiver = family, receiver
        self._seen: set[str] = {OTHER}

    def __missing__(self, labels: tuple[str, ...]) -> Kind:
        key = self.kept(labels)
        if key != labels:
            return self[key]  # `labels` itself is not stored: the look-up table stays bounded too
        child = self[key] = self._family.labels(*key)
        return child

    def kept(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The label values that these are counted under."""
        place = self._receiver
        if place is None or labels[place] in self._seen:
            return labels
        if labels[place].startswith("~") or len(self._seen) > RECEIVERS_KEPT:
            return (*labels[:place], OTHER, *labels[place + 1 :])
        self._seen.add(labels[place])
        return labels


class Metrics:
    """What one process counts. What happens to every message is told by the event loop's thread alone, the rest by any."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, CPU and descriptors: running out of descriptors shows here first
        self._declare_deliveries()
        self._declare_sessions()
        self._declare_queue()
        self._declare_services()
        self._declare_warmup()

    def _counter(self, name: str, text: str, *labels: str) -> _Children[Counter]:
        return _Children(Counter(name, text, labels, registry=self.registry), _receiver_place(labels))

    def _tally(self, name: str, text: str, *labels: str) -> _Children[Count]:
        return _Children(Tally(name, text, labels, registry=self.registry), _receiver_place(labels))

    def _gauge(self, name: str, text: str, *labels: str) -> _Children[Gauge]:
        return _Children(Gauge(name, text, labels, registry=self.registry), _receiver_place(labels))

    def _declare_deliveries(self) -> None:
        # source: a name of sources.toml · receiver: a profile's name or "other" · outcome: State
        # (delivered rejected expired suppressed invalid cancelled unknown)
        self._finished = self._tally(
            "penstock_deliveries_total", "Envelopes that reached their final state.", "source", "receiver", "outcome"
        )
        # source, receiver: as above · outcome: Verdict (delivered deferred rejected unsent)
        self._attempts = self._tally(
            "penstock_attempts_total", "Attempts to deliver one envelope.", "source", "receiver", "outcome"
        )
        # receiver: as above · category: Category (authentication block connection_limit content full_mailbox greylist
        # network policy protocol rate routing system unknown_user other)
        self._refusals = self._counter(
            "penstock_refusals_total", "Attempts that were deferred or rejected, by reason.", "receiver", "category"
        )
        # receiver: as above · rule: a rule of config/receivers with `shadow = true` · would: the Verdict it would have given
        self._shadowed = self._counter(
            "penstock_shadow_rules_total", "Attempts that a rule in shadow would have decided.", "receiver", "rule", "would"
        )
        # receiver: as above
        self._in_doubt = self._counter(
            "penstock_in_doubt_total", "Attempts whose end of data was sent and whose reply never came.", "receiver"
        )
        self._late = Counter(
            "penstock_settled_late_total",
            "Outcomes that came after their lease had been taken back: others may have sent again.",
            registry=self.registry,
        )
        # step: Step (CONNECT GREETING EHLO STARTTLS TLS MAIL RCPT DATA DOT RSET QUIT)
        steps = Spread(
            "penstock_step_duration_seconds",
            "Time from asking to the receiver's answer, by step of the dialogue.",
            "step",
            _STEP_BUCKETS,
            registry=self.registry,
        )
        self._steps = {step: steps.labels(step) for step in Step}
        # outcome: Verdict; "unsent" stays 0, being no attempt
        replies = Spread(
            "penstock_lease_to_reply_duration_seconds",
            "Time from an envelope's lease to the receiver's last word on this attempt, by its outcome.",
            "outcome",
            _REPLY_BUCKETS,
            registry=self.registry,
        )
        self._replies = {verdict: replies.labels(verdict) for verdict in Verdict}

    def _declare_sessions(self) -> None:
        # source, receiver: as above
        self._open = self._gauge("penstock_sessions_open", "SMTP connections that are open now.", "source", "receiver")
        # receiver: as above · tls: TLSv1.3 TLSv1.2 TLSv1.1 TLSv1 none
        self._opened = self._counter(
            "penstock_sessions_total", "SMTP connections that became ready to send, by TLS version.", "receiver", "tls"
        )
        # receiver: as above · kind: TransportKind (refused timeout closed reset unreachable tls forbidden resources),
        # "reply" where the receiver turned us away in words, "protocol" where it broke the protocol
        self._failed = self._counter(
            "penstock_session_failures_total", "SMTP connections that failed or could not be opened.", "receiver", "kind"
        )

    def _declare_queue(self) -> None:
        # pool: a pool of sources.toml · receiver: as above
        self._ready = self._gauge("penstock_queue_ready_envelopes", "Envelopes waiting for a lane.", "pool", "receiver")
        # state: leased (a worker has them) later (they wait for their next attempt)
        self._held = self._gauge("penstock_queue_held_envelopes", "Envelopes that are not ready.", "state")
        # what: ready (waiting for a lane) due (retry time passed, not yet ready again)
        self._oldest = self._gauge("penstock_queue_oldest_seconds", "Age of the oldest envelope waiting.", "what")
        # source: a name of sources.toml, "*" for all · receiver: as above, "*" for all
        self._lane_holds = Gauge(
            "penstock_lane_holds",
            "Lanes that operators hold: 1 for each word in force.",
            ["source", "receiver"],
            registry=self.registry,
        )
        self._declare_store()
        self._dead = Gauge(
            "penstock_queue_dead_entries", "Inbox entries that could not be used and are kept.", registry=self.registry
        )

    def _declare_store(self) -> None:
        # server: host:port or socket of each server of the store that takes writes; one that is gone is no longer shown
        texts = {
            "memory_bytes": "Memory that counts towards the store's limit.",
            "memory_limit_bytes": "The store's maxmemory; 0 where it has none.",
            "delayed_fsyncs": "Times the store waited for a slow disk, since its start.",
            "well": "1 where nothing of the store needs an operator, 0 otherwise.",
        }
        self._store = {
            name: Gauge(f"penstock_store_{name}", text, ["server"], registry=self.registry) for name, text in texts.items()
        }

    def _declare_services(self) -> None:
        self._lag = Histogram(
            "penstock_loop_lag_duration_seconds",
            "How late the event loop woke a task that had slept for a moment.",
            buckets=_LAG_BUCKETS,
            registry=self.registry,
        )
        # outcome: signed failed
        self._signatures = self._counter("penstock_signatures_total", "DKIM signatures asked of the signers.", "outcome")
        self._signing = Histogram(
            "penstock_signing_duration_seconds",
            "Time until a micro-batch of signatures came back.",
            buckets=_SIGNING_BUCKETS,
            registry=self.registry,
        )
        # outcome: queued rejected (the domain takes no mail) suppressed invalid
        self._expanded = self._counter("penstock_expanded_recipients_total", "Recipients taken from the inbox.", "outcome")
        # what: campaign rows
        self._refused = self._counter("penstock_inbox_refused_total", "Inbox entries moved to the dead letters.", "what")
        # outcome: answer none (no such domain or record) failed (timeout, SERVFAIL or a broken answer)
        self._dns_queries = self._counter("penstock_dns_queries_total", "DNS questions that left this process.", "outcome")
        # result: hit miss stale (the resolver was down and an expired answer served)
        self._dns_lookups = self._counter("penstock_dns_lookups_total", "Look-ups in the DNS cache.", "result")
        self._dns_seconds = Histogram(
            "penstock_dns_query_duration_seconds",
            "Time until a DNS question was answered or given up.",
            buckets=_DNS_BUCKETS,
            registry=self.registry,
        )

    def _declare_warmup(self) -> None:
        # source: a name of sources.toml, or "@domain" for a sending identity · receiver: a profile's name or "other"; "all"
        # for an identity. Only of those that have sent something under a plan.
        self._stage = self._gauge(
            "penstock_warmup_stage", "Stage of the warmup plan, from 1; one more than it has: warm.", "source", "receiver"
        )
        # source, receiver: the same
        self._cap = self._gauge(
            "penstock_warmup_cap_envelopes", "Envelopes that may go this sending day; +Inf: warm.", "source", "receiver"
        )
        # source, receiver: the same
        self._used = self._gauge(
            "penstock_warmup_used_envelopes", "Envelopes that have used a unit of that cap.", "source", "receiver"
        )

    def attempt(self, source: str, receiver: str, outcome: Outcome) -> None:
        """One attempt ended; its category is counted too unless it was delivered or never tried."""
        self._attempts[source, receiver, outcome.verdict].inc()
        if outcome.shadow is not None:
            self.shadowed(receiver, outcome.shadow)
        if outcome.verdict is Verdict.DEFERRED or outcome.verdict is Verdict.REJECTED:
            self._refusals[receiver, outcome.category].inc()

    def shadowed(self, receiver: str, would: Outcome) -> None:
        """A rule in shadow would have made this of a reply."""
        self._shadowed[receiver, would.rule, would.verdict].inc()

    def finished(self, source: str, receiver: str, state: State) -> None:
        """One envelope reached its final state on this lane."""
        self._finished[source, receiver, state].inc()

    def in_doubt(self, receiver: str) -> None:
        """The reply to one end of data never came."""
        self._in_doubt[(receiver,)].inc()

    def settled_late(self, positions: int) -> None:
        """So many outcomes found their lease gone."""
        self._late.inc(positions)

    def replied(self, verdict: Verdict, seconds: float) -> None:
        """The receiver's last word on an attempt came so long after the envelope's lease; not for what was never tried."""
        self._replies[verdict].observe(seconds)

    def loop_lag(self, seconds: float) -> None:
        """The event loop woke a task so much later than it had asked for."""
        self._lag.observe(seconds)

    def step(self, step: Step, seconds: float) -> None:
        """The receiver took so long to answer at this step."""
        self._steps[step].observe(seconds)

    def session_opened(self, source: str, receiver: str, tls: str) -> None:
        """A session became ready; `tls` is the version as `ssl` names it, "" without TLS. `session_closed` must follow."""
        self._open[source, receiver].inc()
        self._opened[receiver, tls if tls in _TLS_VERSIONS else "none"].inc()

    def session_closed(self, source: str, receiver: str) -> None:
        """A session that was ready is gone, for whatever reason."""
        self._open[source, receiver].dec()

    def session_failed(self, receiver: str, kind: str) -> None:
        """A session failed, or could not be opened: `kind` is a TransportKind, "reply" or "protocol"."""
        self._failed[receiver, kind].inc()

    def queue(
        self,
        ready: Mapping[tuple[str, str], int],
        *,
        leased: int,
        later: int,
        oldest_ready_s: float,
        oldest_due_s: float,
        dead: int,
    ) -> None:
        """The queue as it stands: `ready` is by pool and receiver label, and what it no longer names becomes 0."""
        totals: dict[tuple[str, ...], int] = dict.fromkeys(self._ready, 0)
        for labels, envelopes in ready.items():
            key = self._ready.kept(labels)
            totals[key] = totals.get(key, 0) + envelopes
        for key, envelopes in totals.items():
            self._ready[key].set(envelopes)
        self._held[("leased",)].set(leased)
        self._held[("later",)].set(later)
        self._oldest[("ready",)].set(oldest_ready_s)
        self._oldest[("due",)].set(oldest_due_s)
        self._dead.set(dead)

    def store(self, servers: Mapping[str, Mapping[str, float]]) -> None:
        """The store as it stands: "memory_bytes", "memory_limit_bytes", "delayed_fsyncs" and "well" by server."""
        for name, gauge in self._store.items():
            gauge.clear()
            for server, figures in servers.items():
                gauge.labels(server).set(figures[name])

    def warmup(self, source: str, receiver: str, *, stage: int, cap: float, used: int) -> None:
        """Where a lane stands in its plan: `cap` is that of the day, infinity where it is warm."""
        for gauge, value in ((self._stage, stage), (self._cap, cap), (self._used, used)):
            gauge[source, receiver].set(value)

    def lane_holds(self, holds: Collection[tuple[str, str]]) -> None:
        """The lanes that are held now, by source and receiver label; "*" is all of them."""
        self._lane_holds.clear()
        for source, receiver in holds:
            self._lane_holds.labels(source, OTHER if receiver.startswith("~") else receiver).set(1)

    def signed(self, count: int, seconds: float) -> None:
        """A micro-batch of signatures came back after so long."""
        self._signatures[("signed",)].inc(count)
        self._signing.observe(seconds)

    def signing_failed(self, count: int) -> None:
        """So many signatures could not be had."""
        self._signatures[("failed",)].inc(count)

    def expanded(self, outcome: str, count: int) -> None:
        """So many recipients left the inbox: "queued", "rejected", "suppressed" or "invalid"."""
        self._expanded[(outcome,)].inc(count)

    def inbox_refused(self, what: str, count: int = 1) -> None:
        """So many inbox entries, "campaign" or "rows", went to the dead letters."""
        self._refused[(what,)].inc(count)

    def dns_query(self, outcome: str, seconds: float) -> None:
        """A DNS question ended after so long: "answer", "none" or "failed"."""
        self._dns_queries[(outcome,)].inc()
        self._dns_seconds.observe(seconds)

    def dns_lookup(self, result: str) -> None:
        """The DNS cache was asked: "hit", "miss" or "stale"."""
        self._dns_lookups[(result,)].inc()


def _receiver_place(labels: tuple[str, ...]) -> int | None:
    return labels.index("receiver") if "receiver" in labels else None
