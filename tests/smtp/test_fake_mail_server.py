"""The SMTP cases of the NO STARTTLS study, replayed: no mail in clear where TLS is required, no injected octet believed."""

from pathlib import Path

import pytest

from sender.errors import RemoteProtocolError
from sender.model import TlsPolicy, Transaction
from sender.smtp.client import Client, ClientOptions
from sender.smtp.event import Event, Finished, Goodbye, NoTls, Ready, StartTls, TurnedAway
from tests.corpora import corpus
from tests.smtp.fake_mail_server import Case, FakeMailServer

MESSAGE = Transaction(mail_from="bounce@out.example", rcpt="user@example.com", head=b"Hello\r\n")
# What becomes of one message: where TLS is opportunistic, and where it is required.
EXPECTED = {
    "Buffering/B_1 injecting": ("protocol error STARTTLS", "protocol error STARTTLS"),
    "Buffering/B_1": ("DOT 250 over TLS", "DOT 250 over TLS"),
    "Negotiation/D_1": ("DOT 250 in clear", "no tls EHLO"),
    "Negotiation/O_1": ("DOT 250 in clear", "no tls EHLO"),
    "Negotiation/O_2": ("DOT 250 in clear", "no tls STARTTLS"),
    "Negotiation/O_3": ("DOT 250 in clear", "no tls STARTTLS"),
    "Negotiation/O_4": ("protocol error STARTTLS", "protocol error STARTTLS"),
    "others/X_1": ("DOT 250 in clear", "no tls EHLO"),
    "others/ehlo/220": ("protocol error EHLO", "protocol error EHLO"),
    "others/ehlo/221": ("protocol error EHLO", "protocol error EHLO"),
    "others/ehlo/250-all": ("DOT 250 in clear", "no tls EHLO"),
    "others/ehlo/250-all-no-starttls": ("DOT 250 in clear", "no tls EHLO"),
    "others/ehlo/250-empty": ("DOT 250 in clear", "no tls EHLO"),
    "others/ehlo/354": ("protocol error EHLO", "protocol error EHLO"),
    "others/ehlo/421": ("turned away EHLO 421", "turned away EHLO 421"),
    "others/ehlo/500": ("DOT 250 in clear", "no tls EHLO"),
    "others/ehlo/501": ("DOT 250 in clear", "no tls EHLO"),
    "others/ehlo/502": ("DOT 250 in clear", "no tls EHLO"),
    "others/ehlo/504": ("DOT 250 in clear", "no tls EHLO"),
    "others/ehlo/530": ("DOT 250 in clear", "no tls EHLO"),
    "others/ehlo/550": ("DOT 250 in clear", "no tls EHLO"),
    "others/greeting/220": ("DOT 250 over TLS", "DOT 250 over TLS"),
    "others/greeting/221": ("protocol error GREETING", "protocol error GREETING"),
    "others/greeting/354": ("protocol error GREETING", "protocol error GREETING"),
    "others/greeting/421": ("turned away GREETING 421", "turned away GREETING 421"),
    "others/greeting/500": ("turned away GREETING 500", "turned away GREETING 500"),
    "others/greeting/501": ("turned away GREETING 501", "turned away GREETING 501"),
    "others/greeting/530": ("turned away GREETING 530", "turned away GREETING 530"),
    "others/greeting/554": ("turned away GREETING 554", "turned away GREETING 554"),
    "others/helo/ehlo500_helo220": ("protocol error EHLO", "no tls EHLO"),
    "others/helo/ehlo500_helo221": ("protocol error EHLO", "no tls EHLO"),
    "others/helo/ehlo500_helo354": ("protocol error EHLO", "no tls EHLO"),
    "others/helo/ehlo500_helo421": ("turned away EHLO 421", "no tls EHLO"),
    "others/helo/ehlo500_helo500": ("turned away EHLO 500", "no tls EHLO"),
    "others/helo/ehlo500_helo501": ("turned away EHLO 501", "no tls EHLO"),
    "others/helo/ehlo500_helo530": ("turned away EHLO 530", "no tls EHLO"),
    "others/quit/greeting500_quit220": ("turned away GREETING 500", "turned away GREETING 500"),
    "others/quit/greeting500_quit221": ("turned away GREETING 500", "turned away GREETING 500"),
    "others/quit/greeting500_quit354": ("turned away GREETING 500", "turned away GREETING 500"),
    "others/quit/greeting500_quit421": ("turned away GREETING 500", "turned away GREETING 500"),
    "others/quit/greeting500_quit500": ("turned away GREETING 500", "turned away GREETING 500"),
    "others/quit/greeting500_quit501": ("turned away GREETING 500", "turned away GREETING 500"),
    "others/quit/greeting500_quit530": ("turned away GREETING 500", "turned away GREETING 500"),
    "others/rset/ehlo500_rset220": ("protocol error RSET", "no tls EHLO"),
    "others/rset/ehlo500_rset221": ("protocol error RSET", "no tls EHLO"),
    "others/rset/ehlo500_rset354": ("protocol error RSET", "no tls EHLO"),
    "others/rset/ehlo500_rset421": ("turned away RSET 421", "no tls EHLO"),
    "others/rset/ehlo500_rset500": ("protocol error RSET", "no tls EHLO"),
    "others/rset/ehlo500_rset501": ("protocol error RSET", "no tls EHLO"),
    "others/rset/ehlo500_rset530": ("protocol error RSET", "no tls EHLO"),
    "others/starttls/220": ("DOT 250 over TLS", "DOT 250 over TLS"),
    "others/starttls/221": ("protocol error STARTTLS", "protocol error STARTTLS"),
    "others/starttls/354": ("protocol error STARTTLS", "protocol error STARTTLS"),
    "others/starttls/421": ("turned away STARTTLS 421", "turned away STARTTLS 421"),
    "others/starttls/454": ("DOT 250 in clear", "no tls STARTTLS"),
    "others/starttls/500": ("DOT 250 in clear", "no tls STARTTLS"),
    "others/starttls/501": ("DOT 250 in clear", "no tls STARTTLS"),
    "others/starttls/530": ("DOT 250 in clear", "no tls STARTTLS"),
    "setup": ("DOT 250 over TLS", "DOT 250 over TLS"),
    "setup_opportunistic_encryption": ("DOT 250 over TLS", "DOT 250 over TLS"),
}


