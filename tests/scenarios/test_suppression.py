"""Suppressions against a running fleet: before a submission, after a receiver's answer, and in the middle of a campaign."""

import time

import pytest

from sender.model import State
from tests.scenarios.stage import eventually, readers, stage

pytestmark = pytest.mark.integration

_IN_FLIGHT_S = 15.0  # far more than it takes: the machine may be busy


async def test_who_is_suppressed_gets_no_mail_and_who_does_not_exist_gets_one_refusal() -> None:
    people = readers(300)
    strangers = [f"unknown{number}@{address.partition('@')[2]}" for number, address in enumerate(people[:20])]
    async with stage() as play, play.fleet():
        said = await play.penstock("suppress", "add", people[5].upper(), people[7], "--reason", "complaint")
        assert said == "2 addresses: 2 added, 0 there already (all lists)\n"
        await play.submit("spring", people + strangers)
        await play.finished("spring")
        totals = await play.conserved("spring")
        assert totals == {State.DELIVERED: 298, State.SUPPRESSED: 2, State.REJECTED: 20}
        assert not {people[5], people[7]} & play.copies().keys()

        await play.submit("summer", strangers + people[:10])
        await play.finished("summer")
        assert await play.conserved("summer") == {State.DELIVERED: 8, State.SUPPRESSED: 22}
        shown = await play.penstock("suppress", "show", strangers[0])
        assert "suppressed on all lists: unknown_user, since " in shown
        assert ", from spring:" in shown


@pytest.mark.row("F50")
async def test_a_whole_list_suppressed_in_the_middle_of_a_campaign_gets_nothing_more() -> None:
    people = readers(30_000)
    async with stage() as play, play.fleet():
        await play.submit("spring", people)

        async def under_way() -> bool:
            return await play.delivered("spring") > 500

        await eventually("some are delivered", under_way)
        file = play.directory / "all.csv"
        file.write_text("address,reason\n" + "".join(f"{address},unsubscribe\n" for address in people))
        assert await play.penstock("suppress", "import", str(file)) == "30,000 entries: 30,000 added, 0 there already\n"
        ended = time.time()
        await play.finished("spring")
        totals, copies = await play.conserved("spring"), play.copies()
        assert set(copies.values()) == {1}
        assert totals[State.DELIVERED] == copies.total()
        assert totals[State.SUPPRESSED] == 30_000 - copies.total() > 0, "and none of them got one"
        # The news travel in about one second, and what had gone out by then takes its time to be answered.
        told = await play.told_delivered()
        assert [address for address, at in told.items() if at > ended + _IN_FLIGHT_S] == []
