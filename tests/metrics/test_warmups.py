import math
from dataclasses import replace

from sender.metrics import Metrics, WarmupFigures

LANE = WarmupFigures(
    source="s1",
    receiver="google",
    stage=3,
    cap=392,
    used=120,
    day_ends=1_800_000_000,
    held=False,
    stopped=False,
    gates={"deferral": 0.0, "complaint": 0.004},
    limits={"complaint": 0.001},
)
IDENTITY = replace(LANE, source="@shop.example", receiver="all", stage=4, cap=math.inf, used=0, held=True, stopped=True)


def shown(metrics: Metrics, name: str, source: str, receiver: str, **more: str) -> float | None:
    return metrics.registry.get_sample_value(f"penstock_warmup_{name}", {"source": source, "receiver": receiver, **more})


def test_where_lanes_and_identities_stand_in_their_plans() -> None:
    metrics = Metrics()
    metrics.warmups([LANE, IDENTITY])
    names = ("stage", "cap_envelopes", "used_envelopes", "day_end_timestamp_seconds", "held", "stopped")
    assert [shown(metrics, name, "s1", "google") for name in names] == [3, 392, 120, 1_800_000_000, 0, 0]
    assert [shown(metrics, name, "@shop.example", "all") for name in names] == [4, math.inf, 0, 1_800_000_000, 1, 1]


def test_what_gates_judge_by_and_where_they_begin_to_ask_for_something() -> None:
    metrics = Metrics()
    metrics.warmups([LANE])
    assert shown(metrics, "gate_ratio", "s1", "google", gate="complaint") == 0.004
    assert shown(metrics, "gate_limit_ratio", "s1", "google", gate="complaint") == 0.001
    assert shown(metrics, "gate_ratio", "s1", "google", gate="deferral") == 0
    assert shown(metrics, "gate_limit_ratio", "s1", "google", gate="deferral") is None


def test_what_has_no_plan_any_more_is_gone() -> None:
    metrics = Metrics()
    metrics.warmups([LANE, IDENTITY])
    metrics.warmups([LANE])
    assert shown(metrics, "stage", "s1", "google") == 3
    for name in ("stage", "cap_envelopes", "used_envelopes", "held", "stopped"):
        assert shown(metrics, name, "@shop.example", "all") is None
    assert shown(metrics, "gate_ratio", "@shop.example", "all", gate="complaint") is None
