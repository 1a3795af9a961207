"""Templates with logic: what they may say, and that nothing they may say can run away."""

from typing import Any

import pytest

from sender.content.filters import FILTERS, SPLIT_MAX, Kind
from sender.content.logic import COST_MAX, OUTPUT_MAX, VALUE_MAX
from sender.content.slots import Field, HtmlField, Logic, parse
from sender.content.spec import TemplateMode
from sender.errors import ConfigErrors, ContentError
from tests.content.messages import compiled

VALUES = {"a": "Ann", "n": "12.5", "empty": "", "items": "tea; milk ;bread", "x": "<&\"'>"}


def rendered(source: str, *, html: bool = False) -> str:
    return parse(source, TemplateMode.AUTO, html=html).render(VALUES)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ a }}", "Ann"),
        ("{{a}}{{ a }}", "AnnAnn"),
        ("{{ a|upper }} {{ a|lower }} {{ items|title }}", "ANN ann Tea; Milk ;Bread"),
        ("{{ nothing|default('you') }}{{ empty|default('you') }}{{ a|default('you') }}", "youyouAnn"),
        ("{% if a %}yes{% else %}no{% endif %}{% if empty %}yes{% else %}no{% endif %}", "yesno"),
        ("{% if a == 'Bob' %}B{% elif a == 'Ann' %}A{% endif %}", "A"),
        ("{% if n|float > 12 and not empty %}big{% endif %}", "big"),
        ("{% if n|int == 12 %}{{ n|float|fixed(2) }}{% endif %}", "12.50"),
        ("{{ 'x' if a in 'Anna' else 'y' }}", "x"),
        ("{% for item in items|split(';') %}<{{ item }}>{% endfor %}", "<tea><milk><bread>"),
        ("{% for item in empty|split(';') %}x{% else %}none{% endfor %}", "none"),
        ("{{ items|split(';')|first }}{{ items|split(';')|last }}{{ items|split(';')|length }}", "teabread3"),
        ("{{ items|split(';')|join(', ') }}", "tea, milk, bread"),
        ("{{ a|truncate(2) }}{{ x|urlencode }}", "A…%3C%26%22%27%3E"),
        ("{{ a ~ '-' ~ n }}", "Ann-12.5"),
        ("{{ empty or a }}", "Ann"),
        ("{% raw %}{{ a }}{% endraw %}", "{{ a }}"),
        ("a{# a comment #}b\n", "ab\n"),
        ("{{ a|int }}{{ 'nan'|float }}{{ '1e999'|int }}", "00.00"),
    ],
)
def test_what_templates_may_say(source: str, expected: str) -> None:
    assert rendered(source) == expected


@pytest.mark.row("S22")
def test_html_is_always_escaped() -> None:
    shown = "&lt;&amp;&#34;&#39;&gt;"
    assert rendered("<b>{{ x }}</b>", html=True) == f"<b>{shown}</b>"
    assert rendered("<b>{% if x %}<i>{{ x }}</i>{{ x|lower }}{{ x ~ 'é' }}{% endif %}</b>", html=True) == (
        f"<b><i>{shown}</i>{shown}{shown}é</b>"
    )
    assert rendered("{% for item in x|split(',') %}{{ item }}{% endfor %}{{ '<' }}", html=True) == shown + "&lt;"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ a.__class__ }}",
        "{{ a['__class__'] }}",
        "{{ a[0] }}",
        "{{ a|attr('__class__') }}",
        "{{ a|map(attribute='__class__') }}",
        "{{ a() }}",
        "{{ a.upper() }}",
        "{{ range(10) }}",
        "{% for i in range(10**9) %}x{% endfor %}",
        "{% for i in a %}x{% endfor %}",
        "{% for i in 'abc' %}x{% endfor %}",
        "{% for i in [1, 2] %}x{% endfor %}",
        "{% for i in items|split(';') recursive %}{{ loop(i) }}{% endfor %}",
        "{% for i in items|split(';') if i %}x{% endfor %}",
        "{% for i, j in items|split(';') %}x{% endfor %}",
        "{% for i in items|split(';') %}{% for j in items|split(';') %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 10**9 }}",
        "{{ a * 9 }}",
        "{{ 2 ** 99 }}",
        "{{ a + a }}",
        "{{ '%s' % a }}",
        "{{ -n|int }}",
        "{{ 9999999999999999999 }}",
        "{{ 1e300 }}",
        "{{ a[1:2] }}",
        "{{ [a] }}",
        "{{ (a, a) }}",
        "{{ {'a': a} }}",
        "{{ true }}",
        "{{ none }}",
        "{{ a is defined }}",
        "{{ items|split(';') }}",
        "{{ a == a }}",
        "{{ not a }}",
        "{{ a if a }}",
        "{{ a|safe }}",
        "{{ a|e }}",
        "{{ a|replace('n', 'nnnn') }}",
        "{{ a|center(1000000000) }}",
        "{{ a|default(x) }}",
        "{{ a|default }}",
        "{{ a|default('x', boolean=true) }}",
        "{{ a|truncate('2') }}",
        "{% if n > 5 %}x{% endif %}",
        "{% if a == 5 %}x{% endif %}",
        "{% if a in 5 %}x{% endif %}",
        "{% set b = a %}",
        "{% set b %}{{ a }}{% endset %}",
        "{% macro m() %}x{% endmacro %}",
        "{% call m() %}x{% endcall %}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{% block b %}x{% endblock %}",
        "{% filter upper %}x{% endfilter %}",
        "{% with b = a %}x{% endwith %}",
        "{% autoescape false %}{{ a }}{% endautoescape %}",
        "{% do a %}",
        "{% if a %}",
        "{{ a",
        "{{ }}",
        "{{ " + "(" * 5000 + "a" + ")" * 5000 + " }}",
        "{% if a %}" * 200 + "{% endif %}" * 200,
        "{{ a" + "|upper" * 1000 + " }}",
        "{{ " + "not " * 5000 + "a }}",
    ],
)
@pytest.mark.row("S21")
def test_anything_else_is_refused_when_compiled(source: str) -> None:
    with pytest.raises(ValueError, match=r"line \d+|nested too deep|can't be the name|a scope is not"):
        parse(source, TemplateMode.AUTO)


