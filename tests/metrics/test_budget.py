"""What a scrape of a large fleet may come to: 200 sources at 40 receivers, and whatever domains recipients have beside."""

import re
import time
from collections.abc import Callable

import pytest
from prometheus_client import generate_latest
from prometheus_client.exposition import choose_encoder

from sender.metrics import LaneFigures, Metrics, WarmupFigures
from sender.model import Category, Outcome, State, Verdict
from sender.policy.gates import GATES

SOURCES, RECEIVERS, DOMAINS = 200, 40, 300
PER_LANE = len(Verdict) + len(State) + 5  # attempts, deliveries, sessions that are open, what the lane may do
PER_RECEIVER = 2 * len(Category) + 5 + 10 + 1  # refusals by verdict, TLS versions, failures of sessions, doubts
WITHOUT_LABELS = 350  # histograms, the process
WARMUP = 6 + 2 * len(GATES)  # a ward: stage, cap, used, the day's end, held, stopped, each gate and its limit
# What changes between two scrapes, and the times of creation that we leave out.
_APART = re.compile(rb"^process_|_created[ {]")


def receivers(count: int, domains: int) -> list[str]:
    return [f"receiver{number:02}" for number in range(count)] + [f"~shop{number}.example" for number in range(domains)]


def busy(sources: int) -> Metrics:
    """A process that has had every lane, each with every outcome there is: the most that one may come to show."""
    metrics, figures = Metrics(), dict[tuple[str, str], LaneFigures]()
    outcomes = [Outcome(verdict=verdict, category=category) for verdict in Verdict for category in Category]
    for source in (f"mta{number:03}" for number in range(sources)):
        for receiver in receivers(RECEIVERS, DOMAINS // sources + 1):
            for outcome in outcomes[:: len(Category)]:
                metrics.attempt(source, receiver, outcome)
            for state in State:
                metrics.finished(source, receiver, state)
            metrics.session_opened(source, receiver, "TLSv1.3")
            figures[source, receiver] = LaneFigures(running=1, connections_allowed=8, messages_per_second=12.5)
    for receiver in receivers(RECEIVERS, DOMAINS):
        for outcome in outcomes:
            metrics.attempt("mta000", receiver, outcome)
        metrics.session_failed(receiver, "timeout")
        metrics.in_doubt(receiver)
    metrics.lanes(figures)
    return metrics


def lines(metrics: Metrics) -> list[bytes]:
    return [line for line in metrics.exposition.answer("")[1].splitlines() if not line.startswith(b"#")]


def cpu_s(work: Callable[[], object]) -> float:
    """The least of some runs: others share the machine."""
    took = []
    for _ in range(5):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def test_a_delivery_process_shows_a_bounded_number_of_series_each_of_bounded_size() -> None:
    text = lines(busy(SOURCES))
    labels = RECEIVERS + 1  # one for all domains
    assert len(text) > SOURCES * RECEIVERS * PER_LANE  # it is the worst case
    assert len(text) <= SOURCES * labels * PER_LANE + labels * PER_RECEIVER + WITHOUT_LABELS
    assert sum(map(len, text)) <= 100 * len(text)
    assert not any(b"shop" in line for line in text)


def test_a_scheduler_shows_a_bounded_number_of_series() -> None:
    gates = dict.fromkeys(GATES, 0.01)
    every = [(f"mta{source:03}", receiver) for source in range(SOURCES) for receiver in [*receivers(RECEIVERS, 0), "other"]]
    metrics = Metrics()
    metrics.warmups(
        [
            WarmupFigures(
                source=source,
                receiver=receiver,
                stage=3,
                cap=400,
                used=12,
                day_ends=1_800_000_000,
                held=False,
                stopped=False,
                gates=gates,
                limits=gates,
            )
            for source, receiver in every
        ]
    )
    metrics.queue(
        {("main", receiver): 1 for receiver in receivers(RECEIVERS, DOMAINS)},
        aside=1,
        leased=1,
        later=1,
        oldest_ready_s=0,
        oldest_due_s=0,
        dead=0,
    )
    metrics.campaigns({f"c{number}": dict.fromkeys([*State, "open"], 1) for number in range(50)})
    text = lines(metrics)
    assert len(every) * WARMUP < len(text) <= len(every) * WARMUP + RECEIVERS + 1 + 50 * (len(State) + 1) + WITHOUT_LABELS
    assert sum(map(len, text)) <= 110 * len(text)


def test_a_scrape_grows_with_its_lines_and_no_faster() -> None:
    few, many = busy(SOURCES // 10), busy(SOURCES)
    each_few = cpu_s(lambda: few.exposition.answer("")) / len(lines(few))
    each_many = cpu_s(lambda: many.exposition.answer("")) / len(lines(many))
    assert each_many < 4 * each_few


def test_lanes_cost_a_scrape_a_fraction_of_what_the_library_would_take() -> None:
    """Sixteen times as much was measured; the scrape's thread has the interpreter to itself meanwhile."""
    metrics = busy(SOURCES // 10)
    ours, theirs = cpu_s(lambda: metrics.exposition.answer("")), cpu_s(lambda: generate_latest(metrics.registry))
    assert 3 * ours < theirs


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_ours_is_what_the_library_would_have_written(accept: str) -> None:
    metrics = busy(2)
    metrics.build('1.0"\\\n')
    metrics.dkim_keys({("shop.example", "s1"): 1_700_000_000.25, ("shop.example", "s2"): float("inf")})
    encode, content_type = choose_encoder(accept)
    told, text = metrics.exposition.answer(accept)
    assert told == content_type
    written = (text, encode(metrics.registry))
    ours, theirs = ({line for line in text.splitlines() if not _APART.search(line)} for text in written)
    assert ours == theirs
    assert len(ours) > 1_000
