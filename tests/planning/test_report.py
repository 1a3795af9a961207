"""The same forecast in tables, as JSON and as a picture: read as a person, a script and a renderer would read it."""

import io
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from sender.policy.forecast import Bind, Expectation, Forecast, Intake, RouteForecast
from sender.policy.schedule import FOR_EVER
from workers.planning.census import Census
from workers.planning.chart import draw
from workers.planning.document import as_document
from workers.planning.report import OneMore, Report, spans
from workers.planning.view import show

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime.fromisoformat("2026-12-01T08:00:00+01:00").timestamp()
FIRST = datetime.fromtimestamp(NOW, PARIS).toordinal()
HOUR = 3_600.0


def google(days: int = 3, **other: Any) -> RouteForecast:
    intake = tuple(
        Intake(day=FIRST + day, source=source, delivered=delivered, cap=cap)
        for day in range(days)
        for source, delivered, cap in (("new", 200.0, 200), ("old", 2_000.0, None))
    )
    made = RouteForecast(
        receiver="google",
        envelopes=2_200 * days,
        delivered=2_200.0 * days,
        spilled=2_000.0 * days,
        begins=NOW + HOUR,
        tried=NOW + 24 * HOUR * (days - 1) + 2 * HOUR,
        eta=NOW + 24 * HOUR * (days - 1) + 3 * HOUR,
        bound={Bind.RETRY: 0.5, Bind.PLAN_DAY: 0.3, Bind.WINDOW: 0.2},
        days=intake,
    )
    return replace(made, **other)


def report(*routes: RouteForecast, one_more: tuple[OneMore, ...] = (), **other: Any) -> Report:
    forecast = Forecast(now=NOW, routes=routes)
    census = Census(
        rows=7_000, invalid=Counter(address=12), suppressed=30, asked_who_is_suppressed=True, domains=9, looked_up=9
    )
    census.receivers = {route.receiver: (0, 0, route.envelopes, 0) for route in routes}
    made = Report(
        campaign="spring",
        pool="main",
        sources=["old", "new"],
        zone=PARIS,
        census=census,
        forecast=forecast,
        one_more=one_more,
        latency_s=0.2,
        expectations={route.receiver: Expectation() for route in routes},
    )
    return replace(made, **other)


