"""Specifications: what is wrong is all said at once, and what is right survives the wire."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sender.content.campaign_file import load
from sender.content.spec import CampaignSpec, TemplateMode, check_campaign_id, dump, parse
from sender.content.times import Day
from sender.errors import ConfigErrors, ContentError
from sender.schema import Seconds, Spill
from tests.content.messages import document

WRONG_WINDOWS = ["windows[0].from", "windows[1].days[0]", "windows[1].from", "windows[1].to"]


def keys(**changes: Any) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        parse(document(**changes), file="spring.json")
    assert all(error.file == "spring.json" for error in caught.value.errors)
    return [error.key for error in caught.value.errors]


def test_defaults_and_wire_form() -> None:
    spec = parse(document(), file="x")
    assert (spec.pool, spec.priority, spec.template, spec.give_up) == ("main", 5, TemplateMode.AUTO, None)
    assert msgspec.json.decode(dump(spec)) == document() | {"v": 1}
    assert parse(dump(spec), file="x") == spec


def test_everything_survives_the_wire() -> None:
    spec = parse(
        document(
            v=1,
            reply_to="help@shop.example",
            headers={"X-A": "{{ a }}"},
            list_id="news.shop.example",
            list_unsubscribe="https://shop.example/u",
            feedback_id="a:b:c:d",
            pool="bulk",
            priority=0,
            identity="mail.shop.example",
            return_path="b@bounces.example",
            attachments=[{"name": "a.txt", "type": "text/plain", "content_b64": "YQ=="}],
            template="jinja",
            give_up="2d",
            list="news",
            start="2026-03-01T09:00:00+01:00",
            deadline="2026-03-31T12:00:00Z",
            windows=[{"days": ["mon", "sun"], "from": "09:00", "to": "18:00"}, {"from": "22:00", "to": "02:00"}],
            time_zone="Europe/Paris",
            rate="10000/h",
            spill="6h",
        ),
        file="x",
    )
    assert parse(dump(spec), file="x") == spec
    assert spec.scheduled
    assert spec.rate == 10_000 / 3600
    assert spec.spill == Spill(21_600)
    assert spec.windows[1].days == tuple(Day)
    assert spec.give_up == Seconds(172800)
    assert spec.signing_domain == "mail.shop.example"
    assert spec.bounce_address == ("b", "bounces.example")
    assert dump(spec) == dump(parse(dump(spec), file="x"))


@pytest.mark.parametrize(("written", "read"), [("now", 0.0), ("wait", float("inf")), ("90m", 5400.0), (0, 0.0), (7.5, 7.5)])
def test_a_spill_is_kept_as_it_was_meant(written: object, read: float) -> None:
    spec = parse(document(spill=written), file="x")
    assert spec.spill == read
    assert parse(dump(spec), file="x") == spec
    assert (b'"spill"' in dump(spec)) == bool(read), "the default is left out"


def test_a_spill_that_is_none_is_told_what_one_is() -> None:
    with pytest.raises(ConfigErrors, match='\'soon\' is not a spill: write "now", "wait" or a duration like "6h"'):
        parse(document(spill="soon"), file="x")


def test_the_signing_domain_is_the_from_domain_unless_said() -> None:
    changes: dict[str, Any] = {"from": "Zoé <a@Bücher.example>"}
    spec = parse(document(**changes), file="x")
    assert spec.signing_domain == "xn--bcher-kva.example"
    assert spec.bounce_address == ("bounce", "xn--bcher-kva.example")
    assert parse(document(return_path="b.example"), file="x").bounce_address == ("bounce", "b.example")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"subjekt": "x", "priority": 10, "pool": "No Pool", "v": 2}, ["subjekt", "v", "pool", "priority"]),
        ({"from": None}, ["from"]),
        (
            {"from": "nobody", "reply_to": "x", "identity": "x", "return_path": "a b@c.example"},
            ["from", "reply_to", "identity", "return_path"],
        ),
        ({"text": None, "html": None, "subject": None}, ["text", "subject"]),
        ({"subject": "x" * 2001}, ["subject"]),
        ({"text": "x" * 2_000_001}, ["text"]),
        ({"text": "a\0b", "html": "\x1b", "subject": "\x07"}, ["text", "html", "subject"]),
        ({"list_id": "no identifier", "list_unsubscribe": "http://x.example"}, ["list_id", "list_unsubscribe"]),
        ({"raw_b64": "!", "subject": "x", "html": None}, ["subject", "text", "raw_b64"]),
        (
            {"attachments": [{"name": "a"}, {"name": "b", "content_b64": "?", "size": 1}]},
            ["attachments[0].content_b64", "attachments[1].size"],
        ),
        (
            {"attachments": [{"name": "a", "content_b64": "?"}, {"name": "b", "content_b64": "", "type": "x"}]},
            ["attachments[0].content_b64", "attachments[1].type"],
        ),
        ({"attachments": [{"name": "a", "content_b64": "", "inline_id": "i"}] * 2}, ["attachments[1].inline_id"]),
        ({"attachments": [{"name": "a", "content_b64": ""}] * 101}, ["attachments"]),
        ({"attachments": [{"name": "a", "content_b64": "A" * 20_000_000}] * 3}, ["attachments"]),
        ({"give_up": "soon"}, ["give_up"]),
        ({"return_path": '"a b"@shop.example'}, ["return_path"]),
        ({"start": "2026-03-01", "deadline": "2026-03-01T10:00:00"}, ["start", "deadline"]),
        ({"start": "1970-03-01T10:00:00Z", "deadline": "9999-12-31T23:59:59Z"}, ["start", "deadline"]),
        ({"start": "2026-03-02T10:00:00+02:00", "deadline": "2026-03-02T08:00:00Z"}, ["deadline"]),
        ({"windows": [{"from": "9:00", "to": "18:00"}, {"days": ["monday"]}]}, WRONG_WINDOWS),
        (
            {"windows": [{"from": "09:00", "to": "09:00"}, {"from": "24:00", "to": "01:00"}]},
            ["windows[0].to", "windows[1].from"],
        ),
        ({"windows": [{"days": [], "from": "09:00", "to": "10:00"}]}, ["windows[0].days"]),
        ({"windows": [{"from": "09:00", "to": "10:00"}] * 51}, ["windows"]),
        ({"time_zone": "Europe/Paris"}, ["time_zone"]),
        ({"rate": "lots"}, ["rate"]),
        ({"rate": 100}, ["rate"]),
        ({"spill": "soon"}, ["spill"]),
        ({"spill": -1}, ["spill"]),
        ({"headers": {f"X-{n}": "x" for n in range(51)}}, ["headers"]),
        ({"template": "php"}, ["template"]),
        ({"headers": {"From": "x", "X A": "y", "X-Ok": "z"}}, ["headers.From", "headers.X A"]),
    ],
)
def test_every_bad_key_is_named(changes: dict[str, Any], expected: list[str]) -> None:
    assert keys(**changes) == expected


@pytest.mark.parametrize(
    "name", ["", "Europe", "Europe/Pari", "../../etc/passwd", "/etc/localtime", "Europe/Paris\0", "é", "x" * 5000]
)
def test_what_is_no_time_zone(name: str) -> None:
    window = {"from": "09:00", "to": "18:00"}
    assert keys(windows=[window], time_zone=name) == ["time_zone"]


def test_a_time_without_an_offset_is_told_what_it_lacks() -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse(document(start="2026-03-01T09:00:00"), file="x")
    assert "expected a time with its offset, like " in str(caught.value)


def test_campaign_files_write_times_as_toml_does(tmp_path: Path) -> None:
    (tmp_path / "spring.toml").write_text(
        'from = "a@shop.example"\nsubject = "x"\ntext = "x"\nstart = 2026-03-01T09:00:00+01:00\n'
        'windows = [{ days = ["mon"], from = "09:00", to = "24:00" }]\ntime_zone = "Europe/Paris"\nrate = "5/s"\n'
    )
    spec = load(tmp_path / "spring.toml")
    assert spec.start == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert parse(dump(spec), file="x") == spec


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_document(text: bytes) -> None:
    with pytest.raises(ConfigErrors):
        parse(text, file="x")


@pytest.mark.parametrize("campaign", ["a", "spring-2026", "a.b_c-d", "c" * 32])
def test_campaign_ids(campaign: str) -> None:
    check_campaign_id(campaign)


@pytest.mark.parametrize("campaign", ["", "A", "a:b", "a..b", "-a", "a-", "c" * 33, "é", "a b", "a{b}"])
def test_ids_that_can_not_travel_in_an_address(campaign: str) -> None:
    with pytest.raises(ContentError):
        check_campaign_id(campaign)


def test_campaign_files(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/body.html").write_text("<p>é</p>", encoding="utf-8")
    (tmp_path / "parts/logo.png").write_bytes(b"\x89PNG")
    (tmp_path / "spring.toml").write_text(
        'from = "a@shop.example"\nsubject = "x"\nhtml_file = "parts/body.html"\n'
        '[[attachments]]\nfile = "parts/logo.png"\ninline_id = "logo"\n'
    )
    spec = load(tmp_path / "spring.toml")
    assert isinstance(spec, CampaignSpec)
    assert spec.html == "<p>é</p>"
    (item,) = spec.attachments
    assert (item.name, item.type, item.content) == ("logo.png", "image/png", b"\x89PNG")


def test_raw_campaign_files(tmp_path: Path) -> None:
    (tmp_path / "order.eml").write_bytes(b"From: a@shop.example\n\nx\n")
    (tmp_path / "order.toml").write_text('from = "a@shop.example"\nraw_file = "order.eml"\n')
    assert base64.b64decode(load(tmp_path / "order.toml").raw_b64) == b"From: a@shop.example\n\nx\n"


def test_campaign_files_name_all_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"\xe9")
    (tmp_path / "bad.toml").write_text(
        'from = "a"\nsubject = "x"\ntext_file = "latin.txt"\nhtml = "x"\nhtml_file = "gone.html"\n[[attachments]]\nfile = 7\n'
    )
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path / "bad.toml")
    assert [error.key for error in caught.value.errors][:4] == ["text_file", "html_file", "html_file", "attachments[0].file"]
    assert "from" in [error.key for error in caught.value.errors]
    (tmp_path / "worse.toml").write_text("from = ")
    for name in ("worse.toml", "absent.toml"):
        with pytest.raises(ConfigErrors):
            load(tmp_path / name)
