"""The inbox as other programs write it, with nothing but Redis commands: what WIRE.md promises."""

import json
import zlib
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sender.queue import open_queue
from sender.queue.base import Queue
from sender.queue.client import Client
from tests.queue.feeding import ROUTE, chunk_of, envelopes

pytestmark = pytest.mark.integration

CAMPAIGNS = "penstock:{inbox}:campaigns"
ROWS = "penstock:{spring}:rows"


@pytest.fixture
async def queue(client: Client, valkey_url: str) -> AsyncIterator[Queue]:
    queue = await open_queue(valkey_url)
    yield queue
    await queue.aclose()


async def write(client: Client, stream: str, *fields: str | bytes | int) -> str:
    (entry,) = await client.run([("XADD", stream, "*", *fields)])
    return str(entry.decode())


async def dead(client: Client) -> list[dict[str, bytes]]:
    (entries,) = await client.run([("XRANGE", "penstock:{inbox}:dead", "-", "+")])
    return [{name.decode(): value for name, value in zip(fields[::2], fields[1::2], strict=True)} for _, fields in entries]


async def accepted(queue: Queue, client: Client) -> None:
    await write(client, CAMPAIGNS, "v", 1, "id", "spring", "spec", "{}")
    (announcement,) = await queue.announcements(10)
    await queue.accept(announcement, b"{}", 1.0)


async def test_a_campaign_and_its_recipients_from_another_program(client: Client, queue: Queue) -> None:
    await accepted(queue, client)
    await write(client, ROWS, "v", 1, "batch", 0, "rows", '{"to":"ann@example.org"}\n{"to":"bob@example.org"}')
    await write(client, ROWS, "v", 1, "batch", 1, "rows_z", zlib.compress(b'{"to":"cid@example.org"}'))
    await write(client, ROWS, "v", 1, "end", 2)
    inflow = await queue.rows("spring", 10)
    assert [(batch.number, batch.rows.count(b"to")) for batch in inflow.batches] == [(0, 2), (1, 1)]
    await queue.expand(await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 3))]), 1.0)
    assert (await queue.rows("spring", 10)).exhausted
    (status,) = await queue.status(["spring"])
    assert (status.complete, status.queued, status.waiting_batches) == (True, 3, 0)


async def test_a_batch_sent_twice_is_expanded_once(client: Client, queue: Queue) -> None:
    await accepted(queue, client)
    for _ in range(2):
        await write(client, ROWS, "v", 1, "batch", 0, "rows", '{"to":"ann@example.org"}')
    first = await queue.rows("spring", 10)
    assert [batch.number for batch in first.batches] == [0]
    await queue.expand(await chunk_of(queue, "spring", [(ROUTE, envelopes("spring", 1))]), 1.0)
    second = await queue.rows("spring", 10)
    assert (second.batches, len(second.repeats)) == ((), 1)
    await queue.expand(await chunk_of(queue, "spring", []), 1.0)
    assert await client.run([("XLEN", ROWS)]) == [0]


