"""Dead letters sent again: in their order, with their ids, and gone only once they were taken."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.consumers.hooks import deliverer, poster
from tests.consumers.receiver import OK, Receiver, Reply, Request
from tests.consumers.test_file import give, names, sink
from workers.cli import main
from workers.consumers.replay import replay
from workers.consumers.sink import SinkError

pytestmark = pytest.mark.usefixtures("no_threads")


async def test_files_go_in_order_and_only_once_they_were_taken(tmp_path: Path) -> None:
    dead = sink(tmp_path, rotate=30)
    for number in range(5):
        await give(dead, str(number))
    await dead.aclose()
    lines, answers = list[str](), iter([OK, Reply(status=503)])
    async with Receiver(answer=lambda request: next(answers, OK)).open() as receiver:
        to = deliverer(poster(receiver.url), events=2)
        with pytest.raises(SinkError, match=r"log-000002\.jsonl: it answered 503; 0 of its events were taken"):
            await replay(sink(tmp_path), to, lines.append)
        assert names(tmp_path) == ["log-000002.jsonl", "log-000003.jsonl"], "no file is begun: it would be this user's"
        assert await replay(sink(tmp_path), to, lines.append) == 3
        assert await replay(sink(tmp_path), to, lines.append) == 0
        await to.poster.aclose()
    assert [request.ids for request in receiver.requests] == [["0", "1"], ["2", "3"], ["2", "3"], ["4"]]
    assert names(tmp_path) == []
    assert [line.rpartition("/")[2] for line in lines] == [
        "log-000001.jsonl: 2 events",
        "log-000002.jsonl: 2 events",
        "log-000003.jsonl: 1 events",
    ]


async def test_what_is_being_written_at_this_moment_is_left_alone(tmp_path: Path) -> None:
    dead = sink(tmp_path)
    await give(dead, "a")
    async with Receiver().open() as receiver:
        to = deliverer(poster(receiver.url))
        with pytest.raises(SinkError, match="another process writes it"):
            await replay(sink(tmp_path), to, lambda text: None)
        await to.poster.aclose()
    assert receiver.requests == []
    assert json.loads((tmp_path / "log.jsonl").read_text())["id"] == "a"


async def test_a_file_that_is_gone_meanwhile_is_told(tmp_path: Path) -> None:
    dead = sink(tmp_path, rotate=30)
    for number in range(5):
        await give(dead, str(number))
    await dead.aclose()

    def another_takes_it(request: Request) -> Reply:
        (tmp_path / "log-000002.jsonl").unlink(missing_ok=True)
        return OK

    async with Receiver(answer=another_takes_it).open() as receiver:
        to = deliverer(poster(receiver.url))
        with pytest.raises(SinkError, match=r"log-000002\.jsonl: No such file"):
            await replay(sink(tmp_path), to, lambda text: None)
        await to.poster.aclose()
    assert names(tmp_path) == ["log-000003.jsonl"]


async def test_where_nothing_was_ever_given_up_there_is_nothing_to_do(tmp_path: Path) -> None:
    to = deliverer(poster("http://127.0.0.1:9/"))
    assert await replay(sink(tmp_path / "never"), to, lambda text: None) == 0


def test_only_webhooks_of_the_configuration_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    result = CliRunner().invoke(main, ["events", "replay", "hooks", "--config", str(tmp_path)])
    assert result.exit_code == 1
    assert "no webhook of the configuration is called so; there is none" in result.output
