"""Templates cut into fixed text and slots: what is known when a campaign is compiled, and what waits for a recipient.

A plain `{{ field }}` is a Field: one look-up. Anything else is a Logic slot: that one expression or block, compiled by Jinja
by itself, so that a template pays for logic only where it has some.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import escape

from sender.content.logic import OUTPUT_MAX, Check, environment
from sender.content.quoted import unix_lines
from sender.content.spec import TemplateMode
from sender.errors import ContentError

SLOTS_MAX = 1000  # of one template
TAGS_MAX = 5000  # more than may pass: spares the parser a template that would be refused for its cost

_NO_FIELDS = frozenset(
    ("and", "else", "if", "in", "is", "not", "or", "true", "false", "none", "True", "False", "None")
)  # Jinja's
_PLAIN_SLOT = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Field:
    """A merge field as it stands."""

    name: str

    def text(self, values: Mapping[str, str]) -> str:
        try:
            return values[self.name]
        except KeyError:
            raise ContentError(self.name, "the recipient has no such field") from None


@dataclass(frozen=True, slots=True)
class HtmlField:
    """A merge field, escaped for HTML text and quoted attributes."""

    name: str

    def text(self, values: Mapping[str, str]) -> str:
        try:
            return str(escape(values[self.name]))
        except KeyError:
            raise ContentError(self.name, "the recipient has no such field") from None


@dataclass(frozen=True, slots=True)
class Logic:
    """A piece of template with logic; where the template is HTML its result is escaped already."""

    template: Template
    required: frozenset[str]  # so that no filter ever meets a field that is not there

    def text(self, values: Mapping[str, str]) -> str:
        """What it comes to for these values, at most `OUTPUT_MAX` characters; ContentError beyond."""
        if not self.required <= values.keys():
            raise ContentError(min(self.required - values.keys()), "the recipient has no such field")
        pieces, size = [], 0
        try:
            for piece in self.template.generate(values):
                pieces.append(piece)
                size += len(piece)
                if size > OUTPUT_MAX:
                    raise ContentError("template", f"its output is over {OUTPUT_MAX:,} characters")
        except (UndefinedError, SecurityError) as error:
            raise ContentError("template", str(error)) from error
        return "".join(pieces)


Slot = Field | HtmlField | Logic


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A compiled template: fixed text and slots in order, and the merge fields it can't do without."""

    pieces: tuple[str | Slot, ...]
    required: frozenset[str] = frozenset()
    cost: int = 0  # of its logic, see `logic.COST_MAX`

    @property
    def fixed(self) -> bool:
        return all(isinstance(piece, str) for piece in self.pieces)

    def render(self, values: Mapping[str, str]) -> str:
        """The whole text for these values; ContentError where a field is missing."""
        return "".join([piece if isinstance(piece, str) else piece.text(values) for piece in self.pieces])


def parse(source: str, mode: TemplateMode, *, html: bool = False) -> Text:
    """Compile one template; raises ValueError that says line and reason.

    `plain` knows `{{ field }}` alone and takes `{%` for text; `auto` reads logic only where there is some; `jinja` always
    reads it.
    """
    source = unix_lines(source)
    rest = _PLAIN_SLOT.sub("", source)
    if mode is TemplateMode.PLAIN or (mode is TemplateMode.AUTO and not re.search(r"\{[{%#]", rest)):
        if "{{" in rest:
            raise ValueError(f"line {_line_of(source, '{{')}: only {{{{ field }}}} is known in a plain template")
        text = _plain(source, html=html)
    else:
        text = _with_logic(source, html=html)
    if sum(not isinstance(piece, str) for piece in text.pieces) > SLOTS_MAX:
        raise ValueError(f"more than {SLOTS_MAX} merge fields and blocks")
    return text


def _plain(source: str, *, html: bool) -> Text:
    parts = _PLAIN_SLOT.split(source)  # text, name, text, name, ... text
    strange = next((name for name in parts[1::2] if name in _NO_FIELDS), None)
    if strange:
        raise ValueError(f"{strange} can't be the name of a field")
    kind = HtmlField if html else Field
    pieces = [kind(part) if place % 2 else part for place, part in enumerate(parts)]
    return Text(pieces=tuple(piece for piece in pieces if piece), required=frozenset(parts[1::2]))


def _with_logic(source: str, *, html: bool) -> Text:
    if source.count("{{") + source.count("{%") > TAGS_MAX:
        raise ValueError(f"more than {TAGS_MAX} expressions and tags")
    made, required, cost = environment(html=html), set[str](), 0
    found: list[str | Slot] = []
    try:
        for node in made.parse(source).body:
            for child in node.nodes if isinstance(node, nodes.Output) else [node]:
                check = Check(cost)
                check.part(child)
                required |= check.required
                cost = check.cost
                found.append(_piece(made, child, frozenset(check.required), html=html))
    except TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.message}") from error
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise ValueError("nested too deep") from error
    return Text(pieces=tuple(_merged(found)), required=frozenset(required), cost=cost)


def _piece(made: SandboxedEnvironment, node: nodes.Node, required: frozenset[str], *, html: bool) -> str | Slot:
    match node:
        case nodes.TemplateData():
            return node.data
        case nodes.Name():
            return HtmlField(node.name) if html else Field(node.name)
        case nodes.Expr():
            node = nodes.Output([node], lineno=node.lineno)
    return Logic(made.from_string(nodes.Template([node], lineno=1)), required)


def _merged(pieces: Iterable[str | Slot]) -> Iterator[str | Slot]:
    """Neighbouring fixed text as one piece, so that a slot always stands between two of them."""
    text = ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
            continue
        if text:
            yield text
        text = ""
        yield piece
    if text:
        yield text


def _line_of(source: str, mark: str) -> int:
    cut = next((m.start() for m in re.finditer(re.escape(mark), source) if not _PLAIN_SLOT.match(source, m.start())), 0)
    return source.count("\n", 0, cut) + 1
