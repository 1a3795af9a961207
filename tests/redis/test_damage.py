"""A damaged append-only file: its end is given up and can be told, its middle is never skipped in silence."""

from pathlib import Path

import pytest

from sender.errors import BackendError
from sender.queue import open_queue
from tests.redis.servers import one_server
from tests.redis.submitting import CAMPAIGN, batch, missing, stored
from workers.embedded import embedded_valkey

pytestmark = pytest.mark.integration


@pytest.mark.row("F20")
async def test_a_torn_end_loses_the_last_write_and_a_repeat_brings_it_back(tmp_path: Path) -> None:
    async with one_server(tmp_path / "server") as server:
        queue = await open_queue(server.url)
        for number in range(5):
            await queue.add_rows(CAMPAIGN, [batch(number)])
        server.kill()
        await server.stop()
        with server.aof.open("r+b") as file:
            file.truncate(server.aof.stat().st_size - 7)
        await server.start()
        assert await missing(queue, range(5)) == [4]
        assert await stored(server.url) == list(range(5))
        await queue.aclose()


@pytest.mark.row("F20")
async def test_a_damaged_middle_keeps_the_store_from_starting_and_the_message_names_the_tool(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url:
        queue = await open_queue(url)
        for number in range(5):
            await queue.add_rows(CAMPAIGN, [batch(number)])
        await queue.aclose()
    (log,) = (tmp_path / "data").glob("appendonlydir/*.incr.aof")
    octets = log.read_bytes()
    middle = octets.index(b"\n*", len(octets) // 2) + 1
    log.write_bytes(octets[:middle] + b"X" + octets[middle + 1 :])
    with pytest.raises(BackendError, match=r"Bad file format reading the append only file.*check-aof --fix"):
        async with embedded_valkey(tmp_path):
            pass
    assert log.read_bytes()[middle : middle + 1] == b"X", "nothing was thrown away"
