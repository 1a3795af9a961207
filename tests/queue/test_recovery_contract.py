"""Recovery from the journals of dead owners, on every backend: nothing lost, doubts counted, however often it is begun."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from sender import recovery as module
from sender.campaigns import Campaign
from sender.errors import BackendError, ConfigError, ConfigErrors
from sender.events import Event
from sender.model import Envelope, Mark, State
from sender.policy.retry import RetryCurve
from sender.queue.base import Again, HeldLease, Lease, Queue, Settlement
from sender.queue.journal import Journal
from sender.queue.suppressions import GLOBAL, Suppression
from sender.recovery import Recovered, Recovery, Settles
from tests.queue.backends import on_one_server
from tests.queue.feeding import QUEUED_AT, ROUTE, conserved, filled, flat, wish
from tests.queue.warming import DAY, MIDNIGHT, OURS, cap, counts, used

pytestmark = on_one_server  # it asks of a store what the other contract tests ask of every one

T = TypeVar("T")

OWNER = "host/delivery-0-1"
NOW = QUEUED_AT + 100.0
CURVE = RetryCurve(steps_s=(300.0,), jitter=0.0, give_up_s=10_000.0)


class Nothing:
    """This configuration knows no campaign."""

    async def get(self, campaign_id: str) -> Campaign | None:
        raise ConfigErrors([ConfigError("campaign spring", "pool", "no source is in pool 'other'")])


class Counts:
    def __init__(self) -> None:
        self.doubts: list[str] = []
        self.ended: list[State] = []

    def finished(self, source: str, receiver: str, state: State) -> None:
        self.ended.append(state)

    def in_doubt(self, receiver: str) -> None:
        self.doubts.append(receiver)


class Scene:
    """An owner with leases and a journal, and those who come after it."""

    def __init__(self, queue: Queue, directory: Path) -> None:
        self.queue, self.directory = queue, directory
        self.journal = Journal(directory, "never")
        self.counts, self.troubles = Counts(), list[str]()

    async def leased(self, count: int, *, at_once: int = 200, now: float = QUEUED_AT) -> list[Lease]:
        await filled(self.queue, count)
        await self.queue.join(OWNER)
        self.journal.begin(OWNER)
        leases: list[Lease] = []
        while some := await self.queue.lease([wish(at_once, owner=OWNER)], now):
            leases += some
        return leases

    def die(self) -> None:
        """As a kill does it: the lock goes, the files stay."""
        self.journal._let_go()

    async def recover(self, queue: Settles | None = None, curve: RetryCurve = CURVE) -> Sequence[Recovered]:
        recovery = Recovery(
            directory=self.directory,
            queue=queue or self.queue,
            campaigns=Nothing(),
            curve=curve,
            counts=self.counts,
            label=lambda receiver: f"<{receiver}>",
            clock=lambda: NOW,
            chance=lambda: 0.5,
            on_trouble=self.troubles.append,
        )
        return await recovery.run_once()

    async def finals(self) -> Mapping[State, int]:
        (status,) = await self.queue.status(["spring"])
        return {state: count for (_, state), count in status.final.items() if count}

    async def events(self) -> list[dict[str, object]]:
        _, lines = await self.queue.events("", 1000)
        return [json.loads(line) for line in lines]


@pytest.fixture
def scene(queue: Queue, tmp_path: Path) -> Scene:
    return Scene(queue, tmp_path / "journal")


def back(position: int, envelope: Envelope, due: float) -> Again:
    counts = replace(envelope, attempts=1, tried_at=NOW - 50)
    return Again(position=position, envelope=counts, due=due)


@pytest.mark.row("F2", "F3", "F4")
async def test_what_a_dead_owner_knew_is_settled_and_the_rest_goes_back(scene: Scene) -> None:
    (lease,) = await scene.leased(10)
    envelopes = lease.envelopes
    scene.journal.intent([(lease.id, 0)])
    scene.journal.ended((lease.id, 0), State.DELIVERED, b'{"type":"delivered"}', at=NOW)  # answered, not settled
    scene.journal.ended((lease.id, 1), State.REJECTED, b'{"type":"rejected"}', at=NOW)
    scene.journal.back((lease.id, 2), back(2, envelopes[2], NOW + 50), b'{"type":"deferred"}')
    scene.journal.intent([(lease.id, 3)])  # its end of data went out, and nobody knows what came of it
    scene.journal.intent([(lease.id, 4)])
    scene.journal.untried((lease.id, 4))
    scene.die()
    assert await scene.recover() == [Recovered(owner=OWNER, outcomes=3, doubts=1, frozen=False)]
    assert list(scene.directory.iterdir()) == []
    assert await scene.queue.reclaim(NOW) == 6
    assert await scene.finals() == {State.DELIVERED: 1, State.REJECTED: 1}
    assert [event["type"] for event in await scene.events()] == ["delivered", "rejected", "deferred", "deferred"]
    assert scene.counts.doubts == ["<google>"]
    again = flat(await scene.queue.lease([wish(100, owner="host/other")], NOW))
    assert [envelope.ordinal for envelope in again] == [4, 5, 6, 7, 8, 9]
    assert {(envelope.attempts, envelope.doubts) for envelope in again} == {(0, 0)}
    await scene.queue.promote(NOW + 300, 100)
    later = flat(await scene.queue.lease([wish(100, owner="host/other")], NOW + 300))
    counts = {envelope.ordinal: (envelope.attempts, envelope.doubts, envelope.tried_at) for envelope in later}
    assert counts == {2: (1, 0, NOW - 50), 3: (1, 1, NOW)}
    await conserved(scene.queue)


async def test_what_a_dead_owner_was_to_try_again_from_the_same_source_stays_with_it(scene: Scene) -> None:
    (lease,) = await scene.leased(2)
    again = back(0, lease.envelopes[0], NOW + 50)
    scene.journal.back((lease.id, 0), replace(again, source="s1"), b"{}")
    scene.journal.back((lease.id, 1), back(1, lease.envelopes[1], NOW + 50), b"{}")
    scene.die()
    await scene.recover()
    await scene.queue.promote(NOW + 50, 100)
    assert {ready.route: ready.envelopes for ready in await scene.queue.ready(10)} == {ROUTE: 1, ROUTE.own("s1"): 1}


async def test_what_a_dead_owner_sent_or_may_have_sent_has_used_its_units_and_the_rest_comes_back(scene: Scene) -> None:
    now = MIDNIGHT
    await scene.queue.set_caps({OURS: cap(per_day=10)}, now)
    (lease,) = await scene.leased(10, now=now)
    scene.journal.ended((lease.id, 0), State.DELIVERED, b"{}", at=now, mark=Mark.DELIVERED)
    scene.journal.back((lease.id, 1), back(1, lease.envelopes[1], now), b"{}", mark=Mark.DEFERRED)
    scene.journal.back((lease.id, 2), back(2, lease.envelopes[2], now), b"{}", mark=Mark.LIMITED)
    scene.journal.ended((lease.id, 3), State.INVALID, b"{}", at=now)
    scene.journal.intent([(lease.id, 4)])
    scene.die()
    for _ in range(2):
        await scene.recover()
        await scene.queue.reclaim(now)
    assert await counts(scene.queue, now) == (3, 3, 3, 0)
    expected = {Mark.DELIVERED: 1, Mark.DEFERRED: 1, Mark.LIMITED: 1, Mark.DOUBTED: 1}
    assert (await used(scene.queue, now)).marks == {DAY: expected}


async def test_a_doubt_is_told_like_any_other(scene: Scene) -> None:
    (lease,) = await scene.leased(1)
    scene.journal.intent([(lease.id, 0)])
    scene.die()
    await scene.recover()
    (event,) = await scene.events()
    assert event == {
        "v": 1,
        "id": "spring:0:1000000:1:deferred",
        "type": "deferred",
        "at": NOW,
        "campaign": "spring",
        "ordinal": 0,
        "to": "user0@example.org",
        "attempt": 1,
        "receiver": "google",
        "source": "s1",
        "step": "DOT",
        "category": "network",
        "scope": "session",
        "rule": "in-doubt",
        "due": NOW + 300,
        "why": "the process that sent it ended before the answer was known",
    }


@pytest.mark.row("F3")
async def test_however_often_its_sender_dies_there_are_two_copies_at_most(scene: Scene) -> None:
    (lease,) = await scene.leased(1)
    copies = 0
    for _ in range(10):
        scene.journal.intent([(lease.id, 0)])
        copies += 1  # the receiver takes it, and its reply is never read
        scene.die()
        await scene.recover()
        await scene.queue.reclaim(NOW)
        await scene.queue.promote(NOW + 10_000, 100)
        leases = await scene.queue.lease([wish(1, owner=f"host/again-{copies}")], NOW)
        if not leases:
            break
        (lease,) = leases
        scene.journal.begin(f"host/again-{copies}")
    assert copies == 2
    assert await scene.finals() == {State.UNKNOWN: 1}
    assert (scene.counts.doubts, scene.counts.ended) == (["<google>"] * 2, [State.UNKNOWN])
    _, doubts = await scene.queue.doubts()
    assert [(doubt.envelope.id, doubt.at, doubt.receiver) for doubt in doubts] == [("spring:0", NOW, "google")]
    assert [(doubt.envelope.attempts, doubt.envelope.doubts) for doubt in doubts] == [(2, 2)]


async def test_what_was_parked_or_suppressed_is_so_after_a_recovery_too(scene: Scene) -> None:
    (lease,) = await scene.leased(2)
    refused = Suppression(digest=b"d" * 16, reason="unknown_user", source="spring:1", at=NOW)
    event = Event(
        id="spring:0:2:unknown", type="unknown", at=NOW - 5, campaign="spring", ordinal=0, to="", attempt=2, rule="in-doubt"
    )
    scene.journal.ended((lease.id, 0), State.UNKNOWN, event.encode(), at=NOW - 5, why="mx: no reply in 600 s")
    scene.journal.ended((lease.id, 1), State.REJECTED, b"{}", at=NOW, refused=refused)
    scene.die()
    await scene.recover()
    _, doubts = await scene.queue.doubts()
    assert [(doubt.envelope.id, doubt.at, doubt.why) for doubt in doubts] == [("spring:0", NOW - 5, "mx: no reply in 600 s")]
    assert [(doubt.envelope.attempts, doubt.envelope.doubts) for doubt in doubts] == [(2, 1)], "as the event tells"
    assert await scene.queue.suppressed([b"d" * 16], GLOBAL, NOW) == [refused]
    assert scene.counts.ended == [], "whoever wrote them down had counted them"


class Cut:
    """A store that goes away at its nth call, before or after having done what it was asked."""

    def __init__(self, queue: Queue, at: int, *, after: bool) -> None:
        self._queue, self._left, self._after = queue, at, after

    async def fenced(self) -> Sequence[str]:
        return await self._queue.fenced()

    async def held(self, owner: str) -> Sequence[HeldLease]:
        self._door(before=True)
        found = await self._queue.held(owner)
        self._door(before=False)
        return found

    async def settle(self, settlements: Sequence[Settlement], now: float) -> int:
        self._door(before=True)
        late = await self._queue.settle(settlements, now)
        self._door(before=False)
        return late

    async def fence(self, owners: Mapping[str, int | None], *, told: bool = False) -> Sequence[str]:
        self._door(before=True)
        fenced = await self._queue.fence(owners, told=told)
        self._door(before=False)
        return fenced

    def _door(self, *, before: bool) -> None:
        if before:
            self._left -= 1
        if self._left == 0 and before != self._after:
            raise BackendError("cut")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
async def test_cut_off_anywhere_and_begun_again_it_comes_to_the_same(
    scene: Scene, at: int, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four calls: what is held, two settlements, the fence."""
    monkeypatch.setattr(module, "_LEASES_AT_ONCE", 20)
    leases = await scene.leased(30, at_once=1)
    assert len(leases) == 30
    for number, lease in enumerate(leases):
        scene.journal.intent([(lease.id, 0)])
        if number % 3:
            scene.journal.ended((lease.id, 0), State.DELIVERED, b'{"type":"delivered"}', at=NOW)
    scene.die()
    cut = Cut(scene.queue, at, after=after)
    if at <= 4:
        with pytest.raises(BackendError, match="cut"):
            await scene.recover(cut)
    await scene.recover(cut)
    assert await scene.recover() == []
    assert list(scene.directory.iterdir()) == []
    await scene.queue.reclaim(NOW)
    assert await scene.finals() == {State.DELIVERED: 20}
    depth = await scene.queue.depth(NOW)
    assert (depth.leased, depth.later) == (0, 10)
    assert len(await scene.events()) == 30
    await conserved(scene.queue)


