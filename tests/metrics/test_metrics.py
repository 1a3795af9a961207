from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from sender.metrics import RECEIVERS_KEPT, Metrics
from sender.model import Category, Envelope, Outcome, State, Step, Verdict

DELIVERED = Outcome(verdict=Verdict.DELIVERED, category=Category.ACCEPTED)
THROTTLED = Outcome(verdict=Verdict.DEFERRED, category=Category.RATE)
ANN = Envelope(campaign="spring", ordinal=4711, address="ann@example.org", queued_at=1.0)
UNSENT = Outcome(verdict=Verdict.UNSENT)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_attempt_counts_by_lane_and_outcome_and_refusals_by_reason(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.attempt("s1", "google", DELIVERED)
    metrics.attempt("s1", "google", THROTTLED)
    metrics.attempt("s2", "google", THROTTLED)
    metrics.attempt("s1", "google", UNSENT)
    assert value(registry, "penstock_attempts_total", source="s1", receiver="google", outcome="delivered") == 1
    assert value(registry, "penstock_attempts_total", source="s1", receiver="google", outcome="deferred") == 1
    assert value(registry, "penstock_attempts_total", source="s1", receiver="google", outcome="unsent") == 1
    assert value(registry, "penstock_refusals_total", receiver="google", category="rate", verdict="deferred") == 2
    metrics.turned_away("google", UNSENT)
    turned_away = {"receiver": "google", "category": UNSENT.category, "verdict": "unsent"}
    assert value(registry, "penstock_refusals_total", **turned_away) == 1
    refusals = [family for family in registry.collect() if family.name == "penstock_refusals"]
    assert sum(sample.value for sample in refusals[0].samples if sample.name.endswith("_total")) == 3


def test_a_rule_in_shadow_is_counted_by_what_it_would_say(registry: CollectorRegistry, metrics: Metrics) -> None:
    would = Outcome(verdict=Verdict.REJECTED, rule="google/tried")
    metrics.attempt("s1", "google", Outcome(verdict=Verdict.DEFERRED, shadow=would))
    metrics.shadowed("google", would)
    assert value(registry, "penstock_shadow_rules_total", receiver="google", rule="google/tried", would="rejected") == 2
    assert value(registry, "penstock_attempts_total", source="s1", receiver="google", outcome="rejected") is None


def test_final_states_and_doubts(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.finished("s1", "orange", State.DELIVERED)
    metrics.finished("s1", "orange", State.UNKNOWN)
    metrics.in_doubt("orange")
    assert value(registry, "penstock_deliveries_total", source="s1", receiver="orange", outcome="delivered") == 1
    assert value(registry, "penstock_deliveries_total", source="s1", receiver="orange", outcome="unknown") == 1
    assert value(registry, "penstock_in_doubt_total", receiver="orange") == 1


def test_step_latency_reaches_the_ten_minutes_of_the_dot(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.step(Step.DOT, 599.0)
    assert value(registry, "penstock_step_duration_seconds_bucket", step="DOT", le="300.0") == 0
    assert value(registry, "penstock_step_duration_seconds_bucket", step="DOT", le="600.0") == 1
    assert value(registry, "penstock_step_duration_seconds_sum", step="DOT") == 599.0


def test_replies_are_counted_by_outcome_from_a_moment_to_hours(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.replied(Verdict.DELIVERED, 0.004, ANN)
    metrics.replied(Verdict.DELIVERED, 7_000.0, ANN)
    metrics.replied(Verdict.REJECTED, 0.2, ANN)
    name = "penstock_lease_to_reply_duration_seconds"
    assert value(registry, f"{name}_bucket", outcome="delivered", le="0.005") == 1
    assert value(registry, f"{name}_bucket", outcome="delivered", le="7200.0") == 2
    assert value(registry, f"{name}_count", outcome="rejected") == 1


def test_the_slowest_reply_since_the_last_scrape_is_an_example_where_openmetrics_is_asked_for(metrics: Metrics) -> None:
    def examples(accept: str) -> list[bytes]:
        return [line for line in metrics.exposition.answer(accept)[1].splitlines() if b"envelope=" in line]

    openmetrics = "application/openmetrics-text; version=1.0.0"
    metrics.replied(Verdict.DELIVERED, 0.2, replace(ANN, ordinal=1))
    metrics.replied(Verdict.DELIVERED, 4.0, ANN)
    metrics.replied(Verdict.DELIVERED, 0.3, replace(ANN, ordinal=2))
    name = b"penstock_lease_to_reply_duration_seconds_bucket"
    assert examples(openmetrics) == [name + b'{le="5.0",outcome="delivered"} 3.0 # {envelope="spring:4711"} 4.0']
    assert examples(openmetrics) == []
    metrics.replied(Verdict.DELIVERED, 1e9, ANN)
    assert examples("") == []


def test_loop_lag_is_told_apart_around_twenty_milliseconds(registry: CollectorRegistry, metrics: Metrics) -> None:
    for seconds in (0.0001, 0.014, 0.019, 0.021):
        metrics.loop_lag(seconds)
    name = "penstock_loop_lag_duration_seconds_bucket"
    assert [value(registry, name, le=le) for le in ("0.0005", "0.015", "0.02", "0.03")] == [1, 2, 3, 4]


def test_sessions_open_and_their_tls(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.session_opened("s1", "google", "TLSv1.3")
    metrics.session_opened("s1", "google", "")
    metrics.session_opened("s1", "google", "what a receiver might invent")
    metrics.session_closed("s1", "google")
    metrics.session_failed("google", "timeout")
    assert value(registry, "penstock_sessions_open", source="s1", receiver="google") == 2
    assert value(registry, "penstock_sessions_total", receiver="google", tls="TLSv1.3") == 1
    assert value(registry, "penstock_sessions_total", receiver="google", tls="none") == 2
    assert value(registry, "penstock_session_failures_total", receiver="google", kind="timeout") == 1


def test_queue_is_replaced_as_a_whole(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.queue({("main", "google"): 7}, aside=5, leased=1, later=2, oldest_ready_s=3.5, oldest_due_s=0.5, dead=4)
    metrics.queue(
        {("main", "~a.example"): 1, ("main", "~b.example"): 2},
        aside=3,
        leased=0,
        later=0,
        oldest_ready_s=0,
        oldest_due_s=0,
        dead=4,
    )
    assert value(registry, "penstock_queue_ready_envelopes", pool="main", receiver="google") == 0
    assert value(registry, "penstock_queue_ready_envelopes", pool="main", receiver="other") == 3
    assert value(registry, "penstock_queue_held_envelopes", state="leased") == 0
    assert value(registry, "penstock_queue_held_envelopes", state="aside") == 3
    assert value(registry, "penstock_queue_oldest_seconds", what="ready") == 0
    assert value(registry, "penstock_queue_dead_entries") == 4


def test_signers_and_dns(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.signed(16, 0.004)
    metrics.signing_failed(2)
    metrics.dns_query("none", 0.01)
    metrics.dns_lookup("stale")
    assert value(registry, "penstock_signatures_total", outcome="signed") == 16
    assert value(registry, "penstock_signatures_total", outcome="failed") == 2
    assert value(registry, "penstock_signing_duration_seconds_count") == 1
    assert value(registry, "penstock_dns_queries_total", outcome="none") == 1
    assert value(registry, "penstock_dns_lookups_total", result="stale") == 1


def test_recipient_domains_never_become_labels(registry: CollectorRegistry, metrics: Metrics) -> None:
    for number in range(8000):
        metrics.attempt("s1", f"~shop{number}.example", THROTTLED)
        metrics.in_doubt(f"~shop{number}.example")
    assert "shop" not in generate_latest(registry).decode()
    assert value(registry, "penstock_attempts_total", source="s1", receiver="other", outcome="deferred") == 8000
    assert value(registry, "penstock_in_doubt_total", receiver="other") == 8000


def test_lanes_that_are_held_are_shown_while_they_are(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.lane_holds([("s1", "*"), ("*", "~tail.example")])
    assert value(registry, "penstock_lane_holds", source="s1", receiver="*") == 1
    assert value(registry, "penstock_lane_holds", source="*", receiver="other") == 1
    metrics.lane_holds([])
    assert value(registry, "penstock_lane_holds", source="s1", receiver="*") is None


def test_one_receiver_too_many_is_counted_under_other(registry: CollectorRegistry, metrics: Metrics) -> None:
    for number in range(RECEIVERS_KEPT + 5):
        metrics.in_doubt(f"r{number}")
    metrics.in_doubt("r0")  # known ones keep their series
    assert value(registry, "penstock_in_doubt_total", receiver="r0") == 2
    assert value(registry, "penstock_in_doubt_total", receiver="other") == 5


def test_two_processes_in_one_interpreter_do_not_share_a_count() -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    Metrics(first).in_doubt("google")
    Metrics(second)
    assert value(second, "penstock_in_doubt_total", receiver="google") is None


def test_every_name_has_our_prefix_and_its_unit(registry: CollectorRegistry, metrics: Metrics) -> None:
    """Prometheus' naming rules: base units, `_total` on counters, one prefix."""
    ours = [family for family in registry.collect() if not family.name.startswith("process_")]
    assert len(ours) > 15
    for family in ours:
        assert family.name.startswith("penstock_"), family.name
        assert not family.name.endswith(("_ms", "_milliseconds", "_minutes")), family.name
        assert family.documentation.endswith("."), family.name
        if family.type == "histogram":
            assert family.name.endswith("_duration_seconds"), family.name


def test_every_label_is_declared_with_its_values_and_every_metric_with_who_tells_it(metrics: Metrics) -> None:
    assert all(label.values for each in metrics.declared for label in each.labels)
    roles = {role.strip() for each in metrics.declared for role in each.by.split(",")}
    assert roles == {"delivery", "scheduler", "expander", "supervisor", "consumer"}


def test_the_declarations_are_what_is_exposed(registry: CollectorRegistry, metrics: Metrics) -> None:
    exposed = {(family.name, family.type, family.documentation) for family in registry.collect()}
    ours = {each for each in exposed if not each[0].startswith("process_")}
    assert ours == {(each.name.removesuffix("_total"), each.kind, each.text) for each in metrics.declared}
