"""What a board looks like: exactly a terminal's size, whatever receivers said."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import trio
from rich.cells import cell_len
from rich.text import Text

from sender.explaining.board import Board
from tests.asking import NOW
from tests.workers.top.boards import LIKE_MARKUP, board, faster
from workers.top.columns import TABLES
from workers.top.figures import brief, rate, rough, short
from workers.top.screen import Rows, Seen, body_height, draw, whole
from workers.top.view import CAMPAIGNS, PAGES, Page, View

SIZES = [(80, 24), (140, 40), (40, 8), (60, 15), (80, 16), (300, 100)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Board:
    found: Board = trio.run(board, tmp_path_factory.mktemp("fleet"))
    return faster(found, [12.0, 0.04, 1_234.5, 0.0])


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day are those of the machine."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def lines(view: View, shown: Board, width: int = 80, height: int = 24, **seen: Any) -> list[str]:
    return [line.plain for line in draw(view, Seen(board=shown, **seen), width, height)]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("page", PAGES)
def test_nothing_wraps_and_nothing_scrolls(fleet: Board, page: str, width: int, height: int) -> None:
    last = View(page=page, filter="e").on(Page(selected=Rows.of(View(page=page), fleet).names[-1]))
    for view in (View(page=page), last, View(page=page, help=True), View(page=page, typing=True, filter="日" * 60)):
        for trouble in ("", "the store \x1b[2J is away " * 9):
            shown = lines(view, fleet, width, height, trouble=trouble, history=[1.0] * 900)
            assert len(shown) == height
            assert max(map(cell_len, shown)) <= width
            assert all(line.isprintable() for line in shown)


def test_a_terminal_of_80_columns(fleet: Board) -> None:
    shown = lines(View(), fleet)
    assert shown[0].startswith("1,247 msg/s  0.20 refused/s  2,645 sessions  506 lanes, 3 held up")
    assert shown[0].endswith(" 14:13:20")
    assert shown[1] == "ready 1,000  leased 0  later 0  oldest ready 1m00s  in doubt 0  overdue 0s"
    assert shown[2] == "1 hold on lanes"
    table = shown[3:]
    assert table[0] == "receiver     source     state            open msg/s  pace stage last refusal    "
    assert table[1:4] == [
        "yahoo        mta-west-3 held 1h           5/5    12 12.3k     - 451 á…          ",
        "free         s2         fenced            5/5  0.04   100   1/3 452 [red]{{ nam…",
        "google       s1         paused 1h         5/5 1,234   100   1/3 550 ?[2J?[31mre…",
    ]
    assert "microsoft365 s1 " in "\n".join(table), "names are whole"
    (other,) = [line for line in table if line.startswith("other")]
    assert other.split()[1:] == ["s1", "idle", "2500/2500", "1,234", "50.0k", "1/3"]
    assert shown[-4] == "mta-west-3/yahoo: held by ann@mail1 since 14:12:20, until 15:13:20: a letter"
    assert shown[-3] == "refused 5s ago: 451 á"
    assert shown[-1].startswith(" q  quit  ?  help  tab  receivers  s  sort: trouble  r  reverse  /  filter")


def test_wide_terminals_show_more(fleet: Board) -> None:
    titles = lines(View(), fleet, 140, 40)[3].split()
    assert titles[-5:] == ["today", "waits", "ref/s", "last", "refusal"]
    assert LIKE_MARKUP in "\n".join(lines(View(), fleet, 140, 40)), "it is no markup"


def test_what_holds_the_selected_row_stands_below(fleet: Board) -> None:
    below = lines(View().on(Page(selected="s1/google")), fleet, 120, 24)[-4:-1]
    assert below[0].startswith("s1/google: paused until 15:20:00, ")
    assert "rule google/source-rate: rate: 421-4.7.28 unusual rate of unsolicited mail" in below[0]
    assert below[1] == "warmup plan mine: stage 1/3, 0/100 today"
    assert below[2] == "refused 5s ago: 550 ?[2J?[31mred?[H??forged line?"


def test_rows_are_filtered_sorted_and_turned_round(fleet: Board) -> None:
    def first(view: View) -> list[str]:
        return list(Rows.of(view, fleet).names)

    assert first(View(filter="YAHOO")) == ["mta-west-3/yahoo"]
    assert first(View(filter="idle")) == ["s1/other", "s2/orange"]
    assert lines(View(filter="yahoo"), fleet)[2].startswith(f"filter: yahoo ({len(fleet.lanes) - 1} hidden)")
    assert lines(View(filter="nowhere"), fleet)[4] == "nothing of that name"
    for number, order in enumerate(TABLES["lanes"].orders):
        names = first(View(lanes=Page(sort=number)))
        assert first(View(lanes=Page(sort=number, reverse=True))) == names[::-1]
        assert sorted(names) == sorted(first(View())), order.name
    by_rate = [row.rate for row in Rows.of(View(lanes=Page(sort=3)), fleet).rows]
    assert by_rate == sorted(by_rate, reverse=True)


def test_a_row_far_below_is_on_a_page_of_its_own(fleet: Board) -> None:
    row = fleet.lanes[0]
    many = replace(fleet, lanes=[replace(row, lane=replace(row.lane, source=f"s{number:03}")) for number in range(100)])
    seen = "\n".join(lines(View().on(Page(sort=2, selected="s099/yahoo")), many))
    assert "s099" in seen
    assert "s000" not in seen
    assert body_height(24) == 15


def test_all_lanes_of_a_receiver_are_one_row(fleet: Board) -> None:
    rows = {row.lane.receiver: row for row in Rows.of(View(page="receivers"), fleet).rows}
    google = rows["google"]
    assert (google.lanes, google.waits, google.state) == (3, 1_000, "sending")
    assert google.report is not None
    assert (google.report.sessions, google.report.why) == (10, "3 lanes: 1 paused, 1 no lane yet, 1 sending")
    assert google.rate == sum(row.rate or 0.0 for row in fleet.lanes if row.lane.receiver == "google")


def test_campaigns(fleet: Board) -> None:
    (row,) = fleet.campaigns
    going = replace(fleet, campaigns=[replace(row, rate=12.0)])
    shown = lines(View(page=CAMPAIGNS), going)
    assert shown[3].split() == ["campaign", "state", "done", "sent", "reject", "open", "defers", "msg/s", "left"]
    assert shown[4].split() == ["spring", "running", "────────────", "0%", "0", "0", "1,000", "0", "12", "1m23s"]
    assert shown[-3].startswith("1,000 recipients: none final, 1,000 queued")
    assert shown[-2].startswith("at this rate through in 1m23s, ")
    assert lines(View(page=CAMPAIGNS), replace(fleet, campaigns=[]))[4] == "no campaign"


def test_trouble_stands_where_it_is_seen(fleet: Board) -> None:
    assert lines(View(), fleet, trouble="127.0.0.1:6379: can't be reached", behind_s=75.0)[2].startswith(
        "1m15s behind: 127.0.0.1:6379: can't be reached"
    )
    assert lines(View(paused=True), fleet)[2].startswith("standing still, space goes on")


def test_the_rate_of_the_last_minutes_is_drawn(fleet: Board) -> None:
    quiet = replace(fleet, holds=[])
    assert lines(View(), quiet, history=[0.0, 50.0, 100.0])[2] == "▁▅█"
    assert lines(View(paused=True), quiet, history=[1.0] * 900)[2].startswith("standing still, space goes on  ██")
    assert lines(View(), quiet, history=[0.0] * 9)[2] == ""


def test_all_of_it_as_lines(fleet: Board) -> None:
    found: list[Text] = list(whole(fleet, 100))
    assert max(line.cell_len for line in found) <= 100
    assert [line.plain.split()[:1] for line in found[2:5]] == [[], ["receiver"], ["yahoo"]]
    assert found[-1].plain.startswith("spring ")


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (999, "999"), (9_999, "9,999"), (9_999.9, "10.0k"), (99_960, "100k"), (999_999, "1.00M"), (12_345_678, "12.3M")],
)
def test_numbers_in_five_characters(number: float, shown: str) -> None:
    assert short(number) == shown
    assert len(shown) <= 5


@pytest.mark.parametrize(
    ("number", "shown"), [(None, "-"), (0.0, "0"), (0.125, "0.12"), (0.999, "1.0"), (9.94, "9.9"), (9.96, "10")]
)
def test_rates(number: float | None, shown: str) -> None:
    assert rate(number) == shown


SPANS = [(0, "0s", "0s"), (59.9, "1m00s", "59s"), (725, "12m05s", "12m"), (11_520, "3h12m", "3h"), (446_400, "5d04h", "5d")]


@pytest.mark.parametrize(("seconds", "two", "one"), [*SPANS, (9e6, "104d", "104d")])
def test_spans(seconds: float, two: str, one: str) -> None:
    assert (brief(seconds), rough(seconds)) == (two, one)


def test_now_is_the_store_s(fleet: Board) -> None:
    assert fleet.now == NOW
