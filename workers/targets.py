"""Which processes of this host Prometheus should scrape: a file for its `file_sd_configs`, there while the fleet runs.

It is replaced as a whole, since Prometheus reads it whenever it changes, and readable by all: Prometheus is another user.
"""

import ipaddress
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sender.errors import ConfigError
from sender.settings import Settings
from workers.places import host_name


@contextmanager
def announced(settings: Settings, ports: Sequence[tuple[str, int]]) -> Iterator[None]:
    """Where `metrics.targets_file` is set, name these roles and ports there; an orderly end removes the file.

    After an error it stays, so that Prometheus misses these processes. Raises ConfigError where it can't be written.
    """
    if not settings.metrics.targets_file:
        yield
        return
    file = settings.path(settings.metrics.targets_file)
    try:
        _write(file, json.dumps(groups(settings, ports), indent=2) + "\n")
    except OSError as error:
        raise ConfigError("penstock.toml", "metrics.targets_file", f"{file} can't be written: {error.strerror}") from error
    yield
    with suppress(OSError):
        file.unlink()


def groups(settings: Settings, ports: Sequence[tuple[str, int]]) -> Sequence[Mapping[str, Any]]:
    """A target group for each process, as Prometheus reads them."""
    address, host = _address(settings), host_name(settings)
    return [{"targets": [f"{address}:{port}"], "labels": {"role": role, "host": host}} for role, port in ports]


def _address(settings: Settings) -> str:
    """As others reach it: a process that listens on all addresses is found by its host's name."""
    address = ipaddress.ip_address(settings.metrics.address)
    if address.is_unspecified:
        return host_name(settings)
    return f"[{address}]" if address.version == 6 else str(address)


def _write(file: Path, text: str) -> None:
    """Put a file in its place at once; its reader sees the old one or this."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8")
        new.chmod(0o644)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
