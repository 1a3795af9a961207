"""What a receiver offers in its reply to EHLO, and what that means for a transaction."""

from dataclasses import dataclass
from typing import Self

from sender.model import Reply, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The extensions we use; without arguments, what HELO gives: none."""

    pipelining: bool = False  # RFC 2920
    size: int | None = None  # RFC 1870: the largest message in octets, 0 for no fixed limit, None when not offered
    eight_bit: bool = False  # RFC 6152
    smtputf8: bool = False  # RFC 6531
    starttls: bool = False  # RFC 3207
    chunking: bool = False  # RFC 3030
    enhanced: bool = False  # RFC 2034

    @classmethod
    def parse(cls, reply: Reply) -> Self:
        """Read the lines behind the first (RFC 5321 section 4.1.1.1); unknown keywords are nobody's business here."""
        offered: dict[str, str] = {}
        for line in reply.lines[1:]:
            keyword, _, parameters = line.partition(" ")
            offered[keyword.upper()] = parameters.strip()
        return cls(
            pipelining="PIPELINING" in offered,
            size=_size(offered["SIZE"]) if "SIZE" in offered else None,
            eight_bit="8BITMIME" in offered,
            smtputf8="SMTPUTF8" in offered,
            starttls="STARTTLS" in offered,
            chunking="CHUNKING" in offered,
            enhanced="ENHANCEDSTATUSCODES" in offered,
        )

    def obstacle(self, transaction: Transaction) -> Reply | None:
        """Why this receiver can't take the transaction as it stands: the reply it would have to give, in our words.

        The codes are those of RFC 6531 section 3.5 (553 5.6.7), RFC 1870 section 6.1 (552 5.3.4) and RFC 3463 (5.6.3).
        """
        if transaction.smtputf8 and not self.smtputf8:
            return Reply(code=553, enhanced="5.6.7", lines=("needs SMTPUTF8, which the receiver does not offer",))
        if transaction.eight_bit and not self.eight_bit:
            return Reply(code=554, enhanced="5.6.3", lines=("needs 8BITMIME, which the receiver does not offer",))
        if self.size and transaction.size > self.size:
            text = f"{transaction.size} octets are more than the {self.size} the receiver takes"
            return Reply(code=552, enhanced="5.3.4", lines=(text,))
        return None


def _size(parameter: str) -> int:
    """RFC 1870 section 4: up to 20 digits; without them, or with anything else, no limit is known."""
    return int(parameter) if parameter.isascii() and parameter.isdigit() and len(parameter) <= 20 else 0
