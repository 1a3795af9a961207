"""Whatever stands in the inbox, checking it ends in a campaign or in ConfigErrors: one odd document stops no expander."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sender.content.spec import CampaignSpec, TemplateMode, parse
from sender.content.template import compile_campaign
from sender.errors import ConfigErrors
from sender.queue.memory import MemoryQueue
from tests.holding import campaigns
from tests.rig import SPEC

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
_TAGS = ("{{", "}}", "{%", "%}", "{#", "#}", "{# x #}", "{{ a }}", "{{- a -}}", "{% raw %}", "{%- raw -%}", "{% endraw %}")
_BLOCKS = ("{% if a %}", "{% else %}", "{% endif %}", "{% for x in a|split(',') %}", "{% endfor %}")
_WORDS = ("a", "x", "name", "|", "upper", "default('')", "'", "1", "1e400", "(", ")", "[", "]", "~", "==", "not", "and", ".")
_SIGNS = (" ", "\n", "\r", "\t", "\0", "é", "<", "&", "=", "https://shop.example/", "?")
_short = st.lists(st.sampled_from(_TAGS + _BLOCKS), min_size=1, max_size=2).map("".join)  # often all comment or block
_templates = (
    _short | st.lists(st.sampled_from(_TAGS + _BLOCKS + _WORDS + _SIGNS), max_size=12).map("".join) | st.text(max_size=30)
)
_KEYS = ("subject", "text", "html", "feedback_id", "list_unsubscribe")


def _checked(document: bytes) -> None:
    with contextlib.suppress(ConfigErrors):
        campaigns(MemoryQueue()).check("spring", document)


@given(st.binary(max_size=100) | _json.map(lambda value: json.dumps(value).encode()))
def test_any_octets_and_any_json(document: bytes) -> None:
    _checked(document)


@given(st.dictionaries(st.sampled_from(CampaignSpec.__struct_encode_fields__), _json | _templates, max_size=4))
def test_any_value_of_any_key(changes: dict[str, Any]) -> None:
    _checked(json.dumps({**SPEC, **changes}).encode())


@example({"text": "{# x #}"}, {}, TemplateMode.AUTO)
@example({"html": "{% raw %}{% endraw %}"}, {}, TemplateMode.JINJA)
@given(
    st.dictionaries(st.sampled_from(_KEYS), _templates, max_size=4),
    st.dictionaries(st.sampled_from(("X-A", "Subject", "X B", "")), _templates, max_size=2),
    st.sampled_from(TemplateMode),
)
def test_any_template(texts: dict[str, str], headers: dict[str, str], mode: TemplateMode) -> None:
    with contextlib.suppress(ConfigErrors):
        compile_campaign(parse({**SPEC, **texts, "headers": headers, "template": mode}, file="f"), campaign="spring")


@pytest.mark.parametrize("key", ["subject", "text", "html"])
@pytest.mark.parametrize("nothing", ["{# x #}", "{% raw %}{% endraw %}", "{# a #}{# b #}"])
def test_content_that_comes_to_nothing_is_refused(key: str, nothing: str) -> None:
    with pytest.raises(ConfigErrors, match=f"{key}: comes to nothing"):
        campaigns(MemoryQueue()).check("spring", json.dumps({**SPEC, key: nothing}).encode())


def test_a_header_that_comes_to_nothing_is_left_out() -> None:
    spec = parse({**SPEC, "headers": {"X-A": "{# x #}", "X-B": "b"}, "feedback_id": "{# x #}"}, file="f")
    names = [name for name, _ in compile_campaign(spec, campaign="spring").headers]
    assert b"x-b" in names
    assert not {b"x-a", b"feedback-id"} & set(names)
