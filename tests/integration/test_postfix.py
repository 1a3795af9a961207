"""What is sent arrives at a real Postfix byte for byte, encrypted to a verified certificate, with signatures that hold."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from sender.model import Pipelining, State, TlsPolicy
from tests.integration.conftest import Site
from tests.integration.messages import MAX_LINE, Mailing, mailings
from tests.integration.opendkim import Finding, findings
from tests.integration.postfix import Received
from tests.integration.programs import eventually
from tests.integration.sending import Report, deliver, write_config

pytestmark = pytest.mark.integration


async def _round_trip(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mails: list[Mailing], mode: Pipelining
) -> tuple[Report, dict[str, Received], list[dict[str, int]]]:
    """Send, wait for everything to be in its mailbox, and read it back with what Postfix counted of each connection."""
    since, wanted = len(site.postfix.log()), sum(len(mailing.rows) for mailing in mails)
    settings = write_config(tmp_path, site, f"{site.network}.1", TlsPolicy.VERIFIED, mode)
    report = await deliver(settings, mails, site, monkeypatch)
    await eventually(lambda: site.postfix.arrived() >= wanted, lambda: f"{site.postfix.arrived()} of {wanted} arrived")
    received = site.postfix.take()
    by_recipient = {message.rcpt: message for message in received}
    assert len(by_recipient) == len(received) == wanted, "one message a recipient, no more"
    return report, by_recipient, site.postfix.conversations(report.address, since)


async def test_probe(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mails = mailings("mx.example", 40)
    report, received, conversations = await _round_trip(site, tmp_path, monkeypatch, mails, Pipelining.CHAIN)
    print(report.modes, conversations, report.troubles)
    for rcpt, message in list(received.items())[::39]:
        print(rcpt, message.content == report.transactions[rcpt].content, message.added)
        print(findings(message.added[b"Authentication-Results"]))
    print(site.msgauth.judge([m.content for m in received.values()])[::39])
