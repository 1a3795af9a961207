"""What a server says of itself, read and judged; and what it can promise a durable submission."""

from dataclasses import replace

import pytest

from sender.errors import ConfigError
from sender.queue.base import Queue
from sender.queue.durable import Guarantee, confirmation, promise
from sender.queue.scripts import load
from sender.queue.standing import Standing, check, standing

INFO = b"""redis_version:7.0.15\r\n\r\n# Memory\r\nused_memory:9500\r\nmem_not_counted_for_evict:500\r\nmaxmemory:10000\r
maxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\naof_last_bgrewrite_status:ok\r\naof_last_write_status:ok\r
aof_delayed_fsync:3\r\nrdb_last_bgsave_status:ok\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\n"""

WELL = Standing(
    server="db:6379",
    master=True,
    replicas=0,
    aof=True,
    aof_well=True,
    delayed_fsyncs=0,
    snapshot_well=True,
    used=1,
    limit=0,
    policy="noeviction",
)


def test_info_is_read() -> None:
    assert standing("db:6379", INFO) == replace(WELL, replicas=2, delayed_fsyncs=3, used=9000, limit=10000)


def test_a_hosted_server_that_says_little_is_taken_to_be_well() -> None:
    found = standing("db:6379", b"redis_version:7.2.4\r\n")
    assert (found.flaw(), list(found.worries()), found.share) == ("", [], 0.0)


def test_what_keeps_penstock_from_starting_names_the_setting() -> None:
    check([WELL])
    with pytest.raises(
        ConfigError, match=r"^redis: url: db:6379 has maxmemory-policy allkeys-lru: .*; set maxmemory-policy noeviction$"
    ):
        check([WELL, replace(WELL, policy="allkeys-lru")])
    with pytest.raises(ConfigError, match=r"db:6379 is a replica: name its master, or its Sentinels"):
        check([replace(WELL, master=False)])


def test_the_worries() -> None:
    assert list(WELL.worries()) == []
    poor = replace(WELL, aof=False, snapshot_well=False, used=90, limit=100)
    assert [worry.partition(": ")[0] for worry in poor.worries()] == [
        "db:6379 has appendonly no",
        "db:6379 could not write its last snapshot",
        "db:6379 is over 90% of its maxmemory",
    ]
    assert list(replace(WELL, aof_well=False).worries()) == [
        "db:6379 can't write its append-only file: look for a full disk, and at its log"
    ]


def test_how_full_it_is_is_said_in_megabytes() -> None:
    full = replace(WELL, used=930_000_000, limit=1_000_000_000)
    assert full.fullness() == "the store is 93% full (db:6379: 930.0 MB of maxmemory 1,000.0 MB)"


@pytest.mark.parametrize(
    ("server", "appendfsync", "on_rewrite", "replicated", "expected"),
    [
        (WELL, "always", "yes", False, Guarantee(disk=False, replica=False)),
        (WELL, "everysec", "no", False, Guarantee(disk=True, replica=False)),
        (WELL, "everysec", "no", True, Guarantee(disk=True, replica=True)),
        (WELL, "always", "no", True, Guarantee(disk=False, replica=True)),
        (replace(WELL, replicas=1), "no", "no", False, Guarantee(disk=False, replica=True)),
        (replace(WELL, aof=False, replicas=1), "everysec", "no", False, Guarantee(disk=False, replica=True)),
        (replace(WELL, replicas=1), "", "", False, Guarantee(disk=False, replica=True)),
    ],
)
def test_what_a_server_can_promise(
    server: Standing, appendfsync: str, on_rewrite: str, replicated: bool, expected: Guarantee
) -> None:
    assert promise(server, appendfsync, on_rewrite, replicated=replicated) == expected


@pytest.mark.parametrize(
    ("server", "appendfsync", "on_rewrite"),
    [(WELL, "no", "no"), (WELL, "everysec", "yes"), (WELL, "", ""), (replace(WELL, aof=False), "always", "no")],
)
def test_a_server_that_can_promise_nothing(server: Standing, appendfsync: str, on_rewrite: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^redis: durable: true, but db:6379 can't say when a write is safe; it needs appendonly"
    ):
        promise(server, appendfsync, on_rewrite, replicated=False)


def test_a_confirmation_is_written_beside_what_it_confirms() -> None:
    script = load()["confirm"]
    expected = script(("penstock:{spring}:confirmed",), 3600)
    assert confirmation(script, ("HSETNX", "penstock:{spring}:progress", "end", 1)) == expected
    assert confirmation(script, ("EVALSHA", "digest", 2, "penstock:{spring}:seen", "penstock:{spring}:rows")) == expected
    with pytest.raises(ValueError, match="'INFO' names no key"):
        confirmation(script, ("INFO",))


async def test_every_backend_says_how_it_stands(queue: Queue) -> None:
    for each in await queue.standing():
        assert (each.flaw(), list(each.worries())) == ("", [])
