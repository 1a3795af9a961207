"""What the processes of a fleet say of themselves while they run: whether they are ready, and their metrics."""

from functools import partial
from http.client import HTTPConnection

import trio

from sender.model import State
from sender.net.signing import ping
from sender.settings import Settings
from tests.scenarios.stage import eventually
from tests.scraping import NOTHING, Histogram, histogram
from workers.fleet import DELIVERY_PORT
from workers.places import signer_sockets

_PING_S = 1.0
_QUANTILES = (("reply", 50), ("reply", 99), ("lag", 99))
_ANSWER_S = 10.0
_CALM_S = 1.0  # what starting leaves to do, such as a first heartbeat, is done by then


async def started(settings: Settings) -> None:
    """Wait until every process does its work, and a moment longer; AssertionError where one does not come to it."""
    for port in range(settings.metrics.port, settings.metrics.port + DELIVERY_PORT + settings.fleet.delivery):
        await eventually("the processes are ready", partial(_is_ready, port))
    for socket in signer_sockets(settings):
        await eventually("the signers are ready", partial(ping, socket, _PING_S))
    await trio.sleep(_CALM_S)


async def told(settings: Settings) -> dict[str, Histogram]:
    """What the delivery processes have measured of themselves: "reply", from lease to 250, and "lag" of the event loop."""
    first = settings.metrics.port + DELIVERY_PORT
    ports = range(first, first + settings.fleet.delivery)

    def ask(name: str, **labels: str) -> Histogram:
        return sum((histogram(port, f"penstock_{name}_duration_seconds", **labels) for port in ports), NOTHING)

    reply = await trio.to_thread.run_sync(partial(ask, "lease_to_reply", outcome=State.DELIVERED))
    return {"reply": reply, "lag": await trio.to_thread.run_sync(ask, "loop_lag")}


def quantiles_ms(since: dict[str, Histogram], now: dict[str, Histogram]) -> dict[str, float]:
    """What was told in between, as figures."""
    between = {name: found - since[name] for name, found in now.items()}
    return {f"{name}_p{share}_ms": between[name].quantile(share / 100) * 1e3 for name, share in _QUANTILES}


async def _is_ready(port: int) -> bool:
    status, _ = await _get(port, "/readyz")
    return status == 200


async def _get(port: int, path: str) -> tuple[int, str]:
    """Status and text of a page of the process at this port; status 0 while nobody listens."""
    return await trio.to_thread.run_sync(partial(_ask, port, path))


def _ask(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionError:
        return 0, ""
    finally:
        connection.close()
