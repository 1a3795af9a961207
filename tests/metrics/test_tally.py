from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sender.metrics.tally import Snapshot, Spread, Tally


def test_our_own_families_read_as_the_librarys() -> None:
    theirs = CollectorRegistry()
    counter = Counter("penstock_deliveries", "Envelopes that reached their final state.", ["source"], registry=theirs)
    histogram = Histogram("took_seconds", "How long.", ["step"], buckets=(0.5, 1.0, 2.5), registry=theirs)
    gauge = Gauge("lanes", "How many.", ["source"], registry=theirs)
    ours = CollectorRegistry()
    tally = Tally("penstock_deliveries", "Envelopes that reached their final state.", ["source"], registry=ours)
    spread = Spread("took_seconds", "How long.", "step", (0.5, 1.0, 2.5), registry=ours)
    snapshot = Snapshot("lanes", "How many.", ["source"], registry=ours)
    for source in ("s1", "s1", "s2"):
        counter.labels(source).inc()
        tally.labels(source).inc()
    for seconds in (0.1, 0.5, 0.51, 2.5, 2.6, 1e9):
        histogram.labels("DOT").observe(seconds)
        spread.labels("DOT").observe(seconds)
    for source, lanes in (("s1", 3.5), ('s"2\n', float("inf"))):
        gauge.labels(source).set(lanes)
    snapshot.show({("s1",): 3.5, ('s"2\n',): float("inf")})
    samples = [line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line]
    assert generate_latest(ours).decode().splitlines() == samples


def test_a_snapshot_shows_nothing_before_it_was_told_and_then_the_last_picture_alone() -> None:
    registry = CollectorRegistry()
    snapshot = Snapshot("lanes", "How many.", ["source"], registry=registry)
    assert [family.samples for family in registry.collect()] == [[]]
    snapshot.show({("s1",): 1, ("s2",): 2})
    snapshot.show({("s2",): 3})
    assert registry.get_sample_value("lanes", {"source": "s1"}) is None
    assert registry.get_sample_value("lanes", {"source": "s2"}) == 3
