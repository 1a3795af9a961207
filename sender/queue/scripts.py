"""The Lua scripts, ready to be called by digest: one file each in lua/, its key map at the head."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import TypeAlias

Argument: TypeAlias = str | bytes | int | float

# No scripts of their own: put behind the first line of those that move packs, and of those that count units.
_ROUTE, _QUOTA = "route", "quota"
_MOVE_PACKS = ("append", "discard", "give_back", "lease", "promote", "refill", "resend", "settle", "split", "unbind", "wake")
_COUNT_UNITS = ("account", "forget_owners", "give_back", "lease", "set_cap", "settle")
_INBOX = ("add_rows", "bury", "commit", "drop_rows", "end_rows", "finish_rows", "letter", "open", "read", "stage", "store_spec")
_OWNERS = ("beat", "clock", "fence", "join", "unclaim")
_LOOKING = ("depth", "find", "last_event", "ready", "report", "waits")
_OTHERS = ("confirm", "drop_doubts", "drop_spec", "fates", "old", "reopen", "retire", "unlist")
_CONTROL = ("change_progress", "control", "first_hold", "forget", "hold", "limit", "rate", "recall", "weigh")
_EVENTS = ("acknowledge", "groups", "let_go", "note_failure", "open_group", "read_events", "tell")
_SUPPRESSIONS = ("suppress", "sweep_suppressions", "unsuppress")


@dataclass(frozen=True, slots=True)
class Script:
    """A script as the store runs it."""

    name: str
    text: bytes
    digest: str

    def __call__(self, keys: tuple[str, ...], *arguments: Argument) -> tuple[Argument, ...]:
        """The command that runs it."""
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)


def load() -> Mapping[str, Script]:
    """Read all scripts."""
    route, quota = _read(_ROUTE), _read(_QUOTA)
    alone = _INBOX + _OWNERS + _LOOKING + _OTHERS + _CONTROL + _SUPPRESSIONS + _EVENTS
    scripts = [_script(name, _read(name)) for name in alone]
    scripts.append(_script("suppress_refused", _read("suppress").replace(b"#!lua", b"#!lua flags=allow-oom", 1)))
    for name in sorted({*_MOVE_PACKS, *_COUNT_UNITS}):
        library = (route if name in _MOVE_PACKS else b"") + (quota if name in _COUNT_UNITS else b"")
        first_line, _, rest = _read(name).partition(b"\n")  # the flags must stay on the first line
        scripts.append(_script(name, first_line + b"\n" + library + rest))
    return {script.name: script for script in scripts}


def _read(name: str) -> bytes:
    return (files("sender.queue") / "lua" / f"{name}.lua").read_bytes()


def _script(name: str, text: bytes) -> Script:
    return Script(name=name, text=text, digest=sha1(text, usedforsecurity=False).hexdigest())
