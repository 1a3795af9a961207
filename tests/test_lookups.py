"""A chunk's domains are looked up together, and nobody waits for DNS longer than said."""

import trio
from trio.testing import MockClock

from sender.errors import ResolutionError
from sender.lookups import CHUNK_S, FEW, PATIENCE_S, STRAGGLER_S, UNRESOLVED, WAIT_S, Lookups
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


async def test_what_is_known_in_time_counts_and_a_few_others_go_each_its_own_way(autojump_clock: MockClock) -> None:
    dns = Dns()
    began = trio.current_time()
    found = await Lookups(dns, profiles()).receivers(["1.example", "9.example", "2.null", "3.away", "9-a.b.test", "0.example"])
    assert found == {
        "1.example": "~1.example",
        "9.example": "~9.example",
        "9-a.b.test": "~b.test",
        "2.null": None,
        "3.away": "~3.away",
        "0.example": "~0.example",
    }
    assert trio.current_time() - began == 3.0 + STRAGGLER_S
    assert dns.open == 0, "nothing is left running"


async def test_many_that_dns_does_not_tell_us_about_go_one_way_together(autojump_clock: MockClock) -> None:
    """There may be any number of one receiver's among them; but for those whose names say whose they are."""
    many = [f"9-{number}.example" for number in range(FEW + 1)]
    found = await Lookups(Dns(), profiles()).receivers([*many, "0.example"])
    assert {found[name] for name in many} == {UNRESOLVED}
    assert found["0.example"] == "~0.example"

    class Silent(Dns):
        async def destination(self, domain: str) -> Destination:
            raise ResolutionError(domain, "timed out", permanent=False)

    assert (await Lookups(Silent(), profiles()).receivers([*many, "big.example"]))["big.example"] == "big"


async def test_a_chunk_waits_as_long_as_answers_come_and_not_for_ever(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    names = [f"{seconds}-{number}.example" for number in range(30) for seconds in (4, 8, 12)]
    found = await Lookups(Dns(), profiles()).receivers(names)
    assert UNRESOLVED not in found.values()
    assert trio.current_time() - began == 12
    began = trio.current_time()
    await Lookups(Dns(), profiles()).receivers(f"2-{number}.example" for number in range(20_000))
    assert trio.current_time() - began == CHUNK_S


async def test_without_any_answer_it_waits_a_moment(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    await Lookups(Dns(), profiles()).receivers(f"9-{number}.example" for number in range(10_000))
    assert trio.current_time() - began == WAIT_S


async def test_who_kept_us_waiting_is_not_waited_for_again_for_a_while(autojump_clock: MockClock) -> None:
    dns = Dns()
    lookups = Lookups(dns, profiles())
    await lookups.receivers(["9.example"])
    began = trio.current_time()
    assert await lookups.receivers(["9.example", "1.example"]) == {"9.example": "~9.example", "1.example": "~1.example"}
    assert trio.current_time() - began == 1.0
    await trio.sleep(PATIENCE_S)
    await lookups.receivers(["9.example"])
    assert dns.asked == ["9.example", "1.example", "9.example"]


async def test_who_was_only_late_in_line_is_asked_the_next_time(autojump_clock: MockClock) -> None:
    dns = Dns()
    lookups = Lookups(dns, profiles())
    late = "0-late.example"
    found = await lookups.receivers([*(f"9-{number}.example" for number in range(1000)), late])
    assert (found[late], dns.most) == (UNRESOLVED, 500)
    assert (await lookups.receivers([late]))[late] == "~0-late.example"


async def test_no_domains_at_all(autojump_clock: MockClock) -> None:
    assert await Lookups(Dns(), profiles()).receivers([]) == {}
