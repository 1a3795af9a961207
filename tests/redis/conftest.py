"""What several files here start."""

import pytest

from tests.redis.disks import SlowDisk, build_slow_disk


@pytest.fixture(scope="session")
def slow_disk(tmp_path_factory: pytest.TempPathFactory) -> SlowDisk:
    return build_slow_disk(tmp_path_factory.mktemp("slowsync"))
