"""What anybody who can reach the store may write into it: never run, never trusted, never in the way of what is good."""

import json
import pickle
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from sender.assembly import expander
from sender.errors import ConfigErrors
from sender.model import Envelope, State
from sender.outbox import open_outbox
from sender.policy.suppression import Digests
from sender.queue import open_queue
from sender.queue.base import Queue
from sender.queue.client import Client
from sender.queue.pack import HEADER, MAX_BODY
from tests.queue.feeding import QUEUED_AT, ROUTE, filled, flat, leased, settlement
from tests.rows.town import DOMAIN, PATIENCE_S, SPEC, Town, by_state, town
from workers.embedded import embedded_valkey

CAMPAIGNS = "penstock:{inbox}:campaigns"
LUA = b"return redis.call('FLUSHALL')"
DEEP = b"[" * 200_000


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@asynccontextmanager
async def store(directory: Path) -> AsyncIterator[tuple[Client, Queue]]:
    async with embedded_valkey(directory) as url:
        client, queue = Client(url), await open_queue(url)
        try:
            yield client, queue
        finally:
            await queue.aclose()
            await client.aclose()


async def expand(here: Town, queue: Queue) -> None:
    """Until nothing is left in the inbox."""
    machine = expander(here.settings, queue, Digests(bytes(32)), here.around)
    with trio.fail_after(PATIENCE_S):
        while await machine.step():
            pass


@pytest.mark.integration
@pytest.mark.row("S30")
async def test_pickle_lua_and_floods_in_the_inbox_are_dead_letters_and_the_good_campaign_goes_on(tmp_path: Path) -> None:
    trap = tmp_path / "trapped"
    evil = [
        pickle.dumps(Trap(trap)),
        LUA,
        DEEP,
        b'{"from":"news@shop.example","subject":"{{ \'\'.__class__ }}","text":"x"}',
        b'{"from":"news@shop.example","subject":"x","text":"{% for i in range(10**9) %}x{% endfor %}"}',
        b'{"v":1e999}',
        b"\xff\xfe",
        b"x" * 70_000_000,
    ]
    async with town(tmp_path) as here, store(tmp_path / "store") as (client, queue):
        for number, spec in enumerate(evil):
            await client.run([("XADD", CAMPAIGNS, "*", "v", "1", "id", f"evil{number}", "spec", spec)])
        await client.run([("XADD", CAMPAIGNS, "*", "v", "1", "id", "good", "spec", json.dumps(SPEC))])
        rows = [*evil[:3], b"\n".join([DEEP] * 3), zlib.compress(b"x" * 100_000_000), b'{"to":"ann@reader.example"}\n']
        for number, octets in enumerate(rows):
            name = "rows_z" if octets[:1] == b"\x78" else "rows"
            await client.run([("XADD", "penstock:{good}:rows", "*", "v", "1", "batch", str(number), name, octets)])
        await expand(here, queue)  # up to the entry too large to be read, which goes by itself
        await expand(here, queue)
        assert await queue.campaigns() == ["good"]
        (status,) = await queue.status(["good"])
        assert (status.accepted, status.queued) == (1, 1)
        assert (await queue.depth(QUEUED_AT)).refused == len(evil) + len(rows) - 1
        assert not trap.exists()
        await client.run([("FLUSHALL",)])


HOSTILE_PACKS = {
    "pickle": pickle.dumps(Trap(Path("/nonexistent/trapped"))),
    "Lua": LUA,
    "a bomb": HEADER.pack(1, 0.0, 0, 5) + zlib.compress(b"\0" * (MAX_BODY + 1)),
    "pickle in a pack": HEADER.pack(1, 0.0, 0, 5) + zlib.compress(pickle.dumps({"to": "x"})),
    "a header alone": HEADER.pack(1, 0.0, 0, 5),
}


@pytest.mark.integration
@pytest.mark.row("S30")
@pytest.mark.parametrize("kind", HOSTILE_PACKS)
async def test_a_hostile_pack_on_a_route_is_parked_and_those_leased_with_it_go_on(kind: str, tmp_path: Path) -> None:
    async with store(tmp_path / "store") as (client, queue):
        some = await filled(queue, 10, pack_size=5)
        ((key,),) = await client.run([("KEYS", f"*packs:spring:{ROUTE}")])
        await client.run([("ZADD", key, QUEUED_AT - 1, HOSTILE_PACKS[kind])])
        taken: list[Envelope] = []
        with trio.fail_after(PATIENCE_S):
            while len(taken) < 10:
                taken += flat(await leased(queue, 20))
        assert sorted(envelope.ordinal for envelope in taken) == [envelope.ordinal for envelope in some]
        assert (await queue.depth(QUEUED_AT)).refused == 1
        (status,) = await queue.status(["spring"])
        assert status.final[ROUTE.receiver, State.UNKNOWN] in (1, 5)


@pytest.mark.integration
@pytest.mark.row("S30")
async def test_hostile_octets_among_the_retries_hold_none_of_them_up(tmp_path: Path) -> None:
    evil = [LUA, b"\0", b"main/google\0", b"main/google\0" + LUA, pickle.dumps(Trap(Path("/nonexistent")))]
    async with store(tmp_path / "store") as (client, queue):
        (envelope,) = await filled(queue, 1)
        (lease,) = await leased(queue, 1)
        await queue.settle([settlement(lease, again=[(0, QUEUED_AT + 60)])], QUEUED_AT)
        ((key,),) = await client.run([("KEYS", "*:later:spring")])
        await client.run([("ZADD", key, QUEUED_AT, octets) for octets in evil])
        await queue.promote(QUEUED_AT + 61, 1_000)
        with trio.fail_after(PATIENCE_S):
            while not (found := flat(await leased(queue, 20))):
                pass
        assert [each.ordinal for each in found] == [envelope.ordinal]
        assert (await queue.depth(QUEUED_AT)).refused == 1


@pytest.mark.row("S21")
@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{% for i in range(10**9) %}x{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{{ v|attr('x') }}",
    ],
)
async def test_a_hostile_template_is_refused_before_anything_is_queued_and_the_next_campaign_goes_on(
    source: str, tmp_path: Path
) -> None:
    async with town(tmp_path) as here:
        with trio.fail_after(PATIENCE_S):
            async with open_outbox(here.settings, here.around) as outbox:
                for key in ("subject", "text", "html"):
                    with pytest.raises(ConfigErrors, match=key):
                        await outbox.send("evil", {**SPEC, key: source}, [{"to": f"ann@{DOMAIN}", "v": "x"}])
                assert await outbox.status("evil") is None
                await outbox.send("good", SPEC, [{"to": f"ann@{DOMAIN}"}])
                assert by_state(await outbox.finished("good")) == {State.DELIVERED: 1}
