"""A session that must be encrypted, or verified, and can't be: nothing is sent in clear, and the mail waits with its reason."""

from pathlib import Path

import pytest

from sender.model import Category, Pipelining, State, Step, TlsPolicy, Verdict
from sender.policy.retry import Later
from tests.integration.messages import mailings
from tests.integration.programs import eventually
from tests.integration.sending import Report, deliver, write_config
from tests.integration.world import Site

pytestmark = pytest.mark.integration


async def _send_one(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: str, tls: TlsPolicy
) -> tuple[Report, list[dict[str, int]]]:
    """One message to this receiver; with the commands of the connections that Postfix saw."""
    site.postfix.clear()
    since = len(site.postfix.log())
    mails = mailings(f"{receiver}.example", 1)[:1]
    report = await deliver(site, write_config(tmp_path, site, tls, Pipelining.CHAIN), mails, monkeypatch)
    await eventually(lambda: bool(site.postfix.conversations(site.source, since)), lambda: "Postfix saw no connection end")
    return report, site.postfix.conversations(site.source, since)


@pytest.mark.parametrize(
    ("receiver", "tls", "step", "why"),
    [
        ("misnamed", TlsPolicy.VERIFIED, Step.TLS, "certificate-host-mismatch: "),
        ("untrusted", TlsPolicy.VERIFIED, Step.TLS, "certificate-not-trusted: "),
        ("clear", TlsPolicy.REQUIRED, Step.STARTTLS, "starttls-not-supported: not offered"),
        ("clear", TlsPolicy.VERIFIED, Step.STARTTLS, "starttls-not-supported: not offered"),
    ],
)
async def test_mail_waits_where_encryption_is_not_what_was_asked_for(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    receiver: str,
    tls: TlsPolicy,
    step: Step,
    why: str,
) -> None:
    report, conversations = await _send_one(site, tmp_path, monkeypatch, receiver, tls)
    (attempt,) = report.attempts
    assert (attempt.outcome.verdict, attempt.outcome.category) == (Verdict.DEFERRED, Category.PROTOCOL)
    assert (attempt.outcome.rule, attempt.step) == ("no-tls", step)
    assert attempt.why.startswith(why)
    assert isinstance(attempt.next, Later)
    assert report.statuses[0].deferrals == {"postfix": 1}
    assert report.statuses[0].final == {}
    assert conversations
    for commands in conversations:
        assert not commands.keys() & {"mail", "rcpt", "data", "bdat"}
    assert site.postfix.arrived() == 0


@pytest.mark.parametrize(
    ("receiver", "tls"),
    [
        ("misnamed", TlsPolicy.REQUIRED),
        ("untrusted", TlsPolicy.REQUIRED),
        ("untrusted", TlsPolicy.OPPORTUNISTIC),
        ("clear", TlsPolicy.OPPORTUNISTIC),
    ],
)
async def test_mail_goes_where_no_more_was_asked_for(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: str, tls: TlsPolicy
) -> None:
    report, conversations = await _send_one(site, tmp_path, monkeypatch, receiver, tls)
    assert report.statuses[0].final == {("postfix", State.DELIVERED): 1}
    assert [commands.get("starttls", 0) for commands in conversations] == [int(receiver != "clear")]
    await eventually(lambda: site.postfix.arrived() == 1, lambda: "it has not arrived")
    (message,) = site.postfix.take()
    assert (b"using TLSv1." in message.added[b"Received"]) is (receiver != "clear")
