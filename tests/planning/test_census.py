"""Lists as they are, counted by receiver: nobody is lost, nobody kept, and DNS is asked no more than it was allowed to be."""

import io
from collections.abc import Sequence
from functools import cache

import pytest

from sender.content.spec import parse
from sender.content.template import compile_campaign
from sender.errors import ResolutionError
from sender.model import Destination, MxHost
from sender.policy.receivers import Profiles
from sender.settings import load
from workers.planning import census as census_module
from workers.planning.census import Census, Counting
from workers.recipients import Recipients

SPEC = parse({"from": "news@shop.example", "subject": "Hello {{ city }}", "text": "Hello"}, file="spring")
MX = {"gmail.example": "aspmx.l.google.com", "a.example": "mx.host.example", "b.example": "mx.host.example"}


@cache
def profiles() -> Profiles:
    return Profiles.parse(load().receivers)


class Names:
    """DNS: what it does not know it is asked about in vain."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def destination(self, domain: str) -> Destination:
        self.asked.append(domain)
        if domain == "null.example":
            return Destination(hosts=())
        if domain not in MX:
            raise ResolutionError(domain, "no such domain", permanent=True)
        return Destination(hosts=(MxHost(name=MX[domain], preference=10),))


async def counted(text: str, names: Names | None = None, most: int = 1_000, suppressed: Sequence[str] = ()) -> Census:
    async def wanted(addresses: Sequence[str], list_name: str) -> Sequence[bool]:
        return [address not in suppressed for address in addresses]

    counting = Counting(compile_campaign(SPEC), wanted if suppressed else None, SPEC.list)
    await counting.read(Recipients(io.BytesIO(text.encode()), "list.csv"))
    return await counting.settle(profiles(), names, most)


async def test_receivers_are_those_of_the_mx(autojump_clock: object) -> None:
    found = await counted("to,city\nx@gmail.example,A\ny@a.example,B\nz@b.example,C\nw@b.example,C\n", Names())
    assert {receiver: sum(bands) for receiver, bands in found.receivers.items()} == {"google": 1, "~host.example": 3}
    assert (found.rows, found.mailable, found.domains, found.looked_up) == (4, 4, 3, 3)


async def test_what_would_end_as_invalid_is_counted_by_what_is_wrong(autojump_clock: object) -> None:
    rows = ['{"to": "nobody"}', '{"to": "x@a.example"}', "[1]", '{"to": "x@a.example", "city": "A", "engagement": 101}']
    found = await counted("\n".join(['{"to": "ok@a.example", "city": "A"}', *rows]), Names())
    assert found.invalid == {"address": 1, "template": 1, "row": 1, "engagement": 1}
    assert (found.rows, found.mailable) == (5, 1)


async def test_who_is_suppressed_and_whose_domain_takes_no_mail_gets_none(autojump_clock: object) -> None:
    text = "to,city\nx@a.example,A\ny@a.example,A\nz@null.example,A\n"
    found = await counted(text, Names(), suppressed=["y@a.example"])
    assert (found.suppressed, found.null_mx, found.mailable) == (1, 1, 1)


async def test_bands_of_engagement_are_told_apart(autojump_clock: object) -> None:
    found = await counted("to,city,engagement\na@a.example,A,10\nb@a.example,B,\nc@a.example,C,80\n", Names())
    assert found.receivers == {"~host.example": (1, 0, 1, 1)}


async def test_offline_nobody_is_asked_and_names_say_all_there_is_to_know() -> None:
    found = await counted("to,city\na@sfr.fr,A\nb@free.fr,B\nc@gmail.example,C\nd@deep.gmail.example,D\n")
    assert {receiver: sum(bands) for receiver, bands in found.receivers.items()} == {"sfr": 1, "free": 1, "~gmail.example": 2}
    assert found.looked_up == 0


async def test_no_more_domains_are_looked_up_than_allowed_the_largest_first(autojump_clock: object) -> None:
    names = Names()
    text = "to,city\n" + "x@a.example,A\n" + 3 * "x@gmail.example,A\n" + 2 * "x@b.example,A\n"
    found = await counted(text, names, most=2)
    assert names.asked == ["gmail.example", "b.example"]
    assert (found.looked_up, found.unanswered, found.left_out) == (2, 0, 1)
    assert found.receivers == {"google": (0, 0, 3, 0), "~host.example": (0, 0, 2, 0), "~a.example": (0, 0, 1, 0)}


async def test_domains_that_profiles_name_cost_no_lookup(autojump_clock: object) -> None:
    names = Names()
    await counted("to,city\nx@sfr.fr,A\n", names)
    assert names.asked == []


async def test_a_domain_that_dns_does_not_know_is_of_the_long_tail(autojump_clock: object) -> None:
    found = await counted("to,city\nx@gone.example,A\n", Names())
    assert found.receivers == {"~gone.example": (0, 0, 1, 0)}
    assert (found.looked_up, found.unanswered) == (1, 1)


async def test_memory_is_bounded_and_nobody_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census_module, "DOMAINS_MOST", 10)
    text = "to,city\n" + "".join(f"x@d{number}.example,A\n" for number in range(2_500))
    found = await counted(text)
    assert (found.rows, found.mailable, found.domains, len(found.receivers)) == (2_500, 2_500, 10, 11)
