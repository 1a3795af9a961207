"""Operators' words on lanes, on every backend."""

from sender.model import LaneId
from sender.queue import open_queue
from sender.queue.base import Queue
from sender.queue.client import Client
from sender.queue.control import FOR_EVER
from sender.queue.keys import LANE_HOLDS
from sender.queue.lane_holds import ANY, LaneHold, Words

GOOGLE = LaneHold(receiver="google", until=9_000.0, by="ann@mail1", at=1_000.0, why="a letter from their postmaster")
SOURCE = LaneHold(source="s1", by="bob@mail1", at=2_000.0)
LANE = LaneHold(source="s1", receiver="google", until=5_000.0)


async def test_words_stand_until_they_are_taken_back(queue: Queue) -> None:
    assert list(await queue.lane_holds()) == []
    await queue.hold_lanes([SOURCE, GOOGLE])
    await queue.hold_lanes([])
    assert list(await queue.lane_holds()) == [GOOGLE, SOURCE]
    assert [hold.name for hold in await queue.lane_holds()] == ["*/google", "s1/*"]
    await queue.free_lanes(["*/google", "*/never-held"])
    await queue.free_lanes([])
    assert list(await queue.lane_holds()) == [SOURCE]


async def test_a_later_word_on_the_same_lanes_takes_the_place_of_the_one_before(queue: Queue) -> None:
    await queue.hold_lanes([SOURCE])
    again = LaneHold(source="s1", until=7_000.0, by="ann@mail1", at=3_000.0, why="é\n")
    await queue.hold_lanes([again])
    await queue.hold_lanes([again])
    assert list(await queue.lane_holds()) == [again]


async def test_a_word_that_can_t_be_read_holds_for_ever(client: Client, valkey_url: str) -> None:
    queue = await open_queue(valkey_url)
    await client.run([("HSET", LANE_HOLDS, "s1/*", b'{"v":9}')])
    (hold,) = await queue.lane_holds()
    assert (hold.name, hold.until) == ("s1/*", FOR_EVER)
    assert "can't be read" in hold.why
    await queue.aclose()


def test_whom_a_word_is_about() -> None:
    lanes = [LaneId(source=source, receiver=receiver) for source in ("s1", "s2") for receiver in ("google", "~tail.example")]

    def covered(source: str = ANY, receiver: str = ANY) -> list[bool]:
        hold = LaneHold(source=source, receiver=receiver)
        found = [hold.covers(lane) for lane in lanes]
        assert [Words([hold]).of(lane, 0.0) is hold for lane in lanes] == found
        return found

    assert covered("s1", "google") == [True, False, False, False]
    assert covered("s1") == [True, True, False, False]
    assert covered(receiver="google") == [True, False, True, False]
    assert covered(receiver="other") == [False, True, False, True]
    assert covered(receiver="~tail.example") == [False, True, False, True]
    assert covered() == [True, True, True, True]


def test_of_several_words_the_one_that_ends_last_holds() -> None:
    lane, words = LaneId(source="s1", receiver="google"), Words([LANE, GOOGLE])
    assert words.of(lane, 4_999.0) is GOOGLE
    assert Words([LANE]).of(lane, 5_000.0) is None, "it is over"
    assert words == Words([GOOGLE, LANE])
    assert (bool(words), bool(Words())) == (True, False)
    assert repr(Words()) == "<Words on nobody>"
