"""Tables into typed values: every error at once, each with file, key and reason."""

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.content.times import Day, DayTime, Moment
from sender.errors import ConfigErrors
from sender.model import TlsPolicy
from sender.schema import Seconds, convert, rate, rate_text, seconds


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    wait: Seconds
    port: int = 25


class Outer(msgspec.Struct, kw_only=True):
    name: str
    inner: Inner = Inner(wait=Seconds(1))
    many: tuple[Inner, ...] = ()
    low: int = 0
    high: int = 9
    format: Literal["json", "console"] = "json"
    tls: TlsPolicy | None = None

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


def errors(table: object) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        convert(Outer, table, file="f.toml")
    return [str(error) for error in caught.value.errors]


def test_a_good_table_becomes_its_type() -> None:
    value = convert(Outer, {"name": "x", "inner": {"wait": "90s"}, "many": [{"wait": 2, "port": 26}]}, file="f.toml")
    assert value == Outer(name="x", inner=Inner(wait=Seconds(90)), many=(Inner(wait=Seconds(2), port=26),))


def test_every_error_is_reported_with_its_place() -> None:
    found = errors({"nam": "x", "inner": {"wait": "soon"}, "many": [{"wait": 1}, {"wait": 1, "port": "x"}], "low": "1"})
    assert found[0] == "f.toml: nam: unknown key; did you mean 'name'?"
    assert found[1] == "f.toml: name: missing"
    assert found[2].startswith("f.toml: inner.wait: 'soon' is not a duration")
    assert found[3] == "f.toml: many[1].port: expected a whole number; found 'x'"
    assert found[4] == "f.toml: low: expected a whole number; found '1'"
    assert len(found) == 5


def test_a_check_across_fields_runs_once_all_of_them_are_good() -> None:
    assert errors({"name": "x", "low": 3, "high": 2}) == ["f.toml: low is above high"]


def test_the_allowed_values_are_listed() -> None:
    found = errors({"name": "x", "format": "xml", "tls": "maybe"})
    assert found[0] == "f.toml: format: expected one of json, console; found 'xml'"
    assert found[1] == "f.toml: tls: expected one of off, opportunistic, required, verified; found 'maybe'"


class Shapes(msgspec.Struct, kw_only=True):
    """One field of each shape that a file may get wrong."""

    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    flag: bool = False
    names: tuple[str, ...] = ()
    days: tuple[Day, ...] = ()
    at: DayTime = "09:00"
    begin: Moment | None = None
    day: date | None = None
    pairs: dict[str, str] = {}
    wait: Seconds = Seconds(1)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"share": 2}, "share: expected a number <= 1.0; found 2"),
        ({"share": True}, "share: expected a number; found true"),
        ({"flag": "yes"}, "flag: expected true or false; found 'yes'"),
        ({"names": "x"}, "names: expected a list; found 'x'"),
        ({"names": ["a", 7]}, "names[1]: expected a text; found 7"),
        ({"days": "mon"}, "days: expected a list; found 'mon'"),
        ({"days": ["mon", "someday"]}, "days[1]: expected one of mon, tue, wed, thu, fri, sat, sun; found 'someday'"),
        ({"at": "9:00"}, "at: expected hours and minutes with two digits each, 00:00 to 24:00; found '9:00'"),
        ({"begin": "soon"}, "begin: expected a time with its offset, like 2026-12-01T09:00:00+01:00; found 'soon'"),
        (
            {"begin": datetime(2026, 12, 1, 9)},
            "begin: expected a time with its offset, like 2026-12-01T09:00:00+01:00; found 2026-12-01T09:00:00",
        ),
        ({"day": "x"}, "day: expected a day, like 2026-12-01; found 'x'"),
        ({"day": 3}, "day: expected a day, like 2026-12-01; found 3"),
        ({"pairs": 3}, "pairs: expected a table; found 3"),
        ({"wait": "soon"}, 'wait: \'soon\' is not a duration: write "90s", "5m", "4d12h" or a number of seconds'),
    ],
)
def test_what_is_wrong_is_said_without_a_word_of_python(table: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        convert(Shapes, table, file="f.toml")
    assert [str(error) for error in caught.value.errors] == [f"f.toml: {said}"]


def test_something_else_than_a_table_is_said_so() -> None:
    assert errors([]) == ["f.toml: expected a table, found []"]


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("5m", 300), ("4d12h", 388_800), ("500ms", 0.5), ("1.5h", 5400), (7, 7), (0, 0)]
)
def test_durations(text: object, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "-5m", "5x", "5m!", -1, True, None, [], "m5"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(text)


@given(st.text(alphabet="0123456789.msdhw ", max_size=12))
def test_a_duration_is_refused_or_not_negative(text: str) -> None:
    try:
        found = seconds(text)
    except ValueError:
        return
    assert found >= 0


@pytest.mark.parametrize(
    ("text", "a_second", "shown"),
    [
        ("10/s", 10, "10/s"),
        ("120/m", 2, "2/s"),
        ("10000/h", 10_000 / 3600, "10000/h"),
        ("1/d", 1 / 86_400, "1/d"),
        ("24/d", 1 / 3600, "1/h"),
        ("999999999/d", 999_999_999 / 86_400, "999999999/d"),
    ],
)
def test_rates(text: str, a_second: float, shown: str) -> None:
    assert rate(text) == a_second
    assert rate_text(rate(text)) == shown


@pytest.mark.parametrize(
    "value", ["", "10", "0/s", "-1/s", "1.5/s", "10/w", "10 /s", "1/s ", 10, None, True, "1234567890/s", "\u0661/s"]
)
def test_what_is_no_rate(value: object) -> None:
    with pytest.raises(ValueError, match=r"is not a rate: write a whole number from 1 on per s, m, h or d"):
        rate(value)


def test_what_no_text_gave_has_no_text() -> None:
    with pytest.raises(ValueError, match="is nothing that"):
        rate_text(0.123)


@given(st.integers(1, 999_999_999), st.sampled_from("smhd"))
def test_a_rate_reads_back_as_itself(count: int, unit: str) -> None:
    value = rate(f"{count}/{unit}")
    assert rate(rate_text(value)) == value
