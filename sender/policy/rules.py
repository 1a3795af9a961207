"""Reply rules as data: which replies a rule covers, and what it makes of them.

1. A rule comes from a receiver's file as a `RuleTable`; `compile_rule` turns it into a `Rule` or says what is wrong.
2. A `RuleBook` holds a receiver's own rules followed by the default ones: the first that covers step, code and enhanced
   code, and whose pattern is found in the text, decides.
3. Patterns are searched in the reply's text as `printed` gives it: in lower case, cut to TEXT_LIMIT, with addresses and
   queue ids replaced. What a receiver sends can't be long enough to keep a sound pattern busy (lint finds the others), and
   what it says again and again about ever other recipients is one text, whose outcome is remembered: some 300 us the first
   time, 4 ms where the text is made to take long, 5 us after that.
4. A rule with `shadow` is being tried: it never decides. Where it would have, the outcome tells what it would have done.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from msgspec import Meta, Struct

from sender.model import Action, Category, Outcome, Reply, Scope, Step, Verdict
from sender.schema import Seconds

TEXT_LIMIT = 1_000  # characters of a reply that patterns see; the longest useful one we know has about 600
_CANDIDATES_LIMIT = 4_096  # (step, code, enhanced) seen: a receiver that invents codes must not fill our memory
_OUTCOMES_LIMIT = 2_048  # replies remembered; a receiver that invents texts must not either
_ID_LENGTH = 12  # words this long that end in a digit are queue ids and the like; "_" and "/" are left to codes and links

# Whose replies rules are asked about; what comes of the others is decided by the session's own rules (net/opening).
ASKED = (Step.GREETING, Step.EHLO, Step.MAIL, Step.RCPT, Step.DATA, Step.DOT)
_STOPS = frozenset({Action.STOP_SOURCE, Action.STOP_DOMAIN, Action.PAUSE_CAMPAIGN})  # with a time of their own

_CODE = re.compile(r"[45](\d\d|xx)")
_ENHANCED = re.compile(r"[45x]\.(\d{1,3}|x)\.(\d{1,2}x|\d{1,3}|x)")
_UPPER = re.compile(r"(?<!\\)[A-Z]")
_EXAMPLE = re.compile(r"(([2-5])\d\d)[ -]?(?:#?((?:\2)\.\d{1,3}\.\d{1,3})(?=\s|$)\s*)?(.*)")  # classes agree, as on the wire


class RuleTable(Struct, frozen=True, kw_only=True):
    """A [[rule]] as written: what it matches (all of it must), and what that means. `config/README.md` explains the keys."""

    name: Annotated[
        str, Meta(min_length=1, max_length=60, pattern="^[a-z0-9-]+$", description="lower-case letters, digits and '-'")
    ]
    category: Category
    steps: tuple[Step, ...] = ()
    codes: tuple[int | str, ...] = ()
    enhanced: tuple[str, ...] = ()
    pattern: str = ""
    verdict: Verdict | None = None
    scope: Scope = Scope.RECIPIENT
    actions: tuple[Action, ...] = ()
    pause: Seconds | None = None
    pause_max: Seconds | None = None
    retry: Seconds | None = None
    limit: Annotated[int, Meta(ge=1)] | None = None
    permanent: bool | None = None
    suppress: Seconds | None = None
    shadow: bool = False
    source: str = ""
    examples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.steps or self.codes or self.enhanced or self.pattern):
            raise ValueError("matches every reply: give steps, codes, enhanced or pattern")
        if Action.PAUSE in self.actions and self.pause is None:
            raise ValueError("action 'pause' needs `pause`")
        if (Action.MESSAGES_PER_CONNECTION in self.actions) != (self.limit is not None):
            raise ValueError("action 'messages_per_connection' and `limit` go together")
        if self.pause is not None and self.pause_max is not None and self.pause_max < self.pause:
            raise ValueError(f"`pause_max` ({self.pause_max:g} s) is less than `pause` ({self.pause:g} s)")
        if Action.NONE in self.actions:
            raise ValueError("'none' is no action: leave `actions` out")
        if self.verdict is Verdict.REJECTED and self.retry is not None:
            raise ValueError("`retry` is for what is tried again: the verdict can't be rejected")
        if self.verdict is Verdict.DELIVERED:
            raise ValueError("a refusal can't be read as delivered")
        if self.verdict is Verdict.REJECTED and self.scope not in (Scope.RECIPIENT, Scope.MESSAGE):
            raise ValueError(f"scope '{self.scope}' blames more than the recipient: the verdict can't be rejected")
        if self.permanent and (self.scope is not Scope.RECIPIENT or self.verdict not in (None, Verdict.REJECTED)):
            raise ValueError("`permanent` is said of a refused recipient: it needs scope 'recipient' and no other verdict")
        if (self.suppress is not None) != (self.permanent is False and self.category is Category.UNKNOWN_USER):
            raise ValueError("`suppress` and `permanent = false` go together for category 'unknown_user', and only there")
        if not self.examples:
            raise ValueError("no example: give at least one reply that this rule decides")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One compiled rule. Its outcomes are made once: deciding allocates nothing."""

    name: str
    steps: frozenset[Step]
    codes: frozenset[str]
    enhanced: tuple[re.Pattern[str], ...]
    pattern: re.Pattern[str] | None
    temporary: Outcome  # for a 4xx reply
    permanent: Outcome  # for a 5xx reply
    shadow: bool  # it never decides
    source: str
    examples: tuple[str, ...]

    def covers(self, step: Step, code: int, enhanced: str | None) -> bool:
        """Whether step and codes are of this rule, whatever the text says."""
        if self.steps and step not in self.steps:
            return False
        if self.codes and str(code) not in self.codes and f"{code // 100}xx" not in self.codes:
            return False
        return not self.enhanced or (enhanced is not None and any(form.fullmatch(enhanced) for form in self.enhanced))

    def matches(self, step: Step, reply: Reply) -> bool:
        """Whether this reply is of this rule, whichever comes before it."""
        if not self.covers(step, reply.code, reply.enhanced):
            return False
        return self.pattern is None or self.pattern.search(printed(reply)) is not None

    @property
    def asked(self) -> tuple[Step, ...]:
        """The steps at which its examples are tried, in the order of a dialogue: RCPT where it names none."""
        return tuple(step for step in ASKED if step in self.steps) or (Step.RCPT,)

    def outcome(self, code: int) -> Outcome:
        return self.permanent if code >= 500 else self.temporary

    def __repr__(self) -> str:
        return f"<Rule {self.name}: {self.temporary.category} {self.permanent.verdict} {self.permanent.scope}>"


