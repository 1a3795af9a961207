"""deploy/prometheus: its files are what Prometheus takes, and each alert fires of its cause, and nothing else does."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sender.metrics import Metrics
from tests.deploy.causes import CAUSES, Cause
from tests.deploy.promtool import MINUTES, PROMETHEUS, Expected, Series, hold, run
from tests.deploy.traffic import (
    CONSUMER_STARTED,
    SIGNERS_STARTED,
    STARTED,
    attempts,
    consumer,
    deliveries,
    failures,
    from_nothing,
    gate,
    healthy,
    held,
    opened,
    paused,
    ready,
    refusals,
    rising,
    sessions,
    signatures,
    steady,
    up,
    warmup,
)

pytestmark = pytest.mark.integration

RULES, ALERTS = ((PROMETHEUS / name).read_text() for name in ("rules.yml", "alerts.yml"))
NAMES = re.findall(r"- alert: (\w+)", ALERTS)
_LOOKS = range(0, MINUTES, 10)
_LATER = 100  # minutes for which others are watched: more than any waits before it speaks
_FIRING = 'sum without (alertstate) (ALERTS{alertstate="firing"})'
_UNCLAIMED = 'count(ALERTS{alertstate="firing",alertname="PenstockLanesUnclaimed"})'
_STILL = {
    sessions("orange"): f"4x100 0x{MINUTES - 100}",
    opened("orange"): f"0+1x100 100x{MINUTES - 100}",
    failures("orange"): steady(0),
    paused("orange"): steady(0),
    warmup("used_envelopes", "orange"): steady(100),
}


def test_prometheus_takes_the_configuration_and_all_it_loads() -> None:
    said = run("check", "config", "--lint=all", "--lint-fatal", PROMETHEUS / "prometheus.yml")
    assert f"{len(NAMES)} rules found" in said
    assert f"{RULES.count('record:')} rules found" in said


def test_alertmanager_takes_what_we_suggest() -> None:
    command = ["amtool", "check-config", str(PROMETHEUS / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_fires_of_a_healthy_fleet(tmp_path: Path) -> None:
    hold(tmp_path, healthy(), [(minute, _FIRING, []) for minute in _LOOKS])


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.alert)
def test_an_alert_fires_of_its_cause_and_no_other_does(cause: Cause, tmp_path: Path) -> None:
    labels = {"alertname": cause.alert, "severity": cause.severity, "job": "penstock", **cause.labels}
    words = ",".join(f'{name}="{value}"' for name, value in labels.items())
    others = f'ALERTS{{alertstate="firing",alertname!="{cause.alert}"}}'
    looks = [minute for minute in _LOOKS if minute < cause.at + _LATER]
    expected: list[tuple[int, str, Expected]] = [(minute, others, []) for minute in looks]
    hold(tmp_path, {**healthy(), **cause.series}, [*expected, (cause.at, _FIRING, [{"labels": f"{{{words}}}", "value": 1}])])


def test_a_receiver_is_unclaimed_once_an_hour_and_a_quarter_have_passed_without_a_connection(tmp_path: Path) -> None:
    """A cap of the hour may be used up in minutes, and keeps the lanes still for the rest of it."""
    expected: list[tuple[int, str, Expected]] = [(minute, _UNCLAIMED, []) for minute in range(0, 170, 5)]
    hold(tmp_path, {**healthy(), **_STILL}, [*expected, (180, _UNCLAIMED, [{"labels": "{}", "value": 1}])])


@pytest.mark.parametrize(
    "why",
    [
        {paused("orange"): f"0x99 1x{MINUTES - 99}"},
        {
            warmup(what, "orange"): f"{value}x{MINUTES}"
            for what, value in (("stopped", 1), ("used_envelopes", 0), ("cap_envelopes", 0))
        },
        {held("*", "orange"): f"_x99 1x{MINUTES - 99}"},
        {held("*", "*"): f"_x99 1x{MINUTES - 99}"},
    ],
    ids=["a rule's pause", "a stopped warmup, on its second day", "a hold", "a hold of all"],
)
def test_a_receiver_whose_lanes_have_a_reason_to_be_still_is_not_unclaimed(why: Series, tmp_path: Path) -> None:
    looks: list[tuple[int, str, Expected]] = [(minute, _UNCLAIMED, []) for minute in range(100, 400, 10)]
    hold(tmp_path, {**healthy(), **_STILL, **why}, looks)


@pytest.mark.parametrize("receiver", ["*", "orange"])
def test_one_held_source_hides_no_unclaimed_receiver(receiver: str, tmp_path: Path) -> None:
    expected: Expected = [{"labels": "{}", "value": 1}]
    hold(tmp_path, {**healthy(), **_STILL, held("s9", receiver): steady(1)}, [(180, _UNCLAIMED, expected)])


@pytest.mark.parametrize("nothing", ["_", "0"])
def test_a_receiver_that_had_no_work_gets_an_hour_to_begin_with_it(nothing: str, tmp_path: Path) -> None:
    quiet = {ready("orange"): f"{nothing}x200 500x{MINUTES - 200}"}
    looks: list[tuple[int, str, Expected]] = [(minute, _UNCLAIMED, []) for minute in range(100, 270, 5)]
    hold(tmp_path, {**healthy(), **_STILL, **quiet}, [*looks, (285, _UNCLAIMED, [{"labels": "{}", "value": 1}])])


def test_a_scrape_that_failed_makes_no_old_count_a_new_one(tmp_path: Path) -> None:
    """What was counted yesterday is not told again because a quarter of an hour ago nobody could look."""
    counted = {
        refusals("google", "block"): f"3x100 stale 3x{MINUTES - 102}",
        signatures("failed"): f"2x100 stale 2x{MINUTES - 102}",
    }
    looks: list[tuple[int, str, Expected]] = [(minute, _FIRING, []) for minute in range(MINUTES)]
    hold(tmp_path, {**healthy(), **counted}, looks)


@pytest.mark.parametrize("then", ["_", "0"], ids=["nobody looked", "nobody answered"])
def test_a_gap_makes_no_old_count_a_new_one(then: str, tmp_path: Path) -> None:
    """Nor does a new Prometheus beside an old fleet, which is what the first minutes are."""
    gap = {
        series: f"{value}x100 _x20 {value}x{MINUTES - 120}"
        for series, value in (
            (refusals("google", "block"), 3),
            (signatures("failed"), 2),
            (consumer("lost_entries_total"), 3),
            (STARTED, -86_400),
            (CONSUMER_STARTED, -86_400),
        )
    }
    unseen = {
        up(role, place): f"1x100 {then}x20 1x{MINUTES - 120}" for role, place in (("delivery", "d:1"), ("consumer", "c:1"))
    }
    counts = 'ALERTS{alertname=~"PenstockBlockSeen|PenstockSigningFailing|PenstockConsumerLost"}'
    hold(tmp_path, {**healthy(), **gap, **unseen}, [(minute, counts, []) for minute in range(200)])


def test_what_a_process_counts_in_its_first_minutes_is_new(tmp_path: Path) -> None:
    """Nobody has seen it before: it is of a fleet that grew, or its Prometheus has just begun to look."""
    young = {
        up("delivery", "d:1"): from_nothing(1, minute=100),
        STARTED: from_nothing(6000, minute=100),
        refusals("google", "block"): from_nothing(3, minute=101),
        signatures("failed"): from_nothing(2, minute=101),
    }
    for alert in ("PenstockBlockSeen", "PenstockSigningFailing"):
        fires = f'count(ALERTS{{alertstate="firing",alertname="{alert}"}})'
        hold(tmp_path, {**healthy(), **young}, [(105, fires, [{"labels": "{}", "value": 1}])])


@pytest.mark.parametrize("before", ["_", "3"], ids=["its first start", "another start"])
def test_a_consumer_that_starts_tells_at_once_what_it_has_lost(before: str, tmp_path: Path) -> None:
    """A second process may have lost as much as the first: the counter seems to stand."""
    started = {
        consumer("lost_entries_total"): f"{before}x100 3x{MINUTES - 100}",
        CONSUMER_STARTED: f"{'_' if before == '_' else -86_400}x100 6000x{MINUTES - 100}",
        up("consumer", "c:1"): f"{'_' if before == '_' else 1}x100 1x{MINUTES - 100}",
    }
    lost = 'count(ALERTS{alertstate="firing",alertname="PenstockConsumerLost"})'
    once: Expected = [{"labels": "{}", "value": 1}]
    hold(tmp_path, {**healthy(), **started}, [(95, lost, []), (105, lost, once), (120, lost, [])])


def test_a_small_receivers_block_in_a_quiet_night_wakes_nobody(tmp_path: Path) -> None:
    quiet = {
        attempts("other", "delivered"): rising(2),
        deliveries("other"): rising(2),
        refusals("other", "block"): from_nothing(1, minute=100),
    }
    hold(tmp_path, {**healthy(), **quiet}, [(minute, _FIRING, []) for minute in range(90, 130, 2)])
    listed = {**quiet, refusals("other", "block"): from_nothing(3, minute=100)}
    blocked = 'count(ALERTS{alertstate="firing",alertname="PenstockBlockSeen",receiver="other"})'
    hold(tmp_path, {**healthy(), **listed}, [(105, blocked, [{"labels": "{}", "value": 1}])])


def test_what_is_rejected_is_not_taken_off_what_is_put_off(tmp_path: Path) -> None:
    both = {
        attempts("google", "deferred"): rising(80),
        refusals("google", "rate"): rising(51),
        attempts("google", "rejected"): rising(35),
        refusals("google", "block", "rejected"): rising(35),
    }
    spike = 'count(ALERTS{alertstate="firing",alertname="PenstockDeferralSpike"})'
    hold(tmp_path, {**healthy(), **both}, [(60, spike, [{"labels": "{}", "value": 1}])])


def test_units_that_are_given_back_end_no_day(tmp_path: Path) -> None:
    given_back = {warmup("used_envelopes", "orange"): f"300x100 110x{MINUTES - 100}"}
    looks: list[tuple[int, str, Expected]] = [(minute, _FIRING, []) for minute in range(90, 390, 5)]
    hold(tmp_path, {**healthy(), **given_back}, looks)


@pytest.mark.parametrize(("what", "value"), [("stopped", "1"), ("cap_envelopes", "+Inf")])
def test_a_gate_holds_no_lane_that_could_not_climb_anyway(what: str, value: str, tmp_path: Path) -> None:
    """One that has stopped has an alert of its own, and one that is warm has passed its last stage."""
    beyond = {gate("ratio", "orange", "bounce"): steady(0.04), gate("limit_ratio", "orange", "bounce"): steady(0.02)}
    kept = 'count(ALERTS{alertstate="firing",alertname="PenstockWarmupHeld"})'
    hold(tmp_path, {**healthy(), **beyond}, [(60, kept, [{"labels": "{}", "value": 1}])])
    beyond[warmup(what, "orange")] = " ".join([value] * MINUTES)  # promtool repeats no infinity
    hold(tmp_path, {**healthy(), **beyond}, [(minute, kept, []) for minute in _LOOKS])


def test_signers_that_die_again_and_again_are_told_by_their_supervisor(tmp_path: Path) -> None:
    looping = {SIGNERS_STARTED: f"0x100 0+1x4 4x{MINUTES - 104}"}
    labels = 'alertname="PenstockRestartLoop",severity="critical",job="penstock",role="signer",instance="v:1",child="signer"'
    hold(tmp_path, {**healthy(), **looping}, [(90, _FIRING, []), (106, _FIRING, [{"labels": f"{{{labels}}}", "value": 1}])])


def test_each_alert_has_a_cause() -> None:
    assert sorted(cause.alert for cause in CAUSES) == sorted(NAMES)


def test_each_alert_says_how_bad_it_is_and_where_its_runbook_is() -> None:
    readme = (PROMETHEUS / "README.md").read_text()
    sections = dict(re.findall(r"^### (\w+)\n\n(.+?)\n(?=\n|\Z)", readme, re.MULTILINE | re.DOTALL))
    for text in re.split(r"\n\n? +- alert: ", ALERTS)[1:]:
        name = text.split("\n", 1)[0]
        assert re.search(r"labels: \{severity: (critical|warning)\}", text), name
        for annotation in ("summary", "description"):
            assert re.search(rf'^ +{annotation}: ".+"$', text, re.MULTILINE), f"{name} has no {annotation}"
        assert f'runbook: "deploy/prometheus/README.md#{name.lower()}"' in text
        assert "penstock " in sections[name], f"{name}: its runbook names no command to look with"
    assert sections.keys() == set(NAMES)


def _exposed() -> Iterator[str]:
    """Every name that a scrape of ours can bring."""
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    for family in Metrics().registry.collect():
        yield from (family.name + ending for ending in endings[family.type])


def test_rules_and_alerts_name_metrics_that_exist() -> None:
    recorded = set(re.findall(r"record: (\S+)", RULES))
    expressions = re.sub(r"^ *(#|- alert|summary|description|runbook).*", "", RULES + ALERTS, flags=re.MULTILINE)
    used = set(re.findall(r"[a-z_]+:[a-z_]+:\w+", expressions))
    assert used <= recorded, used - recorded
    scraped = set(re.findall(r"(?<![\w:])penstock_\w+(?![\w:])", expressions))
    assert len(scraped) > 10
    assert scraped <= set(_exposed()), scraped - set(_exposed())


def test_what_is_recorded_is_named_by_its_level_its_metric_and_its_operation() -> None:
    for name in re.findall(r"record: (\S+)", RULES):
        assert re.fullmatch(r"[a-z_]+:penstock_[a-z_]+:[a-z]\w+", name), name
