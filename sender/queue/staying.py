"""Envelopes that stay with one source, and the way out for those whose source does not come for them.

What a receiver deferred because of the source's reputation is tried again from that source alone: from another address it
would be the same mail, moved to dodge the answer. It waits in the source's own route, beside the one that all sources of the
pool share, under the same rules: fair shares, holds, rates, ends.

A source may be gone for good, or be held for longer than an envelope lives: then it does not wait for ever.
"""

from collections.abc import Mapping
from typing import Protocol


class Stays(Protocol):
    """The part of a queue that keeps envelopes with their source."""

    async def unbind(self, pools: Mapping[str, str], patience_s: float, now: float, limit: int) -> int:
        """Let all sources of a pool take what waits for one of them alone and is not fetched; how many envelopes.

        That is what waits for a source that is not in that pool (`pools`: the pool of each source there is), and for one that
        has not asked for work for so long, counted from the first call that saw it wait. Bounded work: at most about `limit`;
        call again until it gives 0.
        """
