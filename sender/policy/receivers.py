"""Who runs the MX: profiles of known receivers, and a name for everybody else.

A profile is one file of config/receivers. It is found by the recipient's domain or by the name of the best MX host; the
longest match wins. A destination nobody has a profile for is called "~" and the registrable domain of its MX host
("~example.net"), so that one tarpit delays nobody else; it gets the limits and rules of `_default`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct
from publicsuffixlist import PublicSuffixList

from sender.errors import ConfigError, ConfigErrors
from sender.model import Destination, Pipelining, TlsPolicy
from sender.policy.rules import Rule, RuleBook, RuleTable, compile_rule, misjudged
from sender.schema import Seconds, convert

DEFAULT = "_default"
OTHER = "other"  # the one metric label of all receivers without a profile
_ROLLED_UP = "~"
_CACHE_LIMIT = 50_000  # MX names; about 10 MB


class Flaw(StrEnum):
    """What is wrong with a profile, for those who sort such things."""

    ERROR = "error"  # it can't be loaded
    NO_MATCH = "no match"  # nothing says whose profile it is
    FINAL_DOT = "final dot"  # a name that is compared without its final dot, written with one
    DEAD = "dead"  # a rule that matches no reply
    SHADOWED = "shadowed"  # a rule that comes too late
    UNANCHORED = "unanchored"  # a pattern that is found in replies about other things
    SLOW = "slow"  # a pattern that a text made for it keeps busy


class Match(Struct, frozen=True, kw_only=True):
    """How a receiver is recognised: MX suffixes (".example.net") or whole MX names, or recipient domains."""

    mx: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


class Limits(Struct, frozen=True, kw_only=True):
    """What one source may do at this receiver at most."""

    connections: Annotated[int, Meta(ge=1, le=1000)] = 5
    messages_per_connection: Annotated[int, Meta(ge=1)] = 100
    messages_per_second: Annotated[float, Meta(gt=0)] = 100.0
    connections_per_minute: Annotated[float, Meta(gt=0)] = 100.0
    idle_s: Seconds = Seconds(60)
    message_size: Annotated[int, Meta(ge=1)] | None = None  # octets; None: only what EHLO says


class ProfileFile(Struct, frozen=True, kw_only=True):
    match: Match = Match()
    limits: Limits = Limits()
    tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC
    pipelining: Pipelining = Pipelining.CHAIN
    warmup: str = ""
    rule: tuple[RuleTable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What we know of one receiver: its limits, how we talk to it and how we read its replies."""

    name: str
    file: str
    match: Match
    limits: Limits
    tls: TlsPolicy
    pipelining: Pipelining
    warmup: str  # the warmup plan of whoever has none for this receiver; "none": it needs none; "": nothing is said
    own: tuple[Rule, ...]  # the rules of its own file
    book: RuleBook  # those, then the default ones

    def __repr__(self) -> str:
        return f"<Profile {self.name}: {self.limits.connections} connections, {len(self.own)} rules of its own>"


class Profiles:
    """All profiles, and the receiver of any destination."""

    def __init__(self, profiles: Mapping[str, Profile], suffixes: PublicSuffixList | None = None) -> None:
        """`profiles` has one named "_default". Reading the public suffix list takes 0.1 s: make one Profiles a process."""
        self._profiles = dict(profiles)
        self._default = self._profiles[DEFAULT]
        self._domains = {domain: profile.name for profile in profiles.values() for domain in profile.match.domains}
        self._mx = {name: profile.name for profile in profiles.values() for name in profile.match.mx}
        self._suffixes = suffixes if suffixes is not None else PublicSuffixList()
        self._known: dict[str, str] = {}

    @classmethod
    def parse(cls, tables: Mapping[str, tuple[str, Mapping[str, Any]]], suffixes: PublicSuffixList | None = None) -> "Profiles":
        """Build all profiles from their raw tables: name -> (file, table). Raises ConfigErrors with all that is wrong."""
        errors: list[ConfigError] = []
        files = {name: parsed for name, (file, table) in tables.items() if (parsed := _file(file, table, errors))}
        if DEFAULT not in tables:
            errors.append(ConfigError(f"receivers/{DEFAULT}.toml", "", "missing: everybody else's limits and rules"))
        errors += [error for _, error in match_flaws({name: (tables[name][0], parsed.match) for name, parsed in files.items()})]
        rules = {name: _rules(parsed, name, tables[name][0], errors) for name, parsed in files.items()}
        if errors:
            raise ConfigErrors(errors)
        everybody = rules[DEFAULT]
        profiles = {
            name: _profile(name, tables[name][0], parsed, rules[name], () if name == DEFAULT else everybody)
            for name, parsed in files.items()
        }
        errors += [error for profile in profiles.values() for error in _failing_examples(profile)]
        if errors:
            raise ConfigErrors(errors)
        return cls(profiles, suffixes)

    def receiver(self, destination: Destination, domain: str) -> str:
        """Who takes the mail of this domain: a profile's name, or "~" and the MX organisation's domain.

        A null MX takes no mail: callers settle it before they ask; it is rolled up under the domain itself.
        """
        found = self._domains.get(domain)
        if found is not None:
            return found
        if not destination.hosts:
            return self._rolled_up(domain)
        best = destination.hosts[0]
        for host in destination.hosts:
            if host.preference != best.preference:
                break
            name = self._receiver_of(host.name)
            if not name.startswith(_ROLLED_UP):
                return name
        return self._receiver_of(best.name)

    def profile(self, receiver: str) -> Profile:
        """The profile of this receiver; the default one where it has none."""
        return self._profiles.get(receiver, self._default)

    def label(self, receiver: str) -> str:
        """What metrics call this receiver: its profile's name, or "other"."""
        return receiver if receiver in self._profiles and receiver != DEFAULT else OTHER

    def __iter__(self) -> Iterator[Profile]:
        return iter(self._profiles.values())

    def __len__(self) -> int:
        return len(self._profiles)

    def _receiver_of(self, host: str) -> str:
        found = self._known.get(host)
        if found is None:
            if len(self._known) >= _CACHE_LIMIT:
                self._known.clear()
            found = self._known[host] = self._profiled(host) or self._rolled_up(host)
        return found

    def _profiled(self, host: str) -> str | None:
        """The whole name first, then ever shorter suffixes: the longest match wins."""
        found = self._mx.get(host)
        dot = host.find(".")
        while found is None and dot >= 0:
            found = self._mx.get(host[dot:])
            dot = host.find(".", dot + 1)
        return found

    def _rolled_up(self, host: str) -> str:
        return _ROLLED_UP + (self._suffixes.privatesuffix(host) or host)

    def __repr__(self) -> str:
        return f"<Profiles {', '.join(sorted(self._profiles))}>"


