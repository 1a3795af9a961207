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
    "S8": "spellings of one mailbox: one identity, whoever suppresses it",
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

# Broken receivers, signers, workers and clocks.
FAULTS = {
    "F10": "a disk that stalls: nothing durable is confirmed meanwhile, and it is told",
    "F13": "a store that ends on a full disk: nothing acknowledged is lost",
    "F14": "a store without memory: submissions wait, delivery empties it",
    "F15": "a store that is unfit: refused at the start by the setting's name, told while it runs",
    "F18": "a failover: the queue goes on, what was confirmed is there",
    "F20": "a damaged log: its end can be told and brought back, its middle stops the start",
    "F21": "replies that are refusals: each by its name, none taken for an empty queue",
    "F1": "a worker that dies with everything leased and nothing sent: nobody lost, nobody doubled",
    "F2": "a worker that dies at any step before an end of data: nobody doubled",
    "F3": "a worker that dies behind an end of data: at most a second copy, and the doubt is counted",
    "F4": "a worker that dies between a reply and the store: its journal knows, nobody doubled",
    "F5": "SIGTERM under load: what was begun is finished, the rest goes back",
    "F6": "a frozen worker that returns: fenced, it sends nothing more and joins under another name",
    "F7": "an event loop that was blocked: as F6, decided by the worker itself before others can",
    "F8": "workers and store killed together: nobody lost, doubled only who was at the dot",
    "F9": "a store that is killed under load: what it had answered is there again",
    "F11": "a power loss that takes the last second of the store's log: nobody lost",
    "F12": "a store whose disk is full: outcomes wait in the journal, and go on by themselves",
    "F16": "a frozen store: calls end in time, outcomes wait, nobody doubled",
    "F17": "a connection to the store cut in the middle of a call: asked again, dropped, never reused",
    "F22": "entries that nobody can use: set aside with the reason, in nobody's way",
    "F23": "a worker's clock that leaps: leases and waits do not notice, the operator does",
    "F24": "the store's clock that leaps: nobody is taken for dead, no time is skipped",
    "F25": "days of 23 and 25 hours, leap days and days that never were: windows keep to the wall clock",
    "F26": "a receiver that closes after the dot: two copies at most, then parked",
    "F27": "a receiver that never answers the dot, or too late: the same, and others get its place",
    "F28": "a receiver that keeps what it refuses: an ordinary retry",
    "F30": "421 in the middle of a chain: what was not tried goes back at once",
    "F31": "a refusal and a close while pipelining: the refusal, for its message alone",
    "F32": "replies out of form or place: neither sent nor bounced, and no pipelining for an hour",
    "F33": "recipients refused one by one, and 354 all the same: each its own result, no copy",
    "F34": "replies without end: bounded in octets, lines and time",
    "F35": "black holes, closed ports, no greeting: the next address, and nothing leaks",
    "F36": "TLS that stalls, breaks or must not be believed: remembered, in clear only where allowed",
    "F37": "a receiver that reads no more: a write deadline, and others keep their pace",
    "F38": "an idle session that the receiver ended: replaced, and no message pays",
    "F39": "one host of several that is 50 times slower: it gets no more than its share",
    "F40": "a DNS that is silent, fails or changes: what is known serves on, the rest waits",
    "F42": "a worker out of descriptors: it slows down, and nobody pays",
    "F43": "a signer that dies: its jobs are signed by another",
    "F44": "a signer that hangs: given up in time, and nothing leaves unsigned",
    "F45": "connections that break or are refused for a while: those at the dot in doubt, the rest tried again",
    "F46": "a receiver away for long, then back: few attempts meanwhile, then a ramp from one connection",
    "F47": "a journal whose disk is full: nothing goes out that it does not know of",
    "F48": "two versions side by side: each reads what the other has written, or leaves it alone",
    "F49": "an expansion killed in the middle: everybody expanded once",
    "F50": "a recipient suppressed, or a campaign ended, while envelopes are leased: what came before the end of data holds",
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
