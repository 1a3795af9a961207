"""What a template may say beyond `{{ field }}`: an allow-list over Jinja's syntax tree, with types and a cost.

A running Jinja loop can't be interrupted, so a template is bounded before it ever runs. Only what is listed here passes:
text, values, `if`, `for` over a `split` field, comparisons, and the filters of `filters`. There is no attribute, no
subscript, no call, no arithmetic, no `set`, `macro`, `include` or `import`. Every expression has a type that is known
beforehand, so that rendering can't fail on a recipient's data. Every node has a cost for the longest values there may be,
and what a loop holds counts once per turn. The sandbox underneath is a second wall, not the first.
"""

from collections.abc import Mapping
from math import ceil
from types import MappingProxyType
from typing import NamedTuple

from jinja2 import StrictUndefined, nodes
from jinja2.sandbox import SandboxedEnvironment

from sender.content.filters import FILTERS, SPLIT_MAX, Filter, Kind

VALUE_MAX = 8_000  # characters of one merge field: what costs are reckoned with
COST_MAX = 8_000  # of a campaign's templates together: measured to stay under 50 ms a message
OUTPUT_MAX = 1_000_000  # octets that one recipient's values and blocks may add to a message
DEPTH_MAX = 20

# The fields that every recipient has without being given them, and their longest values; `name` may be "".
AUTOMATIC: Mapping[str, int] = MappingProxyType({"to": 254, "name": 1000, "campaign": 32, "unsubscribe_token": 64})


class Refused(ValueError):
    """Something the template says that is not on the list."""

    def __init__(self, node: nodes.Node, why: str) -> None:
        super().__init__(f"line {node.lineno}: {why}" if node.lineno else why)


class Typed(NamedTuple):
    """An expression's type, and the length of its longest value in whole fields."""

    kind: Kind
    size: float = 0.0


_TRUTH = Typed(Kind.TRUTH)


def environment(*, html: bool) -> SandboxedEnvironment:
    """Jinja with nothing in it but our filters; in HTML every value is escaped and no template can opt out."""
    made = SandboxedEnvironment(autoescape=html, undefined=StrictUndefined, keep_trailing_newline=True)
    made.filters = {name: entry.run for name, entry in FILTERS.items()}
    made.globals, made.tests = {}, {}
    return made


