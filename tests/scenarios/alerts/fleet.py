"""A fleet at its ordinary work, and the Prometheus that looks at it."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sender.settings import load
from tests.consumers.receiver import Receiver
from tests.prometheus import Prometheus
from tests.scenarios.alerts.scale import EVERY, write_scaled
from tests.scenarios.stage import Stage, eventually, stage
from workers.demo.prometheus import prometheus

# Whoever shares the machine with the tests makes these fire: one late turn is a twentieth of a window here, and two seconds
# without an answer stand for two minutes.
OF_THE_MACHINE = frozenset({"PenstockLoopLag", "PenstockProcessGone"})

_PATIENCE_S = 180.0
_RECIPIENTS = 20_000
_RATE = 'rate = "108000/h"\n'  # 30/s, of which each of five receivers gets a fifth: 90 attempts in what stands for 15 minutes
_PROMETHEUS_PORT = 7  # of the eight that a stage keeps, the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a fleet's configuration names outside it."""

    consumers: Mapping[str, Receiver] = field(default_factory=dict)  # who is sent the events, by the consumer's name
    midnights: Mapping[str, float] = field(default_factory=dict)  # when a plan's sending day ends, Unix seconds


@asynccontextmanager
async def nothing(play: Stage) -> AsyncIterator[Around]:
    """The configuration as it is."""
    yield Around()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What one fleet has and others have not."""

    readers: Mapping[str, str] = field(  # by receiver, the domain of those who get the ordinary mail
        default_factory=lambda: {
            "google": "gmail.com",
            "microsoft": "outlook.com",
            "yahoo": "yahoo.com",
            "apple": "icloud.com",
            "other": "tail-{}.example",
        }
    )
    settings: Mapping[str, str] = field(default_factory=dict)  # other lines of penstock.toml, by how those there begin
    sources: str = ""  # more of sources.toml
    around: Callable[[Stage], AbstractAsyncContextManager[Around]] = nothing  # may change the configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What a cause works with, and what was seen of it."""

    play: Stage
    server: Prometheus
    around: Around

    async def ask(self, question: str, **more: object) -> dict[str, Any]:
        """A request to the emulated internet."""
        answer = await self.play.emulator.ask(question, **more)
        assert "error" not in answer, answer["error"]
        return answer

    async def fires(self, alert: str) -> None:
        """Wait until this alert fires."""

        async def check() -> bool:
            return alert in await self.server.firing()

        await eventually(f"{alert} fires", check, _PATIENCE_S)

    async def calms(self, *alerts: str) -> None:
        """Wait until nothing fires; what the machine makes fire counts only where it is named."""
        excused = OF_THE_MACHINE.difference(alerts)

        async def check() -> bool:
            return await self.server.firing() <= excused

        await eventually(f"nothing fires any more, but for {', '.join(sorted(excused))}", check, _PATIENCE_S)

    async def fired(self, seconds: float) -> set[str]:
        """Every alert that fired in the last so many seconds, however briefly."""
        found = await self.server.series(f'last_over_time(ALERTS{{alertstate="firing"}}[{seconds * 1_000:.0f}ms])')
        return {each["metric"]["alertname"] for each in found}


@asynccontextmanager
async def fleet(shape: Shape) -> AsyncIterator[Fleet]:
    """One that has been delivering for a while."""
    async with stage(settings=lambda text: _changed(text, shape), world={"tail": True, "verifiers": 0}) as play:
        with (play.config / "sources.toml").open("a") as file:
            file.write(shape.sources)
        async with shape.around(play) as around, play.fleet(), _watched(play, around) as found:
            readers = (
                f"reader-{number}@{domain.format(number)}"
                for number in range(_RECIPIENTS // len(shape.readers))
                for domain in shape.readers.values()
            )
            await play.submit("spring", readers, _RATE)
            await eventually("mail flows to every receiver", lambda: _flows(found, shape), _PATIENCE_S)
            await found.calms()
            yield found


@asynccontextmanager
async def _watched(play: Stage, around: Around) -> AsyncIterator[Fleet]:
    """A Prometheus beside the fleet of this stage."""
    first, directory, files = load(play.config).metrics.port, play.directory / "prometheus", write_scaled(play.directory)
    port, followed = first + _PROMETHEUS_PORT, bool(around.consumers)
    async with prometheus(directory, port=port, first=first, files=files, consumers=followed, every=EVERY) as url:
        yield Fleet(play=play, server=Prometheus(url), around=around)


def _changed(text: str, shape: Shape) -> str:
    """Nothing expires while an alert's window passes; and what this fleet has in penstock.toml."""
    for start, line in {"give_up": 'give_up = "1h"', **shape.settings}.items():
        text, count = re.subn(rf"^{start} = .*$", line, text, flags=re.MULTILINE)
        assert count, start
    return text


async def _flows(found: Fleet, shape: Shape) -> bool:
    delivered = await found.server.series('sum by (receiver) (penstock_attempts_total{outcome="delivered"}) > 20')
    return {each["metric"]["receiver"] for each in delivered} >= shape.readers.keys()
