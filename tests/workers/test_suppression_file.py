"""Suppressions as CSV: what is good is read, what is not is named by its line, and an export reads back as it was."""

import io
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.errors import ConfigError, ConfigErrors
from sender.policy.suppression import Digests
from sender.queue.suppressions import GLOBAL, Suppression
from workers.suppression_file import AT_ONCE, Checked, Writer, read_expiry, read_time

DIGESTS = Digests(bytes(range(32)))
NOW = 1_800_000_000.0
DIGEST = DIGESTS.of("ann@a.example").hex()


def read(data: bytes, name: str = "dir/list.csv") -> list[Suppression]:
    with Checked() as checked:
        checked.read(io.BytesIO(data), name, DIGESTS, NOW)
        found = [entry for batch in checked.batches() for entry in batch]
        assert checked.entries == len(found)
        return found


def errors_of(data: bytes) -> list[str]:
    with pytest.raises((ConfigErrors, ConfigError)) as caught:
        read(data)
    return str(caught.value).splitlines()


def test_a_list_of_addresses_is_enough() -> None:
    entries = read(b"Email\nAnn@A.example\n bob@b.example \n\n")
    assert [entry.digest for entry in entries] == [DIGESTS.of("ann@a.example"), DIGESTS.of("bob@b.example")]
    assert entries[0] == Suppression(digest=DIGESTS.of("ann@a.example"), reason="manual", source="list.csv", at=NOW)


def test_every_column_is_read() -> None:
    data = (
        "reason,address,list,source,expires,at\n"
        'complaint,ann@bücher.example,"Offers, weekly",crm,2030-01-01,2026-05-01T12:00:00+02:00\n'
    )
    assert read(data.encode()) == [
        Suppression(
            digest=DIGESTS.of("ann@xn--bcher-kva.example"),
            list="Offers, weekly",
            reason="complaint",
            source="crm",
            at=1_777_629_600.0,
            expires=1_893_456_000.0,
        )
    ]


def test_what_is_written_is_read_back() -> None:
    entries = [
        Suppression(digest=bytes(range(16)), reason="unsubscribe", at=NOW + 0.25),
        Suppression(digest=bytes(16), list='a, "b"\'s', reason="complaint", source="x=1", at=NOW, expires=NOW + 86_400.5),
    ]
    out = io.StringIO(newline="")
    writer = Writer(out, DIGESTS)
    writer.write(entries)
    assert out.getvalue().startswith(
        "digest,list,reason,source,expires,at,key\n000102030405060708090a0b0c0d0e0f,,unsubscribe,,,20"
    )
    assert read(out.getvalue().encode()) == [
        Suppression(digest=bytes(range(16)), reason="unsubscribe", source="list.csv", at=NOW + 0.25),
        entries[1],
    ]


def test_what_has_expired_is_left_out_and_counted() -> None:
    with Checked() as checked:
        data = b"address,expires\na@a.example,2020-01-01\nb@b.example,2099-01-01\nc@c.example,\n"
        checked.read(io.BytesIO(data), "list.csv", DIGESTS, NOW)
        assert (checked.entries, checked.expired) == (2, 1)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("two@@signs.example,,,,", "'@signs.example': not a domain name"),
        ("nobody,,,,", "'nobody': no @"),
        (",,,,", "neither an address nor a digest"),
        (f"ann@a.example,{DIGEST},,,", "an address and a digest: give one of them"),
        (",abc,,,", "digest: 'abc': 32 hexadecimal digits, as an export has them"),
        (f",{DIGEST},,,", "key: '': digests made under another key than ours, "),
        (f",{DIGEST},,,00000000", "key: '00000000': digests made under another key than ours, "),
        ("ann@a.example,,NOT OK,,", "reason: 'NOT OK': 1 to 40 lower-case letters, digits, '_' or '-'"),
        (f"ann@a.example,,{'x' * 41},,", "reason: "),
        ("ann@a.example,,,tomorrow,", "expires: 'tomorrow': write a day like 2027-01-31 (UTC)"),
        ("ann@a.example,,,2027-01-31T09:00:00,", "expires: '2027-01-31T09:00:00': "),
        ("ann@a.example,,,9999-12-31,", "expires: '9999-12-31': "),
        ("ann@a.example,,\udcff,,", "not UTF-8: '\\udcff'"),
        ("ann@a.example,,,", "4 cells under 5 columns"),
        ("ann@a.example,,,,,", "6 cells under 5 columns"),
        ('"ann@a.example\nBcc: eve@e.example",,,,', "'a.example\\nBcc: eve@e.example': not a domain name"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_says_what_is_allowed(row: str, why: str) -> None:
    header = "address,digest,reason,expires,key\n"
    (error,) = errors_of(f"{header}bob@b.example,,,,\n{row}\neve@e.example,,,,\n".encode("utf-8", "surrogateescape"))
    assert error.startswith("dir/list.csv: line 3: ")
    assert why in error


@pytest.mark.parametrize("column", ["list", "source"])
@pytest.mark.parametrize("value", ["a\x00b", "a\x1b[2Jb", "x" * 201, "a\u202eb"])
def test_names_are_printable_and_short(column: str, value: str) -> None:
    (error,) = errors_of(f'address,{column}\na@a.example,"{value}"\n'.encode("utf-8", "surrogateescape"))
    assert "at most 200 printable characters" in error
    assert error.isascii()
    assert error.isprintable()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "list.csv: empty: expected a CSV header"),
        (b"\n\n", "empty"),
        (b"name,city\n", "line 1: no column 'name'; allowed are address, digest, list, reason, source, expires, at, key"),
        (b"list,reason\n", "line 1: neither a column address nor a column digest"),
        (b"email,address\n", "line 1: a column is there twice"),
        (b"ann@a.example\nbob@b.example\n", "line 1: no column 'ann@a.example'"),
        (b"\x00\xff\x00\xff", "line 1: no column "),
    ],
)
def test_a_header_that_fits_nothing_is_an_error(data: bytes, why: str) -> None:
    assert why in errors_of(data)[0]


