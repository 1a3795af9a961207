"""From directories of TOML files to Settings: the operator's files over the shipped ones, every error collected."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import fields

from sender.errors import ConfigError, ConfigErrors
from sender.model import Source, Step
from sender.schema import convert, salvage
from sender.settings.checks import main_problems, source_problems
from sender.settings.choosing import choices, plan_problems, warmup_problems
from sender.settings.sections import (
    CONSUMERS,
    Consumer,
    Delivery,
    Events,
    Fleet,
    Identity,
    Journal,
    Log,
    Metrics,
    Net,
    PenstockFile,
    Redis,
    Retry,
    SourcesFile,
    SourceTable,
    Suppression,
    Timeouts,
    Tokens,
    deadlines,
)

PENSTOCK, SOURCES, RECEIVERS, WARMUP = "penstock.toml", "sources.toml", "receivers", "warmup"

S = TypeVar("S", bound=Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One validated configuration. Paths in it may be relative: `path` tells where they lead."""

    directory: Path  # where relative paths of penstock.toml start
    redis: Redis
    fleet: Fleet
    net: Net
    timeouts: Timeouts
    delivery: Delivery
    retry: Retry
    journal: Journal
    metrics: Metrics
    log: Log
    events: Events
    tokens: Tokens
    suppression: Suppression
    consumers: tuple[Consumer, ...]
    identities: tuple[Identity, ...]
    sources: tuple[Source, ...]
    receivers: Mapping[str, tuple[str, Mapping[str, Any]]]  # profile name -> its file and its table, for Profiles.parse
    plans: Mapping[str, tuple[str, Mapping[str, Any]]]  # warmup plan -> its file and its table, for Plans.parse
    warmup: Mapping[str, Mapping[str, str]]  # source -> receiver or "default" -> the name of a plan, or "none"

    @property
    def deadlines(self) -> Mapping[Step, float]:
        return deadlines(self.timeouts, self.net.connect_timeout)

    def path(self, name: str) -> Path:
        """Where a file named in penstock.toml is, as an absolute path: relative names start at the configuration directory."""
        return (self.directory / Path(name).expanduser()).absolute()

    def __repr__(self) -> str:
        return f"<Settings {self.directory}: {len(self.sources)} sources, {len(self.receivers)} receivers>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What could be read, with defaults where it could not, and all that is wrong with it."""

    settings: Settings
    errors: tuple[ConfigError, ...]


def shipped() -> Path:
    """The configuration that travels with the program: `config/` in a checkout, `sender/config` once installed."""
    here = Path(__file__).resolve()
    installed = here.parents[1] / "config"
    return installed if installed.is_dir() else here.parents[2] / "config"


def load(directory: Path | None = None) -> Settings:
    """Read the operator's directory over the shipped one.

    A file of the operator's replaces the shipped file of the same name; other shipped files stay. Raises ConfigErrors
    with every error of every file.
    """
    reading = read(directory)
    if reading.errors:
        raise ConfigErrors(reading.errors)
    return reading.settings


def read(directory: Path | None = None) -> Reading:
    """Like `load`, but hands out what could be read beside the errors."""
    errors: list[ConfigError] = []
    home = directory if directory is not None else shipped()
    if directory is not None:
        errors += _strays(directory)
    main_file, sources_file = _find(home, PENSTOCK), _find(home, SOURCES)
    main, identities, consumers = _main(main_file, errors)
    errors += main_problems(main, identities, consumers, str(main_file))
    sources = _sources(sources_file, errors)
    errors += source_problems(sources, str(sources_file))
    receivers, plans = _tables(home, RECEIVERS, errors), _tables(home, WARMUP, errors)
    errors += plan_problems(receivers, plans)
    errors += warmup_problems(sources, identities, receivers, plans, str(sources_file), str(main_file))
    settings = Settings(
        directory=home,
        redis=main.redis,
        fleet=main.fleet,
        net=main.net,
        timeouts=main.timeouts,
        delivery=main.delivery,
        retry=main.retry,
        journal=main.journal,
        metrics=main.metrics,
        log=main.log,
        events=main.events,
        tokens=main.tokens,
        suppression=main.suppression,
        consumers=main.consumer,
        identities=main.identity,
        sources=tuple(_source(table) for table in sources if table is not None),
        receivers=receivers,
        plans=plans,
        warmup={table.name: choices(table) for table in sources if table is not None},
    )
    return Reading(settings=settings, errors=tuple(errors))


def _find(home: Path, name: str) -> Path:
    own = home / name
    return own if own.exists() else shipped() / name


