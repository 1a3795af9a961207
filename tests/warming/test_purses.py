"""A sending identity that warms up: its campaigns are leased as its cap permits, on all sources and by all schedulers."""

from sender.controlling import Controller
from sender.model import LaneId
from sender.policy.plan import Day, Stage
from sender.queue.base import LeaseRequest
from sender.queue.memory import MemoryQueue
from sender.queue.warmups import Account
from sender.warming.purses import Purse
from tests.queue.warming import released
from tests.rig import EPOCH, ROUTE, SPEC, submitted

ACCOUNT = Account("@shop.example")
DAY = Day(number=739_000, starts=EPOCH - 3600, ends=EPOCH + 7200)
NEXT = Day(number=739_001, starts=DAY.ends, ends=DAY.ends + 86_400)


async def campaign(queue: MemoryQueue, name: str, recipients: int = 500, **spec: object) -> None:
    """As an expander takes it that knows the domain to warm up."""
    await submitted(queue, recipients, campaign=name, spec={**SPEC, **spec}, scheduled=True)


async def capped(queue: MemoryQueue, day: int, minute: int, of: Day = DAY, now: float = EPOCH) -> None:
    await queue.set_caps({ACCOUNT: of.cap(Stage(day=day, hour=day, minute=minute))}, now)


def request(source: str) -> LeaseRequest:
    return LeaseRequest(lane=LaneId(source=source, receiver="big"), route=ROUTE, owner="o", envelopes=1_000)


async def leased(queue: MemoryQueue, now: float, source: str = "s1") -> int:
    return sum(len(lease.envelopes) for lease in await queue.lease([request(source)], now))


async def rounds(queue: MemoryQueue, controllers: list[Controller], seconds: int, start: float = EPOCH) -> int:
    """So many seconds go by, with two sources that take what they can get."""
    total = 0
    for second in range(seconds):
        for controller in controllers:
            await controller.run_once(start + second)
        for source in ("s1", "s2"):
            total += await leased(queue, start + second, source)
    return total


def controllers(queue: MemoryQueue, count: int = 1) -> list[Controller]:
    return [Controller(queue, warming=["shop.example"]) for _ in range(count)]


async def test_before_its_day_is_planned_nothing_goes() -> None:
    queue = MemoryQueue()
    await campaign(queue, "spring")
    assert await rounds(queue, controllers(queue), 10) == 0


async def test_all_its_campaigns_together_keep_to_the_cap_of_the_minute_and_of_the_day() -> None:
    queue = MemoryQueue()
    for name in ("spring", "summer"):
        await campaign(queue, name)
    await capped(queue, 100, 40)
    both = controllers(queue, 2)
    assert await rounds(queue, both, 50) == 40
    assert await rounds(queue, both, 50, EPOCH + 60) == 40
    assert await rounds(queue, both, 200, EPOCH + 120) == 20
    assert (await queue.use([ACCOUNT], EPOCH + 400))[ACCOUNT].day == 100


async def test_what_is_given_back_untried_may_go_again() -> None:
    queue = MemoryQueue()
    await campaign(queue, "spring", 30)
    await capped(queue, 20, 20)
    (controller,) = controllers(queue)
    await controller.run_once(EPOCH)
    for lease in await queue.lease([request("s1")], EPOCH):
        await queue.settle([released(lease)], EPOCH)
    assert await rounds(queue, [controller], 10, EPOCH + 1) == 20
    assert (await queue.use([ACCOUNT], EPOCH + 20))[ACCOUNT].day == 20


async def test_a_campaign_s_own_rate_holds_beside_the_cap() -> None:
    queue = MemoryQueue()
    await campaign(queue, "spring", rate="60/m")
    await capped(queue, 10_000, 10_000)
    assert await rounds(queue, controllers(queue), 11) <= 16


async def test_other_domains_go_on_untouched() -> None:
    queue = MemoryQueue()
    await campaign(queue, "spring")
    (controller,) = [Controller(queue, warming=["other.example"])]
    assert await rounds(queue, [controller], 2) == 500


async def test_a_plan_that_is_taken_back_limits_nobody_any_more() -> None:
    queue = MemoryQueue()
    await campaign(queue, "spring")
    await rounds(queue, controllers(queue), 2)
    assert await rounds(queue, [Controller(queue)], 2) == 500


async def test_what_a_purse_holds_when_the_day_ends_is_lost() -> None:
    queue = MemoryQueue()
    await capped(queue, 100, 40)
    purse = Purse(queue, "shop.example")
    await purse.grant("nobody", 0.0, 1e9, EPOCH)  # takes a part, and finds no use for it
    assert repr(purse) == "<Purse of @shop.example: 10 units>"
    await capped(queue, 50, 20, NEXT, NEXT.starts)
    await campaign(queue, "spring")
    await queue.limit_rate("spring", True)
    await purse.grant("spring", 0.0, 1e9, NEXT.starts + 1)
    assert (await queue.use([ACCOUNT], NEXT.starts + 1))[ACCOUNT].day == 5


async def test_a_warm_domain_is_held_back_by_nothing() -> None:
    queue = MemoryQueue()
    await campaign(queue, "spring")
    await queue.set_caps({ACCOUNT: DAY.open()}, EPOCH)
    assert await rounds(queue, controllers(queue), 3) == 500
