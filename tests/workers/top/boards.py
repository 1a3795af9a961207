"""A board with all that a screen has to bear: lanes in every state, a long tail, warmups, hostile words, campaigns."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sender.explaining.board import Board, Boards
from sender.explaining.lane_rows import LaneRow
from sender.model import LaneId, Route
from sender.queue.finding import LaneReport
from sender.queue.lane_holds import LaneHold
from sender.settings import Settings, load
from tests.asking import NOW, Store, paused, report, store

PLAN = "[stages]\nday = [100, 200, 40000]\nhour = [80, 160, 32000]\nminute = [80, 160, 32000]\n"
LIKE_MARKUP = "452 [red]{{ name }}<script>[/red]"
HOSTILE = (
    "550 \x1b[2J\x1b[31mred\x1b[H\r\nforged line\x07",
    "421 \u202egnihtyreve sesrever",
    "452 日本語のメールボックスがいっぱいですのでしばらくしてから再送してください",
    "451 " + "a" + "\u0301" * 60_000,
    "554 " + "x" * 65_000,
    LIKE_MARKUP,
)


def configured(tmp_path: Path) -> Settings:
    """Two sources that warm up by a plan, and one that does not."""
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup/mine.toml").write_text(PLAN)
    table = '[[source]]\nname="{}"\nehlo="m.shop.example"\nhost="alpha"\n{}\n'
    places = (("s1", 'warmup="mine"'), ("s2", 'warmup="mine"'), ("mta-west-3", ""))
    (tmp_path / "sources.toml").write_text("\n".join(table.format(*place) for place in places))
    return load(tmp_path)


def at(receiver: str, said: LaneReport, **more: Any) -> LaneReport:
    """The same report of a lane at another receiver."""
    lane, route = LaneId(source=said.lane.source, receiver=receiver), Route(pool="main", receiver=receiver)
    return replace(said, lane=lane, route=route, **more)


def said() -> list[LaneReport]:
    """What the lanes of a fleet say."""
    refused: list[dict[str, Any]] = [{"refusal": words, "refused_at": NOW - 5, "refused": 3} for words in HOSTILE]
    return [
        replace(paused("s1", NOW + 4_000), **refused[0]),
        replace(report("s2", "receiver"), **refused[1]),
        at("microsoft365", report("s1", "pace"), messages_per_second=0.125, sessions=120, connections=120, **refused[2]),
        at("yahoo", report("mta-west-3", "window"), messages_per_second=12_345.0, **refused[3]),
        at("orange", report("s2", "nothing to send"), **refused[4]),
        at("free", report("s2", "fenced", why="this process \x1b[5mcould not tell"), **refused[5]),
        *(at(f"~tail-{number}.example", report("s1", "nothing to send")) for number in range(500)),
    ]


async def filled() -> Store:
    """A store that has all of this."""
    queue = await store(*said())
    await queue.hold_lanes([LaneHold(receiver="yahoo", until=NOW + 3_600, by="ann@mail1", at=NOW - 60, why="a letter")])
    return queue


async def board(tmp_path: Path) -> Board:
    return await Boards(await filled(), configured(tmp_path)).look()


def faster(shown: Board, rates: Sequence[float]) -> Board:
    """The same, with rates as if it had been looked at before."""
    rows: list[LaneRow] = [
        replace(row, rate=rates[place % len(rates)], refusals=rates[place % len(rates)] / 7)
        for place, row in enumerate(shown.lanes)
    ]
    fleet = replace(shown.fleet, per_second=sum(rates), refused_per_second=0.2)
    return replace(shown, lanes=rows, fleet=fleet)
