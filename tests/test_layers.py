"""The house's measure, kept by reading the source: who may import whom, each library's one home, and sizes.

Imports count wherever they stand: at the top, inside a function, or only for the type checker.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Lower numbers are lower layers; a module imports from its own layer and from those below.
BOTTOM, RULES, PARTS, ENGINE, PROCESSES, COMMANDS = range(6)
LAYERS = {
    "sender.model": BOTTOM,
    "sender.errors": BOTTOM,
    "sender.keyed_hash": BOTTOM,
    "sender.schema": BOTTOM,
    "sender.smtp": RULES,
    "sender.policy": RULES,
    "sender.content": RULES,
    "sender.settings": RULES,
    "sender.net": PARTS,
    "sender.queue": PARTS,
    "sender.metrics": PARTS,
    "sender.explaining": ENGINE,
    "sender.warming": ENGINE,
    "workers.cli": COMMANDS,
    "workers.commands": COMMANDS,
}
OURS = {"sender", "workers", "grafana"}
STRANGERS = (RULES, PARTS)  # in these layers, neighbours don't know each other

# What has a clock, chance or the world in it stays out of the two lowest layers: `now` and `rng` are arguments there.
IMPURE = {"trio", "redis", "dns", "socket", "time", "random", "logging", "asyncio", "threading", "subprocess", "secrets"}

HOMES = {
    "dns": ("sender.net.resolver", "workers.emulator"),  # the emulator is a name server too
    "redis": ("sender.queue.node",),
    "httpcore2": ("workers.consumers.http",),
    "prometheus_client": ("sender.metrics",),
    "grafana_foundation_sdk": ("grafana.dashboards",),
}

FILE_LINES_MOST = 400
FUNCTION_LINES_MOST = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    name: str  # "sender.net.dial"; a package's __init__ bears the package's name
    path: Path
    is_package: bool

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(), str(self.path))


def modules(root: Path) -> list[Module]:
    found = []
    for path in sorted(path for top in OURS for path in root.glob(f"{top}/**/*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        found.append(Module(name=".".join(parts[:-1] if is_package else parts), path=path, is_package=is_package))
    return found


def imports(module: Module, known: set[str]) -> Iterator[tuple[int, str]]:
    """Line and full name of all that a module imports; `from a import b` is a.b where that is a module of ours."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=name, names=names, level=level):
                base = _absolute(module, name, level)
                for alias in names:
                    full = f"{base}.{alias.name}"
                    yield node.lineno, full if full in known else base
            case ast.Call(
                func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name))]
            ):
                yield node.lineno, name
            case _:
                pass


def _absolute(module: Module, name: str | None, level: int) -> str:
    if level == 0:
        return name or ""
    parts = module.name.split(".")
    package = parts if module.is_package else parts[:-1]
    return ".".join([*package[: len(package) - level + 1], *([name] if name else [])])


def layer(name: str) -> int:
    """The layer of a module of ours. A package directly in sender/ must be listed; a file there belongs to the engine."""
    parts = name.split(".")
    if parts[0] == "workers":
        return LAYERS.get(".".join(parts[:2]), PROCESSES)
    if len(parts) == 1:
        return ENGINE  # what `sender` itself offers a notebook
    return LAYERS.get(".".join(parts[:2]), ENGINE)


def _is_within(name: str, top: str) -> bool:
    return name == top or name.startswith(top + ".")


def import_faults(root: Path) -> list[str]:
    found = modules(root)
    known = {module.name for module in found}
    faults = []
    for module in found:
        for line, name in imports(module, known):
            why = _fault(module.name, name)
            if why:
                faults.append(f"{module.path.relative_to(root)}:{line}: {why}")
    return faults


def _fault(importer: str, name: str) -> str:
    """Why this import is one too many, or ""."""
    top = name.partition(".")[0]
    if top in OURS and "grafana" in {top, importer.partition(".")[0]}:
        return "" if _is_within(importer, top) else f"{importer} imports {name}: the engine and its dashboards are strangers"
    if top in {"sender", "workers"}:
        if layer(name) > layer(importer):
            return f"{importer} imports {name}, which is above it"
        strangers = layer(name) == layer(importer) and layer(name) in STRANGERS
        if strangers and name.split(".")[:2] != importer.split(".")[:2]:
            return f"{importer} imports its sibling {name}"
        return ""
    if top == "tests":
        return f"{importer} imports {name}"
    if layer(importer) <= RULES and top in IMPURE:
        return f"{importer} imports {name}: pure layers have neither clock nor chance nor world"
    homes = HOMES.get(top)
    if homes is not None and not any(importer.startswith(home) for home in homes):
        return f"{importer} imports {name}, whose home is {homes[0]}"
    return ""


