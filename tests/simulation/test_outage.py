"""A receiver that is gone for ten minutes: what that costs it and us, and how soon the mail flows as before.

The real engine, lane, policy and SMTP client, against an emulated receiver on virtual time.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec import structs

from sender.model import Source, State, Verdict
from sender.policy.throttle import OUTAGE_MAX_S
from sender.record import Attempt
from sender.settings import Settings, load
from workers.emulator.strikes import Point, Strike
from workers.simulation.stage import Recipients, Setup, Stage, play, world_options

SOURCE = Source(name="s1", address="192.0.2.1", ehlo="mta.shop.example", pool="main")
CONNECTIONS, RATE = 8, 2.0
BEFORE_S, OUTAGE_S = 300.0, 600.0
RECIPIENTS = 1_600
BACK_WITHIN_S = 720.0  # config/README.md: the full rate again within 12 minutes of its return
ATTEMPTS_MOST = 2 * CONNECTIONS + 4 + int(OUTAGE_S / 60)

CLOSED = "421 4.3.2 Service not available, closing transmission channel"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "receivers").mkdir()
    limits = f"connections = {CONNECTIONS}\nmessages_per_second = {RATE}\nconnections_per_minute = 1000\n"
    (tmp_path / "receivers/google.toml").write_text(f'[match]\nmx = [".google.com"]\n[limits]\n{limits}')
    return replace(load(tmp_path), sources=(SOURCE,), warmup={})


class Chronicle:
    """What happened when; seconds since the beginning."""

    def __init__(self) -> None:
        self.clock: Callable[[], float] = lambda: 0.0
        self.attempts: list[tuple[float, Attempt]] = []
        self.connections: list[int] = []  # the receiver's count, before the outage and after it

    def note(self, attempt: Attempt) -> None:
        self.attempts.append((self.clock(), attempt))

    def between(self, start: float, end: float) -> int:
        """Attempts that came to something then: what was not tried costs nobody anything."""
        return sum(start <= at < end and attempt.outcome.verdict is not Verdict.UNSENT for at, attempt in self.attempts)

    def rate(self, start: float, seconds: float = 60.0) -> float:
        taken = (start <= at < start + seconds and one.outcome.verdict is Verdict.DELIVERED for at, one in self.attempts)
        return sum(taken) / seconds


def lenient(settings: Settings, chronicle: Chronicle) -> Setup:
    """A world whose receivers judge no volume: nothing but the outage is in the way."""
    world = replace(world_options(), strict=False)
    return Setup(settings=settings, world=world, on_attempt=chronicle.note)


def story(chronicle: Chronicle, *points: str) -> Callable[[Stage], Awaitable[dict[State, int]]]:
    async def told(stage: Stage) -> dict[State, int]:
        start, counts = stage.clock(), stage.internet.office("google").counts
        chronicle.clock = lambda: stage.clock() - start
        await stage.submit("spring", [Recipients(receiver="google", count=RECIPIENTS)])
        await stage.sleep_until(start + BEFORE_S)
        chronicle.connections.append(counts.connections)
        stage.internet.strikes.add([Strike(point=Point(point), says=CLOSED) for point in points])
        await stage.sleep_until(start + BEFORE_S + OUTAGE_S)
        stage.internet.strikes.heal()
        chronicle.connections.append(counts.connections)
        await stage.finished("spring")
        (status,) = await stage.queue.status(["spring"])
        return {state: sum(n for (_, s), n in status.final.items() if s is state) for state in State}

    return told


@pytest.mark.row("F46")
@pytest.mark.parametrize("points", [("greeting", "mail"), ("mail",), ("dot",)], ids="+".join)
def test_an_outage_costs_few_attempts_and_no_recipient(
    settings: Settings, points: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    chronicle, gone, back = Chronicle(), BEFORE_S, BEFORE_S + OUTAGE_S
    setup = lenient(settings, chronicle)
    final = play(setup, story(chronicle, *points))
    attempts, before = chronicle.between(gone, back), chronicle.rate(gone - 60)
    opened = chronicle.connections[1] - chronicle.connections[0]
    full_after = next(after for after in range(0, 3_600, 5) if chronicle.rate(back + after) >= 0.95 * before)
    with capsys.disabled():
        print(
            f"\n  {OUTAGE_S / 60:.0f} min of 421 at {' and '.join(points)}: {attempts} attempts, {opened} connections meanwhile"
            f" (at most {ATTEMPTS_MOST}); full rate {full_after} s after its return (at most {BACK_WITHIN_S:.0f})",
            end="",
        )
    assert before == pytest.approx(RATE, rel=0.05)
    assert attempts <= ATTEMPTS_MOST
    assert opened <= ATTEMPTS_MOST
    assert full_after <= BACK_WITHIN_S
    assert {state: count for state, count in final.items() if count} == {State.DELIVERED: RECIPIENTS}
    assert not [attempt for _, attempt in chronicle.attempts if attempt.outcome.permanent or attempt.outcome.suppress_s]


def test_it_returns_slowly_enough(settings: Settings) -> None:
    """No minute after an outage has more than twice what the minute before it had, and the first has a sixteenth."""
    chronicle, back = Chronicle(), BEFORE_S + OUTAGE_S
    setup = lenient(settings, chronicle)
    play(setup, story(chronicle, "mail"))
    first = min(at for at, attempt in chronicle.attempts if at > back and attempt.outcome.verdict is Verdict.DELIVERED)
    assert first - back <= OUTAGE_MAX_S * 1.1 + 5
    minutes = [chronicle.rate(first + 60 * minute) for minute in range(5)]
    assert minutes[0] <= 2 * RATE / 16 + 0.05
    for earlier, later in pairwise(minutes):
        assert later <= 2 * earlier + 0.05
    assert minutes[-1] >= 0.9 * RATE


def test_its_pauses_are_scaled_as_the_settings_say(settings: Settings) -> None:
    """`retry.scale` is of pauses, too: a tenth as long, they leave room for more questions."""
    quick = replace(settings, retry=structs.replace(settings.retry, scale=0.1))
    asked = []
    for each in (settings, quick):
        chronicle = Chronicle()
        play(lenient(each, chronicle), story(chronicle, "greeting", "mail"))
        asked.append(chronicle.connections[1] - chronicle.connections[0])
    assert asked[1] > 1.5 * asked[0]
