"""A real Prometheus with our rules and alerts, for a test: a process of its own, its data in a directory of the test's."""

import json
import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import trio

_SHIPPED = Path(__file__).parent.parent / "deploy" / "prometheus"
_ANSWER_S = 10.0
_SCRAPED = 9464  # the first port in the shipped configuration


class Prometheus:
    """One that runs, and the questions it answers."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    async def series(self, expression: str) -> list[dict[str, Any]]:
        """What an expression returns now; AssertionError where it is none."""
        found: list[dict[str, Any]] = (await self._ask("query", query=expression))["result"]
        return found

    async def rules(self) -> list[dict[str, Any]]:
        """Every rule that is loaded, with its health as Prometheus sees it."""
        return [rule for group in (await self._ask("rules"))["groups"] for rule in group["rules"]]

    async def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        return {each["labels"]["alertname"] for each in (await self._ask("alerts"))["alerts"] if each["state"] == "firing"}

    async def is_ready(self) -> bool:
        return await trio.to_thread.run_sync(_is_ready, f"{self._url}/-/ready")

    async def _ask(self, what: str, **words: str) -> dict[str, Any]:
        url = f"{self._url}/api/v1/{what}?{urlencode(words)}"
        answer = await trio.to_thread.run_sync(_fetch, url)
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data


@asynccontextmanager
async def prometheus(directory: Path, port: int, scraped: int) -> AsyncIterator[Prometheus]:
    """The shipped configuration, for a fleet whose first port is `scraped`, once a second; ended at the end of the block."""
    config = directory / "prometheus.yml"
    config.write_text(_adapted((_SHIPPED / "prometheus.yml").read_text(), scraped))
    arguments = ["--config.file", str(config), "--storage.tsdb.path", str(directory / "prometheus")]
    with (directory / "prometheus.log").open("wb") as log:
        process = await trio.lowlevel.open_process(_command(arguments, port), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        running = Prometheus(port)
        while not await running.is_ready():
            assert process.poll() is None, (directory / "prometheus.log").read_text()
            await trio.sleep(0.05)
        yield running
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


def _command(arguments: Sequence[str], port: int) -> list[str]:
    return ["prometheus", *arguments, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]


def _adapted(text: str, scraped: int) -> str:
    """Our ports, the rules where they stand, and nobody who is told."""
    text = re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{int(found[1]) - _SCRAPED + scraped}", text)
    text = re.sub(r"^alerting:\n(?: .*\n)+", "", text, flags=re.MULTILINE)
    text = text.replace("rules.yml", str(_SHIPPED / "rules.yml")).replace("alerts.yml", str(_SHIPPED / "alerts.yml"))
    return text.replace("interval: 15s", "interval: 1s")


def _is_ready(url: str) -> bool:
    try:
        with urlopen(url, timeout=_ANSWER_S):
            return True
    except HTTPError as answer:
        answer.close()
        return False
    except OSError:  # nobody listens yet
        return False


def _fetch(url: str) -> dict[str, Any]:
    with urlopen(url, timeout=_ANSWER_S) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
