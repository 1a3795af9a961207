"""A chunk's domains are looked up together, and nobody waits for DNS longer than said."""

import trio
from trio.testing import MockClock

from sender.errors import ResolutionError
from sender.lookups import PATIENCE_S, UNRESOLVED, WAIT_S, Lookups
from sender.model import Destination
from tests.rig import destination, profiles


class Dns:
    """Answers after as many seconds as a domain's first label says; counts who is asked and who is being asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = self.most = 0

    async def destination(self, domain: str) -> Destination:
        self.asked.append(domain)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await trio.sleep(float(domain.partition(".")[0].partition("-")[0]))
        finally:
            self.open -= 1
        if "away" in domain:
            raise ResolutionError(domain, "timed out", permanent=False)
        return Destination(hosts=()) if "null" in domain else destination(domain)


async def test_what_is_known_in_time_counts_and_the_rest_is_unresolved(autojump_clock: MockClock) -> None:
    dns = Dns()
    began = trio.current_time()
    found = await Lookups(dns, profiles()).receivers(["1.example", "9.example", "2.null", "3.away", "0.example"])
    assert found == {
        "1.example": "~1.example",
        "9.example": UNRESOLVED,
        "2.null": None,
        "3.away": UNRESOLVED,
        "0.example": "~0.example",
    }
    assert trio.current_time() - began == WAIT_S
    assert dns.open == 0, "nothing is left running"


async def test_who_kept_us_waiting_is_not_waited_for_again_for_a_while(autojump_clock: MockClock) -> None:
    dns = Dns()
    lookups = Lookups(dns, profiles())
    await lookups.receivers(["9.example"])
    began = trio.current_time()
    assert await lookups.receivers(["9.example", "1.example"]) == {"9.example": UNRESOLVED, "1.example": "~1.example"}
    assert trio.current_time() - began == 1.0
    await trio.sleep(PATIENCE_S)
    await lookups.receivers(["9.example"])
    assert dns.asked == ["9.example", "1.example", "9.example"]


async def test_who_was_only_late_in_line_is_asked_the_next_time(autojump_clock: MockClock) -> None:
    dns = Dns()
    lookups = Lookups(dns, profiles())
    late = "0-late.example"
    found = await lookups.receivers([*(f"9-{number}.example" for number in range(100)), late])
    assert (found[late], dns.most) == (UNRESOLVED, 64)
    assert (await lookups.receivers([late]))[late] == "~0-late.example"


async def test_no_domains_at_all(autojump_clock: MockClock) -> None:
    assert await Lookups(Dns(), profiles()).receivers([]) == {}
