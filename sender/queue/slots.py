"""Which key a command works on, and in which of a Redis Cluster's slots that key is."""

from binascii import crc_hqx

from sender.queue.node import Command

SLOTS = 16_384

# Commands that name no key; and those whose key is not the first word behind the name, with its place.
_KEYLESS = frozenset(
    [
        "ACL",
        "CLIENT",
        "CLUSTER",
        "COMMAND",
        "CONFIG",
        "DBSIZE",
        "FLUSHALL",
        "FLUSHDB",
        "INFO",
        "KEYS",
        "LASTSAVE",
        "PING",
        "ROLE",
        "SCAN",
        "SCRIPT",
        "TIME",
        "WAIT",
        "WAITAOF",
    ]
)
_KEY_AT = {"EVAL": 3, "EVALSHA": 3, "EVALSHA_RO": 3, "EVAL_RO": 3, "MEMORY": 2, "OBJECT": 2, "XGROUP": 2, "XINFO": 2}


def key_of(command: Command) -> bytes | None:
    """The first key of a command, or None where it names none. All keys of a command of ours are in one slot."""
    name = str(command[0]).upper()
    if name in _KEYLESS:
        return None
    key = command[_KEY_AT.get(name, 1)]
    return key if isinstance(key, bytes) else str(key).encode()


def tag(key: bytes) -> bytes:
    """What a key's slot comes from: what is between its first brace and the next, all of it where that is nothing."""
    start = key.find(b"{") + 1
    end = key.find(b"}", start)
    return key[start:end] if 0 < start < end else key


def slot(key: bytes) -> int:
    """A key's slot: CRC-16 (XMODEM) of its tag (Redis Cluster specification, "Key distribution model")."""
    return crc_hqx(tag(key), 0) % SLOTS
