"""What a process shows of itself over HTTP: /metrics for Prometheus, /healthz and /readyz for whoever runs it.

It is served from threads, because writing out the lines of all lanes takes a while and the event loop must not wait for it. It
listens on the loopback unless told otherwise, and on any other address only with a token. Metrics carry no addresses of
recipients, but volumes per customer are nobody else's business.
"""

import hmac
import ipaddress
import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import BaseRequestHandler, TCPServer, ThreadingMixIn
from typing import Any

import trio

from sender.errors import ConfigError
from sender.metrics import Metrics

Why = Callable[[], str]
"""A probe: why the answer is no, in one line; "" when all is well. It is called from another thread."""

Page = Callable[[str], tuple[HTTPStatus, str, bytes]]
"""From what the client accepts to status, content type and body."""

_AT_ONCE = 8  # requests served at the same time; whoever comes after is hung up on
_SILENCE_S = 5.0  # a client that says nothing for so long is hung up on
_PULSE_EVERY_S = 1.0
_PULSE_LOST_S = 15.0  # an event loop that has not turned for so long is stuck


class Pulse:
    """Tells whether the event loop still turns: run `beat` beside the work and ask `why_dead` from another thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._last = clock, clock()

    async def beat(self) -> None:
        """Record a turn of the loop every second, for ever."""
        while True:
            self._last = self._clock()
            await trio.sleep(_PULSE_EVERY_S)

    def why_dead(self) -> str:
        silent_s = self._clock() - self._last
        return f"the event loop has not turned for {silent_s:.0f} s" if silent_s > _PULSE_LOST_S else ""


class Server:
    """The listening socket and its thread; `close` ends both."""

    def __init__(self, server: TCPServer) -> None:
        self._server = server
        self.port: int = server.server_address[1]
        self._thread = threading.Thread(target=server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; requests being served end by themselves."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(metrics: Metrics, *, address: str = "127.0.0.1", port: int, healthy: Why, ready: Why, token: str = "") -> Server:
    """Serve this process's metrics and health from a thread; port 0 takes a free one.

    Raises ConfigError when the address is taken or is not ours, or when it is not the loopback and there is no token.
    """
    if not token and not _is_loopback(address):
        raise ConfigError("penstock.toml", "metrics.address", f"{address} is not the loopback: it needs metrics.token")
    pages: dict[str, Page] = {
        "/metrics": lambda accept: _exposition(metrics, accept),
        "/healthz": lambda _: _answer(healthy()),
        "/readyz": lambda _: _answer(ready()),
    }
    try:
        server = _Server((address, port), _handler(pages, token))
    except OSError as error:
        raise ConfigError("penstock.toml", "metrics", f"can't listen on {address} port {port}: {error.strerror}") from error
    return Server(server)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError as error:
        raise ConfigError("penstock.toml", "metrics.address", f"{address!r} is not an IP address") from error


def _exposition(metrics: Metrics, accept: str) -> tuple[HTTPStatus, str, bytes]:
    content_type, body = metrics.exposition.answer(accept)
    return HTTPStatus.OK, content_type, body


def _answer(why_not: str) -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.SERVICE_UNAVAILABLE if why_not else HTTPStatus.OK
    return status, "text/plain; charset=utf-8", f"{why_not or 'ok'}\n".encode()


def _handler(pages: dict[str, Page], token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SILENCE_S
        server_version, sys_version = "penstock", ""

        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
                self.send_error(HTTPStatus.UNAUTHORIZED)
                return
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            status, content_type, body = page(self.headers.get("Accept", ""))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Scrapes are no events."""

    return Handler


class _Server(ThreadingMixIn, TCPServer):
    """Bounded, and without HTTPServer's look-up of its own host name, which waits for DNS."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._free = threading.Semaphore(_AT_ONCE)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours; anything else is shown as the base class does."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
