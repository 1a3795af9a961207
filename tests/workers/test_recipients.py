"""Reading lists as they are: no row is lost, none is doubled, and every repeat numbers them the same."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.errors import ConfigError
from sender.queue import inbox
from workers.recipients import Recipients


def read(data: bytes) -> list[Any]:
    """All rows, as an expander will read them."""
    batches = list(Recipients(io.BytesIO(data), "list.csv").batches())
    assert [batch.number for batch in batches] == list(range(len(batches)))
    inbox.check(batches)
    return [json.loads(line) for batch in batches for line in batch.rows.split(b"\n")]


def test_a_csv_s_columns_become_fields_and_the_address_is_to() -> None:
    rows = read(b'Email,name,city\r\nann@a.example,Ann,"Lyon, 3e"\r\n bob@b.example ,Bob,\r\n')
    assert rows == [
        {"to": "ann@a.example", "name": "Ann", "city": "Lyon, 3e"},
        {"to": "bob@b.example", "name": "Bob", "city": ""},
    ]


@pytest.mark.parametrize("header", ["to", "EMAIL", "e-mail", " Address "])
def test_the_address_column_has_several_names(header: str) -> None:
    assert read(f"name,{header}\nAnn,a@a.example\n".encode()) == [{"name": "Ann", "to": "a@a.example"}]


def test_json_lines_pass_as_they_are() -> None:
    rows = read(b'{"to":"a@a.example","n":1}\n\n  {"to":"b@b.example","vip":true}  \n')
    assert rows == [{"to": "a@a.example", "n": 1}, {"to": "b@b.example", "vip": True}]


@pytest.mark.parametrize("rest", [b"to\na@a.example\n", b'{"to":"a@a.example"}\n'])
def test_a_byte_order_mark_is_no_part_of_the_first_row(rest: bytes) -> None:
    assert read(b"\xef\xbb\xbf" + rest) == [{"to": "a@a.example"}]


@pytest.mark.parametrize("header", [b"email,pr\xe9nom\n", bytes(range(20)), b"\x1b[31memail\x1b[0m\n", b"e\0m\0a\0i\0l\0"])
def test_a_header_that_is_no_text_is_refused_and_shown_in_ascii(header: bytes) -> None:
    """A spreadsheet's export in another encoding, or no text at all: nobody's terminal is to show that."""
    with pytest.raises(ConfigError, match=r"list.csv: line 1: not text in UTF-8: '[ -~]+'; expected a CSV header") as caught:
        read(header + b"a@a.example,x\n")
    assert str(caught.value).isascii()


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b"a@a.example", "line 2: 1 cells under 2 columns: 'a@a.example'"),
        (b"a@a.example,Ann,more", "line 2: 3 cells under 2 columns"),
        (b"a@a.example,Ren\xe9", "line 2: not UTF-8: 'a@a.example,Ren"),
        (b'a@a.example,"' + b"x" * 140_000 + b'"', "line 2: field larger than field limit"),
    ],
)
def test_a_row_that_can_t_be_read_stays_a_row_and_says_why(row: bytes, why: str) -> None:
    bad, good = read(b"to,name\n" + row + b"\nb@b.example,Bob\n")
    assert isinstance(bad, str)
    assert bad.startswith(why)
    assert good == {"to": "b@b.example", "name": "Bob"}


@pytest.mark.parametrize(
    "line", [b"{", b"\xff", b"[" * 50_000, b'{"to": 1e999}', b'{"to":"\\ud800"}', b'{"to":"a"} {"to":"b"}']
)
def test_a_line_that_is_no_json_stays_a_row_and_breaks_no_batch(line: bytes) -> None:
    first, bad, last = read(b'{"to":"a@a.example"}\n' + line + b'\n{"to":"b@b.example"}')
    assert str(bad).startswith("line 2: ")
    assert len(str(bad)) < 1_000
    assert (first, last) == ({"to": "a@a.example"}, {"to": "b@b.example"})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty: expected a CSV header or JSON lines"),
        (b"\n", "empty"),
        (b"name,city\n", "line 1: no column is called to or email or e-mail or address; found: name, city"),
        (b"to,name,name\n", "found twice or empty: .'name'."),
        (b"to,,x\n", "found twice or empty"),
    ],
)
def test_a_header_that_fits_nothing_is_an_error(data: bytes, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read(data)


def test_long_rows_make_smaller_batches() -> None:
    """What the inbox takes is bounded in octets too: no list is refused for having long rows."""
    text = "x" * 20_000
    many = "to,text\n" + f"a@a.example,{text}\n" * 700
    batches = list(Recipients(io.BytesIO(many.encode()), "x").batches())
    inbox.check(batches)
    assert len(batches) == 4
    assert sum(batch.rows.count(b"\n") + 1 for batch in batches) == 700


def test_a_thousand_rows_a_batch() -> None:
    data = b"to\n" + b"".join(b"r%d@a.example\n" % number for number in range(2_500))
    batches = list(Recipients(io.BytesIO(data), "x").batches())
    assert [batch.rows.count(b"\n") + 1 for batch in batches] == [1_000, 1_000, 500]


def test_progress_is_known_in_octets() -> None:
    data = b"to\na@a.example\nb@b.example\n"
    recipients = Recipients(io.BytesIO(data), "x")
    list(recipients.batches())
    assert recipients.octets == len(data)


@given(rows=st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=30))
def test_what_a_csv_writer_writes_is_read_back(rows: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["name", "to"])
    writer.writerows(rows)
    found = read(text.getvalue().encode("utf-8", "surrogatepass"))
    assert len(found) == len(rows)


@given(data=st.binary(max_size=300))
def test_no_input_breaks_the_reader(data: bytes) -> None:
    for start in (b"to,name\n", b'{"to":"a@a.example"}\n'):
        rows = read(start + data)
        assert rows == read(start + data)


def test_a_row_no_batch_could_carry_becomes_a_text() -> None:
    """A line within bounds, whose control characters grow beyond them in JSON."""
    line = b"a@a.example," + b",".join([b"\x01" * 100_000] * 8)
    rows = read(b"to,a,b,c,d,e,f,g,h\n" + line + b"\nb@b.example" + b"," * 8 + b"\n")
    assert isinstance(rows[0], str)
    assert "line 2: too long" in rows[0]
    assert len(rows) == 2
