"""The guard: what one more delivered message may cost, in counts. A change that raises one says why, here.

The cost of a message is the difference between a long run and a short one, so that starting, connecting and ending do not
count. `python -m tests.bench delivery` measures the same way in microseconds.
"""

import ctypes
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType

import pytest
import trio
import trustme
from trio.testing import MockClock

from sender.content.key import generate
from sender.content.rotation import Algorithm
from sender.settings import Settings
from tests.costs.counting import Calls, Turns, compiled, hooked
from tests.costs.process import RECEIVERS, Place, configured, deliver, in_one_thread
from tests.net.world import server_context
from tests.redis.background import held_open
from workers.embedded import embedded_valkey

pytestmark = pytest.mark.integration

# Messages to each receiver: a few, with which the interpreter and the store learn what they need to know only once, then
# one pack, and three.
FIRST, SHORT, LONG = 8, 200, 600

# Each is what it was when it was last lowered, and a thirtieth more: enough for a run's own noise. On Python 3.11, since later
# ones call and allocate less.
MOST: Mapping[str, float] = MappingProxyType(
    {
        "round trips": 1.01,  # 1, exact: a chained message waits for nothing but its own end (RFC 2920 section 3.1)
        "SMTP writes": 1.01,  # 1, exact: content, end of data and the next MAIL, RCPT and DATA are one TLS record
        "SMTP reads": 1.01,  # 1, exact: the socket is not asked in vain, and the four replies come in one piece
        "journal writes": 2.01,  # 2, exact: the intent before the end of data, the outcome after its reply
        "log lines": 1.01,  # 1, exact
        "signatures": 1.01,  # 1, exact: one key
        "signer requests": 0.13,  # 0.125: eight digests are one frame
        "store calls": 0.0181,  # 0.0175: of 200 messages one lease, one question who gets no mail, and what 0.1 s settles
        "store commands": 0.117,  # 0.1125: the scripts in them, one for each lease that has news
        "commands in the store": 1.46,  # 1.41: a bit for each message; all else is once for many
        "task turns": 1.47,  # 1.42: one of the session, and its part of preparing, signing, leasing and settling
        "calls": 645,  # 624 of functions, Python's and C's
        "allocations": 625,  # 605 blocks; those that the interpreter keeps ready do not count
    }
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("costs")
    names = [f"mx.{domain}" for domain in RECEIVERS]
    with held_open(embedded_valkey(tmp_path_factory.mktemp("valkey"))) as url:
        key = generate(Algorithm.RSA, directory / "rsa.pem")
        yield Place(directory=directory, store=url, key=key, tls=server_context(trustme.CA(), *names))


@pytest.fixture(scope="module")
def costs(place: Place) -> dict[str, float]:
    """What a message costs, by name."""
    library, settings = compiled(place.directory), configured(place.directory / "config")
    counted(place, settings, library, FIRST)
    short, long = counted(place, settings, library, SHORT), counted(place, settings, library, LONG)
    assert long["messages taken"] == LONG * len(RECEIVERS)
    found = {name: (long[name] - short[name]) / ((LONG - SHORT) * len(RECEIVERS)) for name in long}
    print(", ".join(f"{name} {cost:.4g}" for name, cost in sorted(found.items())))
    return found


def counted(place: Place, settings: Settings, library: ctypes.CDLL, messages: int) -> Counter[str]:
    """What a process does from its start to its end, for so many messages to each receiver."""
    counts, calls = Counter[str](), Counter[str]()
    with hooked(library):
        run(place, settings, messages, counts, Turns(counts, library))
    run(place, settings, messages, calls, Calls(calls))
    counts["calls"] = calls["calls"]
    return counts


def run(place: Place, settings: Settings, messages: int, counts: Counter[str], instrument: trio.abc.Instrument) -> None:
    with pytest.MonkeyPatch.context() as patch:
        in_one_thread(patch, counts)
        work = partial(deliver, place, settings, messages, counts, patch)
        trio.run(work, clock=MockClock(autojump_threshold=0), instruments=[instrument])


@pytest.mark.parametrize("what", MOST)
def test_a_message_costs_no_more_than_it_did(costs: dict[str, float], what: str) -> None:
    assert 0 < costs[what] <= MOST[what], f"{what} a message: {costs[what]:.4g}, at most {MOST[what]:g}"
