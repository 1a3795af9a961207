"""Tables into typed values: every error at once, each with its file, key, what was found and what is allowed.

msgspec stops at the first error, so each field is converted by itself. A key the type does not know is an error too: an
option that is read and ignored is worse than one that is refused.
"""

import difflib
import re
from collections.abc import Mapping
from datetime import date
from enum import Enum
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from sender.errors import ConfigError, ConfigErrors

T = TypeVar("T", bound=msgspec.Struct)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_RATE = re.compile(r"(\d{1,9})/([smhd])", re.ASCII)

# msgspec speaks of types; whoever wrote the file is told what to write instead.
_KIND = re.compile(r"`([a-z0-9 |]+)`")
_ITEM = re.compile(r"\[(\d+)\]`")
_MOMENT, _DAY = "a time with its offset, like 2026-12-01T09:00:00+01:00", "a day, like 2026-12-01"
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "datetime": _MOMENT,
    "date": _DAY,
}
_WHOLE = {
    "Invalid RFC3339 encoded datetime": f"expected {_MOMENT}",
    "Invalid RFC3339 encoded date": f"expected {_DAY}",
    "Expected `datetime` with a timezone component": f"expected {_MOMENT}",
}


class Seconds(float):
    """A duration in seconds, written as "90s", "5m", "4d12h" or a plain number of seconds."""


