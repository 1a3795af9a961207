"""What each key changes about what is shown."""

from workers.top.keys import BACKSPACE, DOWN, END, ENTER, ESCAPE, HOME, PAGE_DOWN, PAGE_UP, TAB, UP
from workers.top.view import CAMPAIGNS, LANES, RECEIVERS, View, place_of, press

NAMES = [f"row{number}" for number in range(20)]


def pressed(*keys: str, view: View | None = None) -> View:
    view = view or View()
    for key in keys:
        view = press(view, key, NAMES, 5, 3)
    return view


def test_tables_go_round_and_each_keeps_how_it_was_shown() -> None:
    view = pressed("s", TAB)
    assert (view.page, view.table.sort) == (RECEIVERS, 0)
    assert pressed(TAB, view=view).page == CAMPAIGNS
    back = pressed(TAB, TAB, view=view)
    assert (back.page, back.table.sort) == (LANES, 1)
    assert [pressed(key).page for key in "lvc"] == [LANES, RECEIVERS, CAMPAIGNS]


def test_the_order_goes_round_both_ways_and_can_be_turned() -> None:
    assert [pressed(*"s" * times).table.sort for times in range(4)] == [0, 1, 2, 0]
    assert pressed("S").table.sort == 2
    assert pressed("r").table.reverse
    assert not pressed("r", "r").table.reverse
    assert not pressed("r", "s").table.reverse, "another column begins as it is meant"


def test_the_selected_row_stays_selected_wherever_it_goes() -> None:
    view = pressed(DOWN, "j", PAGE_DOWN, UP)
    assert view.table.selected == "row6"
    assert place_of(view.table, NAMES[::-1]) == 13
    assert place_of(view.table, NAMES[:3]) == 0, "it is gone"
    assert [pressed(key, view=view).table.selected for key in (HOME, END, PAGE_UP, "k")] == ["row0", "row19", "row1", "row5"]
    assert pressed(UP).table.selected == "row0"
    assert press(View(), DOWN, [], 5, 3) == View()


def test_a_filter_is_typed_kept_and_ended() -> None:
    view = pressed("/", *"goq", BACKSPACE)
    assert (view.typing, view.filter, view.over) == (True, "go", False)
    assert pressed(UP, view=view) == view, "only text is typed"
    kept = pressed(ENTER, view=view)
    assert (kept.typing, kept.filter) == (False, "go")
    assert pressed(ESCAPE, view=kept).filter == ""
    assert pressed(ESCAPE, view=view) == View()
    assert len(pressed("/", *"x" * 500).filter) == 60


def test_standing_still_help_and_the_end() -> None:
    assert pressed(" ").paused
    assert not pressed("p", " ").paused
    assert pressed("?").help
    assert pressed("h", "j") == View(), "any key goes back"
    assert pressed("q").over
    assert pressed("?", "q").over
    assert pressed("x") == View()
