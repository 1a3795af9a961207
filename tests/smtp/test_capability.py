"""EHLO replies, and what they rule out."""

import pytest

from sender.model import Reply, Transaction
from sender.smtp.capability import Capabilities


def offered(*lines: str) -> Capabilities:
    return Capabilities.parse(Reply(code=250, lines=("mx.example", *lines)))


def message(*, eight_bit: bool = False, smtputf8: bool = False) -> Transaction:
    return Transaction(
        mail_from="a@out.example", rcpt="b@example.com", head=b"x" * 98 + b"\r\n", eight_bit=eight_bit, smtputf8=smtputf8
    )


def test_all_we_use_is_found_in_any_case() -> None:
    found = offered(
        "PIPELINING", "size 1000", "8BitMime", "SMTPUTF8", "STARTTLS", "CHUNKING", "ENHANCEDSTATUSCODES", "AUTH PLAIN", ""
    )
    assert found == Capabilities(
        pipelining=True, size=1000, eight_bit=True, smtputf8=True, starttls=True, chunking=True, enhanced=True
    )


def test_the_first_line_and_near_misses_offer_nothing() -> None:
    assert Capabilities.parse(Reply(code=250, lines=("PIPELINING",))) == Capabilities()
    assert offered("XPIPELINING", "PIPELININGX", "XXXXXXXA", "-STARTTLS", "SIZE=100") == Capabilities()


@pytest.mark.parametrize("parameter", ["", " ", " 0", " many", " -5", " 1" + "0" * 20, " ²"])
def test_a_size_that_says_nothing_is_no_limit(parameter: str) -> None:
    assert offered(f"SIZE{parameter}").size == 0


@pytest.mark.parametrize(
    ("capabilities", "transaction", "code", "enhanced"),
    [
        (offered("8BITMIME"), message(smtputf8=True), 553, "5.6.7"),
        (offered("SMTPUTF8"), message(eight_bit=True), 554, "5.6.3"),
        (offered("SIZE 99"), message(), 552, "5.3.4"),
    ],
)
def test_obstacles(capabilities: Capabilities, transaction: Transaction, code: int, enhanced: str) -> None:
    obstacle = capabilities.obstacle(transaction)
    assert obstacle is not None
    assert (obstacle.code, obstacle.enhanced) == (code, enhanced)
    assert obstacle.text


def test_no_obstacle() -> None:
    assert offered("SIZE 100").obstacle(message()) is None
    assert offered("SIZE 0").obstacle(message()) is None
    assert Capabilities().obstacle(message()) is None
    assert offered("8BITMIME", "SMTPUTF8").obstacle(message(eight_bit=True, smtputf8=True)) is None
