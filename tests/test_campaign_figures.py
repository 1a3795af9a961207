"""Campaigns that moved last: found among thousands, by a bounded look at the store each time."""

from collections.abc import Sequence

import trio

from sender.campaign_figures import Movers
from sender.metrics import CAMPAIGNS_SHOWN
from sender.model import State
from sender.queue.base import BATCH_ROWS, CampaignStatus
from sender.queue.memory import MemoryQueue


def standing(name: str, accepted: int = 10, delivered: int = 10, *, complete: bool = True, waiting: int = 0) -> CampaignStatus:
    return CampaignStatus(
        campaign=name,
        accepted=accepted,
        waiting_batches=waiting,
        complete=complete,
        final={("google", State.DELIVERED): delivered} if delivered else {},
        deferrals={},
    )


class Books(MemoryQueue):
    """Campaigns that stand as the test says; it notes how many were asked for at once."""

    def __init__(self, *campaigns: CampaignStatus) -> None:
        super().__init__()
        self.standings = {each.campaign: each for each in campaigns}  # newest first
        self.asked: list[int] = []

    def now(self, *campaigns: CampaignStatus) -> None:
        self.standings |= {each.campaign: each for each in campaigns}

    async def campaigns(self) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return list(self.standings)

    async def status(self, campaigns: Sequence[str]) -> Sequence[CampaignStatus]:
        await trio.lowlevel.checkpoint()
        self.asked.append(len(campaigns))
        return [self.standings[name] for name in campaigns if name in self.standings]


async def test_each_state_is_counted_over_all_receivers_and_the_inbox_with_what_is_open() -> None:
    final = {("google", State.DELIVERED): 3, ("-", State.DELIVERED): 1, ("-", State.INVALID): 2}
    status = CampaignStatus(campaign="spring", accepted=10, waiting_batches=2, complete=False, final=final, deferrals={})
    assert await Movers(Books(status)).look(0.0) == {
        "spring": {"open": 4 + 2 * BATCH_ROWS, "delivered": 4, "invalid": 2},
    }


async def test_a_campaign_that_moves_takes_the_place_of_the_one_that_rests_longest() -> None:
    books = Books(*(standing(f"c{number}") for number in range(CAMPAIGNS_SHOWN + 2)))
    movers = Movers(books)
    assert set(await movers.look(0.0)) == {f"c{number}" for number in range(CAMPAIGNS_SHOWN)}  # the newest
    last = f"c{CAMPAIGNS_SHOWN + 1}"
    books.now(standing(last, accepted=11))
    shown = await movers.look(5.0)
    assert shown[last] == {"open": 1, "delivered": 10}
    assert f"c{CAMPAIGNS_SHOWN - 1}" not in shown
    assert len(shown) == CAMPAIGNS_SHOWN


async def test_of_thousands_the_one_that_wakes_up_is_found_and_no_look_asks_for_more_than_a_hundred() -> None:
    books = Books(*(standing(f"c{number}") for number in range(3_000)))
    movers = Movers(books)
    for look in range(70):
        await movers.look(5.0 * look)
    books.now(standing("c2999", accepted=12))
    for look in range(70, 140):
        shown = await movers.look(5.0 * look)
    assert shown["c2999"]["open"] == 2
    assert max(books.asked) <= 100
    assert len(shown) == CAMPAIGNS_SHOWN


async def test_what_is_under_way_is_looked_at_each_time() -> None:
    busy = standing("busy", delivered=1)
    books = Books(*(standing(f"c{number}") for number in range(500)), busy)
    movers = Movers(books)
    for look in range(12):
        await movers.look(5.0 * look)
    for look in range(12, 30):
        books.now(standing("busy", delivered=look % 9 + 1))
        assert (await movers.look(5.0 * look))["busy"]["delivered"] == look % 9 + 1


async def test_what_the_store_has_forgotten_is_gone() -> None:
    books = Books(standing("spring"), standing("summer"))
    movers = Movers(books)
    await movers.look(0.0)
    del books.standings["spring"]
    assert set(await movers.look(31.0)) == {"summer"}


async def test_without_campaigns_nothing_is_asked() -> None:
    books = Books()
    assert await Movers(books).look(0.0) == {}
    assert books.asked == []
