"""What the rules make of a reply, for people and for scripts: which one decides, why, and what it would do.

1. `Ruling.of` finds whose reply it is, at which step, and asks the rules as a lane would.
2. `lines` tells it to a person, `document` to a program.

Whose reply: a profile's name, a domain it claims or the first part of one ("gmail"), or the MX host that gave it. A name
that is no profile's is a receiver of the long tail, and read by the default rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sender.errors import ConfigError
from sender.explaining.explanation import span
from sender.model import Action, Destination, MxHost, Outcome, Reply, Scope, Step, Verdict
from sender.policy.quoted import STEPS as CALLED
from sender.policy.quoted import quoted
from sender.policy.receivers import DEFAULT, Profile, Profiles
from sender.policy.rules import ASKED, Rule, in_shadow, printed
from sender.policy.verdict import judge, judge_failure

_OPENING = frozenset({Step.GREETING, Step.EHLO, Step.STARTTLS})
_ANSWERED = (*ASKED, Step.STARTTLS)

_VERDICTS = {
    Verdict.DELIVERED: "the receiver has the message",
    Verdict.DEFERRED: "tried again later",
    Verdict.REJECTED: "ends here: not tried again",
    Verdict.UNSENT: "was not tried: no attempt is counted",
}
_SCOPES = {
    Scope.RECIPIENT: "this recipient",
    Scope.MESSAGE: "the message: counted against the campaign",
    Scope.SESSION: "this connection: it is closed",
    Scope.LANE: "this source at this receiver",
    Scope.DOMAIN: "the sender's domain, on every source",
    Scope.CONFIG: "our set-up: retrying can't help until somebody mends it",
}
_ACTIONS = {
    Action.NONE: "nothing",
    Action.PAUSE: "pause the lane",
    Action.HALVE: "halve its rate and connections",
    Action.ONE_CONNECTION: "go down to one connection",
    Action.MESSAGES_PER_CONNECTION: "send at most {limit} messages a connection",
    Action.HOLD_PROMOTION: "hold the warmup's promotion",
    Action.STOP_SOURCE: "stop the source at this receiver",
    Action.STOP_DOMAIN: "stop the domain at this receiver",
    Action.PAUSE_CAMPAIGN: "pause the campaign at this receiver",
}


class Known:
    """The profiles, found by whatever people call a receiver."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self._names: dict[str, str] = {}
        claimed = [(domain, one.name) for one in profiles for domain in (*one.match.domains, *one.match.mx)]
        first: dict[str, set[str]] = {}
        for domain, name in claimed:
            first.setdefault(domain.strip(".").partition(".")[0], set()).add(name)
        short = [(label, *names) for label, names in first.items() if len(names) == 1]
        for text, name in (*((one.name, one.name) for one in profiles), *claimed, *short):
            self._names.setdefault(_plain(text), name)

    def profile(self, receiver: str, mx: str) -> Profile:
        """The profile of this receiver or MX host; the host's, where both are given and it has one."""
        if mx:
            host = mx.strip().lower().rstrip(".")
            name = self._profiles.receiver(Destination(hosts=(MxHost(name=host, preference=0),)), "")
            if not name.startswith("~"):
                return self._profiles.profile(name)
        return self._profiles.profile(self._names.get(_plain(receiver), DEFAULT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What becomes of one reply."""

    profile: Profile
    step: Step
    reply: Reply
    outcome: Outcome
    rule: Rule | None  # None: no rule covers it, or none is asked

    @classmethod
    def of(cls, known: Known, text: str, *, receiver: str = "", mx: str = "", step: str = "") -> "Ruling":
        """Read a reply as people have it; without a step, the one its words name, else RCPT. ConfigError for a wrong step."""
        found = quoted(text)
        at = read_step(step) if step else (found.step or Step.RCPT)
        profile = known.profile(receiver, mx)
        outcome = judge_failure(profile, at, reply=found.reply) if at in _OPENING else judge(profile, at, found.reply)
        rule = profile.book.find(at, found.reply) if found.reply.code >= 400 and at in ASKED else None
        return cls(profile=profile, step=at, reply=found.reply, outcome=outcome, rule=rule)


def read_step(text: str) -> Step:
    """The step of this name, ours or another server's ("RCPT TO"); ConfigError with those there are."""
    name = " ".join(text.split())
    if name.upper() in _ANSWERED:
        return Step(name.upper())
    if name.lower() in CALLED:
        return CALLED[name.lower()]
    raise ConfigError("step", "", f"{text[:40]!r} is no step at which a reply comes; allowed: {', '.join(_ANSWERED)}")


def document(ruling: Ruling) -> dict[str, Any]:
    """The answer for scripts; durations in seconds, null where there is none."""
    outcome = ruling.outcome
    return {
        "verdict": outcome.verdict,
        "scope": outcome.scope,
        "category": outcome.category,
        "permanent": outcome.permanent,
        "rule": outcome.rule,
        "action": outcome.actions[0] if outcome.actions else Action.NONE,
        "actions": list(outcome.actions),
        "pause_s": outcome.pause_s,
        "pause_max_s": outcome.pause_max_s,
        "retry_s": outcome.retry_s,
        "limit": outcome.limit,
        "suppress_s": outcome.suppress_s,
        "receiver": ruling.profile.name,
        "step": ruling.step,
        "code": ruling.reply.code,
        "enhanced": ruling.reply.enhanced,
        "source": ruling.rule.source if ruling.rule is not None else "",
        "shadow": outcome.shadow.rule if outcome.shadow is not None else None,
    }


def lines(ruling: Ruling) -> Iterator[tuple[str, str]]:
    """The answer for people, as a name and what is to be said of it."""
    outcome = ruling.outcome
    whose = ruling.profile.name if ruling.profile.name != DEFAULT else f"{DEFAULT}, as for everybody without a profile"
    yield "reply", str(ruling.reply)
    yield "receiver", f"{whose}; at {ruling.step}"
    yield "rule", outcome.rule
    yield "why", _why(ruling)
    if ruling.rule is not None and ruling.rule.source:
        yield "source", ruling.rule.source
    yield "verdict", f"{outcome.verdict}: {_VERDICTS[outcome.verdict]}{_retry(outcome)}"
    yield "scope", f"{outcome.scope}: {_SCOPES[outcome.scope]}"
    yield "category", outcome.category
    yield "would", _does(outcome)
    yield "permanent", _permanent(outcome)
    if outcome.shadow is not None:
        yield "shadow", in_shadow(outcome.shadow)


def _plain(text: str) -> str:
    """Names as they are compared: "t-online" and "T-Online" are one."""
    return "".join(char for char in text.lower() if char.isalnum() or char in "._").strip(".")


def _why(ruling: Ruling) -> str:
    """What of the reply the rule has matched."""
    rule, reply = ruling.rule, ruling.reply
    if ruling.step not in ASKED:
        return f"no rule is asked about replies to {ruling.step}: the profile's `tls` says whether it goes on without"
    if rule is None:
        return "no rule covers it: read by the first digit of its code and by the step (RFC 5321 section 4.2.1)"
    said = []
    if rule.steps:
        said.append(f"step {ruling.step}")
    if rule.codes:
        said.append(f"code {reply.code}")
    if rule.enhanced:
        said.append(f"enhanced code {reply.enhanced}")
    if rule.pattern is not None and (found := rule.pattern.search(printed(reply))) is not None:
        said.append(f"the words {found[0].strip()!r}")
    return f"the first of {len(ruling.profile.book.rules)} rules that covers it, by {' and '.join(said)}"


def _retry(outcome: Outcome) -> str:
    return f", after {span(outcome.retry_s)}" if outcome.retry_s is not None else ""


def _does(outcome: Outcome) -> str:
    """What the lane, and what is beyond it, would do."""
    if not outcome.actions:
        return "nothing beyond this message"
    does = ", ".join(_ACTIONS[action].format(limit=outcome.limit) for action in outcome.actions)
    if outcome.pause_s is None:
        return does
    grows = outcome.pause_max_s is not None and outcome.pause_max_s > outcome.pause_s
    longest = f", up to {span(outcome.pause_max_s or 0)} while nothing else comes back" if grows else ""
    return f"{does}; for {span(outcome.pause_s)}{longest}"


def _permanent(outcome: Outcome) -> str:
    if outcome.permanent:
        return "yes: nobody can be reached at this address"
    if outcome.suppress_s is not None:
        return f"no, but the address gets no mail for {span(outcome.suppress_s)}"
    return "no: nothing is said against this address"
