"""HTTP POST to a receiver that may be anything: addresses are judged, redirects don't exist, answers are bounded.

A name is looked up here, each of its addresses judged, and the connection made to the address that was judged: a name that
means another one a moment later changes nothing. TLS still names and verifies the host of the URL. httpcore2 is used as it is,
below httpx2, which would add redirects, proxies of the environment and cookies.
"""

import ssl
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import httpcore2
import trio

from sender.net.addresses import Targets
from workers.consumers.sink import SinkError

_ANSWER_MOST = 64 * 1024  # octets of an answer's body that are read so that its connection can be used again
_IDLE_S = 30.0
_CONNECT_S = 5.0  # for one address
_ADDRESSES_MOST = 8

_Option = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a receiver said, as far as it matters."""

    status: int
    retry_after: str  # as it was written; "" where nothing was


class Poster:
    """Posts to one URL, over at most so many connections that are kept open."""

    def __init__(self, url: str, targets: Targets, *, connections: int, timeout_s: float, ca_file: str = "") -> None:
        """`ca_file` is trusted in place of the system's authorities; OSError or ssl.SSLError where it can't be read."""
        self._url, self._timeout_s = url, timeout_s
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(cafile=ca_file or None),
            max_connections=connections,
            keepalive_expiry=_IDLE_S,
            network_backend=_Judged(targets),
        )

    async def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """SinkError where there was no answer in time."""
        try:
            with trio.fail_after(self._timeout_s):
                return await self._post(headers, body)
        except trio.TooSlowError:
            raise SinkError(f"no answer within {self._timeout_s:g} s") from None
        except httpcore2.TimeoutException:
            raise SinkError("no connection in time") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            raise SinkError(_words(error)) from error

    async def _post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        limits = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)}
        async with self._pool.stream(
            "POST", self._url, headers=list(headers.items()), content=body, extensions=limits
        ) as response:
            read = 0
            async with aclosing(response.aiter_stream()) as chunks:
                async for chunk in chunks:
                    read += len(chunk)
                    if read > _ANSWER_MOST:
                        break  # closed with what is left in it
            found = {name.lower(): value for name, value in response.headers}
            return Answer(status=response.status, retry_after=found.get(b"retry-after", b"").decode("ascii", "replace"))

    async def aclose(self) -> None:
        await self._pool.aclose()

    def __repr__(self) -> str:
        return "<Poster>"  # a URL may hold a secret


class _Judged(httpcore2.AsyncNetworkBackend):
    """Connects to those addresses of a host that its judge lets pass, and to the literal that was judged."""

    def __init__(self, targets: Targets) -> None:
        self._targets, self._plain = targets, httpcore2.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[_Option] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure = "it has no address"
        for address in await _addresses(host, port):
            if refusal := self._targets.refusal(address):
                failure = f"{refusal}; see allow_private"
                continue
            try:
                return await self._plain.connect_tcp(address, port, min(timeout or _CONNECT_S, _CONNECT_S))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = f"{address}: {_words(error) or 'no connection in time'}"
        raise httpcore2.ConnectError(failure)


async def _addresses(host: str, port: int) -> list[str]:
    try:
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore2.ConnectError(f"it can't be looked up: {error.strerror}") from error
    except UnicodeError as error:  # of the codec for names: a label is empty, or too long
        raise httpcore2.ConnectError(f"it can't be looked up: {error}") from error
    return list(dict.fromkeys(str(place[0]).partition("%")[0] for *_, place in found))[:_ADDRESSES_MOST]


def _words(error: BaseException) -> str:
    """What went wrong, by the innermost error that has words; TLS failures are hidden two below, refusals in a group."""
    text, inner = str(error), _within(error)
    while inner is not None:
        text, inner = str(inner) or text, _within(inner)
    return text[:200]


def _within(error: BaseException) -> BaseException | None:
    return error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__
