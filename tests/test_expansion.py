"""From the inbox to the routes: every row becomes an envelope or a final state, and nothing in the inbox can stop the rest."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sender.errors import BackendError, ResolutionError
from sender.expansion import Expander
from sender.lookups import CHUNK_S, UNRESOLVED, WAIT_S
from sender.model import Choice, Destination, Route, State
from sender.queue.base import BATCH_ROWS, LeaseRequest, Refusal, RowBatch
from sender.queue.control import Hold
from sender.queue.memory import MemoryQueue
from sender.queue.suppressions import Suppression
from tests.holding import LANE, accepted, campaigns
from tests.rig import DIGESTS, ROUTE, SPEC, Names, Store, clock, profiles, states

DOCUMENT = json.dumps(SPEC).encode()
GONE = ResolutionError("gone.example", "no such domain", permanent=True)
AWAY = ResolutionError("away.example", "timed out", permanent=False)


class Kept(MemoryQueue):
    """Keeps the dead letters in reach."""

    def __init__(self) -> None:
        super().__init__()
        self.letters: list[Refusal] = []

    async def refuse(self, refusals: Any, now: float) -> None:
        self.letters += refusals
        await super().refuse(refusals, now)


class Counts:
    def __init__(self) -> None:
        self.expanded_ones: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.taken = 0

    def submitted(self, count: int) -> None:
        self.taken += count

    def expanded(self, outcome: str, count: int) -> None:
        self.expanded_ones[outcome] += count

    def inbox_refused(self, what: str, count: int = 1) -> None:
        self.refused[what] += count


class Desk:
    """An expander over a memory queue, and what it tells."""

    def __init__(self, queue: Any = None, **options: Any) -> None:
        self.queue, self.counts, self.troubles = queue or Kept(), Counts(), list[str]()
        self.names = Names(null_example=Destination(hosts=()), gone_example=GONE, away_example=AWAY)
        self.expander = Expander(
            self.queue,
            options.pop("campaigns", None) or campaigns(self.queue),
            self.names,
            profiles(),
            DIGESTS,
            clock,
            self.counts,
            on_trouble=self.troubles.append,
            **options,
        )

    async def run(self) -> None:
        while await self.expander.step():
            pass

    async def ready(self) -> dict[str, int]:
        return {str(ready.route): ready.envelopes for ready in await self.queue.ready(100)}

    async def events(self) -> list[dict[str, Any]]:
        """Those of recipients."""
        return [event for event in await self.all_events() if event["type"] != "queued"]

    async def all_events(self) -> list[dict[str, Any]]:
        _, events = await self.queue.events("", 10_000)
        return [json.loads(event) for event in events]


def lines(*rows: object) -> bytes:
    return b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)


async def submitted(queue: MemoryQueue, *batches: bytes, campaign: str = "spring", document: bytes = DOCUMENT) -> None:
    await queue.announce(campaign, document)
    await queue.add_rows(campaign, [RowBatch(number=number, rows=rows) for number, rows in enumerate(batches)])
    await queue.close_rows(campaign, len(batches))


def person(number: int, domain: str = "big.example", **more: object) -> dict[str, object]:
    return {"to": f"r{number}@{domain}", "first": f"Ann {number}", **more}


async def test_recipients_are_packed_by_the_receiver_of_their_domain(autojump_clock: MockClock) -> None:
    desk = Desk()
    people = [person(n) for n in range(300)] + [person(n, "small.example") for n in range(20)] + [person(1, "away.example")]
    await submitted(desk.queue, lines(*people))
    await desk.run()
    assert await desk.ready() == {"main/big": 300, "main/~small.example": 20, "main/~away.example": 1}
    (status,) = await desk.queue.status(["spring"])
    assert (status.accepted, status.queued, status.complete) == (321, 321, True)
    assert await desk.queue.open_campaigns() == []
    assert desk.counts.expanded_ones == {"queued": 321}
    assert desk.counts.taken == desk.counts.expanded_ones.total()
    leases = await desk.queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner="o", envelopes=300)], clock())
    assert [len(lease.envelopes) for lease in leases] == [200, 100]
    assert leases[0].envelopes[7].fields == {"first": "Ann 7"}


async def test_dirty_rows_end_with_a_reason_and_their_fields_come_back(autojump_clock: MockClock) -> None:
    desk = Desk()
    rows = [
        person(0),
        {"to": "two@@signs.example", "first": "Bob", "customer": "4711"},
        {"first": "nobody"},
        {"to": "r3@big.example", "customer": "4713"},
        "line 5: 3 cells under 4 columns",
        17,
        {"to": None},
        {"to": "r7@big.example", "first": ["a", "list"]},
        person(8, "null.example", customer="4718"),
    ]
    await submitted(desk.queue, lines(*rows))
    await desk.run()
    assert await desk.ready() == {"main/big": 1}
    assert await states(desk.queue) == {State.INVALID: 7, State.REJECTED: 1}
    found = [(await desk.queue.find("spring", ordinal)).state for ordinal in range(9)]
    assert Counter(found) == {State.INVALID: 7, State.REJECTED: 1, None: 1}
    (status,) = await desk.queue.status(["spring"])
    assert (status.accepted, status.queued) == (9, 1)
    told = {event["ordinal"]: event for event in await desk.events()}
    assert sorted(told) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (told[1]["type"], told[1]["fields"], told[1]["to"]) == ("invalid", {"customer": "4711"}, "two@@signs.example")
    assert told[2]["why"] == "to: missing"
    assert told[3]["why"] == "the template needs first"
    assert "3 cells under 4 columns" in told[4]["why"]
    assert "found '17'" in told[5]["why"]
    assert told[8] == told[8] | {
        "type": "rejected",
        "why": "null.example takes no mail (RFC 7505)",
        "fields": {"customer": "4718"},
    }
    assert desk.counts.expanded_ones == {"queued": 1, "invalid": 7, "rejected": 1}
    assert desk.counts.taken == desk.counts.expanded_ones.total()


async def test_recipients_whose_fields_are_too_long_for_one_pack_go_into_several(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sender.queue.pack.MAX_BODY", 64 * 1024)
    desk = Desk()
    await submitted(desk.queue, lines(*(person(number, **{f"{number:03}" * 1000: "x"}) for number in range(40))))
    await desk.run()
    assert await desk.ready() == {"main/big": 40}


_UNREADABLE = (
    b"\xff\xfe",
    b'{"to":"\xff"}',
    b"[" * 50_000,
    b'{"to": 1e999}',
    b"not json",
    b'{"to":"a@b.example"}\n{"to":',
    b'{"to": "\\ud800"}',
)


@pytest.mark.parametrize("rows", _UNREADABLE)
async def test_a_batch_that_can_t_be_read_goes_to_the_dead_letters_alone(autojump_clock: MockClock, rows: bytes) -> None:
    desk = Desk()
    await submitted(desk.queue, lines(person(0)), rows, lines(person(2)))
    await desk.run()
    assert await desk.ready() == {"main/big": 2}
    (letter,) = desk.queue.letters
    assert (letter.campaign, letter.payload) == ("spring", rows)
    assert letter.why.startswith("batch 1: not JSON lines: ")
    assert desk.counts.refused == {"rows": 1}
    assert await desk.queue.open_campaigns() == ["spring"], "batch 1 may come again, corrected"
    await desk.queue.add_rows("spring", [RowBatch(number=1, rows=lines(person(1)))])
    await desk.run()
    assert await desk.ready() == {"main/big": 3}
    (status,) = await desk.queue.status(["spring"])
    assert status.complete


async def test_an_ordinal_is_the_batch_s_number_and_the_line(autojump_clock: MockClock) -> None:
    desk = Desk()
    await submitted(desk.queue, lines(person(0), person(1)), lines(person(2)))
    await desk.run()
    leases = await desk.queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner="o", envelopes=10)], clock())
    assert [one.ordinal for lease in leases for one in lease.envelopes] == [0, 1, BATCH_ROWS]


async def test_a_campaign_that_can_t_be_used_is_a_dead_letter_and_stops_nothing(autojump_clock: MockClock) -> None:
    desk = Desk()
    for number, document in enumerate((b"\xff", b"[" * 50_000, b"{}", json.dumps({**SPEC, "pool": "gold"}).encode())):
        await submitted(desk.queue, lines(person(number)), campaign=f"bad{number}", document=document)
    await submitted(desk.queue, lines(person(9)), campaign="good")
    await desk.run()
    assert await desk.queue.campaigns() == ["good"]
    assert await desk.ready() == {"main/big": 1}
    assert len(desk.queue.letters) == 4
    assert desk.counts.refused == {"campaign": 4}


async def test_a_campaign_of_another_configuration_holds_up_no_other(autojump_clock: MockClock) -> None:
    queue = Kept()
    await accepted(queue, "theirs", {**SPEC, "from": "a@other.example"})
    await queue.add_rows("theirs", [RowBatch(number=0, rows=lines(person(0)))])
    await queue.close_rows("theirs", 1)
    await submitted(queue, lines(person(1)), campaign="ours")
    here = Desk(queue)
    await here.run()
    theirs, ours = await queue.status(["theirs", "ours"])
    assert (theirs.complete, ours.complete) == (False, True)
    assert any("no identity 'other.example'" in trouble for trouble in here.troubles)
    await Desk(queue, campaigns=campaigns(queue, domain="other.example")).run()
    (theirs,) = await queue.status(["theirs"])
    assert theirs.complete


async def test_two_expanders_racing_expand_everything_once(autojump_clock: MockClock) -> None:
    queue = Kept()
    first, second = Desk(queue), Desk(queue)
    first.names.seconds, second.names.seconds = 0.5, 0.3
    people = [lines(*(person(1000 * batch + n) for n in range(1000))) for batch in range(30)]
    await submitted(queue, *people)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        nursery.start_soon(second.run)
    await first.run()
    (status,) = await queue.status(["spring"])
    assert (status.accepted, status.queued, status.complete) == (30_000, 30_000, True)
    assert await first.ready() == {"main/big": 30_000}
    assert first.counts.expanded_ones["queued"] > 0 < second.counts.expanded_ones["queued"], "both had a part in it"


async def test_it_stays_a_bounded_distance_ahead(autojump_clock: MockClock) -> None:
    desk = Desk(ahead=20_000)
    await submitted(desk.queue, *(lines(*(person(n) for n in range(1000))) for _ in range(60)))
    await desk.run()
    assert (await desk.ready())["main/big"] == 20_000
    leases = await desk.queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner="o", envelopes=1_000)], clock())
    assert leases
    assert not await desk.expander.step(), "what is leased is not yet delivered"


async def test_rows_before_their_campaign_wait_for_it(autojump_clock: MockClock) -> None:
    desk = Desk()
    await desk.queue.add_rows("spring", [RowBatch(number=0, rows=lines(person(0)))])
    await desk.queue.close_rows("spring", 1)
    await desk.run()
    assert await desk.ready() == {}
    await desk.queue.announce("spring", DOCUMENT)
    await desk.run()
    assert await desk.ready() == {"main/big": 1}


async def test_too_many_rows_in_a_batch_are_refused(autojump_clock: MockClock) -> None:
    """Two objects in one line pass the count of lines; the count of rows finds them."""
    desk = Desk()
    await submitted(desk.queue, b" ".join([b'{"to":"a@big.example"}'] * (BATCH_ROWS + 1)))
    await desk.run()
    (letter,) = desk.queue.letters
    assert "1001 recipients, at most 1000 are allowed" in letter.why


async def test_an_idle_expander_says_so(autojump_clock: MockClock) -> None:
    desk = Desk()
    assert not await desk.expander.step()
    assert Route(pool="main", receiver=UNRESOLVED).receiver.startswith("~")


async def test_open_campaigns_with_nothing_to_expand_are_not_compiled_every_round(autojump_clock: MockClock) -> None:
    store = Store()
    for number in range(520):  # more than are kept
        await accepted(store, f"c{number}")
    desk = Desk(store)
    for _ in range(3):
        assert not await desk.expander.step()
    assert store.calls["spec"] == 0


async def test_slow_dns_holds_up_neither_its_chunk_nor_another_campaign(autojump_clock: MockClock) -> None:
    desk = Desk()
    desk.names.seconds = 6.0
    people = [lines(*(person(n, f"d{1000 * batch + n}.example") for n in range(1000))) for batch in range(20)]
    await submitted(desk.queue, *people)
    await submitted(desk.queue, lines(person(1)), campaign="other")
    began = trio.current_time()
    await desk.expander.step()
    await desk.expander.step()
    assert trio.current_time() - began <= 2 * WAIT_S
    assert await desk.ready() == {f"main/{UNRESOLVED}": 1_000, "main/big": 1}, "a name with a profile needs no DNS"
    await desk.run()
    assert await desk.ready() == {f"main/{UNRESOLVED}": 20_000, "main/big": 1}
    assert all(status.complete for status in await desk.queue.status(["spring", "other"]))


async def test_what_is_read_at_once_grows_while_names_are_found_quickly(autojump_clock: MockClock) -> None:
    desk = Desk()
    await submitted(desk.queue, *(lines(*(person(n) for n in range(1000))) for _ in range(100)))
    await desk.expander.step()
    sizes = []
    while await desk.expander.step():
        sizes.append((await desk.queue.status(["spring"]))[0].accepted // 1000)
    assert sizes == [1, 3, 7, 15, 31, 51, 71, 91, 100]


async def test_what_is_read_at_once_shrinks_while_names_take_long(autojump_clock: MockClock) -> None:
    desk = Desk()
    await submitted(desk.queue, *(lines(*(person(n) for n in range(1000))) for _ in range(40)))
    await desk.run()
    desk.names.seconds = 4.9
    people = [lines(*(person(n, f"d{1000 * batch + n}.example") for n in range(1000))) for batch in range(40)]
    await submitted(desk.queue, *people, campaign="slow")
    await desk.expander.step()
    sizes, began = [], trio.current_time()
    while await desk.expander.step():
        sizes.append((await desk.queue.status(["slow"]))[0].accepted // 1000)
    assert sizes == [20, 30, 35, 37, 38, 39, 40]
    assert trio.current_time() - began <= 6 * CHUNK_S


async def test_a_store_that_takes_no_more_still_sees_expanded_campaigns_off(autojump_clock: MockClock) -> None:
    class Full(Kept):
        full = False

        async def accept(self, announcement: Any, spec: bytes, now: float, *, scheduled: bool = False) -> None:
            if self.full:
                raise BackendError("out of memory")
            await super().accept(announcement, spec, now, scheduled=scheduled)

    queue = Full()
    desk = Desk(queue)
    await submitted(queue, lines(person(0)))
    assert await desk.expander.step(), "accepted"
    assert await desk.expander.step(), "expanded"
    await submitted(queue, lines(person(1)), campaign="summer")
    queue.full = True
    with pytest.raises(BackendError):
        await desk.expander.step()
    assert await queue.open_campaigns() == []


async def test_suppressed_recipients_end_with_the_reason(autojump_clock: MockClock) -> None:
    desk = Desk()
    entries = [
        Suppression(digest=DIGESTS.of("r1@big.example"), reason="complaint", at=clock()),
        Suppression(digest=DIGESTS.of("r2@big.example"), list="offers", reason="unsubscribe", at=clock()),
        Suppression(digest=DIGESTS.of("r3@big.example"), list="news", reason="unsubscribe", at=clock()),
        Suppression(digest=DIGESTS.of("r4@big.example"), reason="manual", at=clock() - 20, expires=clock() - 10),
        Suppression(digest=DIGESTS.of("r5@gone.example"), reason="unknown_user", at=clock()),
    ]
    await desk.queue.suppress(entries)
    people = [person(n, customer=str(n)) for n in range(5)] + [
        person(5, "gone.example"),
        {"to": "R1@BIG.example", "first": "Ann"},
    ]
    await submitted(desk.queue, lines(*people), document=json.dumps({**SPEC, "list": "offers"}).encode())
    await desk.run()
    assert await desk.ready() == {"main/big": 3}
    assert await states(desk.queue) == {State.SUPPRESSED: 4}
    told = {event["ordinal"]: event for event in await desk.events()}
    assert {ordinal: event["why"] for ordinal, event in told.items()} == {
        1: "suppressed: complaint, all lists",
        2: "suppressed: unsubscribe, list offers",
        5: "suppressed: unknown_user, all lists",
        6: "suppressed: complaint, all lists",
    }
    assert (told[2]["type"], told[2]["to"], told[2]["fields"]) == ("suppressed", "r2@big.example", {"customer": "2"})
    assert desk.counts.expanded_ones == {"queued": 3, "suppressed": 4}
    assert desk.counts.taken == desk.counts.expanded_ones.total()


async def test_without_an_answer_about_suppressions_nothing_is_expanded(autojump_clock: MockClock) -> None:
    class Silent(Kept):
        silent = True

        async def suppressed(self, digests: Any, list_name: str, now: float) -> Any:
            if self.silent:
                raise BackendError("no answer")
            return await super().suppressed(digests, list_name, now)

    queue = Silent()
    desk = Desk(queue)
    await submitted(queue, lines(person(0)))
    await desk.expander.step()
    with pytest.raises(BackendError, match="no answer"):
        await desk.expander.step()
    assert await desk.ready() == {}
    queue.silent = False
    await desk.run()
    assert await desk.ready() == {"main/big": 1}


async def test_a_campaign_whose_domain_warms_up_waits_for_a_scheduler(autojump_clock: MockClock) -> None:
    desk = Desk(warming=["shop.example"])
    await submitted(desk.queue, lines(person(1)))
    await desk.run()
    assert set(await desk.queue.schedules()) == {"spring"}
    assert not await desk.queue.lease([LeaseRequest(lane=LANE, route=ROUTE, owner="o", envelopes=1)], clock())


async def scores_leased(desk: Desk, choice: Choice) -> list[str]:
    request = LeaseRequest(lane=LANE, route=ROUTE, owner="o", envelopes=999, choice=choice)
    leases = await desk.queue.lease([request], clock())
    return [envelope.fields.get("engagement", "") for lease in leases for envelope in lease.envelopes]


async def test_packs_are_cut_by_how_engaged_their_recipients_are(autojump_clock: MockClock) -> None:
    """In bands: within one, recipients keep the order in which they were submitted; who has no score counts as 50."""
    desk = Desk()
    scores: list[object] = ["10", 49, "", 100, 74.5, 75, "0", " 25 ", 50]
    people = [person(n, engagement=score) for n, score in enumerate(scores)]
    await submitted(desk.queue, lines(*people, person(9)))
    await desk.run()
    assert await scores_leased(desk, Choice.ENGAGED) == ["100", "75", "", "74.5", "50", "", "49", " 25 ", "10", "0"]


async def test_a_score_that_is_none_ends_its_recipient_with_the_reason(autojump_clock: MockClock) -> None:
    desk = Desk()
    bad: list[object] = ["high", "101", "-1", "1e1", "nan", "٣", "50%", True, "5,5"]
    await submitted(desk.queue, lines(person(0, engagement=7), *(person(1 + n, engagement=one) for n, one in enumerate(bad))))
    await desk.run()
    assert await states(desk.queue) == {State.INVALID: len(bad)}
    whys = [event["why"] for event in await desk.events()]
    assert whys[0] == "engagement: 'high' is no score: write a number from 0 to 100, or nothing"
    assert all(why.startswith("engagement: ") for why in whys)
    assert desk.counts.expanded_ones == {"queued": 1, "invalid": len(bad)}
    assert desk.counts.taken == desk.counts.expanded_ones.total()


@pytest.mark.parametrize(("spill", "hours"), [("now", 0), ("6h", 6), ("wait", 10_000)])
async def test_a_campaign_says_for_how_long_it_waits_for_sources_that_warm_up(
    autojump_clock: MockClock, spill: str, hours: int
) -> None:
    desk = Desk()
    await submitted(desk.queue, lines(person(0)), document=json.dumps(SPEC | {"spill": spill}).encode())
    await desk.run()
    request = LeaseRequest(lane=LANE, route=ROUTE, owner="o", envelopes=9, choice=Choice.REST)
    due = clock() + 3600 * hours
    assert (await desk.queue.lease([request], due - 1) == []) == bool(hours)
    assert bool(await desk.queue.lease([request], due)) == (0 < hours < 10_000)


async def test_it_waits_from_its_start_on(autojump_clock: MockClock) -> None:
    desk = Desk()
    start = datetime.fromtimestamp(clock() + 86_400, UTC)
    spec = SPEC | {"spill": "6h", "start": start.isoformat()}
    await submitted(desk.queue, lines(person(0)), document=json.dumps(spec).encode())
    await desk.run()
    await desk.queue.hold([Hold(campaign="spring", start=0.0, end=0.0)])
    request = LeaseRequest(lane=LANE, route=ROUTE, owner="o", envelopes=9, choice=Choice.REST)
    due = start.timestamp() + 6 * 3600
    assert await desk.queue.lease([request], due - 1) == []
    assert await desk.queue.lease([request], due) != []


async def test_what_was_queued_is_told_once_for_many_with_how_many_they_are() -> None:
    desk = Desk()
    await submitted(desk.queue, lines(person(0), person(1), {"to": "nobody"}), lines(person(2)), lines({"to": "nobody"}))
    await desk.run()
    told = [event for event in await desk.all_events() if event["type"] == "queued"]
    assert sum(event["count"] for event in told) == 3
    assert {(event["campaign"], "to" in event) for event in told} == {("spring", False)}
    assert len({event["id"] for event in told}) == len(told) <= 2
