"""Events as lines: JSON as it was told, or in words; harmless to a terminal whatever a receiver or a row had in them."""

from collections.abc import Collection
from datetime import datetime

import msgspec

from workers.cells import fit

_REPLY_MOST = 160  # cells of a reply in words


class Told(msgspec.Struct, frozen=True):
    """What is looked at of an event. Another version's may lack any of it."""

    type: str = ""
    at: float = 0.0
    campaign: str = ""
    ordinal: int = 0
    subject: str = ""
    to: str = ""
    receiver: str = ""
    code: int = 0
    enhanced: str = ""
    reply: str = ""
    why: str = ""

    def matches(self, campaigns: Collection[str], types: Collection[str]) -> bool:
        """Whether it is about one of these campaigns and of one of these types; none stands for all."""
        named = {self.campaign, self.subject.removeprefix("campaign ")}
        return (not types or self.type in types) and (not campaigns or not named.isdisjoint(campaigns))


def read(line: bytes) -> Told:
    """What can be read of an event; of a line that is none, nothing."""
    try:
        return msgspec.json.decode(line, type=Told)
    except msgspec.DecodeError:
        return Told()


def as_json(line: bytes) -> str:
    """The same JSON on one line; what can't be printed is escaped, as JSON escapes it."""
    text = line.decode(errors="replace")
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


def in_words(line: bytes) -> str:
    """An event for people: when, what, whose, and what was said."""
    told = read(line)
    if not told.type:
        return fit(f"no event of this version: {line[:500].decode(errors='replace')}", _REPLY_MOST)
    moment = f"{datetime.fromtimestamp(told.at).astimezone():%Y-%m-%d %H:%M:%S %z}"
    whose = f"{told.campaign}:{told.ordinal} {told.to}" if told.to else told.subject or told.campaign
    code = f"{told.code} {told.enhanced}".strip() if told.code else ""
    said = " ".join(filter(None, (code, told.reply or told.why)))
    parts = (told.type, fit(whose, _REPLY_MOST), told.receiver, fit(said, _REPLY_MOST))
    return "  ".join([moment, *(fit(part, _REPLY_MOST) for part in parts if part)])