def test_the_first_bad_rows_are_named_and_the_others_counted() -> None:
    errors = errors_of(b"address\n" + b"nobody\n" * 1_500)
    assert len(errors) == 21
    assert errors[19].startswith("dir/list.csv: line 21: ")
    assert errors[20] == "dir/list.csv: and 1,480 more rows like these"


def test_the_line_is_right_behind_cells_with_line_ends() -> None:
    (error,) = errors_of(b'address,source\na@a.example,"x"\n"b@b.example","one\ntwo"\nc@c.example,x\n')
    assert error.startswith("dir/list.csv: line 3: source: 'one\\ntwo'")
    (error,) = errors_of(b'address\n"a@a.\nexample"\nnobody\n'.replace(b'"a@a.\nexample"', b"a@a.example"))
    assert error.startswith("dir/list.csv: line 3: ")


@pytest.mark.parametrize(
    "data",
    [
        b'address\n"' + b"x" * 300_000 + b"\nb@b.example\n",
        b"address\n" + b"x" * 3_000_000 + b"\nb@b.example\n",
        b"address\n" + b'"' * 200_000,
        b"address\n" + b"\xff\xfe" * 1_000,
        b"address\n" + b"\x00\n" * 1_000,
        b"a,b" * 100_000,
    ],
)
def test_hostile_files_end_in_bounded_errors(data: bytes) -> None:
    errors = errors_of(data)
    assert len(errors) <= 21
    assert max(map(len, errors)) < 500


@given(data=st.binary(max_size=300))
def test_no_input_breaks_the_reader(data: bytes) -> None:
    for start in (b"", b"address,list,reason,source,expires,at\n", b"digest,key\n"):
        with suppress(ConfigError, ConfigErrors):
            read(start + data)


@given(moment=st.floats(min_value=1.0, max_value=7_000_000_000.0))
def test_times_read_back_to_the_microsecond(moment: float) -> None:
    out = io.StringIO(newline="")
    Writer(out, DIGESTS).write([Suppression(digest=bytes(16), reason="x", at=moment)])
    assert abs(read(out.getvalue().encode())[0].at - moment) < 2e-6


def test_an_expiry_is_a_duration_too() -> None:
    assert read_expiry("", NOW) == 0.0
    assert read_expiry("90d", NOW) == NOW + 90 * 86_400
    assert read_expiry("2030-01-01", NOW) == read_time("2030-01-01T00:00:00Z", "expires")
    with pytest.raises(ValueError, match="expires: 'soon': write a day"):
        read_expiry("soon", NOW)


class Endless(io.RawIOBase):
    """More rows than are anywhere at once."""

    def __init__(self, rows: int) -> None:
        self._rows = (b"%d.reader@example%d.org,unsubscribe,crm\n" % (number, number % 1_000) for number in range(rows))
        self._first = [b"address,reason,source\n"]

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._first.pop() if self._first else next(self._rows, b"")


def test_many_rows_need_no_more_memory_than_a_few() -> None:
    with Checked() as checked:
        stream: Any = Endless(100_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        checked.read(stream, "big.csv", DIGESTS, NOW)
        assert checked.entries == 100_000
        assert _count(checked.batches()) == 100_000
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4_000, "kilobytes"


def _count(batches: Iterator[Any]) -> int:
    total = 0
    for batch in batches:
        assert len(batch) <= AT_ONCE
        total += len(batch)
    return total


def test_what_was_read_is_kept_nowhere_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Checked() as checked:
        checked.read(io.BytesIO(b"address\na@a.example\n"), "x", DIGESTS, NOW)
        assert list(tmp_path.iterdir()) == []
        assert [[entry.list for entry in batch] for batch in checked.batches()] == [[GLOBAL]]