def size_faults(root: Path) -> list[str]:
    faults = []
    for module in modules(root):
        where = str(module.path.relative_to(root))
        lines = module.path.read_text().count("\n")
        if lines > FILE_LINES_MOST:
            faults.append(f"{where}: {lines} lines")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MOST:
                    faults.append(f"{where}:{node.lineno}: {node.name} has {length} lines")
    return faults


def test_imports_go_downward_only() -> None:
    assert import_faults(ROOT) == []


def test_files_and_functions_keep_their_measure() -> None:
    assert size_faults(ROOT) == []


def test_the_scripts_keep_their_measure() -> None:
    scripts = list(ROOT.glob("sender/**/*.lua"))
    assert [str(path) for path in scripts if path.read_text().count("\n") > FILE_LINES_MOST] == []


def test_the_layers_are_those_that_exist() -> None:
    """A row for a package that is gone, or a package without a row, would check nothing."""
    here = {module.name for module in modules(ROOT)}
    assert set(LAYERS) <= here
    packages = {module.name for module in modules(ROOT) if module.is_package and module.name.count(".") == 1}
    assert {name for name in packages if name.startswith("sender.")} <= set(LAYERS)


PLANTED = [
    ("sender/smtp/reply.py", "from sender.net.dial import connect", "above it"),
    ("sender/smtp/reply.py", "from sender import engine", "above it"),
    ("sender/smtp/reply.py", "def later():\n    from sender.lane import Lane", "above it"),
    ("sender/smtp/reply.py", "if TYPE_CHECKING:\n    import sender.engine", "above it"),
    ("sender/smtp/reply.py", "from ..net import dial", "above it"),
    ("sender/smtp/reply.py", "import importlib\nimportlib.import_module('sender.engine')", "above it"),
    ("sender/policy/__init__.py", "from ..content import sign", "sibling"),
    ("sender/queue/memory.py", "from sender.metrics import Metrics", "sibling"),
    ("sender/engine.py", "import workers.log", "above it"),
    ("workers/delivery.py", "from workers.commands import run", "above it"),
    ("sender/policy/pace.py", "from time import monotonic", "neither clock"),
    ("sender/model.py", "import random as luck", "neither clock"),
    ("sender/content/sign.py", "def f():\n    import trio.lowlevel", "neither clock"),
    ("sender/net/session.py", "import dns.resolver", "whose home is"),
    ("workers/demo.py", "import redis", "whose home is"),
    ("sender/lane.py", "from prometheus_client import Counter", "whose home is"),
    ("workers/demo.py", "from tests import helpers", "imports tests"),
    ("workers/demo.py", "from grafana.reading import read", "strangers"),
    ("grafana/reading.py", "from sender.metrics import Metrics", "strangers"),
    ("grafana/reading.py", "from grafana_foundation_sdk.cog.encoder import JSONEncoder", "whose home is"),
]


@pytest.mark.parametrize(("file", "source", "why"), PLANTED)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, source: str, why: str) -> None:
    for name in ("sender/engine.py", "sender/lane.py", "sender/net/dial.py", "sender/content/sign.py", file):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / file).write_text(source + "\n")
    faults = import_faults(tmp_path)
    assert len(faults) == 1
    assert faults[0].startswith(f"{file}:")
    assert why in faults[0]


def test_what_is_allowed_is_not_found(tmp_path: Path) -> None:
    files = {
        "sender/smtp/client.py": "from sender.smtp.reply import Reply\nfrom . import reply\nfrom ..model import Step",
        "sender/smtp/reply.py": "from sender.errors import SenderError",
        "sender/model.py": "from enum import StrEnum",
        "sender/net/resolver.py": "import dns.resolver\nimport random\nfrom sender.settings import Settings",
        "sender/queue/node.py": "import redis",
        "sender/crew.py": "import time\nfrom sender.lane import Lane\nfrom sender.net.dial import connect",
        "workers/cli.py": "import workers.commands.run\nimport workers.log",
        "grafana/dashboards/fleet.py": "from grafana.dashboards.frame import dashboard\nimport grafana_foundation_sdk.models",
    }
    for name, source in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source + "\n")
    assert import_faults(tmp_path) == []


def test_what_is_too_long_is_found(tmp_path: Path) -> None:
    path = tmp_path / "sender/model.py"
    path.parent.mkdir()
    path.write_text("async def f():\n" + "    pass\n" * 60 + "x = 1\n" * 340)
    assert size_faults(tmp_path) == ["sender/model.py: 401 lines", "sender/model.py:1: f has 61 lines"]
