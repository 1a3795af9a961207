"""The suppression key of this host, held against the one that the store's entries were made under."""

from sender.errors import ConfigError
from sender.policy.suppression import Digests
from sender.queue.base import Queue
from sender.settings import Settings
from workers.places import suppression_digests, suppression_file


async def checked_digests(settings: Settings, queue: Queue) -> Digests:
    """Digests as this store keeps them; ConfigError where our key is another: nobody would be found suppressed."""
    digests = suppression_digests(settings)
    if (mark := await queue.suppression_mark(digests.mark)) != digests.mark:
        why = f"key {digests.mark}, but the store's suppressions were made under key {mark}: copy that file from its host"
        raise ConfigError(str(suppression_file(settings)), "", why)
    return digests
