"""What an answer means, or its absence: from replies, lost sessions and failed look-ups to Outcomes.

1. `judge` reads the reply that decided a transaction; `judge_result` adds transactions that ended without one.
2. `judge_failure` reads a session that could not be opened, `judge_resolution` a domain whose hosts could not be found.
3. Rules decide first; what none of them covers is read from the code's class and the step alone (RFC 5321 section 4.2.1).

Two principles. A refusal that blames us (our address, our domain, our set-up) never costs a recipient: the envelope waits,
until its give-up age. And what was never tried is UNSENT: a receiver that shuts its door to a source at the greeting has not
refused any message.
"""

import re
from dataclasses import replace

from sender.errors import ResolutionError, TransportKind
from sender.model import Action, Category, Outcome, Reply, Result, Scope, Step, Verdict
from sender.policy.receivers import Profile
from sender.policy.rules import Rule

DELIVERED = Outcome(verdict=Verdict.DELIVERED, category=Category.ACCEPTED, rule="accepted")

# RFC 7505: the domain says that it takes no mail (5.1.10). For good, at the first look.
NULL_MX = Outcome(verdict=Verdict.REJECTED, category=Category.ROUTING, rule="null-mx", permanent=True)

# A delay that a text names is believed between half a minute and a day: less would hammer, more is a mistake or a trap.
NAMED_MIN_S = 30.0
NAMED_MAX_S = 86_400.0

# Ours: long enough for a connection to be given up by its server, short enough to lose little where it was one bad moment.
_TURNED_AWAY_S = 60.0
_TURNED_AWAY_MAX_S = 3_600.0
_CLOSING_MAX_S = 300.0  # a server that closes is being restarted, or has no room: soon over, and nothing against us
_LOST_S = 30.0  # an untried envelope of a lost session comes back after this: no hot loop around a host that closes
_OURS_S = 5.0  # out of descriptors or ports: ours to mend, soon over
_SECOND_LOOK_S = 900.0  # a name may be missing for the time of a zone's reload: look again before giving a recipient up

_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_NAMED = re.compile(
    r"(?:again|retry|retried|wait|for|after|within)\s+(?:again\s+)?(?:in|after|at least|for)?\s*"
    r"(\d{1,5})\s*(s|m|h)(?:ec|econd|in|inute|r|our)?s?\b"
)
_NAMED_CLOCK = re.compile(r"(?:again|retry|wait|for)\s+(?:in|after|for)?\s*(\d{1,2}):(\d{2}):(\d{2})\b")

_BRAKES = frozenset({Action.PAUSE, Action.ONE_CONNECTION, Action.STOP_SOURCE})
_UNTRIED_STEPS = frozenset({Step.CONNECT, Step.GREETING, Step.EHLO, Step.STARTTLS, Step.TLS, Step.MAIL})

IN_DOUBT = Outcome(verdict=Verdict.DEFERRED, scope=Scope.SESSION, category=Category.NETWORK, rule="in-doubt", in_doubt=True)
_WITHHELD = Outcome(verdict=Verdict.UNSENT, scope=Scope.SESSION, category=Category.SYSTEM, rule="withheld")
_LOST_BEGUN = Outcome(verdict=Verdict.DEFERRED, scope=Scope.SESSION, category=Category.NETWORK, rule="lost")
_LOST_UNTRIED = Outcome(
    verdict=Verdict.UNSENT, scope=Scope.SESSION, category=Category.NETWORK, rule="lost-untried", retry_s=_LOST_S
)
_UNREACHABLE = Outcome(verdict=Verdict.DEFERRED, scope=Scope.SESSION, category=Category.NETWORK, rule="unreachable")
_NO_TLS = Outcome(verdict=Verdict.DEFERRED, scope=Scope.SESSION, category=Category.PROTOCOL, rule="no-tls")
_FORBIDDEN = Outcome(verdict=Verdict.REJECTED, category=Category.ROUTING, rule="forbidden-address")
_OURS = Outcome(verdict=Verdict.UNSENT, scope=Scope.SESSION, category=Category.SYSTEM, rule="our-resources", retry_s=_OURS_S)
_DNS_LATER = Outcome(verdict=Verdict.DEFERRED, category=Category.ROUTING, rule="dns-later")
_DNS_AGAIN = Outcome(verdict=Verdict.DEFERRED, category=Category.ROUTING, rule="no-such-domain", retry_s=_SECOND_LOOK_S)
_DNS_GONE = Outcome(verdict=Verdict.REJECTED, category=Category.ROUTING, rule="no-such-domain", permanent=True)

# What no rule covers.
_CLOSING = Outcome(
    verdict=Verdict.DEFERRED, scope=Scope.SESSION, category=Category.SYSTEM, rule="closing", pause_max_s=_CLOSING_MAX_S
)
_NOT_SERVED = Outcome(verdict=Verdict.DEFERRED, scope=Scope.LANE, category=Category.POLICY, rule="not-served")
_LATER = Outcome(verdict=Verdict.DEFERRED, rule="4xx")
_REFUSED_RCPT = Outcome(verdict=Verdict.REJECTED, rule="5xx")
_REFUSED_MESSAGE = Outcome(verdict=Verdict.REJECTED, scope=Scope.MESSAGE, rule="5xx-message")


