"""What lint finds in profiles, each fault planted in a copy of ours; and that ours have none."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from sender.policy.lint import Fault, lint
from sender.policy.receivers import DEFAULT, Flaw
from sender.settings import load

Shipped = Mapping[str, tuple[str, Mapping[str, Any]]]
Tables = dict[str, tuple[str, dict[str, Any]]]
RULE = {"name": "planted", "category": "rate", "examples": ["450 please wait for a quieter hour"]}


@pytest.fixture(scope="module")
def ours() -> Shipped:
    return load().receivers


@pytest.fixture
def tables(ours: Shipped) -> Tables:
    return {name: (f"{name}.toml", copy.deepcopy(dict(table))) for name, (_, table) in ours.items()}


def linted(tables: Shipped, ours: Shipped) -> list[Fault]:
    return lint(tables, ours[DEFAULT][1])


def plant(tables: Tables, where: str, place: int, **values: Any) -> None:
    tables[where][1]["rule"].insert(place, {**RULE, **values})


def test_ours_have_none(ours: Shipped) -> None:
    assert [str(fault) for fault in linted(ours, ours)] == []


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (
            {"codes": [450], "enhanced": ["5.7.1"], "examples": ["450 5.7.1 x"]},
            "codes 450 never come with enhanced codes of class 5",
        ),
        ({"pattern": r"\\[hcm1\\]", "examples": ["450 [HCM1] wait"]}, "a backslash is written once in single quotes"),
        ({"pattern": r"421 4\.7\.0 slow", "examples": ["421 4.7.0 slow"]}, "the codes are no part of the text"),
        ({"pattern": "someone@example", "examples": ["450 someone@example.net waits"]}, "is not found in '@ waits'"),
        (
            {"codes": [421], "pattern": "quieter hour"},
            "codes or enhanced codes are not those of '450 please wait for a quieter hour'",
        ),
    ],
)
def test_a_rule_that_can_never_match(tables: Tables, ours: Shipped, values: dict[str, Any], why: str) -> None:
    plant(tables, "google", 2, **values)
    (fault,) = linted(tables, ours)
    assert (fault.flaw, fault.error.file, fault.error.key, fault.rule) == (
        Flaw.DEAD,
        "google.toml",
        "rule[2]",
        "google/planted",
    )
    assert why in fault.error.why


def test_a_rule_for_a_step_at_which_none_is_asked(tables: Tables, ours: Shipped) -> None:
    plant(tables, "google", 2, steps=["STARTTLS", "RCPT"], codes=[454], examples=["454 wait for a quieter hour"])
    (fault,) = linted(tables, ours)
    assert (fault.flaw, fault.error.file, fault.error.key) == (Flaw.ERROR, "google.toml", "rule[2].steps")
    assert "no rule is asked about replies to STARTTLS; allowed are GREETING, EHLO, MAIL, RCPT, DATA, DOT" in fault.error.why


def test_a_rule_that_an_earlier_one_shadows(tables: Tables, ours: Shipped) -> None:
    last = len(tables["yahoo"][1]["rule"])
    plant(tables, "yahoo", last, pattern=r"\[tss04\] again", examples=["421 4.7.0 [TSS04] again"])
    (fault,) = linted(tables, ours)
    assert (fault.flaw, str(fault.error)) == (
        Flaw.SHADOWED,
        f"yahoo.toml: rule[{last}].examples: rule 'yahoo/ts04' decides '421 4.7.0 [TSS04] again', not 'yahoo/planted'",
    )


def test_a_rule_behind_one_that_is_only_being_tried_is_not_shadowed(tables: Tables, ours: Shipped) -> None:
    plant(tables, "qq", 0, pattern="ip frequency limited", examples=["550 Ip frequency limited"], shadow=True)
    assert linted(tables, ours) == []
    plant(tables, "qq", 5, name="late", pattern="ip frequency limited", examples=["550 Ip frequency limited"], shadow=True)
    assert [fault.flaw for fault in linted(tables, ours)] == [Flaw.SHADOWED]


def test_an_example_that_is_not_of_its_rule_is_an_error_and_one_that_comes_late_is_shadowed(
    tables: Tables, ours: Shipped
) -> None:
    own = "550 please wait for a quieter hour"
    plant(tables, "sina", 0, pattern="quieter hour", examples=[own, "550 quarter past"], steps=["DATA", "DOT"])
    plant(tables, "sina", 1, name="tried", pattern="quieter hour", examples=[own], steps=["DATA", "RCPT"], shadow=True)
    assert [str(fault) for fault in linted(tables, ours)] == [
        "error: sina.toml: rule[0].examples: no rule decides '550 quarter past', not 'sina/planted'",
        f"shadowed: sina.toml: rule[1].examples: rule 'sina/planted' decides {own!r}, not 'sina/tried'",
    ]


def test_two_rules_of_one_name_are_an_error(tables: Tables, ours: Shipped) -> None:
    plant(tables, "sina", 0, pattern="quieter hour")
    plant(tables, "sina", 1, pattern="longer hour", examples=["450 longer hour"])
    assert [str(fault) for fault in linted(tables, ours)] == ["error: sina.toml: rule[1].name: 'planted' is there already"]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (".*", "found in every text"),
        ("(?:slow)?", "found in every text"),
        ("spf", "of authentication"),
        ("rate", "words that mean nothing, like"),
        ("ts0", "words that mean nothing"),
        ("user", "words that mean nothing"),
        (r"\bmail\b", "words that mean nothing"),
        (r"\d", "words that mean nothing"),
        (
            "(?:is|was|be) (?:[a-z]+ )?(?:blocked|full|refused|rejected|listed|denied|unknown)|not (?:found|accepted|allowed)",
            "takes ordinary",
        ),
    ],
)
def test_a_pattern_that_matches_unrelated_replies(tables: Tables, ours: Shipped, pattern: str, why: str) -> None:
    last = len(tables["comcast"][1]["rule"])
    plant(tables, "comcast", last, pattern=pattern, examples=["450 rate ts0 spf user mail is full"])
    (fault,) = linted(tables, ours)
    assert (fault.flaw, fault.error.key) == (Flaw.UNANCHORED, f"rule[{last}].pattern")
    assert why in fault.error.why


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("quieter[a-z]*[^.]{0,50}hour", "[a-z]*[^.]{0,50}"),
        (r"quieter.*\s*hour", r".*\s*"),
        (r"quieter\s+[\]a-z ]*?hour", r"\s+[\]a-z ]*"),
        ("quieter .{0,}[a-z]{0,9}hour", ".{0,}[a-z]{0,9}"),
        ("quieter (?:[a-z]+)*hour", "]+)*"),
        ("(?:[a-z]+ ?)+hour", "]+ ?)+"),
        ("(?:quieter |h+){2,}our", "h+){2,}"),
        (r"quieter (?:\d+\.{0,1})*hour", r"\d+\.{0,1})*"),
    ],
)
def test_a_pattern_that_a_text_made_for_it_keeps_busy(tables: Tables, ours: Shipped, pattern: str, part: str) -> None:
    last = len(tables["comcast"][1]["rule"])
    plant(tables, "comcast", last, pattern=pattern)
    (fault,) = linted(tables, ours)
    assert (fault.flaw, fault.error.key) == (Flaw.SLOW, f"rule[{last}].pattern")
    assert f"an open repeat beside or within another: {part!r}" in fault.error.why


@pytest.mark.parametrize(
    "pattern",
    [
        "quieter[a-z]*+[^.]{0,50}hour",
        "quieter[a-z]* (?:[a-z]+ )?hour",
        r"(?:\[x\d+\][ a-z]*)?quieter hour",
        "quieter (?:long |short )*(?:hour|day)",
        r"quieter\.*[a-z ]*hour",
        "quieter[a-z]{0,20}[^.]{0,50}hour",
        "quieter (?:[a-z]+ )*hour",
        r"(?:\(\d+\))*quieter\d*[-_]? hour",
    ],
)
def test_a_pattern_whose_repeats_share_nothing_is_not_slow(tables: Tables, ours: Shipped, pattern: str) -> None:
    plant(tables, "comcast", len(tables["comcast"][1]["rule"]), pattern=pattern)
    assert [str(fault) for fault in linted(tables, ours)] == []


def test_a_profile_without_a_match_and_a_name_with_a_final_dot(tables: Tables, ours: Shipped) -> None:
    del tables["sina"][1]["match"]
    tables["orange"][1]["match"]["mx"].append(".kpnmail.nl.")
    tables["gmx"][1]["match"]["domains"].append("freenet.de.")
    assert [(fault.flaw, fault.error.file, fault.error.key) for fault in linted(tables, ours)] == [
        (Flaw.FINAL_DOT, "gmx.toml", "match.domains[7]"),
        (Flaw.FINAL_DOT, "orange.toml", "match.mx[2]"),
        (Flaw.NO_MATCH, "sina.toml", "match"),
    ]


def test_what_loading_would_refuse_hides_nothing_else(tables: Tables, ours: Shipped) -> None:
    rules = tables["google"][1]["rule"]
    rules[0]["categorie"] = "x"
    rules[1]["pattern"] = "Upper"
    rules[2]["pause"] = "soon"
    plant(tables, "google", 3, codes=[450], enhanced=["5.7.1"])
    tables["free"][1]["limits"]["connections"] = 0
    tables["sfr"][1]["rule"] = {"name": "one"}
    del tables["sina"][1]["match"]
    assert [(str(fault.flaw), fault.error.file, fault.error.key) for fault in linted(tables, ours)] == [
        ("error", "free.toml", "limits.connections"),
        ("error", "google.toml", "rule[0].categorie"),
        ("error", "google.toml", "rule[1].pattern"),
        ("error", "google.toml", "rule[2].pause"),
        ("error", "sfr.toml", "rule"),
        ("no match", "sina.toml", "match"),
        ("dead", "google.toml", "rule[3]"),
    ]


def test_a_missing_default_is_a_finding(ours: Shipped) -> None:
    table = {"match": {"mx": [".example.net"]}}
    assert [str(fault) for fault in linted({"a": ("a.toml", table)}, ours)] == [
        "error: receivers/_default.toml: missing: everybody else's limits and rules"
    ]


def test_words_that_mean_two_things_now_and_then_are_no_finding(tables: Tables, ours: Shipped) -> None:
    plant(tables, "free", 0, category="block", pattern="virus eicar", examples=["550 Virus Eicar in it"])
    assert linted(tables, ours) == []
