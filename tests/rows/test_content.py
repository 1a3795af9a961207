"""Hostile content, from a submission to what a receiver keeps: one message each, as planned, and signed as it arrived."""

import os
import re
import shutil
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from sender.model import State
from tests.content.messages import corpus_json
from tests.content.test_injection import look_alikes
from tests.integration.programs import answers, open_directory, running
from tests.rows.town import DOMAIN, Town, read, town
from workers.emulator.faultmx import Copy
from workers.emulator.faults import Fault, Moment, Say

Campaigns = dict[str, tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]

SINK = "127.77.200.7"
SMTP_SINK = [shutil.which("smtp-sink") or "/usr/sbin/smtp-sink", *(["-u", "nobody"] if os.geteuid() == 0 else [])]
FORGED = "MAIL FROM:<admin@shop.example>\r\nRCPT TO:<boss@reader.example>\r\nDATA\r\nSubject: forged\r\n\r\nx\r\n.\r\n"
PLANNED = ["dkim-signature", "date", "from", "to", "subject", "message-id", "x-note", "mime-version", "content-type"]


def everywhere() -> dict[str, Any]:
    """A campaign with the field `v` wherever a field may stand."""
    return {
        "subject": "{{ v }}",
        "text": "[{{ v }}]\n",
        "html": '<p title="{{ v }}">{{ v }}</p>\n',
        "headers": {"X-Note": "a {{ v }}"},
    }


def shown(value: str) -> str:
    """The rule for values in headers, said once more: control characters are spaces, and there are none at the ends."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", value).strip(" ")


def check(here: Town, copy: Copy, value: str) -> None:
    """What was asked for is what a reader gets, and there is nothing else."""
    assert here.verified(copy)
    found = read(copy)
    assert [name.lower() for name, _ in found.items()] == PLANNED
    assert max(map(len, copy.content.split(b"\r\n"))) <= 998
    assert found["subject"] == shown(value)
    assert found["x-note"] == shown("a " + value)
    assert found["to"].addresses[0].addr_spec == copy.rcpt
    assert found["to"].addresses[0].display_name.replace(" ", "") == "".join(shown(value).split())
    lines = value.replace("\r\n", "\n").replace("\r", "\n")
    plain, html = [item.get_content().replace("\r\n", "\n") for item in found.walk() if not item.is_multipart()]
    assert plain == f"[{lines}]\n"
    assert html.count("<") == 2
    assert unescape(html) == f'<p title="{lines}">{lines}</p>\n'


def smuggling(domain: str) -> Campaigns:
    """Each look-alike in a template, in a merge field where a value may hold it, and in a ready-made message."""
    campaigns: Campaigns = {}
    for number, sequence in enumerate(look_alikes()):
        evil, rows = f"before{sequence}{FORGED}after", [{"to": f"c{number}@{domain}", "v": "Ann"}]
        if "\0" not in sequence:
            rows.append({"to": f"f{number}@{domain}", "v": evil})
        evil = evil.replace("\0", "")
        campaigns[f"composed{number}"] = {"text": evil + "{{ v }}\n", "html": f"<b>{{{{ v }}}}</b>{evil}"}, rows
        campaigns[f"raw{number}"] = ready_made(evil), [{"to": f"r{number}@{domain}"}]
    return campaigns


def ready_made(body: str) -> dict[str, str]:
    message = f"From: news@shop.example\r\nSubject: x\r\n\r\n{body}\r\n"
    return {"raw_b64": b64encode(message.encode()).decode(), "subject": "", "text": ""}


@pytest.mark.row("S1")
async def test_no_look_alike_of_an_end_of_data_makes_a_second_message(tmp_path: Path) -> None:
    """Twelve look-alikes; what arrives has only pairs of CR and LF, and is signed as it arrives."""
    async with town(tmp_path) as here:
        assert await here.post_all(smuggling(DOMAIN)) == {State.DELIVERED: 34}
        assert len({copy.rcpt for copy in here.mx.copies}) == len(here.mx.copies) == 34
        for copy in here.mx.copies:
            content = copy.content
            assert content.count(b"\r\n") == content.count(b"\r") == content.count(b"\n")
            assert here.verified(copy)


@pytest.mark.integration
@pytest.mark.row("S1")
async def test_smtp_sink_counts_no_message_that_was_not_sent(tmp_path: Path) -> None:
    """Postfix's own test server ends data at its own reading of it; it keeps one file a message, envelope and all."""
    async with town(tmp_path) as here:
        here.zone.add("sink.example", "MX", "10 mx.sink.example.")
        here.zone.add("mx.sink.example", "A", SINK)
        port = here.mx.address[1]
        with open_directory() as kept:
            kept.chmod(0o777)
            command = [*SMTP_SINK, "-d", f"{kept}/%M.", f"{SINK}:{port}", "100"]
            with running(command, tmp_path / "sink.log", lambda: answers(SINK, port)):
                assert await here.post_all(smuggling("sink.example")) == {State.DELIVERED: 34}
            found = [path.read_bytes() for path in kept.iterdir()]
    assert len(found) == 34
    assert not any(b"X-Rcpt-Args: <boss@" in message for message in found)


