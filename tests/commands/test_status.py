"""`penstock status`: numbers that add up, for people and for scripts."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from sender.model import State
from sender.queue.base import CampaignStatus
from workers.cli import main
from workers.commands.status import _summary, as_document, by_receiver, overview
from workers.places import REDIS_URL

STATUS = CampaignStatus(
    campaign="spring",
    accepted=1_010,
    waiting_batches=2,
    complete=False,
    final={
        ("google", State.DELIVERED): 900,
        ("google", State.REJECTED): 50,
        ("~a.example", State.DELIVERED): 20,
        ("-", State.INVALID): 30,
    },
    deferrals={"google": 7, "orange": 3},
)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose queue is an empty one of its own."""
    monkeypatch.setenv(REDIS_URL, "memory:")
    (tmp_path / "penstock.toml").write_text("")
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    return tmp_path


def test_the_document_holds_totals_and_the_same_by_receiver() -> None:
    assert as_document(STATUS) == {
        "campaign": "spring",
        "accepted": 1_010,
        "queued": 10,
        "waiting_batches": 2,
        "complete": False,
        "parked": 0,
        "states": {
            "delivered": 920,
            "rejected": 50,
            "expired": 0,
            "suppressed": 0,
            "invalid": 30,
            "cancelled": 0,
            "unknown": 0,
        },
        "receivers": {
            "-": {"invalid": 30},
            "google": {"delivered": 900, "rejected": 50, "deferrals": 7},
            "orange": {"deferrals": 3},
            "~a.example": {"delivered": 20},
        },
    }


def test_every_recipient_is_in_the_document_once() -> None:
    document = as_document(STATUS)
    assert sum(document["states"].values()) + document["queued"] == document["accepted"]


def test_a_row_a_receiver_and_a_column_a_state_that_occurs() -> None:
    table = by_receiver(STATUS)
    assert [column.header for column in table.columns] == ["receiver", "delivered", "rejected", "invalid", "deferrals"]
    receivers, delivered, *_ = (list(column.cells) for column in table.columns)
    assert receivers == ["google", "orange", "~a.example", "-"]
    assert delivered == ["900", "0", "20", "0"]


def test_of_very_many_receivers_the_largest_have_a_row_and_the_rest_one_together() -> None:
    final = {(f"~r{number:03}.example", State.DELIVERED): number for number in range(1, 101)}
    table = by_receiver(
        CampaignStatus(campaign="spring", accepted=5_050, waiting_batches=0, complete=True, final=final, deferrals={})
    )
    receivers, delivered, deferrals = (list(column.cells) for column in table.columns)
    assert receivers == [*(f"~r{number:03}.example" for number in range(61, 101)), "60 others"]
    assert sum(int(str(cell).replace(",", "")) for cell in delivered) == 5_050
    assert deferrals[-1] == "0"


def test_the_overview_has_a_row_a_campaign() -> None:
    (campaign, recipients, queued, delivered, rejected, other, batches) = [list(c.cells) for c in overview([STATUS]).columns]
    assert (campaign, recipients, queued, delivered, rejected, other, batches) == (
        ["spring"],
        ["1,010"],
        ["10"],
        ["920"],
        ["50"],
        ["30"],
        ["2"],
    )


def test_the_overview_of_large_campaigns_fits_80_columns() -> None:
    status = replace(STATUS, campaign="spring-2026-newsletter-fr", accepted=12_345_678)
    console = Console(file=io.StringIO(), width=80)
    console.print(overview([status]))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "…" not in text
    assert "recipients" in text
    assert "12,345,678" in text


def test_an_unknown_campaign_is_an_error_in_words(config: Path) -> None:
    result = CliRunner().invoke(main, ["status", "spring", "--config", str(config)])
    assert result.exit_code == 1
    assert "campaign spring: the queue knows none of that id" in result.output


def test_an_empty_queue_is_an_empty_list(config: Path) -> None:
    result = CliRunner().invoke(main, ["status", "--json", "--config", str(config)])
    assert (result.exit_code, json.loads(result.output)) == (0, [])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "valkey.sock: can't be reached: No such file or directory; is `penstock run` running?"),
        ("redis://127.0.0.1:1/0", "127.0.0.1:1: can't be reached: Connection refused"),
    ],
)
def test_a_store_that_is_away_is_told_in_the_system_s_words(tmp_path: Path, url: str, why: str) -> None:
    (tmp_path / "penstock.toml").write_text(f'[redis]\nurl = "{url}"\n[fleet]\nstate_dir = "state"\n')
    result = CliRunner().invoke(main, ["status", "--config", str(tmp_path)])
    assert result.exit_code == 75
    assert result.output.splitlines()[-1].endswith(why)


def test_what_is_in_doubt_is_told_with_the_command_that_shows_it() -> None:
    assert _summary(replace(STATUS, parked=1_234)).endswith("\n1,234 in doubt: `penstock doubts list spring`")
