"""What must hold under hostile input and broken receivers, row by row, and that each row has a test that shows it.

A test names the rows it shows with `@pytest.mark.row("S10")`; `pytest -m row` runs them all. A row without a test fails
here, and so does a mark of a row that is not on the list.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# Hostile input.
SECURITY = {
    "S1": "look-alikes of an end of data: one message, and its signature verifies",
    "S2": "bare CR, LF and NUL: refused by name, or normalised by one rule",
    "S3": "merge fields with line ends or encoded words: no field that was not planned",
    "S4": "names of header fields: tokens, and none of the reserved ones",
    "S5": "display names: encoded, folded, or refused where too long",
    "S6": "addresses, EHLO names and parameters: a command is exactly one line",
    "S9": "SMTPUTF8 and 8 bits where they are not offered: permanent, or re-encoded before signing",
    "S10": "targets inside: refused before connect",
    "S11": "a name that changes after the check: the checked address is connected to",
    "S12": "null MX, loops, literals, hundreds of MX: ended or delivered within five connections",
    "S13": "literals, ports and routes in addresses: refused",
    "S14": "forged DNS answers and the AD bit: ignored",
    "S15": "octets behind the 220 of STARTTLS: the session ends, and what was said in clear is forgotten",
    "S19": "hostile replies: bounded, escaped, one line of the log",
    "S20": "domains and replies: never a metric's label",
    "S21": "hostile templates: refused, or bounded, each alone",
    "S22": "naughty strings: every part reads back as what was given",
    "S30": "hostile entries in the store: never run, bounded, parked",
    "S31": "keys others can read, weak or missing ones: refused by path, and nothing leaves unsigned",
}

# Broken receivers and signers.
FAULTS = {
    "F31": "a refusal and a close while pipelining: the refusal, for its message alone",
    "F32": "replies out of form or place: neither sent nor bounced, and no pipelining for an hour",
    "F33": "recipients refused one by one, and 354 all the same: each its own result, no copy",
    "F34": "replies without end: bounded in octets, lines and time",
    "F35": "black holes, closed ports, no greeting: the next address, and nothing leaks",
    "F36": "TLS that stalls, breaks or must not be believed: remembered, in clear only where allowed",
    "F37": "a receiver that reads no more: a write deadline, and others keep their pace",
    "F38": "an idle session that the receiver ended: replaced, and no message pays",
    "F43": "a signer that dies: its jobs are signed by another",
    "F44": "a signer that hangs: given up in time, and nothing leaves unsigned",
}

REQUIRED = SECURITY | FAULTS


def marked(root: Path) -> dict[str, list[str]]:
    """The tests that show each row, as "file::function"."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(root.rglob("test_*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test_"):
                for row in _rows(function):
                    found[row].append(f"{path.relative_to(root)}::{function.name}")
    return dict(found)


def _rows(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.row":
            yield from (str(ast.literal_eval(argument)) for argument in decorator.args)


def test_every_row_has_a_test_that_shows_it_and_every_mark_is_of_a_row() -> None:
    found = marked(TESTS)
    assert sorted(REQUIRED.keys() - found.keys()) == [], "rows without a test"
    assert sorted(found.keys() - REQUIRED.keys()) == [], "marks of rows that are not on the list"


def test_marks_are_found_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/test_a.py").write_text(
        '@pytest.mark.parametrize("x", [1])\n@pytest.mark.row("S1")\n@pytest.mark.row("F2")\nasync def test_b(x): ...\n'
        '@pytest.mark.row("S9")\ndef helper(): ...\n'
    )
    assert marked(tmp_path) == {"S1": ["inner/test_a.py::test_b"], "F2": ["inner/test_a.py::test_b"]}


@pytest.mark.parametrize("rows", [SECURITY, FAULTS])
def test_each_row_says_in_a_phrase_what_must_come_of_it(rows: dict[str, str]) -> None:
    assert all(len(phrase) > 20 and "\n" not in phrase for phrase in rows.values())