def seconds(value: object) -> Seconds:
    """Read a duration; raises ValueError that says what is allowed."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return Seconds(value)
    if isinstance(value, str):
        parts = _DURATION.findall(value)
        if parts and "".join(number + unit for number, unit in parts) == value:
            return Seconds(sum(float(number) * _UNITS[unit] for number, unit in parts))
    raise ValueError(f'{value!r} is not a duration: write "90s", "5m", "4d12h" or a number of seconds')


class Rate(float):
    """So many a second, written as "10000/h": a whole number per s, m, h or d."""


def rate(value: object) -> Rate:
    """Read a rate; raises ValueError that says what is allowed."""
    if isinstance(value, str) and (parts := _RATE.fullmatch(value)) and int(parts[1]):
        return Rate(int(parts[1]) / _UNITS[parts[2]])
    raise ValueError(f'{value!r} is not a rate: write a whole number from 1 on per s, m, h or d, like "10000/h"')


def rate_text(value: float) -> str:
    """A rate as `rate` reads it, in the smallest unit that makes it a whole number."""
    for unit in "smhd":
        count = round(value * _UNITS[unit])
        if count and count / _UNITS[unit] == value:
            return f"{count}/{unit}"
    raise ValueError(f"{value} a second is nothing that `rate` has read")


class Spill(float):
    """For how many seconds sources that are warm leave mail to those that warm up, written as "now", "wait" or a duration."""


SPILL_NOW, SPILL_WAIT = Spill(0), Spill("inf")


def spill(value: object) -> Spill:
    """Read a spill; raises ValueError that says what is allowed."""
    if value == "now":
        return SPILL_NOW
    if value == "wait":
        return SPILL_WAIT
    try:
        return Spill(seconds(value))
    except ValueError:
        raise ValueError(f'{value!r} is not a spill: write "now", "wait" or a duration like "6h"') from None


def spill_text(value: float) -> str | float:
    """A spill as `spill` reads it."""
    return "wait" if value == SPILL_WAIT else float(value) or "now"


def _decode_hook(wanted: type, value: object) -> object:
    if wanted is Seconds:
        return seconds(value)
    if wanted is Rate:
        return rate(value)
    if wanted is Spill:
        return spill(value)
    raise TypeError(f"no conversion to {wanted}")


def convert(kind: type[T], table: object, *, file: str, key: str = "") -> T:
    """Turn a table into `kind`, or raise ConfigErrors naming every field that does not fit.

    `key` is where the table stands in the file ("redis", "identity[0]"); nested tables extend it with dots.
    """
    errors: list[ConfigError] = []
    value = salvage(kind, table, errors, file=file, key=key)
    if errors or value is None:
        raise ConfigErrors(errors)
    return value


def salvage(kind: type[T], table: object, errors: list[ConfigError], *, file: str, key: str = "") -> T | None:
    """As much of a table as can be read, so that checks of its other fields need not wait: what is wrong goes to `errors`.

    A field that does not fit keeps its default; None where there is none to keep.
    """
    if not isinstance(table, Mapping):
        errors.append(ConfigError(file, key, f"expected a table, found {_shown(table)}"))
        return None
    found = len(errors)
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    unknown = [str(name) for name in table if name not in fields]
    errors.extend(ConfigError(file, _join(key, name), f"unknown key{_nearest(name, list(fields))}") for name in unknown)
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in table:
            before = len(errors)
            value = _field(field.type, table[name], file, _join(key, name), errors)
            if value is not None or len(errors) == before:
                values[field.name] = value
        elif field.required:
            errors.append(ConfigError(file, _join(key, name), "missing"))
    if any(field.required and field.name not in values for field in fields.values()):
        return None
    try:
        return kind(**values)  # __post_init__ checks what one field alone can't
    except ValueError as error:
        if len(errors) == found:  # otherwise it may only be what a default makes of it
            errors.append(ConfigError(file, key, str(error)))
        return None


def _field(wanted: Any, value: object, file: str, key: str, errors: list[ConfigError]) -> Any:
    table = _struct(wanted)
    if table is not None:
        return salvage(table, value, errors, file=file, key=key)
    element = _struct_element(wanted)
    if element is not None and isinstance(value, list | tuple):
        items = [salvage(element, item, errors, file=file, key=f"{key}[{place}]") for place, item in enumerate(value)]
        return tuple(item for item in items if item is not None)
    try:
        return msgspec.convert(value, wanted, dec_hook=_decode_hook)
    except (msgspec.ValidationError, ValueError) as error:
        errors.append(_refusal(str(error), wanted, value, file, key))
        return None


def _refusal(text: str, wanted: Any, value: object, file: str, key: str) -> ConfigError:
    """What msgspec says of a value, in words that need no Python, and of the item of a list that it is about."""
    text, _, path = text.partition(" - at `$")
    if isinstance(value, list | tuple) and (item := _ITEM.fullmatch(path)):
        key, value = f"{key}[{item[1]}]", value[int(item[1])]
    why, shown = _in_words(text, wanted), _shown(value)
    found = "" if why.startswith(shown) else f"; found {shown}"
    return ConfigError(file, key, f"{why}{found}")


def _in_words(text: str, wanted: Any) -> str:
    described = [meta.description for meta in getattr(wanted, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
    if " matching regex " in text and described and described[0]:
        return f"expected {described[0]}"
    if (names := _names(wanted)) and not text.startswith("Expected `array`"):
        return f"expected one of {', '.join(names)}"
    text = _WHOLE.get(text, text.partition(", got `")[0])
    return _KIND.sub(_kinds, text.replace("Expected ", "expected ", 1))


def _kinds(named: re.Match[str]) -> str:
    kinds = [_KINDS.get(kind, kind) for kind in named[1].split(" | ") if kind != "null"]
    return " or ".join(kinds)


def _struct(wanted: Any) -> type[msgspec.Struct] | None:
    """The struct of a field that is a table, or may be left out: its keys are reported one by one."""
    options = [option for option in get_args(wanted) if option is not type(None)] if isinstance(wanted, UnionType) else [wanted]
    only = options[0] if len(options) == 1 else None
    return only if isinstance(only, type) and issubclass(only, msgspec.Struct) else None


def _struct_element(wanted: Any) -> type[msgspec.Struct] | None:
    """The struct of a `tuple[Struct, ...]` field: its items are reported one by one."""
    if get_origin(wanted) is not tuple:
        return None
    first = get_args(wanted)[0]
    return first if isinstance(first, type) and issubclass(first, msgspec.Struct) else None


def _names(wanted: Any) -> list[str]:
    """The values of an enumeration: msgspec's message leaves them out."""
    names: list[str] = []
    for option in (wanted, *get_args(wanted)):
        if get_origin(option) is Literal:
            names += map(str, get_args(option))
        elif isinstance(option, type) and issubclass(option, Enum):
            names += [str(member.value) for member in option]
    return names


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; allowed: {', '.join(sorted(known))}"


def _shown(value: object) -> str:
    text = value.isoformat() if isinstance(value, date) else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
