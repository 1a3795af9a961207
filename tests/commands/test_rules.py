"""`penstock rules`: lint of a directory, and what the rules make of a reply, for people and for scripts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from workers.commands.rules import command

GMAIL = "421-4.7.28 Our system has detected an unusual rate of\n421 4.7.28 unsolicited mail originating from your IP address."


def run(*arguments: str, stdin: bytes | str = "") -> Result:
    return CliRunner(env={"COLUMNS": "90"}).invoke(command, arguments, input=stdin)


def asked(*lines: str, options: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    result = run("test", "--json", "-", *options, stdin="".join(f"{line}\n" for line in lines))
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def put(home: Path, name: str, text: str) -> Path:
    path = home / "receivers" / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


RULE = '[[rule]]\nname = "{name}"\ncategory = "rate"\n{more}\nexamples = [\'{example}\']\n'


def rule(name: str, more: str, example: str) -> str:
    return RULE.format(name=name, more=more, example=example)


def test_the_shipped_rules_are_good() -> None:
    result = run("lint")
    assert (result.exit_code, result.output) == (0, "shipped configuration: good\n")


def test_five_planted_faults_are_found_at_once(tmp_path: Path) -> None:
    put(tmp_path, "dead", '[match]\nmx = [".a.example"]\n' + rule("never", "pattern = '\\\\[a1\\\\]'", "421 [A1] wait"))
    wait = "pattern = 'wait a bit'"
    shadowed = rule("first", wait, "421 wait a bit") + rule("late", wait, "421 wait a bit longer")
    put(tmp_path, "shadow", '[match]\nmx = [".b.example"]\n' + shadowed)
    put(tmp_path, "wide", '[match]\nmx = [".c.example"]\n' + rule("wide", "pattern = 'rate'", "421 rate"))
    put(tmp_path, "nobody", rule("lost", "pattern = 'lost a bit'", "421 lost a bit"))
    put(tmp_path, "dot", '[match]\nmx = [".d.example."]\n')
    result = run("lint", "--config", str(tmp_path))
    assert result.exit_code == 1
    found = [line.replace(f"{tmp_path}/receivers/", "") for line in result.stdout.splitlines()]
    assert [line.split(": ")[:3] for line in found] == [
        ["final dot", "dot.toml", "match.mx[0]"],
        ["no match", "nobody.toml", "match"],
        ["dead", "dead.toml", "rule[0]"],
        ["shadowed", "shadow.toml", "rule[1].examples"],
        ["unanchored", "wide.toml", "rule[0].pattern"],
    ]
    assert result.stderr == f"{tmp_path}: 5 findings\n"


def test_files_that_can_t_be_read_and_those_with_wrong_names_are_findings(tmp_path: Path) -> None:
    put(tmp_path, "_default", "[limits\n")
    put(tmp_path, "google", '[match]\nmx = [".google.com."]\n')
    (tmp_path / "receiver.toml").write_text("")
    result = run("lint", "--json", "--config", str(tmp_path))
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [(one["kind"], Path(one["file"]).name, one["key"]) for one in found] == [
        ("error", "receiver.toml", ""),
        ("error", "_default.toml", ""),
        ("final dot", "google.toml", "match.mx[0]"),
    ]
    assert run("test", "450 x", "--config", str(tmp_path)).exit_code == 1


def test_a_plan_that_is_not_there_hides_none_of_the_other_findings(tmp_path: Path) -> None:
    put(tmp_path, "acme", 'warmup = "stedy"\n[limits]\nconnections = 0\n')
    found = json.loads(run("lint", "--json", "--config", str(tmp_path)).stdout)
    assert [(one["kind"], one["key"]) for one in found] == [
        ("error", "warmup"),
        ("error", "limits.connections"),
        ("no match", "match"),
    ]


def test_the_rest_of_a_configuration_is_not_asked_about(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text("[redis]\npartitons = 1\n")
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "spring.toml").write_text("[[stage\n")
    (tmp_path / "warmup" / "summer.toml").write_text("stages = 1\n")
    assert run("lint", "--config", str(tmp_path)).output == f"{tmp_path}: good\n"
    assert run("test", "450 x", "--config", str(tmp_path)).exit_code == 0


def test_a_reply_is_explained() -> None:
    result = run("test", GMAIL, "--receiver", "google", "--step", "DOT")
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.output.splitlines() if not line.startswith(" "))
    assert lines["receiver"] == "google; at DOT"
    assert lines["rule"] == "google/source-rate"
    assert lines["why"].endswith("by the words 'unusual rate of'")
    assert lines["verdict"] == "deferred: tried again later"
    assert lines["scope"] == "lane: this source at this receiver"
    assert lines["would"].startswith("pause the lane, halve its rate and connections, hold the warmup's promotion;")
    assert lines["permanent"] == "no: nothing is said against this address"
    assert max(map(len, result.output.splitlines())) <= 90


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("550 5.1.1 user unknown", "permanent  yes: nobody can be reached at this address"),
        ("550 5.2.1 disabled", "permanent  no, but the address gets no mail for 90 d"),
        ("542 x", "why        no rule covers it: read by the first digit of its code"),
        ("452 4.2.2 over quota", "verdict    deferred: tried again later, after 1 d"),
        ("421 Max message per connection reached", "send at most 20 messages a connection"),
        ("450 4.1.1 <a@example.net>", "by enhanced code 4.1.1"),
        ("556 x", "by step RCPT and code 556"),
        ("250 blocked using zen.spamhaus.org", "rule       out-of-place\nwhy        no rule covers it"),
    ],
)
def test_what_else_it_says(reply: str, words: str) -> None:
    assert words in run("test", reply).output


@pytest.mark.parametrize(
    ("options", "receiver"),
    [
        ((), "_default"),
        (("--receiver", "gmail.com"), "google"),
        (("--receiver", "Gmail"), "google"),
        (("--receiver", "T-Online"), "tonline"),
        (("--receiver", "163"), "netease"),
        (("--receiver", "mail.ru"), "mailru"),
        (("--receiver", "laposte.net"), "laposte"),
        (("--receiver", "nobody.example"), "_default"),
        (("--mx", "MX1.qq.com."), "qq"),
        (("--mx", "shop.mail.protection.outlook.com"), "microsoft365"),
        (("--mx", "mx.example.net"), "_default"),
        (("--mx", "mx.example.net", "--receiver", "yahoo"), "yahoo"),
        (("--mx", "mx1.free.fr", "--receiver", "yahoo"), "free"),
    ],
)
def test_whose_reply_it_is(options: tuple[str, ...], receiver: str) -> None:
    assert json.loads(run("test", "450 x", "--json", *options).output)["receiver"] == receiver


def test_lines_are_answered_in_order_and_bad_ones_with_their_error() -> None:
    answers = asked(
        '{"reply": "421 4.7.0 [TSS04] Messages temporarily deferred", "mx": "mta5.am0.yahoodns.net", "step": "mail"}',
        "not json",
        "",
        '{"receiver": "google"}',
        '{"reply": 5}',
        "[]",
        '{"reply": "450 x", "step": "LUNCH"}',
        '{"reply": "550 Ip frequency limited", "receiver": "qq", "mx": null, "step": null, "id": 7}',
        '{"reply": ""}',
    )
    assert answers[0] | {"source": ""} == {
        "verdict": "deferred",
        "scope": "lane",
        "category": "rate",
        "permanent": False,
        "rule": "yahoo/ts04",
        "action": "pause",
        "actions": ["pause", "halve", "hold_promotion"],
        "pause_s": 7200.0,
        "pause_max_s": 28800.0,
        "retry_s": None,
        "limit": None,
        "suppress_s": None,
        "receiver": "yahoo",
        "step": "MAIL",
        "code": 421,
        "enhanced": "4.7.0",
        "source": "",
        "shadow": None,
    }
    assert [answer.get("error", "").split(":")[0] for answer in answers[1:7]] == [f"line {number}" for number in range(2, 8)]
    assert "'LUNCH' is no step" in answers[6]["error"]
    assert [answer["rule"] for answer in answers[7:]] == ["qq/source-frequency", "5xx"]


def test_options_stand_for_what_a_line_leaves_out() -> None:
    found = asked(
        '{"reply": "450 x"}', '{"reply": "450 x", "mx": "mx1.qq.com"}', options=("--receiver", "google", "--step", "dot")
    )
    assert [(answer["receiver"], answer["step"]) for answer in found] == [("google", "DOT"), ("qq", "DOT")]


def test_octets_that_are_no_text_are_an_error_and_no_end() -> None:
    result = run("test", "--json", "-", stdin=b'\xff\xfe{"reply": "\xff"}\n{"reply": "\xc3("}\n{"reply": "450 x"}')
    assert ["error" in json.loads(line) for line in result.output.splitlines()] == [True, True, False]


def test_at_the_door_nothing_was_tried() -> None:
    (answer,) = asked('{"reply": "554 not from you", "step": "GREETING"}')
    assert (answer["verdict"], answer["scope"], answer["action"], answer["pause_s"]) == ("unsent", "lane", "pause", 60.0)


def test_the_step_is_read_off_another_servers_words() -> None:
    reply = "host mx.example.net[192.0.2.1] said: 550 User unknown (in reply to end of DATA command)"
    answers = asked(json.dumps({"reply": reply}), json.dumps({"reply": reply, "step": "RCPT TO"}))
    assert [(answer["step"], answer["permanent"]) for answer in answers] == [("DOT", False), ("RCPT", True)]


def test_a_rule_in_shadow_is_shown_and_does_not_decide(tmp_path: Path) -> None:
    tried = rule(
        "tried", "pattern = 'wait a bit'\nscope = 'lane'\nactions = ['pause']\npause = '1h'\nshadow = true", "450 wait a bit"
    )
    put(tmp_path, "small", '[match]\nmx = [".a.example"]\n' + tried)
    result = run("test", "450 wait a bit", "--receiver", "small", "--config", str(tmp_path))
    assert "rule       _default/busy" in result.output
    assert "shadow     small/tried in shadow would say deferred, scope lane, category rate, pause" in result.output
    (answer,) = asked('{"reply": "450 wait a bit", "mx": "mx.a.example"}', options=("--config", str(tmp_path)))
    assert (answer["rule"], answer["shadow"]) == ("_default/busy", "small/tried")


def test_no_rule_is_named_for_a_step_at_which_none_is_asked() -> None:
    result = run("test", "454 4.7.0 TLS not available", "--step", "starttls")
    assert "rule       no-tls\nwhy        no rule is asked about replies to STARTTLS" in result.output
    assert "\nsource " not in result.output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("test", "-"), "reads JSON lines from standard input: give --json as well"),
        *(
            (("test", "450 x", "--step", step), f"{step!r} is no step at which a reply comes; allowed: GREETING, EHLO, MAIL")
            for step in ("LUNCH", "CONNECT", "TLS")
        ),
    ],
)
def test_what_can_t_be_answered_is_said(arguments: tuple[str, ...], why: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert why in str(result.exception)


def test_it_loads_neither_the_network_nor_the_store() -> None:
    code = "import sys, workers.cli, workers.commands.rules as _; print(*{'trio', 'redis', 'cryptography'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
