"""The Redis backend's store itself: how its servers stand, and whether they have room for more."""

from collections.abc import Sequence

from sender.errors import BackendError
from sender.queue.redis_part import RedisPart
from sender.queue.standing import HIGH_WATER, Standing, standing


class RedisStanding(RedisPart):
    """Asking INFO."""

    async def standing(self) -> Sequence[Standing]:
        answers = await self._client.everywhere([("INFO",)])
        return [standing(server, info) for server, (info,) in answers.items()]

    async def _make_sure_of_room(self) -> None:
        """Raises BackendError where any server is over the high-water mark: what is submitted spreads over all of them."""
        fullest = max(await self.standing(), key=lambda each: each.share)
        if fullest.share >= HIGH_WATER:
            raise BackendError(f"{fullest.fullness()}: nothing was taken; delivery drains it, submit again then")