def _strays(directory: Path) -> list[ConfigError]:
    """A misspelt file name would be ignored in silence: refuse it as we refuse a misspelt key."""
    if not directory.is_dir():
        return [ConfigError(str(directory), "", "no such directory; `penstock init` writes one")]
    known = [PENSTOCK, SOURCES]
    return [
        ConfigError(str(path), "", f"not a file we read; allowed: {', '.join(_nearest(path.name, known))}")
        for path in sorted(directory.glob("*.toml"))
        if path.name not in known
    ]


def _nearest(name: str, known: list[str]) -> list[str]:
    return difflib.get_close_matches(name, known, 1) or known


def _table(path: Path, errors: list[ConfigError]) -> Mapping[str, Any]:
    """The TOML table of a file; empty, with the reason among the errors, where there is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        errors.append(ConfigError(str(path), "", f"not TOML: {error}"))  # its text names line and column
    except UnicodeDecodeError as error:
        errors.append(ConfigError(str(path), "", f"not UTF-8: byte {error.start}"))
    except OSError as error:
        errors.append(ConfigError(str(path), "", error.strerror or str(error)))
    return {}


def _main(path: Path, errors: list[ConfigError]) -> tuple[PenstockFile, list[Identity | None], list[Consumer | None]]:
    """Each key by itself: a bad one keeps its default, the others what they say. A bad identity or consumer leaves a gap."""
    table = _table(path, errors)
    good: dict[str, Any] = {}
    for field in fields(PenstockFile):
        if field.name in table and field.name not in ("identity", "consumer"):
            section = salvage(field.type, table[field.name], errors, file=str(path), key=field.name)
            if section is not None:
                good[field.name] = section
    identities = _items(Identity, table.get("identity", []), str(path), "identity", errors)
    consumers = _consumers(table.get("consumer", []), str(path), errors)
    good["consumer"] = tuple(consumer for consumer in consumers if consumer is not None)
    good["identity"] = tuple(identity for identity in identities if identity is not None)
    names = {field.name: None for field in fields(PenstockFile)}
    _part(PenstockFile, {name: value for name, value in table.items() if name not in names}, str(path), "", errors)
    return PenstockFile(**good), identities, consumers


def _sources(path: Path, errors: list[ConfigError]) -> list[SourceTable | None]:
    """Every source, with None in place of a bad one; a file without any says so, unless it could not be read at all."""
    found = len(errors)
    table = dict(_table(path, errors))
    items = _items(SourceTable, table.pop("source", []), str(path), "source", errors)
    _part(SourcesFile, table, str(path), "", errors)
    if not items and len(errors) == found:
        errors.append(ConfigError(str(path), "source", "no source: nothing could be sent"))
    return items


def _tables(home: Path, folder: str, errors: list[ConfigError]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Every table of receivers/ or warmup/ as it stands: what it means is the policy's business."""
    paths = {path.stem: path for place in (shipped(), home) for path in sorted((place / folder).glob("*.toml"))}
    return {name: (str(path), _table(path, errors)) for name, path in sorted(paths.items())}


def _items(kind: type[S], value: object, file: str, key: str, errors: list[ConfigError]) -> list[S | None]:
    if not isinstance(value, list):
        errors.append(ConfigError(file, key, f"expected tables: write [[{key}]]"))
        return []
    return [_part(kind, item, file, f"{key}[{place}]", errors) for place, item in enumerate(value)]


def _consumers(value: object, file: str, errors: list[ConfigError]) -> list[Consumer | None]:
    """Each by what its kind may hold, with None in place of a bad one."""
    if not isinstance(value, list):
        errors.append(ConfigError(file, "consumer", "expected tables: write [[consumer]]"))
        return []
    return [_consumer(table, file, f"consumer[{place}]", errors) for place, table in enumerate(value)]


def _consumer(table: object, file: str, key: str, errors: list[ConfigError]) -> Consumer | None:
    kind = table.get("kind", "file") if isinstance(table, Mapping) else "file"  # one that has none is told so there
    if not isinstance(kind, str) or kind not in CONSUMERS:
        errors.append(ConfigError(file, f"{key}.kind", f"expected one of {', '.join(CONSUMERS)}; found {kind!r}"))
        return None
    return _part(CONSUMERS[kind], table, file, key, errors)


def _part(kind: type[S], table: object, file: str, key: str, errors: list[ConfigError]) -> S | None:
    try:
        return convert(kind, table, file=file, key=key)
    except ConfigErrors as several:
        errors += several.errors
        return None


def _source(table: SourceTable) -> Source:
    return Source(name=table.name, address=table.address, ehlo=table.ehlo, pool=table.pool, host=table.host)
