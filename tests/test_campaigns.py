"""Campaigns as delivery needs them: checked as a whole, built once, and refused where this configuration can't send them."""

import gc
import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sender.errors import ConfigErrors
from sender.queue.memory import MemoryQueue
from tests.holding import accepted, campaign, campaigns
from tests.rig import SPEC, Store


async def test_a_campaign_is_read_and_built_once() -> None:
    queue = Store()
    await accepted(queue, "spring")
    known = campaigns(queue)
    first = await known.get("spring")
    assert first is not None
    assert (first.id, first.identity.domain, first.curve.give_up_s) == ("spring", "shop.example", 36_000.0)
    assert await known.get("spring") is first
    assert queue.calls["spec"] == 1
    assert repr(first) == "<Campaign spring in main, signed by shop.example>"


async def test_one_that_does_not_exist_is_none_and_asked_for_again() -> None:
    queue = Store()
    known = campaigns(queue)
    assert await known.get("spring") is None
    await accepted(queue, "spring")
    assert await known.get("spring") is not None


async def test_its_own_patience_goes_before_the_configured_one() -> None:
    queue = MemoryQueue()
    await accepted(queue, "spring", {**SPEC, "give_up": "2h"})
    found = await campaigns(queue).get("spring")
    assert found is not None
    assert found.curve.give_up_s == 7_200.0


async def test_accepted_under_another_configuration_it_is_refused_in_words() -> None:
    queue = MemoryQueue()
    await accepted(queue, "spring")
    with pytest.raises(ConfigErrors, match=r"no identity 'shop.example' is configured; there are: other.example"):
        await campaigns(queue, domain="other.example").get("spring")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"from": "News <news@elsewhere.example>"}, "identity: no identity 'elsewhere.example' is configured"),
        ({"pool": "gold"}, "pool: no source is in pool 'gold'; there are: main"),
        ({"text": "{% for x in y %}"}, "text: line 1"),
        ({"colour": "red"}, "colour: unknown key"),
        ({"identity": "shop.example", "pool": "gold", "priority": 11}, "priority"),
    ],
)
def test_what_is_wrong_is_known_before_a_recipient_is(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        campaigns(MemoryQueue()).check("spring", json.dumps({**SPEC, **change}).encode())
    assert why in str(caught.value)


def test_two_mistakes_are_told_together() -> None:
    document = json.dumps({**SPEC, "from": "a@elsewhere.example", "pool": "gold"}).encode()
    with pytest.raises(ConfigErrors) as caught:
        campaigns(MemoryQueue()).check("spring", document)
    assert [error.key for error in caught.value.errors] == ["identity", "pool"]


def test_extras_are_what_the_template_does_not_need() -> None:
    assert campaign().extras({"first": "Ann", "customer": "4711"}) == {"customer": "4711"}


async def test_memory_is_bounded_and_forgotten_ones_come_back() -> None:
    queue = Store()
    for number in range(510):
        await accepted(queue, f"c{number}")
    known = campaigns(queue)
    for number in range(510):
        assert await known.get(f"c{number}") is not None
    asked = queue.calls["spec"]
    await known.get("c509")
    assert queue.calls["spec"] == asked
    await known.get("c0")
    assert queue.calls["spec"] == asked + 1


async def test_what_leased_envelopes_refer_to_is_in_memory_until_they_are_gone() -> None:
    queue = Store()
    for number in range(501):
        await accepted(queue, f"c{number}")
    known = campaigns(queue)
    held = await known.get("c0")
    for number in range(1, 501):
        await known.get(f"c{number}")
    gc.collect()
    assert len(known.in_memory) == 501
    assert held in known.in_memory
    del held
    gc.collect()
    assert {campaign.id for campaign in known.in_memory} == {f"c{number}" for number in range(1, 501)}


async def test_retries_end_with_its_deadline_and_its_times_are_at_hand() -> None:
    queue = MemoryQueue()
    await accepted(queue, "spring", {**SPEC, "start": "2026-03-01T00:00:00Z", "deadline": "2026-03-02T00:00:00Z"})
    found = await campaigns(queue).get("spring")
    assert found is not None
    assert found.schedule.deadline == found.curve.not_after == found.schedule.start + 86_400


def test_times_that_never_come_are_refused() -> None:
    document = json.dumps(
        {
            **SPEC,
            "start": "2026-03-02T12:00:00Z",  # a Monday
            "deadline": "2026-03-03T08:00:00Z",
            "windows": [{"days": ["mon", "tue"], "from": "09:00", "to": "11:00"}],
        }
    )
    with pytest.raises(ConfigErrors) as caught:
        campaigns(MemoryQueue()).check("spring", document.encode())
    assert str(caught.value) == "campaign spring: windows: none of them is open between the start and the deadline"
    campaigns(MemoryQueue()).check("spring", document.replace("03T08", "03T10").encode())


async def test_many_lanes_that_want_it_at_once_read_and_build_it_once(autojump_clock: MockClock) -> None:
    queue = Store()
    await accepted(queue, "spring")
    queue.seconds = 1.0
    known, found = campaigns(queue), []

    async def want(patience_s: float) -> None:
        with trio.move_on_after(patience_s):
            found.append(await known.get("spring"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(want, 0.5)  # whoever fetches may be cancelled: another fetches then
        await wait_all_tasks_blocked()
        for _ in range(100):
            nursery.start_soon(want, 10)
    assert len(found) == 100
    assert len(set(map(id, found))) == 1
    assert queue.calls["spec"] == 2
