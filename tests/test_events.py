"""What the world is told: WIRE.md lists every type and every field, and nothing of what a receiver says can harm a reader."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sender.events import TYPES, ActionEvent, CampaignEvent, ChangeEvent, Event

WIRE = (Path(__file__).parents[1] / "sender/queue/WIRE.md").read_text(encoding="utf-8")
OF = {Event: "recipients", CampaignEvent: "campaigns", ChangeEvent: "changes", ActionEvent: "actions"}


def table(head: str) -> dict[str, str]:
    """The first two columns of the table that begins so."""
    rows = WIRE.partition(f"| {head} |")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", rows, re.MULTILINE))


def fields_of(kind: Any) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def test_every_type_is_documented() -> None:
    assert set(table("type | what has changed")) == set(TYPES)


@pytest.mark.parametrize("kind", OF)
def test_every_field_is_documented_with_what_it_belongs_to(kind: type[msgspec.Struct]) -> None:
    documented = {name for name, of in table("field | of | meaning").items() if of == "all" or OF[kind] in of.split(", ")}
    assert documented == fields_of(kind)


def test_no_field_is_documented_that_none_has() -> None:
    assert set(table("field | of | meaning")) == set().union(*map(fields_of, OF))


def test_an_event_leaves_out_what_does_not_apply_and_says_its_version_first() -> None:
    event = ChangeEvent(id="change:1-0", type="held", at=1.5, subject="s1/*")
    assert event.encode() == b'{"v":1,"id":"change:1-0","type":"held","at":1.5,"subject":"s1/*"}'
    assert json.loads(CampaignEvent(id="a", type="queued", at=0.0, campaign="a", count=3).encode())["count"] == 3