def judge(profile: Profile, step: Step, reply: Reply) -> Outcome:
    """What this reply to this step means for its envelope, and how far the blame reaches.

    A 2xx to the end of data is DELIVERED; a 2xx or 3xx anywhere else is out of place here and defers.
    """
    if step is Step.DOT and reply.code // 100 == 2:
        return DELIVERED
    if reply.code < 400:
        return Outcome(verdict=Verdict.DEFERRED, scope=Scope.SESSION, category=Category.PROTOCOL, rule="out-of-place")
    return profile.book.outcome(step, reply, lambda rule, text: _read(rule, text, step, reply.code))


def _read(rule: Rule | None, text: str, step: Step, code: int) -> Outcome:
    outcome = rule.outcome(code) if rule is not None else _unmatched(step, code)
    if outcome.verdict is Verdict.DEFERRED and outcome.retry_s is None:
        return _with_named_delay(outcome, text)
    return outcome


def judge_result(profile: Profile, result: Result) -> Outcome:
    """What became of a transaction, reply or not.

    Without a reply: in doubt once the end of data was out; an attempt once MAIL had been answered; untried before that, or
    where we ourselves stopped short of the end of data.
    """
    if result.reply is not None:
        return judge(profile, result.step, result.reply)
    if result.in_doubt:
        return IN_DOUBT
    if result.withheld:
        return _WITHHELD
    return _LOST_UNTRIED if result.step in _UNTRIED_STEPS else _LOST_BEGUN


def judge_failure(profile: Profile, step: Step, *, reply: Reply | None = None, kind: TransportKind | None = None) -> Outcome:
    """What a session that never opened means for the envelopes that waited for it.

    Turned away with a reply: the envelopes are UNSENT and the lane pauses, since the receiver speaks about the source.
    No connection, or no TLS where it is required: an attempt for each, since retries are counted per host
    (RFC 5321 section 4.5.4.1), and nothing is said about the receiver's other hosts.
    """
    if reply is not None and reply.code >= 400 and step not in (Step.STARTTLS, Step.TLS):
        return _turned_away(judge(profile, step, reply))
    if kind is TransportKind.FORBIDDEN:
        return _FORBIDDEN
    if kind is TransportKind.RESOURCES:
        return _OURS
    if kind is TransportKind.TLS or step in (Step.STARTTLS, Step.TLS):
        return _NO_TLS
    return _UNREACHABLE


def judge_resolution(error: ResolutionError, attempts: int) -> Outcome:
    """What a failed look-up means for an envelope of this domain with so many attempts behind it.

    No such domain is believed at the second look only; what is temporary follows the retry curve.
    """
    if not error.permanent:
        return _DNS_LATER
    return _DNS_GONE if attempts > 0 else _DNS_AGAIN


def named_delay_s(text: str) -> float | None:
    """The delay a text names ("try again in 5 minutes", "wait 00:04:58"), within bounds; None where it names none."""
    if match := _NAMED.search(text):
        found = float(match[1]) * _UNIT_S[match[2]]
    elif match := _NAMED_CLOCK.search(text):
        found = 3600.0 * int(match[1]) + 60.0 * int(match[2]) + int(match[3])
    else:
        return None
    return min(max(found, NAMED_MIN_S), NAMED_MAX_S)


def _with_named_delay(outcome: Outcome, text: str) -> Outcome:
    """The receiver's own word on the delay goes before ours, for the envelope and for a pause of the lane."""
    delay_s = named_delay_s(text)
    if delay_s is None:
        return outcome
    if Action.PAUSE in outcome.actions:
        return replace(outcome, retry_s=delay_s, pause_s=delay_s, pause_max_s=delay_s)
    return replace(outcome, retry_s=delay_s)


def _turned_away(outcome: Outcome) -> Outcome:
    """No envelope was tried: none of them pays, and none waits, since the pool's other sources may take it meanwhile.

    The lane is held as the rule says; where no rule says so, for a minute, and longer each time.
    """
    if outcome.shadow is not None:
        outcome = replace(outcome, shadow=_turned_away(outcome.shadow))
    scope = outcome.scope if outcome.scope in (Scope.DOMAIN, Scope.CONFIG) else Scope.LANE
    if _BRAKES.intersection(outcome.actions):
        return replace(outcome, verdict=Verdict.UNSENT, scope=scope, retry_s=None)
    pause_s = outcome.pause_s or outcome.retry_s or _TURNED_AWAY_S
    return replace(
        outcome,
        verdict=Verdict.UNSENT,
        scope=scope,
        actions=(*outcome.actions, Action.PAUSE),
        pause_s=pause_s,
        pause_max_s=max(pause_s, outcome.pause_max_s or _TURNED_AWAY_MAX_S),
        retry_s=None,
    )


def _unmatched(step: Step, code: int) -> Outcome:
    """The class of the code, and who was being talked about at this step."""
    if code == 421:  # RFC 5321 section 3.8: the server is closing, whatever the command was
        return _CLOSING
    if step in (Step.CONNECT, Step.GREETING, Step.EHLO, Step.STARTTLS, Step.TLS):
        return _NOT_SERVED
    if code < 500:
        return _LATER
    return _REFUSED_RCPT if step is Step.RCPT else _REFUSED_MESSAGE
