"""The one door to Redis: commands in batches, from threads, with every failure turned into a BackendError.

A batch is one round trip on one connection. The client never retries: a command that timed out may have run, so repeating
it is left to callers whose scripts allow it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import redis
import trio
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from sender.errors import BackendError, ConfigError
from sender.queue.scripts import Argument, Script, load

Command = tuple[Argument, ...]

SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"}
_CONNECTIONS = 4
_TIMEOUT_S = 10.0


class Client:
    """Runs batches of commands on one Redis or Valkey server; replies come as they are on the wire, in octets."""

    def __init__(self, url: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._pool = redis.ConnectionPool.from_url(
            _redis_url(url),
            protocol=2,  # one shape of replies, whatever the library's default becomes
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),  # the default repeats a slow script up to ten times
            retry_on_error=[],
            max_connections=_CONNECTIONS,
        )
        self._limiter = trio.CapacityLimiter(_CONNECTIONS)
        self._scripts = load()
        self._by_digest = {script.digest: script for script in self._scripts.values()}
        self._where = _without_password(url)

    def __repr__(self) -> str:
        return f"<Client {self._where}>"

    @property
    def scripts(self) -> Mapping[str, Script]:
        return self._scripts

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in order, in one round trip; raises BackendError if any of them failed.

        Scripts that the server has forgotten run behind all others: what must see their effect is a call of its own.
        """
        if not commands:
            await trio.lowlevel.checkpoint()
            return []
        try:
            return await trio.to_thread.run_sync(partial(self._run, commands), limiter=self._limiter)
        except (redis.RedisError, OSError) as error:
            raise BackendError(f"{self._where}: {type(error).__name__}: {error}") from error

    def _run(self, commands: Sequence[Command]) -> list[Any]:
        connection: Any = self._pool.get_connection()  # the library types neither half of its connections
        try:
            replies = _round_trip(connection, commands)
            missing = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if missing:
                again = [commands[place] for place in missing]
                self._load(connection, again)
                for place, reply in zip(missing, _round_trip(connection, again), strict=True):
                    replies[place] = reply
        except BaseException:
            connection.disconnect()  # what is unread on it would answer somebody else's command
            raise
        finally:
            self._pool.release(connection)
        for reply in replies:
            if isinstance(reply, redis.RedisError):
                raise reply
        return replies

    def _load(self, connection: Any, commands: Sequence[Command]) -> None:
        """Tell the server the scripts it did not know."""
        digests = {str(command[1]) for command in commands}
        _round_trip(connection, [("SCRIPT", "LOAD", self._by_digest[digest].text) for digest in digests])

    async def aclose(self) -> None:
        await trio.to_thread.run_sync(self._pool.disconnect, limiter=self._limiter)


def _round_trip(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Send all, then read all; an error reply takes its place in the list, a broken connection raises."""
    connection.send_packed_command(connection.pack_commands(commands))
    return [_reply(connection) for _ in commands]


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


def _redis_url(url: str) -> str:
    scheme, _, rest = url.partition(":")
    if scheme not in SCHEMES:
        raise ConfigError("redis", "url", f"{_without_password(url)!r}: allowed are {', '.join(sorted(SCHEMES))}")
    return f"{SCHEMES[scheme]}:{rest}"


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
