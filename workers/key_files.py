"""How old the configured DKIM keys are, by their files: nothing of a key is read."""

from collections.abc import Mapping
from contextlib import suppress

from sender.settings import Settings


def written(settings: Settings) -> Mapping[tuple[str, str], float]:
    """When each key's file was last written, Unix seconds, by domain and selector; not of those that can't be looked at."""
    found: dict[tuple[str, str], float] = {}
    for identity in settings.identities:
        for key in identity.keys:
            with suppress(OSError):
                found[identity.domain, key.selector] = settings.path(key.file).stat().st_mtime
    return found
