"""What a test asks of a Prometheus that runs: `workers.demo.prometheus` starts one with our rules and alerts."""

import json
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import trio

_ANSWER_S = 60.0


class Prometheus:
    """One that runs, and the questions it answers."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def series(self, expression: str) -> list[dict[str, Any]]:
        """What an expression returns now; AssertionError where it is none."""
        found: list[dict[str, Any]] = (await self._ask("query", query=expression))["result"]
        return found

    async def rules(self) -> list[dict[str, Any]]:
        """Every rule that is loaded, with its health as Prometheus sees it."""
        return [rule for group in (await self._ask("rules"))["groups"] for rule in group["rules"]]

    async def firing(self) -> set[str]:
        """The names of the alerts that fire now, as recorded: `/alerts` tells of one before its first sample is stored."""
        return {each["metric"]["alertname"] for each in await self.series('ALERTS{alertstate="firing"}')}

    async def _ask(self, what: str, **words: str) -> dict[str, Any]:
        url = f"{self._url}/api/v1/{what}?{urlencode(words)}"
        answer = await trio.to_thread.run_sync(_fetch, url)
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data


def _fetch(url: str) -> dict[str, Any]:
    with urlopen(url, timeout=_ANSWER_S) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
