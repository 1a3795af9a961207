"""What keeps those who follow the events from it."""

import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sender.queue.redis_part import EVENT_ENTRIES
from tests.consumers.receiver import OK, Receiver, Reply
from tests.scenarios.alerts.cause import Cause, Fault
from tests.scenarios.alerts.fleet import Around, Fleet, Shape
from tests.scenarios.alerts.scale import FASTER
from tests.scenarios.stage import Stage

# An hour is what a webhook's `give_up` is where nothing is said, and a minute its `retry_most`.
_CONSUMER = """
[[consumer]]
name = "{name}"
kind = "webhook"
url = "{url}"
secret_file = "hooks.key"
allow_private = true
retry_most = "1s"
give_up = "{give_up}"
"""
_GIVE_UP = {"shop": "60s", "till": "5s"}

_STREAM = "penstock:{p00}:events"
_TOO_MANY = 20_000
_FLOOD = """
for _ = 1, tonumber(ARGV[1]) do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'v', '1', 'lines', ARGV[3])
end
"""


@asynccontextmanager
async def _with_webhooks(play: Stage) -> AsyncIterator[Around]:
    key = play.config / "hooks.key"
    key.touch(mode=0o600)
    key.write_text(f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
    async with AsyncExitStack() as stack:
        hooks = {name: await stack.enter_async_context(Receiver(keeps=False).open()) for name in _GIVE_UP}
        with (play.config / "penstock.toml").open("a") as file:
            file.writelines(_CONSUMER.format(name=name, url=hook.url, give_up=_GIVE_UP[name]) for name, hook in hooks.items())
        yield Around(consumers=hooks)


# A receiver's hour is a minute in this fleet, and no second.
FOLLOWED = Shape(settings={"scale": f"scale = {1 / FASTER}"}, around=_with_webhooks)


def _refusing(consumer: str) -> Fault:
    """This consumer's webhook takes nothing."""

    @asynccontextmanager
    async def fault(fleet: Fleet) -> AsyncIterator[None]:
        hook = fleet.around.consumers[consumer]
        hook.answer = lambda request: Reply(status=503)
        yield
        hook.answer = lambda request: OK

    return fault


@asynccontextmanager
async def _flooded(fleet: Fleet) -> AsyncIterator[None]:
    """More entries at once than a stream keeps."""
    line = '{"id":"flood","type":"held","at":1,"subject":"*/*"}'
    await fleet.play.redis_cli("EVAL", _FLOOD, "1", _STREAM, str(EVENT_ENTRIES + _TOO_MANY), str(EVENT_ENTRIES), line)
    yield


CAUSES = (
    Cause(alert="PenstockConsumerBehind", fault=_refusing("shop")),
    Cause(alert="PenstockConsumerDeadLetters", fault=_refusing("till")),
    Cause(alert="PenstockConsumerLost", fault=_flooded),
)