async def test_a_living_owner_is_left_alone(scene: Scene) -> None:
    (lease,) = await scene.leased(3)
    scene.journal.intent([(lease.id, 0)])
    assert await scene.recover() == []
    assert len((await scene.queue.held(OWNER))[0].open) == 3
    assert OWNER in await scene.queue.beats()
    assert scene.journal.intent([(lease.id, 1)])


@pytest.mark.row("F6")
async def test_a_frozen_owner_that_was_fenced_is_settled_while_its_process_is_still_there(scene: Scene) -> None:
    """What it is past goes down as a doubt before others get its leases; when it wakes, its outcomes come too late."""
    (lease,) = await scene.leased(3)
    scene.journal.intent([(lease.id, 0)])
    scene.journal.ended((lease.id, 1), State.DELIVERED, b"{}", at=NOW)
    assert await scene.recover() == []
    await scene.queue.fence({OWNER: None})
    assert await scene.recover() == [Recovered(owner=OWNER, outcomes=1, doubts=1, frozen=True)]
    assert await scene.recover() == []
    assert scene.journal.home.is_dir()
    assert await scene.queue.reclaim(NOW) == 1
    woken = Settlement(lease=lease.id, route=lease.route, campaign="spring", final=((0, State.DELIVERED),))
    assert await scene.queue.settle([woken], NOW) == 1
    assert await scene.finals() == {State.DELIVERED: 1}
    await conserved(scene.queue)


