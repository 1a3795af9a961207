"""The TTL cache, on the virtual clock."""

import pytest
import trio
import trio.testing

from sender.net.cache import FetchFailed, Fresh, TtlCache


class Server:
    """Counts what it is asked, and fails on request."""

    def __init__(self, *, ttl_s: float = 60.0, takes_s: float = 0.0) -> None:
        self.ttl_s, self.takes_s = ttl_s, takes_s
        self.asked = 0
        self.last: list[str | None] = []
        self.down = False

    async def fetch(self, last: str | None) -> Fresh[str]:
        self.asked += 1
        self.last.append(last)
        await trio.sleep(self.takes_s)
        if self.down:
            raise FetchFailed("the server is down")
        return Fresh(value=f"answer {self.asked}", ttl_s=self.ttl_s)


def cache(size: int = 10) -> TtlCache[str]:
    return TtlCache(size=size, stale_s=3600, failure_s=30)


async def test_an_answer_holds_for_its_ttl(autojump_clock: trio.testing.MockClock) -> None:
    server, known = Server(), cache()
    assert await known.get("a", server.fetch) == "answer 1"
    await trio.sleep(59)
    assert await known.get("a", server.fetch) == "answer 1"
    await trio.sleep(1)
    assert known.get_nowait("a") is None
    assert await known.get("a", server.fetch) == "answer 2"
    assert server.last == [None, "answer 1"]


async def test_a_thousand_tasks_make_one_fetch(autojump_clock: trio.testing.MockClock) -> None:
    server, known = Server(takes_s=1), cache()
    answers: list[str] = []

    async def ask() -> None:
        answers.append(await known.get("a", server.fetch))

    async with trio.open_nursery() as nursery:
        for _ in range(1000):
            nursery.start_soon(ask)
    assert answers == ["answer 1"] * 1000
    assert server.asked == 1


async def test_an_answer_without_ttl_serves_all_that_waited(autojump_clock: trio.testing.MockClock) -> None:
    server, known = Server(ttl_s=0, takes_s=1), cache()
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(known.get, "a", server.fetch)
    assert server.asked == 1


async def test_when_the_fetching_task_is_cancelled_another_takes_over(autojump_clock: trio.testing.MockClock) -> None:
    server, known = Server(takes_s=10), cache()
    answers: list[str] = []

    async def ask() -> None:
        answers.append(await known.get("a", server.fetch))

    async def give_up() -> None:
        with trio.move_on_after(1):
            await known.get("a", server.fetch)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_up)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask)
        nursery.start_soon(ask)
    assert answers == ["answer 2"] * 2
    assert server.asked == 2


async def test_a_failure_is_shared_and_remembered_for_a_while(autojump_clock: trio.testing.MockClock) -> None:
    server, known = Server(takes_s=1), cache()
    server.down = True
    failures: list[str] = []

    async def ask() -> None:
        try:
            await known.get("a", server.fetch)
        except FetchFailed as error:
            failures.append(str(error))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    await ask()
    assert (len(failures), server.asked) == (6, 1)
    await trio.sleep(30)
    server.down = False
    assert await known.get("a", server.fetch) == "answer 2"


async def test_an_expired_answer_serves_while_the_server_is_down_and_no_longer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    server, known = Server(ttl_s=60), cache()
    await known.get("a", server.fetch)
    server.down = True
    await trio.sleep(61)
    assert await known.get("a", server.fetch) == "answer 1"
    assert await known.get("a", server.fetch) == "answer 1"
    assert server.asked == 2  # the second stale answer was given without asking
    await trio.sleep(3600)
    with pytest.raises(FetchFailed, match="down"):
        await known.get("a", server.fetch)
    assert known.statistics().stale == 2


async def test_the_least_recently_used_goes_first() -> None:
    server, known = Server(), cache(size=2)
    for key in ("a", "b", "a", "c"):
        await known.get(key, server.fetch)
    assert known.get_nowait("a") is not None
    assert known.get_nowait("b") is None
    assert known.statistics().entries == 2
    assert repr(known) == "<TtlCache 2 of 2, 0 in flight>"


async def test_each_lookup_is_counted(autojump_clock: trio.testing.MockClock) -> None:
    counted: list[str] = []
    server = Server()
    known: TtlCache[str] = TtlCache(size=2, stale_s=60, failure_s=1, count=counted.append)
    await known.get("a", server.fetch)
    await known.get("a", server.fetch)
    server.down = True
    await trio.sleep(61)
    await known.get("a", server.fetch)
    assert counted == ["miss", "hit", "miss", "stale"]
