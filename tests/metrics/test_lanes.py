import math

from sender.metrics import RECEIVERS_KEPT, LaneFigures, Metrics

NAMES = ("lanes_running", "lanes_paused", "lane_connections_allowed", "lane_messages_per_second")


def shown(metrics: Metrics, source: str, receiver: str) -> list[float | None]:
    """What the four gauges of lanes say under these labels."""
    labels = {"source": source, "receiver": receiver}
    return [metrics.registry.get_sample_value(f"penstock_{name}", labels) for name in NAMES]


def test_lanes_are_shown_while_they_are_told_of() -> None:
    metrics = Metrics()
    metrics.lanes({("s1", "google"): LaneFigures(running=1, connections_allowed=8, messages_per_second=math.inf)})
    assert shown(metrics, "s1", "google") == [1, 0, 8, math.inf]
    metrics.lanes({("s2", "google"): LaneFigures(paused=1)})
    assert shown(metrics, "s1", "google") == [None] * 4
    assert shown(metrics, "s2", "google") == [0, 1, 0, 0]


def test_what_has_no_label_of_its_own_is_added_up() -> None:
    metrics = Metrics()
    one = LaneFigures(running=1, connections_allowed=2, messages_per_second=0.5)
    metrics.lanes({("s1", f"~shop{number}.example"): one for number in range(300)})
    assert shown(metrics, "s1", "other") == [300, 0, 600, 150]
    metrics.lanes({("s1", f"r{number}"): one for number in range(RECEIVERS_KEPT + 5)})
    assert shown(metrics, "s1", "other") == [5, 0, 10, 2.5]
