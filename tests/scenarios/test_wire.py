"""A campaign from `redis-cli` alone: what WIRE.md promises to any program that can reach the Redis."""

import json
from typing import Any

import pytest

from sender.model import State
from tests.scenarios.stage import Stage, eventually, stage

pytestmark = pytest.mark.integration

INBOX = "penstock:{inbox}:campaigns"
SPEC = {"from": "Shop <news@shop.example>", "subject": "Hello {{ first }}", "text": "Dear {{ first }}."}
RAW = b"From: Shop <shop@shop.example>\r\nTo: ann@gmail.com\r\nSubject: Your order\r\n\r\nIt is on its way.\r\n"


async def events(play: Stage) -> list[dict[str, Any]]:
    _, lines = await play.queue.events("", 1000)
    return [json.loads(line) for line in lines]


async def test_a_campaign_from_redis_cli_alone_is_delivered() -> None:
    async with stage() as play, play.fleet():
        await play.redis_cli("XADD", INBOX, "*", "hello", "world")
        await play.redis_cli("XADD", INBOX, "*", "v", "1", "id", "bad", "spec", '{"from": "nobody", "colour": "red"}')
        await play.redis_cli("XADD", "penstock:{spring}:rows", "*", "v", "1", "batch", "one", "rows", "{}")
        rows = [
            {"to": "ann@gmail.com", "first": "Ann", "customer": "4711", "vip": True},
            {"to": "bob@orange.fr", "first": "Bob", "customer": "4712", "vip": False},
            {"to": "no address", "first": "Cid", "customer": "4713"},
        ]
        lines = "\n".join(json.dumps(row) for row in rows)
        await play.redis_cli("XADD", INBOX, "*", "v", "1", "id", "spring", "spec", json.dumps(SPEC))
        await play.redis_cli("XADD", "penstock:{spring}:rows", "*", "v", "1", "batch", "0", "rows", lines)
        await play.redis_cli("XADD", "penstock:{spring}:rows", "*", "v", "1", "end", "1")
        play.submitted["spring"].update({"ann@gmail.com": 1, "bob@orange.fr": 1, "no address": 1})
        await play.finished("spring")
        assert await play.conserved("spring") == {State.DELIVERED: 2, State.INVALID: 1}
        assert play.copies() == {"ann@gmail.com": 1, "bob@orange.fr": 1}

        told = {event["to"]: event for event in await events(play) if "to" in event}
        assert told["ann@gmail.com"]["type"] == "delivered"
        assert told["ann@gmail.com"]["fields"] == {"customer": "4711", "vip": "true"}
        assert told["bob@orange.fr"]["fields"]["customer"] == "4712"
        assert told["no address"]["type"] == "invalid"
        assert told["no address"]["fields"] == {"customer": "4713"}

        letters = await play.redis_cli("--json", "XRANGE", "penstock:{inbox}:dead", "-", "+")
        assert "id: missing; found b'hello'" in letters
        assert "colour" in letters
        assert "batch: b'one' is no number" in letters


async def test_a_ready_made_message_is_delivered_and_signed() -> None:
    async with stage() as play, play.fleet():
        fields = ("v", "1", "id", "order-4711", "from", "shop@shop.example", "to", "ann@gmail.com", "identity", "shop.example")
        await play.redis_cli("-x", "XADD", INBOX, "*", *fields, "raw", stdin=RAW)
        play.submitted["order-4711"].update(["ann@gmail.com"])
        await play.finished("order-4711")
        assert await play.conserved("order-4711") == {State.DELIVERED: 1}
        assert play.copies() == {"ann@gmail.com": 1}
        total = (await play.emulator.ask("settle"))["total"]
        assert (total["dkim_pass"], total["dkim_fail"], total["dkim_none"]) == (1, 0, 0)


async def test_hostile_entries_stop_nothing() -> None:
    """Whatever somebody writes into the inbox, what comes behind it is delivered and no process falls over it."""
    async with stage() as play, play.fleet():
        bombs = ("[" * 50_000, '{"from": "a@shop.example", "text": "{{ 9**9**9 }}"}', '{"v": 2}', "null", "\\xff")
        for number, spec in enumerate(bombs):
            await play.redis_cli("XADD", INBOX, "*", "v", "1", "id", f"bomb-{number}", "spec", spec)
        await play.redis_cli("XADD", INBOX, "*", "v", "1", "id", "spring", "spec", json.dumps(SPEC))
        for number, rows in enumerate((b"\xff\xfe", b"[" * 50_000, b'{"to": 1e999}', b'{"to":"ann@gmail.com","first":"Ann"}')):
            key = "penstock:{spring}:rows"
            await play.redis_cli("-x", "XADD", key, "*", "v", "1", "batch", str(number), "rows", stdin=rows)

        async def delivered() -> bool:
            return await play.delivered("spring") == 1

        await eventually("Ann's message", delivered)
        assert int(await play.redis_cli("XLEN", "penstock:{inbox}:dead")) == len(bombs) + 3
        assert play.logged("child ended") == []
