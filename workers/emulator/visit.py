"""What a receiver decides at each step of a connection: the office keeps what is remembered, a visit is one connection.

Pure: the time is an argument and nothing is drawn at random, so a whole day of a receiver can be played in a test.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence

from workers.emulator.answers import Answer
from workers.emulator.behaviour import SPAM_MARK, Behaviour, Mailbox, mailbox
from workers.emulator.ledger import Ledger, Taken, message_id
from workers.emulator.standing import Mood, Standing
from workers.emulator.strikes import Point, Strikes, Struck

_SOURCES = 10_000  # remembered at once; the one longest unseen is forgotten
_FIRST_SEEN = 200_000  # recipients whose first attempt is remembered
_LINE_OCTETS = 998  # RFC 5321 section 4.5.3.1.6: 1,000 with the CRLF
_SIGNED = re.compile(rb"(?im)^dkim-signature:")

_BARE = Answer(code=550, enhanced="5.6.11", text="The message contains bare line feeds, which are not allowed")
_LONG = Answer(code=500, enhanced="5.6.0", text="The message has a line longer than 998 octets")
_TOO_MANY = Answer(code=452, enhanced="4.5.3", text="Too many recipients")


class Office:
    """One receiver: the same memory behind all of its hosts."""

    def __init__(
        self,
        name: str,
        behaviour: Behaviour,
        domains: frozenset[str],
        *,
        seed: int,
        ledger: Ledger,
        strikes: Strikes | None = None,
        takes: Callable[[str], bool] = lambda domain: False,
    ) -> None:
        """`takes` says which domains it hosts beside those that are listed."""
        self.name = name
        self.behaviour = behaviour
        self.domains = domains
        self.seed = seed
        self.ledger = ledger
        self.counts = ledger.of(name)
        self.strikes = strikes or Strikes()
        self.takes = takes
        self.visits = 0
        self._standings: OrderedDict[str, Standing] = OrderedDict()
        self._first_seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Office {self.name} domains={len(self.domains)} sources={len(self._standings)}>"

    def standing(self, source: str) -> Standing:
        """What is remembered of `source`; made when it is new. A source with open connections is never forgotten."""
        standing = self._standings.get(source)
        if standing is None:
            standing = self._standings[source] = Standing(self.behaviour)
            oldest, forgotten = next(iter(self._standings.items()))
            if len(self._standings) > _SOURCES and not forgotten.open:
                del self._standings[oldest]
        else:
            self._standings.move_to_end(source)
        return standing

    def mailbox(self, address: str) -> Mailbox:
        return mailbox(self.behaviour, self.seed, address)

    def complains(self, address: str) -> bool:
        """Whether this reader presses the spam button."""
        return self.mailbox(address).complains

    def forget(self) -> None:
        """Start over with every source that has no connection open."""
        for source in [name for name, standing in self._standings.items() if not standing.open]:
            del self._standings[source]
        self._first_seen.clear()

    def first_seen(self, source: str, address: str, now: float) -> float:
        """When this source's network first tried this recipient: `now` if it is the first time.

        The /24 counts, as postgrey has it: senders retry from another address of the same pool.
        """
        key = (source.rpartition(".")[0], address)
        seen = self._first_seen.setdefault(key, now)
        if len(self._first_seen) > _FIRST_SEEN:
            self._first_seen.popitem(last=False)
        return seen


class Visit:
    """One connection of one source to one host of the receiver."""

    def __init__(self, office: Office, *, source: str, host: str) -> None:
        self.office = office
        self.behaviour = office.behaviour
        self.source = source
        self.host = host
        office.visits += 1
        self.number = office.visits  # appears in replies, as real receivers name their queue ids
        self._answers = office.behaviour.answers
        self._standing = office.standing(source)
        self._messages = 0
        self._present = False

    def arrive(self, now: float) -> Answer:
        """The greeting, or why there is none. A visit that arrived must `leave`."""
        counts = self.office.counts
        counts.connections += 1
        limit = self._standing.connections(now)
        if limit and self._standing.open >= limit:
            counts.turned_away += 1
            return self._answers.connections
        self._standing.open += 1
        self._present = True
        return self._answers.greeting

    def leave(self) -> None:
        if self._present:
            self._standing.open -= 1
            self._present = False

    def strike(self, point: Point, recipients: Sequence[str]) -> Struck | None:
        """What befalls this connection here."""
        return self.office.strikes.at(point, self.host, recipients)

    def encrypted(self) -> None:
        self.office.counts.tls += 1

    def mail(self, now: float, *, tls: bool) -> Answer:
        """May this source send a message now?"""
        answer = self._mail(now, tls=tls)
        self._count(answer)
        return answer

    def _mail(self, now: float, *, tls: bool) -> Answer:
        if self.behaviour.requires_tls and not tls:
            return self._answers.unencrypted
        limit = self.behaviour.messages_per_connection
        if limit and self._messages >= limit:
            return self._answers.messages
        return {
            Mood.WELCOME: self._answers.mail_ok,
            Mood.SLOWED: self._answers.rate,
            Mood.DEFERRED: self._answers.deferred,
            Mood.BLOCKED: self._answers.blocked,
        }[self._standing.admit(now)]

    def rcpt(self, address: str, now: float, *, already: int) -> Answer:
        """May this recipient be written to now? `already` is how many the message has."""
        answer = self._rcpt(address, now, already=already)
        self._count(answer)
        return answer

    def _rcpt(self, address: str, now: float, *, already: int) -> Answer:
        domain = address.rpartition("@")[2].lower()
        if domain not in self.office.domains and not self.office.takes(domain):
            return self._answers.relaying
        if already >= self.behaviour.recipients_per_message:
            return _TOO_MANY
        box = self.office.mailbox(address)
        self._standing.recipient(unknown=box.unknown, now=now)
        if box.unknown:
            return self._answers.unknown
        return self._put_off(address, box, now) or self._answers.rcpt_ok

    def _put_off(self, address: str, box: Mailbox, now: float) -> Answer | None:
        greylist_s = self.behaviour.greylist_s
        if not (greylist_s or box.hiccups or box.full):
            return None
        first = self.office.first_seen(self.source, address, now)
        if now - first < greylist_s:
            return self._answers.greylisted
        if box.full:
            return self._answers.full
        if box.hiccups and now == first:
            return self._answers.hiccup
        return None

    def message(
        self, sender: str, recipients: tuple[str, ...], content: bytes, now: float, *, tls: bool
    ) -> tuple[Answer, Taken | None]:
        """Judge a whole message; with the answer 250 comes the record of it."""
        self._messages += 1
        refusal = self._refusal(content)
        if refusal is not None:
            self._count(refusal, len(recipients))
            return refusal, None
        complains = any(self.office.mailbox(address).complains for address in recipients)
        self.office.counts.complaints += complains
        self._standing.accepted(complains=complains, now=now)
        taken = Taken(
            serial=self.office.ledger.next_serial(),
            receiver=self.office.name,
            host=self.host,
            source=self.source,
            mail_from=sender,
            recipients=recipients,
            message_id=message_id(content),
            octets=len(content),
            tls=tls,
            at=now,
        )
        self.office.ledger.taken(taken)
        return self._answers.accepted, taken

    def _refusal(self, content: bytes) -> Answer | None:
        lines = content.split(b"\r\n")
        if not content.count(b"\n") == content.count(b"\r") == len(lines) - 1:
            return _BARE
        if max(map(len, lines)) > _LINE_OCTETS:
            return _LONG
        if SPAM_MARK in content:
            return self._answers.spam
        if self.behaviour.requires_dkim and not _SIGNED.search(content, 0, max(0, content.find(b"\r\n\r\n"))):
            return self._answers.unsigned
        return None

    def _count(self, answer: Answer, recipients: int = 1) -> None:
        if answer.code >= 500:
            self.office.counts.refused += recipients
        elif answer.code >= 400:
            self.office.counts.deferred += recipients
