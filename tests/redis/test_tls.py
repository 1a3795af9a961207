"""The way to the store with certificates on both sides: the contract suite runs over it; here is what it refuses."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from sender.errors import BackendError, ConfigError
from sender.queue import open_queue
from sender.queue.client import Client
from tests.redis.submitting import drained, ready
from tests.redis.tls import Guarded, guarded_server

pytestmark = pytest.mark.integration


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded_server(tmp_path / "guarded") as guarded:
        yield guarded


async def test_a_certificate_of_ours_lets_us_in_and_a_durable_queue_works_too(guarded: Guarded) -> None:
    queue = await open_queue(guarded.url, durable=True)
    await ready(queue, 4)
    assert await drained(queue) == 4
    assert (await queue.standing())[0].aof
    await queue.aclose()


async def test_without_a_certificate_the_server_turns_us_away(guarded: Guarded) -> None:
    with pytest.raises(BackendError, match=r"(?i)certificate|ssl|closed"):
        await open_queue(guarded.url.partition("&cert_file")[0])


async def test_a_server_of_another_authority_is_not_believed(guarded: Guarded, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    url, _, rest = guarded.url.partition("ca_file=")
    with pytest.raises(BackendError, match="CERTIFICATE_VERIFY_FAILED"):
        await open_queue(f"{url}ca_file={tmp_path}/other.pem&{rest.partition('&')[2]}")


async def test_the_user_of_the_guide_may_do_no_more_than_he_must(guarded: Guarded) -> None:
    client = Client(guarded.url)
    for command in (("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "SET", "maxmemory", 1), ("GET", "other")):
        with pytest.raises(
            BackendError, match=r"this user may not do that; deploy/README\.md has the line that lets it: NOPERM"
        ):
            await client.run([command])
    await client.aclose()


async def test_a_user_who_may_not_do_what_is_needed_is_told_at_the_start(guarded: Guarded) -> None:
    client = Client(guarded.admin_url)
    await client.run([("ACL", "SETUSER", "penstock", "-@write")])
    await client.aclose()
    with pytest.raises(ConfigError, match=r"redis: url: .*deploy/README\.md"):
        await open_queue(guarded.url)