def compile_rule(table: RuleTable, receiver: str) -> tuple[Rule | None, list[tuple[str, str]]]:
    """The rule of this table, or the keys that are wrong, each with its reason."""
    wrong = [("codes", f"{code!r} is no code like 550 nor a class like '5xx'") for code in table.codes if not _code(code)]
    wrong += [
        ("enhanced", f"{form!r} is not a code like '5.1.1', '5.7.x' or 'x.7.25'")
        for form in table.enhanced
        if not _ENHANCED.fullmatch(form)
    ]
    wrong += [
        ("steps", f"no rule is asked about replies to {step}; allowed are {', '.join(ASKED)}")
        for step in table.steps
        if step not in ASKED
    ]
    pattern = _pattern(table.pattern, wrong)
    wrong += [("examples", f"{text!r} does not begin with a reply code") for text in table.examples if not _is_reply(text)]
    if table.verdict is Verdict.UNSENT and not _holds_back(table):
        wrong.append(("verdict", "'unsent' costs no attempt: without `retry`, action 'pause' or a stop it would hammer"))
    if wrong:
        return None, wrong
    rule = Rule(
        name=f"{receiver}/{table.name}",
        steps=frozenset(table.steps),
        codes=frozenset(str(code) for code in table.codes),
        enhanced=tuple(_enhanced(form) for form in table.enhanced),
        pattern=pattern,
        temporary=_outcome(table, receiver, Verdict.DEFERRED),
        permanent=_outcome(table, receiver, _permanent(table.scope)),
        shadow=table.shadow,
        source=table.source,
        examples=table.examples,
    )
    return rule, []


class RuleBook:
    """A receiver's rules in the order they are tried."""

    __slots__ = ("_candidates", "_outcomes", "rules")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._candidates: dict[tuple[Step, int, str | None], tuple[Rule, ...]] = {}
        self._outcomes: dict[tuple[Step, int, str | None, str], Outcome] = {}

    def find(self, step: Step, reply: Reply) -> Rule | None:
        """The rule that decides this reply, or None."""
        return self._find(step, reply, printed(reply))[0]

    def shadow(self, step: Step, reply: Reply) -> Rule | None:
        """The rule that would decide this reply were it not only being tried, or None."""
        return self._find(step, reply, printed(reply))[1]

    def outcome(self, step: Step, reply: Reply, read: Callable[[Rule | None, str], Outcome]) -> Outcome:
        """What `read` makes of the rule that decides this reply and of its text; remembered, so it must be pure."""
        text = printed(reply)
        key = (step, reply.code, reply.enhanced, text)
        found = self._outcomes.get(key)
        if found is None:
            if len(self._outcomes) >= _OUTCOMES_LIMIT:
                self._outcomes.clear()
            rule, tried = self._find(step, reply, text)
            found = read(rule, text)
            if tried is not None:
                found = replace(found, shadow=read(tried, text))
            self._outcomes[key] = found
        return found

    def _find(self, step: Step, reply: Reply, text: str) -> tuple[Rule | None, Rule | None]:
        """The first rule that covers this reply and decides, and the first before it that is only being tried."""
        key = (step, reply.code, reply.enhanced)
        candidates = self._candidates.get(key)
        if candidates is None:
            candidates = self._candidates_of(key)
        tried = None
        for rule in candidates:
            if rule.pattern is None or rule.pattern.search(text):
                if not rule.shadow:
                    return rule, tried
                tried = tried or rule
        return None, tried

    def _candidates_of(self, key: tuple[Step, int, str | None]) -> tuple[Rule, ...]:
        if len(self._candidates) >= _CANDIDATES_LIMIT:
            self._candidates.clear()
        found = self._candidates[key] = tuple(rule for rule in self.rules if rule.covers(*key))
        return found

    def __repr__(self) -> str:
        return f"<RuleBook of {len(self.rules)} rules>"


