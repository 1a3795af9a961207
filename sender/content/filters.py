"""The filters a template may use: each total, typed, and with a price that its longest value can't beat.

Not one of them raises on a value of its type, whatever is in it, and each says how much longer a value may come out.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from jinja2 import Undefined

SPLIT_MAX = 50  # turns of a loop: `split` gives no more

# An octet of UTF-8 as a URL has it (RFC 3986 section 2.3), by its number.
_URL_OCTETS = MappingProxyType(
    {octet: chr(octet) if re.fullmatch(r"[A-Za-z0-9._~-]", chr(octet)) else f"%{octet:02X}" for octet in range(256)}
)


class Kind(StrEnum):
    """The type of an expression."""

    TEXT = "text"
    NUMBER = "a number"
    LIST = "a list"
    TRUTH = "true or false"


class Filter:
    """A filter: what it runs, takes and gives; `price` per whole field it reads, `growth` of the text it gives.

    Prices follow the slowest text measured: 6 microseconds each. Upper case of `ß` takes ten times that of `é`.
    """

    __slots__ = ("accepts", "arguments", "gives", "growth", "price", "run")

    def __init__(
        self, run: Callable[..., Any], accepts: set[Kind], gives: Kind, *arguments: Kind, price: int = 20, growth: int = 1
    ) -> None:
        self.run, self.accepts, self.gives, self.arguments = run, frozenset(accepts), gives, arguments
        self.price, self.growth = price, growth


def _default(value: Any, instead: str) -> str:
    """For a field that is missing or empty."""
    return instead if isinstance(value, Undefined) or not value else str(value)


def _number(value: str | float) -> float:
    """0 where the text is no number; bounded, because reading long numbers is slow."""
    try:
        number = float(value[:40] if isinstance(value, str) else value)
    except ValueError:
        return 0.0
    return number if abs(number) < 1e15 else 0.0


def _fixed(value: float, digits: float) -> str:
    return f"{value:.{min(max(int(digits), 0), 10)}f}"


def _split(value: str, separator: str) -> list[str]:
    parts = value.split(separator or ",", SPLIT_MAX)[:SPLIT_MAX] if value else []
    return [part.strip() for part in parts]


def _truncate(value: str, length: float) -> str:
    room = max(int(length), 1)
    return value if len(value) <= room else value[: room - 1].rstrip() + "…"


def _urlencode(value: str) -> str:
    return value.encode().decode("latin-1").translate(_URL_OCTETS)


_TEXT, _NUMBERS, _LIST = {Kind.TEXT}, {Kind.TEXT, Kind.NUMBER}, {Kind.LIST}

FILTERS: Mapping[str, Filter] = MappingProxyType(
    {
        "default": Filter(_default, _TEXT, Kind.TEXT, Kind.TEXT, price=1),
        "upper": Filter(str.upper, _TEXT, Kind.TEXT, price=80, growth=3),
        "lower": Filter(str.lower, _TEXT, Kind.TEXT, price=80, growth=3),
        "title": Filter(str.title, _TEXT, Kind.TEXT, price=80, growth=3),
        "capitalize": Filter(str.capitalize, _TEXT, Kind.TEXT, price=80, growth=3),
        "trim": Filter(str.strip, _TEXT, Kind.TEXT),
        "truncate": Filter(_truncate, _TEXT, Kind.TEXT, Kind.NUMBER),
        "urlencode": Filter(_urlencode, _TEXT, Kind.TEXT, price=250, growth=12),
        "int": Filter(lambda value: int(_number(value)), _NUMBERS, Kind.NUMBER, price=1),
        "float": Filter(_number, _NUMBERS, Kind.NUMBER, price=1),
        "fixed": Filter(_fixed, {Kind.NUMBER}, Kind.TEXT, Kind.NUMBER, price=1),
        "length": Filter(len, {Kind.TEXT, Kind.LIST}, Kind.NUMBER, price=1),
        "split": Filter(_split, _TEXT, Kind.LIST, Kind.TEXT),
        "join": Filter(lambda value, between: between.join(value), _LIST, Kind.TEXT, Kind.TEXT),
        "first": Filter(lambda value: value[0] if value else "", _LIST, Kind.TEXT),
        "last": Filter(lambda value: value[-1] if value else "", _LIST, Kind.TEXT),
    }
)
