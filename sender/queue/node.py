"""One server of a store: a few connections, each of which carries one batch at a time. The only room that knows redis-py.

Everything here blocks, and runs in threads. An error reply is a value, `Refused`, in the place of the reply; a connection
that could not be made or broke is an exception, `Unreachable`, and is never used again: what is unread on it would answer
somebody else's command.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sender.errors import BackendError
from sender.queue.scripts import Argument
from sender.settings.store_url import Address, StoreUrl

Command: TypeAlias = tuple[Argument, ...]

CONNECTIONS = 4
_BEGINNING: tuple[Command, ...] = (("ASKING",),)  # what goes before a command that a cluster sent to this node


class Unreachable(BackendError):
    """A server could not be reached, or the connection broke: what was asked may have been done or not."""


class Denied(BackendError):
    """A server that does not let us in, or not do this: waiting will not help, only configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An error reply: its code, as OOM or READONLY, the whole text, and which server said it."""

    code: str
    text: str
    where: str


class Node:
    """A server and its connections; `replicated` is set by who knows whether replicas may take its place."""

    def __init__(self, address: Address, url: StoreUrl, scripts: Mapping[str, bytes], timeout_s: float) -> None:
        self.address, self.replicated = address, False
        self.guarantee: Callable[[Batch], None] | None = None  # see `durable`: asked once
        self._scripts = scripts  # by digest
        self._pool = _pool(address, url, timeout_s)

    def __str__(self) -> str:
        host, port = self.address
        return f"{host}:{port}" if port else host

    def send(self, commands: Sequence[Command], *, asking: bool = False) -> "Batch":
        """Put commands on their way; the batch must be closed. Raises Unreachable or Denied, and nothing was done."""
        with _translated(self):
            connection = self._pool.get_connection()
        batch = Batch(self, connection, commands, _BEGINNING if asking else ())
        try:
            batch.write(commands)
        except BaseException:
            batch.close()
            raise
        return batch

    def ask(self, *commands: Command) -> list[Any]:
        """Run a few commands by themselves; raises BackendError where one is refused."""
        with self.send(commands) as batch:
            replies = batch.receive()
        for reply in replies:
            if isinstance(reply, Refused):
                raise BackendError(f"{self}: {reply.text}")
        return replies

    def give_back(self, connection: Any) -> None:
        self._pool.release(connection)

    def script(self, digest: str) -> bytes:
        return self._scripts[digest]

    def close(self) -> None:
        """Close what is idle. A connection in use is closed when nobody holds it any more: its batch may still be answered."""
        self._pool.disconnect(inuse_connections=False)


class Batch:
    """Commands that were sent on one connection, which is theirs until they are closed."""

    def __init__(self, node: Node, connection: Any, commands: Sequence[Command], before_each: Sequence[Command]) -> None:
        self.node = node
        self._connection, self._commands, self._before_each = connection, commands, before_each
        self._clean = False  # nothing is unread

    def __enter__(self) -> "Batch":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def write(self, commands: Sequence[Command]) -> None:
        self._clean = False
        all_of_them = [one for command in commands for one in (*self._before_each, command)]
        with _translated(self.node):
            self._connection.send_packed_command(self._connection.pack_commands(all_of_them))

    def receive(self) -> list[Any]:
        """The replies, in order; scripts that the server has forgotten are told to it and run behind all others."""
        replies = self._read(len(self._commands))
        missing = [place for place, reply in enumerate(replies) if isinstance(reply, Refused) and reply.code == "NOSCRIPT"]
        if missing:
            again = [self._commands[place] for place in missing]
            self._load(again)
            self.write(again)
            for place, reply in zip(missing, self._read(len(again)), strict=True):
                replies[place] = reply
        return replies

    def further(self, commands: Sequence[Command]) -> list[Any]:
        """One more round trip on the same connection."""
        self.write(commands)
        return self._read(len(commands))

    def _load(self, commands: Sequence[Command]) -> None:
        digests = {str(command[1]) for command in commands}
        before_each, self._before_each = self._before_each, ()
        self.further([("SCRIPT", "LOAD", self.node.script(digest)) for digest in digests])
        self._before_each = before_each

    def _read(self, count: int) -> list[Any]:
        step = 1 + len(self._before_each)
        with _translated(self.node):
            replies = [self._reply() for _ in range(count * step)]
        self._clean = True
        return replies[step - 1 :: step]

    def _reply(self) -> Any:
        try:
            return self._connection.read_response()
        except redis.ResponseError as error:
            return _refused(error, str(self.node))

    def close(self) -> None:
        """Give the connection back, or drop it where replies are still to come."""
        if not self._clean:
            with suppress(redis.RedisError, OSError):
                self._connection.disconnect()
        self.node.give_back(self._connection)


@contextmanager
def _translated(node: Node) -> Iterator[None]:
    """The border: what redis-py and the system raise becomes ours."""
    try:
        yield
    except (redis.AuthenticationError, redis.exceptions.AuthorizationError) as error:
        raise Denied(f"{node}: it does not let us in: {error}") from error
    except redis.BusyLoadingError as error:
        raise Unreachable(f"{node}: it is still reading its data back: {error}") from error
    except (redis.RedisError, OSError) as error:
        raise Unreachable(f"{node}: {_why(error)}") from error


def _why(error: Exception) -> str:
    """What the system said, where redis-py tells it in a sentence of its own."""
    if isinstance(error, redis.TimeoutError):
        return "it does not answer in time"
    cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return f"can't be reached: {cause.strerror}"
    return f"{type(error).__name__}: {error}"


def _refused(error: redis.ResponseError, where: str) -> Refused:
    code, text = str(getattr(error, "status_code", None) or ""), str(error)
    if not code:
        code = text.partition(" ")[0]
    return Refused(code=code, text=text if text.startswith(code) else f"{code} {text}", where=where)


def _pool(address: Address, url: StoreUrl, timeout_s: float) -> Any:
    """redis-py's own pool; it types neither half of its connections."""
    options: dict[str, Any] = {
        "username": url.user or None,
        "password": url.password or None,
        "db": url.database,
        "protocol": 2,  # one shape of replies, whatever the library's default becomes
        "socket_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),  # the default repeats a slow script up to ten times
        "retry_on_error": [],
        "max_connections": 2 * CONNECTIONS,  # a batch and, in a cluster, what was redirected
    }
    host, port = address
    if not port:
        return redis.ConnectionPool(connection_class=redis.UnixDomainSocketConnection, path=host, **options)
    options |= {"host": host, "port": port, "socket_connect_timeout": timeout_s, "socket_keepalive": True}
    if not url.tls:
        return redis.ConnectionPool(**options)
    files = {"ssl_ca_certs": url.ca_file, "ssl_certfile": url.cert_file, "ssl_keyfile": url.key_file or url.cert_file}
    options |= {name: path for name, path in files.items() if path}
    return redis.ConnectionPool(connection_class=redis.SSLConnection, **options)