@pytest.mark.row("S21")
def test_output_is_cut_off_while_it_grows() -> None:
    loop = "{% for i in items|split(';') %}" + "{{ a }}" * 8 + "{% endfor %}"
    big = {"a": "e" * VALUE_MAX, "items": ";" * VALUE_MAX}
    with pytest.raises(ContentError, match="over 1,000,000"):
        parse(loop, TemplateMode.AUTO).render(big)
    assert OUTPUT_MAX == 1_000_000
    text = parse("{% for i in items|split(';') %}x{% endfor %}", TemplateMode.AUTO).render(big)
    assert len(text) == SPLIT_MAX


@pytest.mark.parametrize(
    "source",
    [
        "{{ a|urlencode|urlencode|urlencode }}",
        "{% for i in items|split(';') %}{{ a|title }}{{ a|title }}{{ a|title }}{{ a|title }}{{ a|title }}{{ a|title }}"
        "{{ a|title }}{{ a|title }}{% endfor %}",
        "{% for i in items|split(';') %}{% if a in x %}{% endif %}{% if a in x %}{% endif %}{% if a in x %}{% endif %}"
        "{% if a in x %}{% endif %}{% endfor %}",
        "{{ (a ~ a ~ a ~ a ~ a ~ a ~ a ~ a ~ a ~ a)|title|title|title|title }}",
        "{{ a|split(';')|join('" + "x" * 80_000 + "')|upper }}",
        "{{ a|default('" + "x" * 800_000 + "')|title|title }}",
    ],
)
@pytest.mark.row("S21")
def test_work_that_grows_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="too much logic"):
        parse(source, TemplateMode.AUTO)


def test_ordinary_work_is_not() -> None:
    assert parse("{{ a|urlencode }}{{ a|title }}" * 20 + "{{ to|urlencode }}" * 50, TemplateMode.AUTO).cost <= COST_MAX
    loop = "{% for i in items|split(';') %}<li>{{ i|title|urlencode }} {{ i|upper }}{% if i == 'x' %}!{% endif %}{% endfor %}"
    assert parse(loop * 5, TemplateMode.AUTO).cost <= COST_MAX


@pytest.mark.parametrize("name", FILTERS)
def test_filters_never_raise_and_grow_as_they_say(name: str) -> None:
    entry = FILTERS[name]
    arguments = [5 if kind is Kind.NUMBER else "x" for kind in entry.arguments]
    values: dict[Kind, list[Any]] = {
        Kind.TEXT: ["e" * 1000, "ß" * 1000, "\u0390" * 1000, "\U0001f600" * 1000, "1" * 1000, "", "nan", "-inf", "\0"],
        Kind.NUMBER: [12.5, -1, 0, 1e14],
        Kind.LIST: [["e" * 20] * SPLIT_MAX, [], [""]],
    }
    for kind in entry.accepts:
        for value in values[kind]:
            result = entry.run(value, *arguments)
            assert isinstance(result, {Kind.TEXT: str, Kind.NUMBER: int | float, Kind.LIST: list}[entry.gives])
            if isinstance(result, str):
                assert len(result) <= 1000 * entry.growth + SPLIT_MAX


def test_plain_mode_takes_logic_for_text() -> None:
    text = parse("{% if a %} {# #} {{ a }} }}", TemplateMode.PLAIN)
    assert text.render(VALUES) == "{% if a %} {# #} Ann }}"
    with pytest.raises(ValueError, match="line 2: only"):
        parse("{{ a }}\n{{ a|upper }}", TemplateMode.PLAIN)


def test_logic_is_paid_for_only_where_it_is() -> None:
    text = parse("x{{ a }}y{{ a|upper }}{{ x }}z", TemplateMode.AUTO, html=True)
    kinds = [type(piece) for piece in text.pieces]
    assert kinds == [str, HtmlField, str, Logic, HtmlField, str]
    assert [type(piece) for piece in parse("{{ a }}", TemplateMode.JINJA).pieces] == [Field]
    assert text.required == {"a", "x"}


def test_all_mistakes_of_a_campaign_at_once() -> None:
    with pytest.raises(ConfigErrors) as caught:
        compiled(subject="{{ a.b }}", text="x\n{{ a( }}", html="{% include 'x' %}", headers={"X-A": "{{ a|nope }}"})
    assert [error.key for error in caught.value.errors] == ["subject", "text", "html", "headers.X-A"]
    assert "line 2" in str(caught.value)


def test_logic_is_bounded_over_all_templates_together() -> None:
    loop = "{% for i in a|split(';') %}" + "{{ a|title }}{% endfor %}"
    with pytest.raises(ConfigErrors, match="together"):
        compiled(text=loop, html=loop)


def test_too_many_slots() -> None:
    with pytest.raises(ValueError, match="more than 1000"):
        parse("{{ a }}" * 1001, TemplateMode.PLAIN)
    with pytest.raises(ValueError, match="more than 5000"):
        parse("{{ a|upper }}" * 150_000, TemplateMode.AUTO)
