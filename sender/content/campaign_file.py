"""campaign.toml: the same specification as the wire's, with files named instead of embedded.

`text_file`, `html_file`, `raw_file` and an attachment's `file` are paths relative to the TOML file. All else is as in
`spec`.
"""

import tomllib
from base64 import b64encode
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from sender.content.spec import CampaignSpec, parse
from sender.errors import ConfigError, ConfigErrors


def load(path: Path) -> CampaignSpec:
    """Read a campaign file and the files it names; raises ConfigErrors with all that is wrong in it."""
    errors: list[ConfigError] = []
    table = _toml(path)
    for key in ("text", "html"):
        _embed(path, table, f"{key}_file", key, errors)
    if "raw_file" in table:
        content = _bytes(path, "raw_file", table.pop("raw_file"), errors)
        table["raw_b64"] = b64encode(content).decode("ascii")
    attachments = table.get("attachments", [])
    if isinstance(attachments, list):
        for place, item in enumerate(attachments):
            if isinstance(item, dict) and "file" in item:
                _attach(path, f"attachments[{place}].file", item, errors)
    try:
        spec = parse(table, file=str(path))
    except ConfigErrors as more:
        raise ConfigErrors([*errors, *more.errors]) from more
    if errors:
        raise ConfigErrors(errors)
    return spec


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigErrors([ConfigError(str(path), "", str(error))]) from error


def _embed(path: Path, table: dict[str, Any], key: str, into: str, errors: list[ConfigError]) -> None:
    if key not in table:
        return
    if into in table:
        errors.append(ConfigError(str(path), key, f"give {into} or {key}, not both"))
    content = _bytes(path, key, table.pop(key), errors)
    try:
        table[into] = content.decode()
    except UnicodeDecodeError as error:
        errors.append(ConfigError(str(path), key, f"not UTF-8: {error.reason} at octet {error.start}"))


def _attach(path: Path, key: str, item: dict[str, Any], errors: list[ConfigError]) -> None:
    """Name and type are guessed from the file's name, unless they are given."""
    name = item.pop("file")
    content = _bytes(path, key, name, errors)
    item["content_b64"] = b64encode(content).decode("ascii")
    item.setdefault("name", Path(str(name)).name)
    item.setdefault("type", guess_type(item["name"])[0] or "application/octet-stream")


def _bytes(path: Path, key: str, name: object, errors: list[ConfigError]) -> bytes:
    if not isinstance(name, str):
        errors.append(ConfigError(str(path), key, f"expected a path, found {name!r}"))
        return b""
    try:
        return (path.parent / name).read_bytes()
    except (OSError, ValueError) as error:
        errors.append(ConfigError(str(path), key, f"can't be read: {error}"))
        return b""