class Sender:
    """A session with one message to send, and with a RSET before it where the case is about RSET."""

    def __init__(self, case: Case, tls: TlsPolicy) -> None:
        self._case = case
        self._client = Client(ClientOptions(ehlo="out.example", tls=tls))
        self.server = FakeMailServer(case)
        self._resets = "RSET" in case.replies
        self._ending = ""

    def run(self) -> str:
        """What became of the session, in a few words."""
        heard = self.server.greeting()
        for _ in range(20):
            try:
                events = self._client.receive(heard)
            except RemoteProtocolError as error:
                believed = any(result.reply for result in self._client.lost(str(error)))
                return f"protocol error {error.step}{' but believed' if believed else ''}"
            for event in events:
                if ending := self._react(event):
                    return ending
            self._go_on()
            heard = self.server.answer(self._client.data_to_send())
        return "never ends"

    def _react(self, event: Event) -> str:
        match event:
            case Finished(result):
                assert result.reply is not None
                return f"{result.step} {result.reply.code}{' over TLS' if self.server.encrypted else ' in clear'}"
            case TurnedAway(step, reply):
                self._leave(f"turned away {step} {reply.code}")
            case NoTls(step, _):
                self._leave(f"no tls {step}")
            case Goodbye():
                return self._ending
            case StartTls() if not self._case.transition:
                return "handshake fails"
            case StartTls():
                self.server.encrypted = True
                self._client.tls_started()
            case Ready() if self._resets:
                self._client.reset()
        return ""

    def _leave(self, ending: str) -> None:
        """A session that ends in an answer still says QUIT, and takes any reply to it for goodbye."""
        self._ending = ending
        self._client.quit()

    def _go_on(self) -> None:
        if self._client.ready and self._client.idle and self._client.wants:
            assert self._client.send(MESSAGE) is None


def cases() -> dict[str, tuple[Path, bool]]:
    """Every case by its path below the corpus; the commented settings of B_1 are a case of their own."""
    root = corpus("starttls-fake-mail-server/testcases/smtp")
    found = {str(path.relative_to(root).with_suffix("")): (path, False) for path in sorted(root.rglob("*.ron"))}
    return found | {f"{name} injecting": (path, True) for name, (path, _) in found.items() if "// Step" in path.read_text()}


def test_every_case_has_an_expectation() -> None:
    assert sorted(cases()) == sorted(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.row("S15")
def test_case(name: str) -> None:
    path, with_comments = cases()[name]
    case = Case.read(path, with_comments=with_comments)
    for tls, expected in zip((TlsPolicy.OPPORTUNISTIC, TlsPolicy.REQUIRED), EXPECTED[name], strict=True):
        sender = Sender(case, tls)
        assert sender.run() == expected, tls
        assert sender.server.messages == expected.startswith("DOT 250")
        assert not (tls is TlsPolicy.REQUIRED and sender.server.mail_in_clear)