async def test_a_ready_made_message_is_a_campaign_of_one(client: Client, queue: Queue) -> None:
    raw = b"From: shop@shop.example\r\nSubject: \xff\r\n\r\nbody\0\r\n"
    fields = ("from", "bounce@shop.example", "to", "ann@example.org", "pool", "main", "identity", "shop.example")
    await write(client, CAMPAIGNS, "v", 1, "id", "order-1", *fields, "priority", 0, "raw", raw)
    (announcement,) = await queue.announcements(10)
    spec = json.loads(announcement.spec)
    assert b64decode(spec.pop("raw_b64")) == raw
    assert spec == {
        "v": 1,
        "from": "bounce@shop.example",
        "return_path": "bounce@shop.example",
        "pool": "main",
        "identity": "shop.example",
        "priority": 0,
    }
    await queue.accept(announcement, announcement.spec, 1.0)
    inflow = await queue.rows("order-1", 10)
    assert [json.loads(batch.rows) for batch in inflow.batches] == [{"to": "ann@example.org"}]
    await queue.expand(await chunk_of(queue, "order-1", [(ROUTE, envelopes("order-1", 1))]), 1.0)
    assert (await queue.rows("order-1", 10)).exhausted


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (("hello", "world"), "id: missing; found b'hello'"),
        (("v", 1, "id", "a b", "spec", "{}"), "'a b' is no campaign id"),
        (("v", 1, "id", b"\xff", "spec", "{}"), "id: not UTF-8"),
        (("v", 1, "id", "x}:spec", "spec", "{}"), "is no campaign id"),
        (("v", 2, "id", "spring", "spec", "{}"), "format version b'2'"),
        (("v", 1, "id", "spring"), "spec: missing"),
        (("v", 1, "id", "spring", "raw", "x"), "from: missing"),
        (("v", 1, "id", "spring", "raw", "x", "from", "a@b", "to", "c@d", "priority", "high"), "priority: b'high'"),
    ],
)
@pytest.mark.row("S30")
async def test_a_malformed_campaign_goes_to_the_dead_letters_and_stops_nothing(
    client: Client, queue: Queue, fields: tuple[str | bytes | int, ...], why: str
) -> None:
    entry = await write(client, CAMPAIGNS, *fields)
    await write(client, CAMPAIGNS, "v", 1, "id", "good", "spec", "{}")
    assert [found.campaign for found in await queue.announcements(10)] == ["good"]
    (letter,) = await dead(client)
    assert why in letter["why"].decode()
    assert letter["entry"].decode() == f"campaigns/{entry}"
    assert (await queue.depth(1.0)).refused == 1
    assert len(await queue.announcements(10)) == 1
    assert (await queue.depth(1.0)).refused == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (("hello", "world"), "v: missing"),
        (("v", 1, "rows", "{}"), "batch: missing"),
        (("v", 1, "batch", -1, "rows", "{}"), "batch: b'-1'"),
        (("v", 1, "batch", "1e3", "rows", "{}"), "batch: b'1e3'"),
        (("v", 1, "batch", 4_000_000_000, "rows", "{}"), "batch: b'4000000000'"),
        (("v", 1, "batch", 0), "rows: missing"),
        (("v", 1, "batch", 0, "rows", "{}\n" * 1001), "1001 lines"),
        (("v", 1, "batch", 0, "rows_z", "plain text"), "rows_z: Error"),
        (("v", 1, "batch", 0, "rows_z", zlib.compress(b"{}")[:-2]), "cut short"),
        (("v", 1, "batch", 0, "rows_z", zlib.compress(b"\0" * 50_000_000)), "more than 4194304 octets"),
        (("v", 1, "end", "soon"), "end: b'soon'"),
        (("v", 1, "batch", 9, "rows", "{}"), "batch 9 of a campaign that ends after 2"),
    ],
)
@pytest.mark.row("S30")
async def test_malformed_rows_are_named_and_stop_nothing(
    client: Client, queue: Queue, fields: tuple[str | bytes | int, ...], why: str
) -> None:
    await accepted(queue, client)
    await write(client, ROWS, *fields)
    await write(client, ROWS, "v", 1, "batch", 1, "rows", "{}")
    await write(client, ROWS, "v", 1, "end", 2)
    inflow = await queue.rows("spring", 10)
    assert [batch.number for batch in inflow.batches] == [1]
    (refusal,) = inflow.malformed
    assert why in refusal.why
    assert len(refusal.payload) <= 16 * 1024
    await queue.refuse(inflow.malformed, 1.0)
    await queue.refuse(inflow.malformed, 2.0)
    (letter,) = await dead(client)
    assert (letter["campaign"], letter["why"].decode()) == (b"spring", refusal.why)
    assert (await queue.rows("spring", 10)).malformed == ()


@pytest.mark.row("S30")
async def test_entries_too_large_to_read_are_refused_one_at_a_time_and_never_handed_over(
    client: Client, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is copied inside the server to be measured: a hundred at once would keep it busy for half a minute."""
    monkeypatch.setattr("sender.queue.redis_inbox._ENTRY_MAX", 5_000)
    monkeypatch.setattr("sender.queue.redis_inbox._READ_TOTAL", 5_000)
    for number in range(2):
        await write(client, CAMPAIGNS, "v", 1, "id", f"large-{number}", "spec", b"x" * 9_000)
    await write(client, CAMPAIGNS, "v", 1, "id", "spring", "spec", "{}")
    for refused in (1, 2):
        assert await queue.announcements(10) == []
        assert len(letters := await dead(client)) == refused
        assert b"octets; allowed are 5000" in letters[-1]["why"]
    assert [announcement.campaign for announcement in await queue.announcements(10)] == ["spring"]


async def test_a_malformed_batch_may_be_sent_again_corrected(client: Client, queue: Queue) -> None:
    await accepted(queue, client)
    await write(client, ROWS, "v", 1, "batch", 0, "rows_z", "broken")
    await write(client, ROWS, "v", 1, "batch", 0, "rows", '{"to":"ann@example.org"}')
    inflow = await queue.rows("spring", 10)
    assert ([batch.number for batch in inflow.batches], len(inflow.malformed)) == ([0], 1)


async def test_events_are_lines_of_json_that_any_program_can_read(client: Client, queue: Queue) -> None:
    await accepted(queue, client)
    events = (b'{"n":1}', b'{"n":2}')
    await queue.expand(await chunk_of(queue, "spring", [], events=events), 1.0)
    streams: list[Any] = await client.run([("XRANGE", f"penstock:{{p{n:02}}}:events", "-", "+") for n in range(16)])
    (fields,) = [fields for entries in streams for _, fields in entries]
    assert fields == [b"v", b"1", b"lines", b'{"n":1}\n{"n":2}']
