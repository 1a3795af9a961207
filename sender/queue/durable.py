"""`redis.durable`: a submission is confirmed when no crash and no failover can take it back. Runs in threads, beside the batch.

1. Where replicas may take the server's place (Sentinel, Cluster), one of them must have what was written: WAIT.
2. Its own disk must have it: at once where appendfsync is always; where it is everysec, `_until_on_disk` sees it fsynced.
3. Where its disk can promise nothing, a replica that follows is enough; without one there is no promise.

WAITAOF is not asked: under everysec it may answer before the fsync, in Redis 7.4 until pull request 13793 mended that, and in
Valkey 9.1 still; tests/redis/test_durable.py shows it. What is asked instead, every server since Redis 7.0 answers.

WAIT counts what a connection has written. A repeat of a submission that came through writes nothing, and would be confirmed
unseen: so each durable batch ends with a small write of its own, the `confirmation`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sender.errors import BackendError, ConfigError
from sender.queue.node import Batch, Command, Node, Refused
from sender.queue.scripts import Script
from sender.queue.slots import key_of, tag
from sender.queue.standing import Standing, fields, standing

_PATIENCE_S = 4.0
_FSYNC_EVERY_S = 1.05  # everysec, and a little for two clocks
_POLL_S = 0.02
_KEPT_S = 3_600
_IN_TIME = f"this within {_PATIENCE_S:.0f} s: submit it again, which doubles nothing"
_SETTINGS = ("appendfsync", "no-appendfsync-on-rewrite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """What must be seen of a server before a batch of it is confirmed."""

    disk: bool
    replica: bool

    def __call__(self, batch: Batch) -> None:
        """Wait until all that the batch wrote is safe; BackendError where that is not seen in time."""
        if self.disk and not _until_on_disk(batch, time.monotonic() + _PATIENCE_S):
            raise BackendError(f"{batch.node}: its disk has not confirmed {_IN_TIME}")
        if self.replica and _asked(batch, ("WAIT", 1, int(_PATIENCE_S * 1000))) < 1:
            raise BackendError(f"{batch.node}: no replica has confirmed {_IN_TIME}")


def _until_on_disk(batch: Batch, deadline: float) -> bool:
    """Wait for an fsync that began after the batch was written and has ended; False where `deadline` comes first.

    Once nothing is buffered or being fsynced, whatever fsync begins next covers the batch, and it begins within a second of
    that moment as the server's clock goes. So: see that moment; let the second pass; let the server go round its loop once,
    where it begins the fsync; and see again that none is under way. A rewrite of the file in between starts this anew.
    """
    while (rewrites := _rests(batch, deadline)) is not None:
        time.sleep(min(_FSYNC_EVERY_S, max(0.0, deadline - time.monotonic())))
        _asked(batch, ("PING",))
        if _rests(batch, deadline) == rewrites:
            return True
    return False


def _rests(batch: Batch, deadline: float) -> str | None:
    """Wait until no write is buffered and no fsync under way; gives the rewrite its file is at, None past `deadline`."""
    while True:
        said = fields(_asked(batch, ("INFO", "persistence")))
        if said.get("aof_last_write_status") != "ok":
            raise BackendError(f"{batch.node}: it can't write its append-only file: not confirmed")
        busy = [said.get(f"aof_{what}", "?") for what in ("pending_bio_fsync", "buffer_length", "rewrite_in_progress")]
        if time.monotonic() >= deadline:
            return None
        if busy == ["0", "0", "0"]:
            return said.get("aof_rewrites", "")
        time.sleep(_POLL_S)


def _asked(batch: Batch, command: Command) -> Any:
    (reply,) = batch.further([command])
    if isinstance(reply, Refused):
        raise BackendError(f"{batch.node}: {reply.text}")
    return reply


def guarantee(node: Node) -> Callable[[Batch], None]:
    """What a server can promise, asked of it once; raises ConfigError where that is nothing."""
    if node.guarantee is None:
        with node.send([("INFO",), *(("CONFIG", "GET", name) for name in _SETTINGS)]) as batch:
            info, *found = batch.receive()
        if isinstance(info, Refused):
            raise BackendError(f"{node}: {info.text}")
        settings = ["" if isinstance(pair, Refused) or len(pair) < 2 else pair[1].decode() for pair in found]
        node.guarantee = promise(standing(str(node), info), *settings, replicated=node.replicated)
    return node.guarantee


def promise(server: Standing, appendfsync: str, no_fsync_on_rewrite: str, *, replicated: bool) -> Guarantee:
    """The rules above; a setting is "" where the server does not show it, and then nothing is built on it."""
    always = server.aof and appendfsync == "always"
    everysec = server.aof and appendfsync == "everysec" and no_fsync_on_rewrite == "no"
    if not always and not everysec and not replicated and not server.replicas:
        allowed = (
            "appendonly yes, appendfsync always or everysec, no-appendfsync-on-rewrite no (it must show them), or a replica"
        )
        raise ConfigError("redis", "durable", f"true, but {server.server} can't say when a write is safe; it needs {allowed}")
    return Guarantee(disk=everysec, replica=replicated or not (always or everysec))


def confirmation(script: Script, command: Command) -> Command:
    """The write that ends a durable batch, beside the key of this command; it goes by itself."""
    key = key_of(command)
    if key is None:
        raise ValueError(f"{command[0]!r} names no key: nothing to confirm")
    return script((f"penstock:{{{tag(key).decode()}}}:confirmed",), _KEPT_S)