@pytest.mark.row("S2")
@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n"])
async def test_a_bare_line_end_in_a_value_is_a_space_in_headers_and_a_line_in_bodies(ending: str, tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        rows: list[dict[str, str]] = [{"to": f"ann@{DOMAIN}", "v": f"a{ending}b"}, {"to": f"bob@{DOMAIN}", "v": "a\0b"}]
        assert await here.post(rows, **everywhere()) == {State.DELIVERED: 1, State.INVALID: 1}
        found = read(here.mx.copies[0])
        assert found["subject"] == "a b"
        body = found.get_body(("plain",))
        assert body is not None
        assert body.get_content().replace("\r\n", "\n") == "[a\nb]\n"


@pytest.mark.row("S3")
@pytest.mark.row("S5")
async def test_no_value_and_no_display_name_becomes_a_field(tmp_path: Path) -> None:
    values = [
        "A\r\nBcc: eve@reader.example",
        "A\nBcc: eve@reader.example",
        "A\r\n\r\n<script>",
        "=?utf-8?Q?hi=0D=0ABcc:_eve@reader.example?=",
        "=?utf-8?B?DQpCY2M6IHg=?=",
        'Ann "A" O\\Neil, Jr. <eve@reader.example>',
        "\u202egnp.exe",
        "x" * 990,
        "Ann " * 240,
        "é" * 990,
    ]
    async with town(tmp_path) as here:
        rows = [{"to": f"r{n}@{DOMAIN}", "name": value, "v": value} for n, value in enumerate(values)]
        too_long = {"to": f"long@{DOMAIN}", "name": "x" * 10_000, "v": "x"}
        assert await here.post([*rows, too_long], **everywhere()) == {State.DELIVERED: len(values), State.INVALID: 1}
        assert len(here.mx.copies) == len(values)
        for copy in here.mx.copies:
            check(here, copy, values[int(copy.rcpt.partition("@")[0][1:])])


@pytest.mark.row("S22")
async def test_naughty_strings_arrive_as_themselves_in_every_part(tmp_path: Path) -> None:
    strings = corpus_json("naughty-strings/blns.json")
    assert len(strings) == 515
    async with town(tmp_path) as here:
        rows = [{"to": f"r{n}@{DOMAIN}", "name": value, "v": value} for n, value in enumerate(strings)]
        assert await here.post(rows, **everywhere()) == {State.DELIVERED: 515}
        assert sorted(copy.rcpt for copy in here.mx.copies) == sorted(row["to"] for row in rows)
        for copy in here.mx.copies:
            check(here, copy, strings[int(copy.rcpt.partition("@")[0][1:])])


def offering(*keywords: str) -> Fault:
    lines = ["mx.town.example", *keywords]
    text = "".join(f"250{'-' if place < len(lines) - 1 else ' '}{line}\r\n" for place, line in enumerate(lines))
    return Fault(acts={Moment.EHLO: Say(text=text.encode())})


@pytest.mark.row("S9")
async def test_what_needs_smtputf8_ends_where_it_is_not_offered_and_text_is_re_encoded_before_it_is_signed(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, offering("PIPELINING")) as here:
        name = "Zoé 日本"
        rows = [{"to": f"{local}@{DOMAIN}", "name": name, "v": name} for local in ("zoé", "zoe")]
        assert await here.post(rows, **everywhere()) == {State.REJECTED: 1, State.DELIVERED: 1}
        (copy,) = here.mx.copies
        assert copy.content.isascii()
        check(here, copy, name)
        assert await here.post([{"to": f"raw@{DOMAIN}"}], **ready_made("uncoded: é")) == {State.REJECTED: 1}
        assert len(here.mx.copies) == 1, "a signed message is not changed, nor sent in 8 bits to who takes 7"
    answers = {str(attempt.reply) for attempt in here.attempts if attempt.outcome.rule != "accepted"}
    assert {answer.split()[1] for answer in answers} == {"5.6.7", "5.6.3"}


@pytest.mark.row("S21")
async def test_a_recipient_whose_values_come_to_too_much_fails_alone(tmp_path: Path) -> None:
    loop = "{% for i in items|split(';') %}{{ v }}{{ v }}{{ v }}{% endfor %}"
    async with town(tmp_path) as here:
        rows = [{"to": f"r{n}@{DOMAIN}", "v": "x", "items": "a;b"} for n in range(9)]
        evil = {"to": f"evil@{DOMAIN}", "v": "é" * 8000, "items": ";" * 8000}
        assert await here.post([*rows, evil], text=loop) == {State.DELIVERED: 9, State.INVALID: 1}
        assert f"evil@{DOMAIN}" not in {copy.rcpt for copy in here.mx.copies}
