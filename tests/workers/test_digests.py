"""The suppression key of a host is held against the store's before anything is asked under it."""

from pathlib import Path

import pytest

from sender.errors import ConfigError
from sender.queue.memory import MemoryQueue
from sender.settings import Settings, load
from workers.digests import checked_digests


def settings(tmp_path: Path, key: str) -> Settings:
    (tmp_path / "penstock.toml").write_text('[suppression]\nkey_file = "s.key"\n')
    (tmp_path / "s.key").write_text(key)
    (tmp_path / "s.key").chmod(0o600)
    return load(tmp_path)


async def test_the_first_key_is_the_store_s_and_another_is_refused(tmp_path: Path) -> None:
    queue = MemoryQueue()
    first = await checked_digests(settings(tmp_path, "5b" * 32), queue)
    assert (await checked_digests(settings(tmp_path, "5b" * 32), queue)).mark == first.mark
    with pytest.raises(ConfigError, match=rf"s\.key: key \w+, but the store's suppressions were made under key {first.mark}"):
        await checked_digests(settings(tmp_path, "6c" * 32), queue)
