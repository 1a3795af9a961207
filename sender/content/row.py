"""A recipient's row as it was submitted: the address, and the merge fields as text.

Checked when a campaign is expanded, so that a row that can't become a message is counted as invalid before it is queued.
"""

import re
from collections.abc import Mapping

from sender.content.address import Address, parse_address
from sender.content.logic import AUTOMATIC, VALUE_MAX
from sender.errors import ContentError

ROW_MAX = 32_000  # characters of all merge fields together

_RESERVED = AUTOMATIC.keys() - {"to", "name"}
_UNWRITABLE = re.compile(r"[\0\ud800-\udfff]")


def read_row(row: Mapping[str, object]) -> tuple[Address, dict[str, str]]:
    """Address and merge fields of one recipient; ContentError names the key that can't be used.

    Numbers become text. `true` becomes "true" and `false` the empty text, so that `{% if vip %}` means what it says. NUL
    and half surrogates are refused: there is no writing them.
    """
    to = row.get("to")
    if not isinstance(to, str):
        raise ContentError("to", "missing" if to is None else "not text")
    address = parse_address(to)
    fields = {key: _text(key, value) for key, value in row.items() if key != "to"}
    if sum(map(len, fields.values())) > ROW_MAX:
        raise ContentError("recipient", f"its fields come to more than {ROW_MAX:,} characters")
    if len(fields.get("name", "")) > AUTOMATIC["name"]:
        raise ContentError("name", f"more than {AUTOMATIC['name']:,} characters")
    return address, fields


def _text(key: str, value: object) -> str:
    if key in _RESERVED:
        raise ContentError(key, "a name of our own: every recipient has it without being given it")
    match value:
        case str():
            if len(value) > VALUE_MAX:
                raise ContentError(key, f"more than {VALUE_MAX:,} characters")
            if _UNWRITABLE.search(value):
                raise ContentError(key, "NUL or half a surrogate pair")
            return value
        case bool():
            return "true" if value else ""
        case int() | float():
            return str(value)
        case _:
            raise ContentError(key, "neither text nor a number")
