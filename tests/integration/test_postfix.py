"""What is sent arrives at a real Postfix byte for byte, encrypted to a verified certificate, with signatures that hold."""

import smtplib
import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from email import message_from_bytes
from email.policy import SMTPUTF8
from pathlib import Path

import pytest
import trio

from sender.model import Pipelining, State, TlsPolicy
from tests.integration import postfix
from tests.integration.messages import MAX_LINE, Mailing, mailings
from tests.integration.opendkim import Finding, findings
from tests.integration.postfix import Received
from tests.integration.programs import eventually
from tests.integration.sending import Report, deliver, write_config
from tests.integration.world import Site

pytestmark = pytest.mark.integration

_ALGORITHMS = ("rsa-sha256", "ed25519-sha256")
_VALID = "Valid signature for {}"


async def _send(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mails: Sequence[Mailing], mode: Pipelining
) -> tuple[Report, dict[str, Received], Counter[str]]:
    """Send, wait until all is in its mailbox, read it back; with the commands that Postfix counted."""
    site.postfix.clear()
    since, wanted = len(site.postfix.log()), sum(len(mailing.rows) for mailing in mails)
    report = await deliver(site, write_config(tmp_path, site, TlsPolicy.VERIFIED, mode), mails, monkeypatch)
    await eventually(lambda: site.postfix.arrived() >= wanted, lambda: f"{site.postfix.arrived()} of {wanted} arrived")
    received = site.postfix.take()
    by_recipient = {message.rcpt: message for message in received}
    assert len(by_recipient) == len(received) == wanted, "one message a recipient, no more"
    await eventually(lambda: _commands(site, since)["mail"] >= wanted, lambda: f"logged: {_commands(site, since)}")
    return report, by_recipient, _commands(site, since)


def _commands(site: Site, since: int) -> Counter[str]:
    """What Postfix counted of the connections that have ended, all together."""
    return sum(map(Counter, site.postfix.conversations(site.source, since)), Counter())


def _check(report: Report, mails: Sequence[Mailing], received: dict[str, Received]) -> None:
    """Every message as it was handed out, encrypted on its way, both of its signatures good; every campaign complete."""
    assert report.troubles == []
    assert received.keys() == report.transactions.keys() == {row["to"] for mailing in mails for row in mailing.rows}
    for rcpt, message in received.items():
        transaction = report.transactions[rcpt]
        assert message.content == transaction.content
        assert message.added[b"Return-Path"].decode() == f"<{transaction.mail_from}>"
        assert b"using TLSv1." in message.added[b"Received"]
        domain = transaction.mail_from.partition("@")[2]
        good = [Finding(result="pass", domain=domain, algorithm=algorithm) for algorithm in _ALGORITHMS]
        assert findings(message.added[b"Authentication-Results"]) == good
    for status, mailing in zip(report.statuses, mails, strict=True):
        assert status.complete
        assert status.final == {("postfix", State.DELIVERED): len(mailing.rows)}


async def test_two_hundred_arrive_byte_for_byte_and_both_judges_find_their_signatures_good(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = mailings("mx.example", 40)
    report, received, commands = await _send(site, tmp_path, monkeypatch, mails, Pipelining.CHAIN)
    assert len(received) == 200
    _check(report, mails, received)
    assert commands["bdat"] > 150, "a session chains once three messages have gone well, by BDAT where that is offered"
    assert commands["bdat"] + commands["data"] == 200
    for mailing in mails:
        for row in mailing.rows:
            _check_meaning(mailing, row, received[row["to"]].content)
    lines = [line for message in received.values() for line in message.content.split(b"\r\n")]
    assert max(map(len, lines)) == MAX_LINE
    assert sum(line.startswith(b".") for line in lines) > 1_000
    verdicts = await trio.to_thread.run_sync(site.msgauth.judge, [message.content for message in received.values()])
    domains = [report.transactions[rcpt].mail_from.partition("@")[2] for rcpt in received]
    assert verdicts == [[_VALID.format(domain)] * len(_ALGORITHMS) for domain in domains]


def _check_meaning(mailing: Mailing, row: Mapping[str, str], content: bytes) -> None:
    """What was asked for is what a reader gets, as the standard library reads it."""
    if mailing.raw_body:
        assert content.endswith(b"\r\n\r\n" + mailing.raw_body)
        return
    message = message_from_bytes(content, policy=SMTPUTF8)
    assert message["Subject"] == mailing.subject(row)
    assert message["X-Merged"] == row["name"]
    files = {part.get_filename(): part.get_payload(decode=True) for part in message.walk() if part.get_filename()}
    assert files == mailing.files


@pytest.mark.parametrize(
    ("mode", "domain", "verb", "writes"),
    [
        (Pipelining.LOCKSTEP, "mx.example", "data", {"other"}),
        (Pipelining.GROUP, "mx.example", "data", {"other", "grouped"}),
        (Pipelining.CHAIN, "data.example", "data", {"other", "grouped", "chained"}),
        (Pipelining.CHAIN, "mx.example", "bdat", {"other", "grouped"}),
    ],
    ids=["lockstep", "group", "chain over DATA", "chain over BDAT"],
)
async def test_every_way_of_pipelining_delivers_the_same(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: Pipelining,
    domain: str,
    verb: str,
    writes: set[str],
) -> None:
    mails = mailings(domain, 6)
    report, received, commands = await _send(site, tmp_path, monkeypatch, mails, mode)
    _check(report, mails, received)
    assert set(report.writes) == writes
    assert commands[verb] > len(received) / 2, "the first messages of a host are never chained"
    assert commands["mail"] == commands["rcpt"] == commands["data"] + commands["bdat"] == len(received)


async def test_both_judges_find_a_message_that_was_changed_on_its_way(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = [mailing for mailing in mailings("mx.example", 1) if mailing.name == "files"]
    report, _, _ = await _send(site, tmp_path, monkeypatch, mails, Pipelining.CHAIN)
    (transaction,) = report.transactions.values()
    changed = transaction.content[:-10] + b"x" + transaction.content[-9:]
    await trio.to_thread.run_sync(_submit, site, transaction.mail_from, transaction.rcpt, changed)
    await eventually(lambda: site.postfix.arrived() == 1, lambda: "the changed message has not arrived")
    (message,) = site.postfix.take()
    assert message.content == changed
    assert [found.result for found in findings(message.added[b"Authentication-Results"])] == ["fail", "fail"]
    verdicts = await trio.to_thread.run_sync(site.msgauth.judge, [message.content])
    assert [line.startswith("Invalid signature") for line in verdicts[0]] == [True, True]


def _submit(site: Site, mail_from: str, rcpt: str, content: bytes) -> None:
    """By another client than ours."""
    context = ssl.create_default_context(cafile=str(site.ca_file))
    context.check_hostname = False  # this client connects to an address
    with smtplib.SMTP(site.address("mx"), postfix.PORT, local_hostname="mta.shop.example") as client:
        client.starttls(context=context)
        client.sendmail(mail_from, [rcpt], content)
