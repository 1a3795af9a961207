"""What is shown of a board, and what each key changes about that. Values in, values out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from workers.top.keys import BACKSPACE, DOWN, END, ENTER, ESCAPE, HOME, PAGE_DOWN, PAGE_UP, UP

LANES, RECEIVERS, CAMPAIGNS = "lanes", "receivers", "campaigns"
PAGES = (LANES, RECEIVERS, CAMPAIGNS)
_FILTER_MOST = 60  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """How one of the tables is shown."""

    sort: int = 0  # the place among its orders
    reverse: bool = False
    selected: str | None = None  # the row's name; None: the first


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is shown, and how."""

    page: str = LANES
    lanes: Page = Page()
    receivers: Page = Page()
    campaigns: Page = Page()
    filter: str = ""
    typing: bool = False  # a filter is being typed
    paused: bool = False
    help: bool = False
    over: bool = False  # it shall end

    @property
    def table(self) -> Page:
        """How the table is shown that is seen."""
        return {LANES: self.lanes, RECEIVERS: self.receivers, CAMPAIGNS: self.campaigns}[self.page]

    def on(self, table: Page) -> "View":
        """The same, with this table in place of the one that is seen."""
        match self.page:
            case "lanes":
                return replace(self, lanes=table)
            case "receivers":
                return replace(self, receivers=table)
            case _:
                return replace(self, campaigns=table)

    @property
    def next_page(self) -> str:
        return PAGES[(PAGES.index(self.page) + 1) % len(PAGES)]


def press(view: View, key: str, names: Sequence[str], height: int, orders: int) -> View:
    """What is shown after this key. `names` are the rows of the table in order, of which `height` are seen at a time."""
    if view.typing:
        return _typed(view, key)
    if view.help:
        return replace(view, help=False, over=key == "q")
    if key in (UP, DOWN, PAGE_UP, PAGE_DOWN, HOME, END, "k", "j"):
        return _moved(view, key, names, height)
    match key:
        case "q":
            return replace(view, over=True)
        case "?" | "h":
            return replace(view, help=True)
        case "tab":
            return replace(view, page=view.next_page)
        case "l" | "v" | "c":
            return replace(view, page={"l": LANES, "v": RECEIVERS, "c": CAMPAIGNS}[key])
        case "s" | "S":
            step = 1 if key == "s" else -1
            return view.on(replace(view.table, sort=(view.table.sort + step) % orders, reverse=False))
        case "r":
            return view.on(replace(view.table, reverse=not view.table.reverse))
        case "/":
            return replace(view, typing=True)
        case "escape":
            return replace(view, filter="")
        case " " | "p":
            return replace(view, paused=not view.paused)
        case _:
            return view


def _typed(view: View, key: str) -> View:
    if key == ENTER:
        return replace(view, typing=False)
    if key == ESCAPE:
        return replace(view, typing=False, filter="")
    if key == BACKSPACE:
        return replace(view, filter=view.filter[:-1])
    return replace(view, filter=(view.filter + key)[:_FILTER_MOST]) if len(key) == 1 else view


def _moved(view: View, key: str, names: Sequence[str], height: int) -> View:
    if not names:
        return view
    here = place_of(view.table, names)
    steps = {UP: -1, "k": -1, DOWN: 1, "j": 1, PAGE_UP: -height, PAGE_DOWN: height, HOME: -len(names), END: len(names)}
    there = min(max(0, here + steps[key]), len(names) - 1)
    return view.on(replace(view.table, selected=names[there]))


def place_of(table: Page, names: Sequence[str]) -> int:
    """Where the selected row stands now; the first one, where it is gone."""
    return names.index(table.selected) if table.selected in names else 0
