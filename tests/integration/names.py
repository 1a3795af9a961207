"""The names of this world: one name server on port 53 of a loopback address, for our resolver and for both judges.

Port 53, because neither judge can be told another one.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from workers.emulator.dns import serve_dns
from workers.emulator.zone import Zone

PORT = 53
_START_S = 10.0


@contextmanager
def name_server(zone: Zone, address: str) -> Iterator[None]:
    """Answer from `zone` while the block runs: in a thread, since it outlives the event loop of any one test."""
    began: queue.Queue[tuple[trio.lowlevel.TrioToken, trio.CancelScope] | BaseException] = queue.Queue()

    async def serve() -> None:
        with trio.CancelScope() as scope:
            async with serve_dns(zone, address, PORT):
                began.put((trio.lowlevel.current_trio_token(), scope))
                await trio.sleep_forever()

    def run() -> None:
        try:
            trio.run(serve)
        except OSError as error:
            began.put(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        started = began.get(timeout=_START_S)
        if isinstance(started, BaseException):
            raise started
        token, scope = started
        try:
            yield
        finally:
            trio.from_thread.run_sync(scope.cancel, trio_token=token)
    finally:
        thread.join()
