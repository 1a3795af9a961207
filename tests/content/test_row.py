"""Recipients' rows: text and numbers become merge fields, anything else is refused by name."""

import pytest

from sender.content.row import read_row
from sender.errors import ContentError


def test_a_row() -> None:
    row = {"to": "Ann@Customer.example.", "name": "Ann", "n": 7, "price": 12.5, "vip": True, "new": False, "": "x"}
    address, fields = read_row(row)
    assert str(address) == "Ann@customer.example"
    assert fields == {"name": "Ann", "n": "7", "price": "12.5", "vip": "true", "new": "", "": "x"}


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({}, "to"),
        ({"to": 7}, "to"),
        ({"to": "nobody"}, "address"),
        ({"a": None}, "a"),
        ({"a": ["x"]}, "a"),
        ({"a": {"b": "x"}}, "a"),
        ({"a": "x\0"}, "a"),
        ({"a": "\ud800"}, "a"),
        ({"a": "x" * 8_001}, "a"),
        ({str(n): "x" * 8_000 for n in range(5)}, "recipient"),
        ({"name": "x" * 1001}, "name"),
        ({"campaign": "x"}, "campaign"),
        ({"unsubscribe_token": "x"}, "unsubscribe_token"),
    ],
)
@pytest.mark.row("S2")
def test_refused(row: dict[str, object], field: str) -> None:
    with pytest.raises(ContentError) as caught:
        read_row(row if field in ("to", "address") else {"to": "a@d.example"} | row)
    assert caught.value.field == field