def printed(reply: Reply) -> str:
    """The text patterns are searched in: lower case, one space between words, addresses as "@" and queue ids as "#"."""
    words = reply.text[:TEXT_LIMIT].lower().split()
    return " ".join([word if len(word) < _ID_LENGTH and "@" not in word else _told(word) for word in words])


def _told(word: str) -> str:
    if "@" in word:
        return "@"
    return "#" if word.rstrip("])>.,;")[-1:].isdigit() and "/" not in word and "_" not in word else word


def in_shadow(would: Outcome) -> str:
    """In one line what a rule that is only being tried would have done."""
    actions = f", {', '.join(would.actions)}" if would.actions else ""
    return f"{would.rule} in shadow would say {would.verdict}, scope {would.scope}, category {would.category}{actions}"


def example_reply(text: str) -> Reply:
    """A reply as written in a rule's examples: its lines as they came over the wire, code and enhanced code included."""
    found = [match.groups() for line in text.splitlines() if (match := _EXAMPLE.fullmatch(line.strip()))]
    code, _, enhanced, _ = found[-1]
    return Reply(code=int(code), enhanced=enhanced, lines=tuple(words for *_, words in found))


def misjudged(book: RuleBook, rule: Rule) -> Iterator[tuple[str, Rule | None, bool]]:
    """The examples of this rule that another rule decides, or none at all: who does, and whether it only comes too late.

    Each at the first of its steps where that is so.
    """
    for text in rule.examples:
        reply = example_reply(text)
        for step in rule.asked:
            found = book.shadow(step, reply) if rule.shadow else book.find(step, reply)
            if found is not rule:
                yield text, found or book.find(step, reply), rule.matches(step, reply)
                break


def _holds_back(table: RuleTable) -> bool:
    """Whether something of this rule keeps its envelopes from coming back at once."""
    return bool(table.retry or (Action.PAUSE in table.actions and table.pause) or _STOPS.intersection(table.actions))


def _permanent(scope: Scope) -> Verdict:
    """A 5xx that blames more than this recipient is no reason to lose the recipient: it waits until that is mended."""
    return Verdict.REJECTED if scope in (Scope.RECIPIENT, Scope.MESSAGE) else Verdict.DEFERRED


def _outcome(table: RuleTable, receiver: str, by_code: Verdict) -> Outcome:
    verdict = table.verdict or by_code
    refused = verdict is Verdict.REJECTED and table.scope is Scope.RECIPIENT
    nobody = table.category is Category.UNKNOWN_USER if table.permanent is None else table.permanent
    return Outcome(
        verdict=verdict,
        scope=table.scope,
        category=table.category,
        rule=f"{receiver}/{table.name}",
        actions=table.actions,
        pause_s=table.pause,
        pause_max_s=table.pause_max,
        retry_s=table.retry,
        limit=table.limit,
        permanent=refused and nobody,
        suppress_s=table.suppress if refused else None,
    )


def _code(code: int | str) -> bool:
    return _CODE.fullmatch(str(code)) is not None


def _enhanced(form: str) -> re.Pattern[str]:
    """ "x" stands for any number; after digits ("5.7.60x") for one digit more."""
    dotted = re.sub(r"(?<=\d)x", r"\\d", form.replace(".", r"\."))
    return re.compile(re.sub(r"x", r"\\d{1,3}", dotted))


def _pattern(text: str, wrong: list[tuple[str, str]]) -> re.Pattern[str] | None:
    """Lower case is asked for rather than ignored: a search that ignores case costs ten times as much."""
    if not text:
        return None
    if _UPPER.search(text):
        wrong.append(("pattern", f"{text!r}: write it in lower case, as the reply is searched"))
        return None
    try:
        return re.compile(text)
    except re.error as error:
        wrong.append(("pattern", f"{text!r}: {error}"))
        return None


def _is_reply(text: str) -> bool:
    lines = text.splitlines()
    return bool(lines) and all(_EXAMPLE.fullmatch(line.strip()) for line in lines)
