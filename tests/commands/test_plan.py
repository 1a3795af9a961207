"""`penstock plan`: from files to a forecast, with a store and without one, and nothing written anywhere."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sender.errors import ConfigError
from sender.policy.forecast import Bind
from sender.policy.suppression import Digests
from sender.queue.memory import MemoryQueue
from sender.queue.suppressions import GLOBAL, Suppression
from sender.settings import Settings, load
from workers.cli import main
from workers.commands.plan import Options, plan
from workers.commands.submit import check
from workers.places import suppression_file
from workers.planning.report import Report

NOW = 1_799_625_600.0  # a Monday, 00:00 UTC
CAMPAIGN = 'from = "Shop <news@shop.example>"\nsubject = "Hello {{ city }}"\ntext = "Spring."\n'
CONFIG = '[[identity]]\ndomain = "shop.example"\nsigned = false\n'
SOURCES = """
[[source]]
name = "old"
ehlo = "old.shop.example"

[[source]]
name = "new"
ehlo = "new.shop.example"
warmup = "cautious"
"""
LIST = "email,city\n" + "".join(f"r{number}@free.fr,Lyon\n" for number in range(3_000)) + "nobody,Lyon\n"
KEY = "ab" * 32


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    config = tmp_path / "conf"
    config.mkdir()
    (config / "penstock.toml").write_text(
        f'{CONFIG}\n[fleet]\nstate_dir = "{tmp_path}/state"\n[redis]\nurl = "unix://{tmp_path}/none"\n'
    )
    (config / "sources.toml").write_text(SOURCES)
    (tmp_path / "spring.toml").write_text(CAMPAIGN)
    (tmp_path / "people.csv").write_text(LIST)
    return load(config)


async def planned(tmp_path: Path, settings: Settings, queue: MemoryQueue | None = None, text: str = LIST) -> Report:
    submission = check(tmp_path / "spring.toml", io.BytesIO(text.encode()), "spring", settings)
    return await plan(settings, submission, queue, Options(offline=True), NOW)


def run(tmp_path: Path, *options: str) -> Result:
    files = [str(tmp_path / "spring.toml"), str(tmp_path / "people.csv")]
    return CliRunner().invoke(main, ["plan", *files, "--config", str(tmp_path / "conf"), "--offline", *options])


async def test_a_list_becomes_a_forecast(tmp_path: Path, settings: Settings) -> None:
    report = await planned(tmp_path, settings)
    (free,) = report.forecast.routes
    assert (free.receiver, free.envelopes, free.binding) == ("free", 3_000, Bind.CONNECTIONS)
    assert report.census.invalid == {"address": 1}
    assert report.sources == ["old", "new"]


async def test_one_more_source_begins_the_plan_that_the_pool_s_new_ones_have(tmp_path: Path, settings: Settings) -> None:
    report = await planned(tmp_path, settings)
    assert [variant.plan for variant in report.one_more] == ["", "cautious"]
    warm, _ = report.one_more
    assert warm.earlier_s(report.forecast) > 60


async def test_who_is_suppressed_is_left_out_where_there_is_a_store(tmp_path: Path, settings: Settings) -> None:
    file = suppression_file(settings)
    file.parent.mkdir(parents=True)
    file.write_text(KEY)
    file.chmod(0o600)
    queue, digests = MemoryQueue(), Digests.parse(KEY, file="")
    await queue.suppress([Suppression(digest=digests.of("r7@free.fr"), list=GLOBAL, reason="asked", at=NOW)])
    report = await planned(tmp_path, settings, queue)
    assert (report.census.suppressed, report.census.mailable) == (1, 2_999)
    assert await queue.campaigns() == []


async def test_a_list_of_nobody_is_an_error(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ConfigError, match="no recipients in it: there is nothing to foresee"):
        await planned(tmp_path, settings, text="email,city\n")


def test_without_a_store_it_tells_from_settings_alone_and_says_so(tmp_path: Path, settings: Settings) -> None:
    result = run(tmp_path)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("spring: 3,000 recipients, 2 sources of pool main\n")
    assert "no store could be asked" in result.output
    assert max(map(len, result.output.splitlines())) <= 100


def test_as_json_and_as_a_picture(tmp_path: Path, settings: Settings) -> None:
    picture = tmp_path / "spring.svg"
    result = run(tmp_path, "--json", "--chart", str(picture), "--latency", "1s", "--delivered", "90")
    document: dict[str, Any] = json.loads(result.output)
    assert document["recipients"]["mailable"] == 3_000
    assert document["assumed"]["latency_s"] == 1.0
    assert document["assumed"]["delivered"] == {"free": 0.9}
    assert "can't be reached" in document["assumed"]["without_store"]
    assert picture.read_text().startswith("<svg ")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--chart", "spring.png"), "--chart: 'spring.png': only SVG is drawn; the file's name must end in .svg"),
        (("--latency", "soon"), "--latency: 'soon' is not a duration"),
        (("--latency", "0s"), "--latency: '0s': expected something from 1ms to 10m"),
    ],
)
def test_what_can_t_be_is_refused_before_anything_is_read(
    tmp_path: Path, settings: Settings, options: tuple[str, str], why: str
) -> None:
    result = run(tmp_path, *options)
    assert result.exit_code == 1
    assert why in result.output


def test_a_picture_that_can_t_be_written_is_named_and_the_answer_told(tmp_path: Path, settings: Settings) -> None:
    """What was asked may have taken minutes."""
    picture = tmp_path / "nowhere" / "spring.svg"
    result = run(tmp_path, "--chart", str(picture))
    assert result.exit_code == 1
    assert result.output.startswith("spring: 3,000 recipients")
    assert f"Error: --chart: '{picture}' can't be written: No such file or directory" in result.output


def test_what_submit_would_refuse_is_refused(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "people.csv").write_text("email,name\nann@free.fr,Ann\n")
    result = run(tmp_path)
    assert "city: no such column in the recipients" in result.output