class Check:
    """One walk over a template's nodes: afterwards `required` names the merge fields it can't do without.

    Raises Refused at the first thing that is not allowed.
    """

    def __init__(self, cost: int = 0) -> None:
        """`cost` is what the rest of the template costs already."""
        self.required: set[str] = set()
        self.cost = cost
        self._turns = 1
        self._item = ""  # the loop's variable

    def part(self, node: nodes.Node) -> None:
        """Something at the template's top level: text, an expression, or a statement."""
        if isinstance(node, nodes.Expr):
            self._output(node, 0)
        else:
            self._statement(node, 0)

    def _statement(self, node: nodes.Node, depth: int) -> None:
        self._pay(node, 1, depth)
        match node:
            case nodes.Output():
                for shown in node.nodes:
                    self._output(shown, depth + 1)
            case nodes.If():
                self._expression(node.test, depth + 1)
                for child in [*node.body, *node.elif_, *node.else_]:
                    self._statement(child, depth + 1)
            case nodes.For():
                self._for(node, depth)
            case _:
                raise Refused(node, f"{_named(node)} is not allowed in a template")

    def _output(self, node: nodes.Node, depth: int) -> None:
        if isinstance(node, nodes.TemplateData):
            return
        found = self._expression(node, depth)
        _expect(node, found, {Kind.TEXT, Kind.NUMBER})

    def _for(self, node: nodes.For, depth: int) -> None:
        if not isinstance(node.target, nodes.Name) or node.test or node.recursive or self._item:
            raise Refused(node, "a loop has one variable, no condition and no loop inside: {% for item in field|split(',') %}")
        _expect(node.iter, self._expression(node.iter, depth + 1), {Kind.LIST})
        self._item, self._turns = node.target.name, SPLIT_MAX
        for child in node.body:
            self._statement(child, depth + 1)
        self._item, self._turns = "", 1
        for child in node.else_:
            self._statement(child, depth + 1)

    def _expression(self, node: nodes.Node, depth: int) -> Typed:
        self._pay(node, 1, depth)
        match node:
            case nodes.Const():
                return _constant(node)
            case nodes.Name():
                return self._name(node)
            case nodes.Filter():
                return self._filter(node, depth)
            case nodes.Concat():
                return self._concat(node, depth)
            case nodes.Compare():
                return self._compare(node, depth)
            case nodes.Not():
                self._expression(node.node, depth + 1)
                return _TRUTH
            case nodes.And() | nodes.Or():
                left, right = self._expression(node.left, depth + 1), self._expression(node.right, depth + 1)
                return Typed(left.kind, max(left.size, right.size)) if left.kind is right.kind else _TRUTH
            case nodes.CondExpr():
                return self._choice(node, depth)
            case _:
                raise Refused(node, f"{_named(node)} is not allowed in a template")

    def _name(self, node: nodes.Name) -> Typed:
        if node.name == self._item:
            return Typed(Kind.TEXT, 1 / SPLIT_MAX)  # all turns together have one field to share
        self.required.add(node.name)
        return Typed(Kind.TEXT, AUTOMATIC.get(node.name, VALUE_MAX) / VALUE_MAX)

    def _filter(self, node: nodes.Filter, depth: int) -> Typed:
        entry = _known(node)
        operand = node.node
        if operand is None:
            raise Refused(node, f"{node.name} of nothing")
        if node.name == "default" and isinstance(operand, nodes.Name) and operand.name != self._item:
            found = Typed(Kind.TEXT, 1)  # the one use that a missing field may be put to
        else:
            found = self._expression(operand, depth + 1)
        _expect(node, found, entry.accepts)
        size = found.size * entry.growth
        for wanted, argument in zip(entry.arguments, node.args, strict=True):
            if not isinstance(argument, nodes.Const) or _constant(argument).kind is not wanted:
                raise Refused(node, f"{node.name} takes {wanted}, written out")
            size += _constant(argument).size * (SPLIT_MAX if found.kind is Kind.LIST else 1)
        self._pay(node, entry.price * max(size / entry.growth, found.size), depth)
        return Typed(entry.gives, size)

    def _concat(self, node: nodes.Concat, depth: int) -> Typed:
        size = 0.0
        for child in node.nodes:
            found = self._expression(child, depth + 1)
            _expect(child, found, {Kind.TEXT, Kind.NUMBER})
            size += found.size
        self._pay(node, 4 * size, depth)
        return Typed(Kind.TEXT, size)

    def _compare(self, node: nodes.Compare, depth: int) -> Typed:
        left = self._expression(node.expr, depth + 1)
        for operand in node.ops:
            right = self._expression(operand.expr, depth + 1)
            if operand.op in ("in", "notin"):
                _expect(node, left, {Kind.TEXT})
                _expect(node, right, {Kind.TEXT, Kind.LIST})
                self._pay(node, 20 * (left.size + right.size), depth)
            elif left.kind is not right.kind or left.kind not in (Kind.TEXT, Kind.NUMBER):
                why = f"can't compare {left.kind} with {right.kind}; a field is text: write field|int or field|float"
                raise Refused(node, why)
            left = right
        return _TRUTH

    def _choice(self, node: nodes.CondExpr, depth: int) -> Typed:
        self._expression(node.test, depth + 1)
        if node.expr2 is None:
            raise Refused(node, "an inline if needs its else")
        one, other = self._expression(node.expr1, depth + 1), self._expression(node.expr2, depth + 1)
        _expect(node, other, {one.kind})
        return Typed(one.kind, max(one.size, other.size))

    def _pay(self, node: nodes.Node, price: float, depth: int) -> None:
        self.cost += ceil(price * self._turns)
        if self.cost > COST_MAX:
            raise Refused(node, "too much logic: fewer filters, conditions and loops")
        if depth > DEPTH_MAX:
            raise Refused(node, f"nested more than {DEPTH_MAX} deep")


def _constant(node: nodes.Const) -> Typed:
    match node.value:
        case bool() | None:
            raise Refused(node, "true, false and none mean nothing here: every field is text")
        case str():
            return Typed(Kind.TEXT, len(node.value) / VALUE_MAX)
        case int() | float() if abs(node.value) < 1e15:
            return Typed(Kind.NUMBER)
        case _:
            raise Refused(node, "not a text or a number")


def _known(node: nodes.Filter) -> Filter:
    entry = FILTERS.get(node.name)
    if entry is None:
        escaping = node.name in ("safe", "escape", "e")
        why = "values are always escaped, in HTML" if escaping else f"there are {', '.join(FILTERS)}"
        raise Refused(node, f"no filter {node.name!r}: {why}")
    if node.kwargs or node.dyn_args or node.dyn_kwargs or len(node.args) != len(entry.arguments):
        raise Refused(node, f"{node.name} takes {len(entry.arguments)} argument(s), without names")
    return entry


def _expect(node: nodes.Node, found: Typed, allowed: set[Kind] | frozenset[Kind]) -> None:
    if found.kind not in allowed:
        raise Refused(node, f"expected {' or '.join(sorted(allowed))}, found {found.kind}")


def _named(node: nodes.Node) -> str:
    return f"a {type(node).__name__.lower()}"
