"""What came of a row: the receivers' record held against the queue's counters and events."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass

import trio

from sender.model import State
from tests.scenarios.faults.row import Row
from tests.scenarios.faults.scene import Doubt, Scene

_TOLD_LINES = 60  # the end of a traceback says what happened, and where
_CLOCK_S = 1.0  # what two processes' ideas of the same moment may differ by
_FINAL = {str(state) for state in State}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of the table. `wrong` says in sentences what must not be; it is empty where the row holds."""

    name: str
    recipients: int
    lost: int
    doubled: int
    bound: int  # who may have been doubled
    parked: int  # ended as unknown: an operator is asked
    seconds: float
    wrong: tuple[str, ...]


async def judge(row: Row, scene: Scene, doubt: Doubt) -> Verdict:
    """Wait for the last final state, and hold everything against everything."""
    for campaign in scene.play.submitted:
        await scene.play.finished(campaign, row.within_s)
    seconds = trio.current_time() - scene.began_at
    evidence = await _gather(scene)
    lost, doubled = evidence.lost(), evidence.doubled()
    return Verdict(
        name=row.name,
        recipients=len(evidence.recipients),
        lost=len(lost),
        doubled=len(doubled),
        bound=len(doubt),
        parked=evidence.states[State.UNKNOWN],
        seconds=seconds,
        wrong=tuple(sentences(row, evidence, doubt) + await _left_undone(row, scene)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What both sides have written down."""

    recipients: frozenset[str]
    states: Counter[State]  # by the queue's counters
    copies: dict[str, list[float]]  # when receivers took them
    ends: dict[str, set[str]]  # by the queue's events: final states
    delivered_at: dict[str, float]

    def lost(self) -> set[str]:
        return {who for who in self.recipients if who not in self.copies and self.ends.get(who, set()) <= {"delivered"}}

    def doubled(self) -> set[str]:
        return {who for who, times in self.copies.items() if len(times) > 1}


async def _gather(scene: Scene) -> Evidence:
    states: Counter[State] = Counter()
    for campaign in scene.play.submitted:
        states.update(await scene.play.conserved(campaign))
    copies = defaultdict(list)
    for entry in scene.record():
        for recipient in entry.get("recipients", ()):
            copies[recipient].append(entry["at"])
    ends: defaultdict[str, set[str]] = defaultdict(set)
    delivered_at: dict[str, float] = {}
    cursor = ""
    while True:
        cursor, lines = await scene.play.queue.events(cursor, 5_000)
        for event in map(json.loads, lines):
            if event["type"] in _FINAL:
                ends[event["to"]].add(event["type"])
            if event["type"] == "delivered":
                delivered_at.setdefault(event["to"], event["at"])  # who comes too late may tell it again
        if not lines:
            break
    recipients = frozenset().union(*scene.play.submitted.values())
    return Evidence(recipients=recipients, states=states, copies=copies, ends=ends, delivered_at=delivered_at)


def sentences(row: Row, evidence: Evidence, doubt: Doubt) -> list[str]:
    """Sentences about recipients that are not as they must be."""
    copies, told = evidence.copies, evidence.delivered_at
    after = {who for who, at in told.items() if who in copies and max(copies[who]) > at + _CLOCK_S}
    checks = {
        "lost": evidence.lost(),
        "two copies without a doubt": evidence.doubled() - doubt,
        "more than two copies": {who for who, times in copies.items() if len(times) > 2},
        "another copy after the delivery was recorded": after,
        "more than one final state": {who for who, ends in evidence.ends.items() if len(ends) > 1},
        "copies for somebody else": copies.keys() - evidence.recipients,
        "recorded as delivered, and no receiver knows of it": told.keys() - copies.keys(),
        "ended otherwise than allowed": {str(state) for state, count in evidence.states.items() if count} - row.ends,
    }
    return [f"{what}: {len(who)}, as {sorted(who)[:3]}" for what, who in checks.items() if who]


async def _left_undone(row: Row, scene: Scene) -> list[str]:
    """Sentences about what should have been cleared up, or told."""
    depth = await scene.play.queue.depth(0.0)
    logged = scene.play.log.read_text(errors="replace")
    wrong = []
    if depth.leased or depth.later or any(depth.ready.values()):
        wrong.append(f"the queue is not empty: {depth}")
    if depth.refused != row.dead:
        wrong.append(f"dead letters: {depth.refused}, not {row.dead}")
    if row.tells not in logged:
        wrong.append(f"the log does not say {row.tells!r}")
    if "Traceback" in logged:
        wrong.append("a traceback in the log: " + first_traceback(logged))
    return wrong


def first_traceback(log: str) -> str:
    """Up to the next line of the log; of a long one the end, which says what happened."""
    lines = log[log.index("Traceback") :].splitlines()
    length = next((at for at, line in enumerate(lines) if line.startswith("{")), len(lines))
    told = lines[:length]
    return "\n".join(told if length <= _TOLD_LINES else ["…", *told[-_TOLD_LINES:]])
