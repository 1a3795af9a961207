"""What the processes of a fleet say of themselves while they run: whether they are ready, and their metrics."""

from functools import partial
from http.client import HTTPConnection

import trio

from sender.net.signing import ping
from sender.settings import Settings
from tests.scenarios.stage import eventually
from workers.fleet import DELIVERY_PORT
from workers.places import signer_sockets

_PING_S = 1.0
_ANSWER_S = 10.0
_CALM_S = 1.0  # what starting leaves to do, such as a first heartbeat, is done by then


async def started(settings: Settings) -> None:
    """Wait until every process does its work, and a moment longer; AssertionError where one does not come to it."""
    for port in range(settings.metrics.port, settings.metrics.port + DELIVERY_PORT + settings.fleet.delivery):
        await eventually("the processes are ready", partial(_is_ready, port))
    for socket in signer_sockets(settings):
        await eventually("the signers are ready", partial(ping, socket, _PING_S))
    await trio.sleep(_CALM_S)


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
