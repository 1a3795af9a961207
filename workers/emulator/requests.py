"""What a parent may ask of the emulated internet while it runs: one JSON object each, {"ask": name, ...}, and one in answer.

stats     the receivers' counts
settle    the same, once every signature has been judged
forgive   forget every source
records   {"records": [[name, kind, value], ...]}: add to the DNS
strike    {"strikes": [...]}: let something befall the connections to receivers (see `strikes`)
met       {"met": [[name, ...], ...]}: who met each strike, and "open": how many connections there are
heal      no strike any more, all doors open, the DNS answers
shut      {"hosts": pattern}: refuse connections to these hosts
open      {"hosts": pattern}: take them again
names     {"fault": "servfail" or "silence"}: break the DNS
move      {"domain": name, "to": receiver}: another receiver hosts the domain
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from workers.emulator.internet import Internet
from workers.emulator.strikes import Strike
from workers.emulator.zone import Fault

Request = Mapping[str, Any]


async def answer(internet: Internet, line: bytes) -> dict[str, Any]:
    """Do what one line asks; an error is an answer too."""
    try:
        request = msgspec.json.decode(line)
        asked = request["ask"]
        handler = _HANDLERS.get(asked)
    except (msgspec.DecodeError, KeyError, TypeError):
        return {"error": 'a request is one JSON object in one line, such as {"ask": "stats"}'}
    if handler is None:
        return {"error": f"unknown request {asked!r}; known: {', '.join(_HANDLERS)}"}
    try:
        return await handler(internet, request)
    except (KeyError, TypeError, ValueError, OSError) as error:  # msgspec's ValidationError is a ValueError
        return {"error": f"{asked}: {error}"}


async def _stats(internet: Internet, _: Request) -> dict[str, Any]:
    return {
        "receivers": {name: counts.as_dict() for name, counts in internet.counts().items()},
        "total": internet.ledger.total().as_dict(),
    }


async def _settle(internet: Internet, request: Request) -> dict[str, Any]:
    await internet.settled()
    return await _stats(internet, request)


async def _forgive(internet: Internet, request: Request) -> dict[str, Any]:
    internet.forgive()
    return await _stats(internet, request)


async def _records(internet: Internet, request: Request) -> dict[str, Any]:
    for name, kind, value in request["records"]:
        internet.zone.add(name, kind, value)
    return await _stats(internet, request)


async def _strike(internet: Internet, request: Request) -> dict[str, Any]:
    internet.strikes.add(msgspec.convert(request["strikes"], list[Strike]))
    return await _met(internet, request)


async def _met(internet: Internet, _: Request) -> dict[str, Any]:
    return {"met": internet.strikes.met(), "open": internet.doors.inside if internet.doors else 0}


async def _heal(internet: Internet, request: Request) -> dict[str, Any]:
    met = await _met(internet, request)
    internet.strikes.heal()
    internet.zone.break_all(None)
    if internet.doors is not None:
        internet.doors.open("*")
    return met


async def _shut(internet: Internet, request: Request) -> dict[str, Any]:
    if internet.doors is not None:
        internet.doors.shut(request["hosts"])
    return await _met(internet, request)


async def _open(internet: Internet, request: Request) -> dict[str, Any]:
    if internet.doors is not None:
        internet.doors.open(request["hosts"])
    return await _met(internet, request)


async def _names(internet: Internet, request: Request) -> dict[str, Any]:
    internet.zone.break_all(Fault[request["fault"].upper()])
    return await _met(internet, request)


async def _move(internet: Internet, request: Request) -> dict[str, Any]:
    internet.move(request["domain"], request["to"])
    return await _met(internet, request)


_HANDLERS: Mapping[str, Callable[[Internet, Request], Awaitable[dict[str, Any]]]] = {
    "stats": _stats,
    "settle": _settle,
    "forgive": _forgive,
    "records": _records,
    "strike": _strike,
    "met": _met,
    "heal": _heal,
    "shut": _shut,
    "open": _open,
    "names": _names,
    "move": _move,
}
