"""What receivers say: reply texts as data, with the few facts of the moment filled in; `wording` has those of the large."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One reply: `text` may have several lines, and `{ip}`, `{rcpt}`, `{host}` and `{id}` are filled in when it is sent.

    The enhanced code is repeated on every line, as RFC 2034 section 4 asks. `closes` ends the connection behind it.
    """

    code: int
    enhanced: str = ""
    text: str
    closes: bool = False

    def render(self, *, ip: str = "", rcpt: str = "", host: str = "", queue_id: str = "") -> bytes:
        text = self.text
        if "{" in text:
            for name, value in (("{ip}", ip), ("{rcpt}", rcpt), ("{host}", host), ("{id}", queue_id)):
                text = text.replace(name, value)
        behind = f"{self.enhanced} " if self.enhanced else ""
        *lines, last = text.split("\n")
        return "".join([f"{self.code}-{behind}{line}\r\n" for line in lines] + [f"{self.code} {behind}{last}\r\n"]).encode()


def answer(code: int, enhanced: str, text: str, *, closes: bool = False) -> Answer:
    """The short form that tables of answers are written in."""
    return Answer(code=code, enhanced=enhanced, text=text, closes=closes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """A receiver's words for each thing it may have to say."""

    greeting: Answer
    mail_ok: Answer
    rcpt_ok: Answer
    data_ok: Answer
    accepted: Answer
    connections: Answer
    messages: Answer
    rate: Answer
    deferred: Answer
    blocked: Answer
    greylisted: Answer
    hiccup: Answer
    unknown: Answer
    full: Answer
    spam: Answer
    unencrypted: Answer
    unsigned: Answer
    relaying: Answer


# An ordinary Postfix host: what every receiver says where nothing else is known of it.
ORDINARY = Answers(
    greeting=answer(220, "", "{host} ESMTP"),
    mail_ok=answer(250, "2.1.0", "Ok"),
    rcpt_ok=answer(250, "2.1.5", "Ok"),
    data_ok=answer(354, "", "End data with <CR><LF>.<CR><LF>"),
    accepted=answer(250, "2.0.0", "Ok: queued as {id}"),
    connections=answer(421, "4.7.0", "{host} Error: too many connections from {ip}", closes=True),
    messages=answer(421, "4.7.0", "{host} Error: too many messages for this session", closes=True),
    rate=answer(450, "4.7.1", "Error: too much mail from {ip}"),
    deferred=answer(451, "4.7.1", "Service temporarily refused for {ip}, try again later"),
    blocked=answer(554, "5.7.1", "Service unavailable; Client host [{ip}] blocked using a local list"),
    greylisted=answer(450, "4.2.0", "<{rcpt}>: Recipient address rejected: Greylisted, please try again later"),
    hiccup=answer(451, "4.3.0", "Temporary lookup failure"),
    unknown=answer(550, "5.1.1", "<{rcpt}>: Recipient address rejected: User unknown in virtual mailbox table"),
    full=answer(452, "4.2.2", "<{rcpt}>: user is over quota"),
    spam=answer(554, "5.7.1", "Message rejected as spam by content filtering"),
    unencrypted=answer(530, "5.7.0", "Must issue a STARTTLS command first"),
    unsigned=answer(550, "5.7.26", "Unauthenticated mail is not accepted: no DKIM signature"),
    relaying=answer(554, "5.7.1", "<{rcpt}>: Relay access denied"),
)
