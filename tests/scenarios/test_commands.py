"""The commands against a running fleet."""

import json

import pytest

from sender.model import State
from tests.scenarios.stage import readers, stage

pytestmark = pytest.mark.integration


async def test_submitting_twice_adds_nothing_and_status_says_so() -> None:
    people = readers(1_500)
    async with stage() as play, play.fleet():
        assert await play.submit("spring", people) == "spring: 1,500 recipients submitted\n"
        await play.submit("spring", people)  # while it is expanded and sent
        await play.finished("spring")
        assert "nothing was added" in await play.submit("spring", people)
        await play.finished("spring")
        assert await play.conserved("spring") == {State.DELIVERED: 1_500}
        assert set(play.copies().values()) == {1}

        status = json.loads(await play.penstock("status", "spring", "--json"))
        assert {key: status[key] for key in ("campaign", "accepted", "queued", "waiting_batches", "complete")} == {
            "campaign": "spring",
            "accepted": 1_500,
            "queued": 0,
            "waiting_batches": 0,
            "complete": True,
        }
        assert status["states"]["delivered"] == 1_500
        assert set(status["states"]) == {str(state) for state in State}
        by_receiver = [counts.get("delivered", 0) for counts in status["receivers"].values()]
        assert sum(by_receiver) == 1_500
        assert status.pop("doing")["state"] == "complete"
        assert status.pop("lanes_held") == []
        assert json.loads(await play.penstock("status", "--json")) == [status]
        assert "1,500 recipients = 1,500 final + 0 queued" in await play.penstock("status", "spring")


async def test_a_world_of_troubles_conserves_every_recipient() -> None:
    """Unknown users, full mailboxes, greylisting, passing faults and a dirty list: every sum agrees."""
    people = readers(1_000)
    people[100] = "nobody@no-such-domain.example"
    people[200] = "nobody@null-mx.example"
    people[300] = "two@@signs.example"
    async with stage(troubles=3.0) as play, play.fleet():
        await play.submit("spring", people)
        await play.finished("spring")
        totals = await play.conserved("spring")
        assert totals[State.INVALID] == 1
        assert totals[State.REJECTED] >= 2
        taken = play.copies()
        assert sum(taken.values()) == totals[State.DELIVERED]
        assert set(taken.values()) == {1}
        total = (await play.emulator.ask("settle"))["total"]
        assert total["dkim_pass"] == total["accepted"] == totals[State.DELIVERED]
