"""Which warmup plan a source, a receiver's profile or an identity names; and whether there is one of that name. Pure."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sender.errors import ConfigError
from sender.settings.sections import DEFAULT_WARMUP, NO_WARMUP, Identity, SourceTable

OTHER = "other"  # what a source's table calls all receivers without a profile
_DEFAULT_PROFILE = "_default"

Tables = Mapping[str, tuple[str, Mapping[str, Any]]]


def choices(source: SourceTable) -> Mapping[str, str]:
    """The plans that a source names: by receiver, and for those it does not name under "default"."""
    if isinstance(source.warmup, str):
        return {DEFAULT_WARMUP: source.warmup}
    return {DEFAULT_WARMUP: NO_WARMUP, **source.warmup}


def plan_problems(receivers: Tables, plans: Tables) -> Iterator[ConfigError]:
    """Receivers that a plan has something for, and that nobody has heard of."""
    for file, table in plans.values():
        named = table.get("receiver", {})
        if isinstance(named, Mapping):
            yield from (
                _stranger(file, f"receiver.{name}", name, receivers) for name in named if not _is_known(name, receivers)
            )


def warmup_problems(
    sources: Sequence[SourceTable | None],
    identities: Sequence[Identity | None],
    receivers: Tables,
    plans: Tables,
    sources_file: str,
    main_file: str,
) -> Iterator[ConfigError]:
    """Plans that are named and are not there; None stands for what was reported already."""
    for place, source in enumerate(sources):
        if source is not None:
            yield from _of_source(source, f"source[{place}].warmup", receivers, plans, sources_file)
    for place, identity in enumerate(identities):
        if identity is not None:
            yield from _unknown(identity.warmup, f"identity[{place}].warmup", plans, main_file)
    for file, table in receivers.values():
        if isinstance(table.get("warmup"), str):  # anything else is for whoever reads the profile
            yield from _unknown(table["warmup"], "warmup", plans, file)


def _of_source(source: SourceTable, key: str, receivers: Tables, plans: Tables, file: str) -> Iterator[ConfigError]:
    if isinstance(source.warmup, str):
        yield from _unknown(source.warmup, key, plans, file)
        return
    for receiver, plan in source.warmup.items():
        yield from _unknown(plan, f"{key}.{receiver}", plans, file)
        if receiver != DEFAULT_WARMUP and not _is_known(receiver, receivers):
            yield _stranger(file, f"{key}.{receiver}", receiver, receivers, DEFAULT_WARMUP)


def _unknown(plan: str, key: str, plans: Tables, file: str) -> Iterator[ConfigError]:
    if plan != NO_WARMUP and plan not in plans:
        yield ConfigError(file, key, f"no plan {plan!r}{_nearest(plan, [NO_WARMUP, *plans])}")


def _stranger(file: str, key: str, name: str, receivers: Tables, *others: str) -> ConfigError:
    known = [*others, OTHER, *(receiver for receiver in receivers if receiver != _DEFAULT_PROFILE)]
    return ConfigError(file, key, f"no receiver {name!r}{_nearest(name, known)}")


def _is_known(receiver: str, receivers: Tables) -> bool:
    return receiver == OTHER or (receiver in receivers and receiver != _DEFAULT_PROFILE)


def _nearest(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; allowed: {', '.join(known)}"