class Faster(Cut):
    """A store at which, in the middle of one recovery, somebody else comes to the end of another."""

    def __init__(self, queue: Queue, directory: Path, during: str) -> None:
        super().__init__(queue, 0, after=False)
        self._directory, self._during = directory, during

    async def fenced(self) -> Sequence[str]:
        return self._beaten("fenced", await super().fenced())

    async def held(self, owner: str) -> Sequence[HeldLease]:
        return self._beaten("held", await super().held(owner))

    def _beaten(self, call: str, found: Sequence[T]) -> Sequence[T]:
        if call == self._during:
            shutil.rmtree(self._directory)
        return found


@pytest.mark.parametrize(("during", "recovered"), [("fenced", []), ("held", [(1, 1)])])
async def test_a_journal_that_somebody_else_recovers_at_the_same_time_is_settled_once(
    scene: Scene, during: str, recovered: list[tuple[int, int]]
) -> None:
    """After everything has died, each new process of the host finds the same journals, locked by whoever was first."""
    (lease,) = await scene.leased(3)
    scene.journal.intent([(lease.id, 0)])
    scene.journal.ended((lease.id, 1), State.DELIVERED, b"{}", at=NOW)
    await scene.queue.fence({OWNER: None})
    found = await scene.recover(Faster(scene.queue, scene.journal.home, during))
    assert [(one.outcomes, one.doubts) for one in found] == recovered
    assert scene.troubles == []
    assert await scene.queue.reclaim(NOW) == 3 - 2 * len(recovered)
    await conserved(scene.queue)