def shown(made: Report, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(made, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(text: str, first: str) -> list[str]:
    """The cells of the first line that begins like this."""
    line = next(line for line in text.splitlines() if line.strip().startswith(first))
    return re.split(r"\s{2,}", line.strip())


def test_the_head_says_who_is_left_out_when_it_ends_and_what_is_lost() -> None:
    text = shown(report(google(expired=100.0)))
    assert text.splitlines()[:5] == [
        "spring: 6,600 recipients, 2 sources of pool main",
        "  not mailed  12 invalid (address 12), 30 suppressed",
        "  begins      Tue 2026-12-01 09:00 +0100",
        "  all tried   Thu 2026-12-03 10:00 +0100, in 2 d 2 h",
        "  all done    Thu 2026-12-03 11:00 +0100, in 2 d 3 h: the last one has its final state",
    ]
    assert "  spilled     6,000 recipients: go to warm sources beside cold ones" in text
    assert "  expired     100 recipients: expire" in text


def test_on_80_columns_nothing_is_cut() -> None:
    slow = google(receiver="microsoft", bound={Bind.PLAN_HOUR: 0.7, Bind.HELD: 0.3})
    text = shown(report(google(), slow), width=80)
    assert "…" not in text
    assert "expired" not in text  # of what is lost only what there is has a column
    assert row(text, "microsoft")[:5] == ["microsoft", "6,600", "6,600", "6,000", "Thu 3 Dec 11:00"]
    assert max(map(len, text.splitlines())) <= 80


def test_the_star_is_explained_where_one_stands() -> None:
    assert "* all that" in shown(report(google()))
    short = tuple(replace(item, delivered=item.delivered / 2) for item in google().days)
    assert "* all that" not in shown(report(replace(google(), days=short)))


def test_each_receiver_says_what_holds_it_and_retries_only_where_nothing_else_does() -> None:
    text = shown(report(google(), google(1, receiver="orange", bound={Bind.RETRY: 1.0})))
    assert row(text, "google") == ["google", "6,600", "6,600", "6,000", "Thu 3 Dec 11:00", "warmup, a day 30%"]
    assert row(text, "orange")[-1] == "retries 100%"


def test_each_day_stands_in_its_column_and_what_a_plan_permits_is_marked() -> None:
    lines = shown(report(google())).splitlines()
    at = next(place for place, line in enumerate(lines) if "source" in line and "receiver" in line)
    assert lines[at].split() == ["receiver", "source", "Tue", "1", "Dec", "Wed", "2", "Dec", "Thu", "3", "Dec"]
    assert lines[at + 2].split() == ["google", "new", "200*", "200*", "200*"]
    assert lines[at + 3].split() == ["old", "2,000", "2,000", "2,000"]
    assert "* all that its warmup permits on those days" in lines


def test_many_days_share_columns_and_many_receivers_a_row() -> None:
    several = [google(45, receiver=f"r{number:02}", envelopes=1_000 - number) for number in range(20)]
    text = shown(report(*several))
    assert row(text, "6 more")[1] == f"{sum(1_000 - number for number in range(14, 20)):,}"
    assert "1-8 Dec" in text
    assert "10-14 Jan" in text
    assert row(text, "r00")[0] == "r00"


@pytest.mark.parametrize("width", [80, 100, 200])
def test_it_fits(width: int) -> None:
    later = replace(report(google(45)).forecast, routes=(google(45, eta=NOW + HOUR),))
    made = report(google(45), one_more=(OneMore(plan="", forecast=later), OneMore(plan="steady", forecast=later)), offline=True)
    assert max(map(len, shown(made, width).splitlines())) <= min(width, 100)


def test_what_one_more_source_would_change() -> None:
    sooner = Forecast(now=NOW, routes=(google(eta=NOW + 3 * HOUR),))
    same = Forecast(now=NOW, routes=(google(),))
    text = shown(report(google(), one_more=(OneMore(plan="", forecast=sooner), OneMore(plan="steady", forecast=same))))
    assert row(text, "a warm one") == ["a warm one", "Tue 1 Dec 11:00, 2 d earlier"]
    assert "  google 2 d" in text
    assert row(text, "new, on plan steady") == ["new, on plan steady", "Thu 3 Dec 11:00, no earlier"]


def test_half_a_minute_is_no_gain() -> None:
    sooner = Forecast(now=NOW, routes=(google(eta=google().eta - 30),))
    text = shown(report(google(), one_more=(OneMore(plan="", forecast=sooner),)))
    assert row(text, "a warm one") == ["a warm one", "Thu 3 Dec 10:59, no earlier"]
    assert "google 30 s" not in text


def test_what_the_figures_stand_on_is_said_only_where_it_is_so() -> None:
    made = report(google(), offline=True, without_store="away")
    made.census.unanswered, made.census.left_out = 2, 1_234
    lines = {
        "offline: receivers are known by domain names alone; whom no profile names is of the long tail",
        "DNS could not tell of 2 of 9 domains: they count as the long tail",
        "1,234 smaller domains were not looked up: they count as the long tail (--lookups)",
        "no store could be asked: from settings alone, as if nothing had been sent or queued yet",
    }
    assert lines <= set(shown(made).splitlines())
    assert not lines & set(shown(report(google())).splitlines())


def test_what_never_ends_says_so_everywhere() -> None:
    never = google(eta=FOR_EVER, tried=FOR_EVER, left=500.0, bound={Bind.NO_SOURCE: 1.0})
    made = report(never, one_more=(OneMore(plan="", forecast=Forecast(now=NOW, routes=(google(),))),))
    text = shown(made)
    assert "  all done    never" in text
    assert "  left        500 recipients: are taken by nobody" in text
    assert "without it never" in text
    document = as_document(made)
    assert (document["eta"], document["receivers"][0]["eta"], document["one_more_source"][0]["earlier_s"]) == (None, None, None)
    assert "not everybody is tried" in draw(made)


def test_a_list_of_nobody_who_can_be_mailed_is_shown_too() -> None:
    text = shown(report())
    assert text.startswith("spring: 0 recipients")
    ElementTree.fromstring(draw(report()))


def test_scripts_get_all_of_it() -> None:
    document = as_document(report(google(), measured=["google"], without_store="away"))
    assert document["recipients"]["suppressed"] == 30
    (receiver,) = document["receivers"]
    assert receiver["days"][0] == {"date": "2026-12-01", "source": "new", "delivered": 200.0, "cap": 200}
    assert receiver["held_by"] == {"retry": 0.5, "plan_day": 0.3, "window": 0.2}
    assert document["measured"]["delivered"] == {"google": 0.98}
    assert document["assumed"] == {"latency_s": 0.2, "delivered": {}, "offline": False, "without_store": "away"}


def test_a_store_that_was_not_asked_says_nothing_of_suppressions() -> None:
    made = report(google())
    made.census.asked_who_is_suppressed = False
    assert as_document(made)["recipients"]["suppressed"] is None


SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_is_an_svg_for_light_and_dark_with_a_bar_for_each_day() -> None:
    picture = ElementTree.fromstring(draw(report(google(), google(1, receiver="<orange>"))))
    assert "prefers-color-scheme: dark" in (picture.findtext(f"{SVG}style") or "")
    titles = [title.text for title in picture.iter(f"{SVG}title")]
    assert titles == [
        "google, Tue 1 Dec: 2,200",
        "<orange>, Tue 1 Dec: 2,200",
        "google, Wed 2 Dec: 2,200",
        "google, Thu 3 Dec: 2,200",
    ]
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert "Thu 3 Dec 11:00" in words
    assert "warmup, a day 30%" in words


def test_nothing_is_drawn_outside_of_the_picture() -> None:
    picture = ElementTree.fromstring(draw(report(*[google(45, receiver=f"r{number}") for number in range(12)])))
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    for shape in picture.iter(f"{SVG}rect"):
        if "fill" in shape.attrib:
            x, y, wide, high = (float(shape.attrib[name]) for name in ("x", "y", "width", "height"))
            assert x >= 0
            assert x + wide <= width
            assert y >= 0
            assert y + high <= height


def test_days_are_cut_into_equal_spans() -> None:
    found = spans(report(google(10)).forecast, 4)
    assert [span.last - span.first + 1 for span in found] == [3, 3, 3, 1]
    assert found[-1].last == FIRST + 9
