"""Who lives in the emulated world: recipient addresses in the proportions of a consumer list, and what will become of them."""

import random
from collections.abc import Iterator

from workers.emulator.behaviour import mailbox
from workers.emulator.world import World

# Roughly a French shop's list: the shares are ours, chosen so that every receiver is seen in a demo of a few thousand.
_SHARES = {
    "google": 0.38,
    "microsoft": 0.14,
    "yahoo": 0.09,
    "apple": 0.04,
    "orange": 0.09,
    "laposte": 0.03,
    "free": 0.05,
    "sfr": 0.04,
    "gmx": 0.02,
}
_TAIL = 0.12  # the small domains together


def addresses(world: World, count: int) -> Iterator[str]:
    """`count` different addresses, the same ones for the same world; mail to each gets some answer, not always a kind one."""
    rng = random.Random(world.options.seed)
    giants = [world.receiver(name) for name in _SHARES]
    tail = [receiver for receiver in world.receivers if receiver.name not in _SHARES]
    weights = [*_SHARES.values(), *(_TAIL / len(tail) for _ in tail)]
    for number, receiver in enumerate(rng.choices([*giants, *tail], weights, k=count)):
        yield f"reader-{number:07}@{rng.choice(receiver.domains)}"


def exists(world: World, address: str) -> bool:
    """Whether the receiver knows that mailbox: the truth that a run's rejections are held against."""
    domain = address.rpartition("@")[2].lower()
    for receiver in world.receivers:
        if domain in receiver.domains:
            return not mailbox(receiver.behaviour, world.options.seed, address).unknown
    return False
