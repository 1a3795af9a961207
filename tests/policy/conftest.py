"""The shipped profiles, read once: the public suffix list takes a tenth of a second."""

import pytest
from publicsuffixlist import PublicSuffixList

from sender.policy.receivers import Profiles
from sender.settings import load


@pytest.fixture(scope="session")
def suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@pytest.fixture(scope="session")
def profiles(suffixes: PublicSuffixList) -> Profiles:
    return Profiles.parse(load().receivers, suffixes)