async def test_without_a_journal_directory_there_is_nothing_to_do(scene: Scene) -> None:
    assert await scene.recover() == []


async def test_leases_that_have_passed_on_are_others_business(scene: Scene) -> None:
    """Its host was away for longer than an owner lives: what it knew comes too late, and doubles nobody's count."""
    (lease,) = await scene.leased(2)
    scene.journal.ended((lease.id, 0), State.DELIVERED, b"{}", at=NOW)
    scene.die()
    await scene.queue.fence({OWNER: None})
    await scene.queue.reclaim(NOW)
    assert await scene.recover() == [Recovered(owner=OWNER, outcomes=0, doubts=0, frozen=False)]
    assert await scene.finals() == {}
    await conserved(scene.queue)


@pytest.mark.row("F48")
async def test_a_journal_that_can_t_be_read_is_left_alone_and_named(scene: Scene) -> None:
    (lease,) = await scene.leased(1)
    scene.journal.intent([(lease.id, 0)])
    scene.die()
    path = scene.journal.home / "00000001"
    octets = path.read_bytes()
    path.write_bytes(octets[:8] + b"\x00\x09" + octets[10:])
    assert await scene.recover() == []
    assert f"{path}: version 9; this program reads version 1" in scene.troubles[0]
    assert path.exists()
    assert OWNER in await scene.queue.beats(), "nothing is taken from an owner whose journal can't be read"
    path.write_bytes(octets)
    assert await scene.recover() == [Recovered(owner=OWNER, outcomes=0, doubts=1, frozen=False)]


async def test_a_directory_without_a_file_goes_and_fences_nobody(scene: Scene) -> None:
    """Its owner died, or is about to begin: the name says nothing yet."""
    await scene.leased(1)
    scene.die()
    (scene.journal.home / "00000001").unlink()
    assert await scene.recover() == []
    assert list(scene.directory.iterdir()) == []
    assert OWNER in await scene.queue.beats()


async def test_something_strange_in_the_directory_is_told_of(scene: Scene) -> None:
    (lease,) = await scene.leased(1)
    scene.journal.intent([(lease.id, 0)])
    scene.die()
    (scene.journal.home / "notes.txt").write_text("mine")
    await scene.recover()
    assert "can't be removed: Directory not empty" in scene.troubles[0]
    (status,) = await scene.queue.status(["spring"])
    assert status.queued == 1
