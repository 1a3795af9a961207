"""What a finished attempt counts as in its lane's statistics, and whether it has used up a unit of the lane's caps.

A unit is used once the receiver has answered MAIL, RCPT, DATA or the end of data for the envelope, or may have its message.
An answer that there are too many connections, or too many messages in this one, is about the connection: it uses none.
What we ourselves kept from going (a look-up that failed, a stop, a message too large, a missing signature) counts as nothing.
"""

from sender.model import Category, Mark, Outcome, Scope, Step, Verdict

_FOR_THE_ENVELOPE = frozenset({Step.MAIL, Step.RCPT, Step.DATA, Step.DOT})
_NOBODYS = frozenset({Category.GREYLIST, Category.FULL_MAILBOX, Category.SYSTEM})


def mark(outcome: Outcome, step: Step, *, replied: bool) -> Mark | None:
    """What an attempt that came to this outcome counts as; None where the receiver had no part in it."""
    if outcome.in_doubt:
        return Mark.DOUBTED
    if outcome.verdict is Verdict.DELIVERED:
        return Mark.DELIVERED
    if outcome.category is Category.NETWORK or (replied and outcome.category is Category.CONNECTION_LIMIT):
        return Mark.LIMITED
    if not replied:
        return None
    if outcome.verdict is Verdict.UNSENT:
        return _at_the_door(outcome)
    return _refused(outcome) if step in _FOR_THE_ENVELOPE else None


def _at_the_door(outcome: Outcome) -> Mark | None:
    """The receiver turned a session away: no envelope was tried, but why it did may speak about the source."""
    if outcome.category in _NOBODYS:
        return Mark.LIMITED
    return Mark.TURNED_AWAY if outcome.scope is Scope.LANE else None


def _refused(outcome: Outcome) -> Mark:
    if outcome.scope is Scope.DOMAIN:
        return Mark.DOMAIN
    if outcome.category is Category.BLOCK:
        return Mark.BLOCKED
    if outcome.category in _NOBODYS:
        return Mark.NEUTRAL
    if outcome.verdict is Verdict.DEFERRED:
        return Mark.DEFERRED
    return Mark.UNKNOWN_USER if outcome.category is Category.UNKNOWN_USER else Mark.BOUNCED