def _file(file: str, table: Mapping[str, Any], errors: list[ConfigError]) -> ProfileFile | None:
    try:
        return convert(ProfileFile, table, file=file)
    except ConfigErrors as several:
        errors += several.errors
        return None


def _profile(name: str, file: str, parsed: ProfileFile, own: tuple[Rule, ...], default: tuple[Rule, ...]) -> Profile:
    return Profile(
        name=name,
        file=file,
        match=parsed.match,
        limits=parsed.limits,
        tls=parsed.tls,
        pipelining=parsed.pipelining,
        warmup=parsed.warmup,
        own=own,
        book=RuleBook(own + default),
    )


def _rules(parsed: ProfileFile, receiver: str, file: str, errors: list[ConfigError]) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    names: set[str] = set()
    for place, table in enumerate(parsed.rule):
        rule, wrong = compile_rule(table, receiver)
        errors += [ConfigError(file, f"rule[{place}].{key}", why) for key, why in wrong]
        if table.name in names:
            errors.append(ConfigError(file, f"rule[{place}].name", f"{table.name!r} is there already"))
        names.add(table.name)
        if rule is not None:
            rules.append(rule)
    return tuple(rules)


def _failing_examples(profile: Profile) -> Iterator[ConfigError]:
    """A rule that another one shadows is found here: its example is decided by somebody else."""
    for place, rule in enumerate(profile.own):
        for text, other, _ in misjudged(profile.book, rule):
            yield ConfigError(profile.file, f"rule[{place}].examples", whose_example(text, other, rule))


def whose_example(text: str, other: Rule | None, rule: Rule) -> str:
    """Who decides an example of this rule, as a finding says it."""
    who = f"rule {other.name!r} decides" if other is not None else "no rule decides"
    return f"{who} {text!r}, not {rule.name!r}"


def match_flaws(matches: Mapping[str, tuple[str, Match]]) -> Iterator[tuple[Flaw, ConfigError]]:
    """Profiles nobody would be recognised by, names that can never match, and names that two profiles claim.

    `matches` is by profile: its file and what it is recognised by.
    """
    taken: dict[str, str] = {}
    for name, (file, match) in matches.items():
        if name != DEFAULT and not (match.mx or match.domains):
            yield Flaw.NO_MATCH, ConfigError(file, "match", "neither mx nor domains: this profile would never be used")
        if name == DEFAULT and (match.mx or match.domains):
            why = "the default profile is for everybody without one: it matches nothing itself"
            yield Flaw.ERROR, ConfigError(file, "match", why)
        if name == OTHER or name.startswith(_ROLLED_UP):
            yield Flaw.ERROR, ConfigError(file, "", f"{name!r} is the name of receivers without a profile")
        entries = [("mx", place, text) for place, text in enumerate(match.mx)]
        entries += [("domains", place, text) for place, text in enumerate(match.domains)]
        for kind, place, text in entries:
            flaw, why = _unusable(kind, text)
            if not why and f"{kind} {text}" in taken:
                why = f"{text!r} belongs to {taken[f'{kind} {text}']!r} already"
            if why:
                yield flaw, ConfigError(file, f"match.{kind}[{place}]", why)
            taken.setdefault(f"{kind} {text}", name)


def _unusable(kind: str, text: str) -> tuple[Flaw, str]:
    """Why this name could never match, or "": host names reach us in lower case and without their final dot."""
    if text.endswith("."):
        return Flaw.FINAL_DOT, f"{text!r} ends in a dot: names are compared without the final one, so it would never match"
    if text != text.lower() or not text.isascii():
        return Flaw.ERROR, f"{text!r}: write it in lower case and A-label form, as it is compared"
    if kind == "domains" and text.startswith("."):
        return Flaw.ERROR, f"{text!r}: a domain is compared as a whole and starts with no dot"
    if not text.strip(".") or ".." in text or any(char.isspace() or char in "*/" for char in text):
        return Flaw.ERROR, f"{text!r} is not a name: write '.example.net' for all hosts below it, or a whole name"
    return Flaw.ERROR, ""
