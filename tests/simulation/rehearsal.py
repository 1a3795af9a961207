"""A campaign twice: foreseen by the forecast, and sent on virtual time by the real fleet to the emulated receivers."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trio

from sender.assembly import retry_curve
from sender.condition import schedule_of
from sender.content.spec import CampaignSpec, parse
from sender.controlling import Controller
from sender.model import Verdict
from sender.planning import Assumptions, Planner, known_of
from sender.policy.forecast import Forecast
from sender.policy.forecast_flow import forecast
from sender.policy.schedule import Outlook
from sender.record import Attempt
from sender.settings import Settings, load
from workers.emulator.world import WorldOptions
from workers.simulation.stage import START, TERMS, Recipients, Setup, Stage, play, world_options

EARLIER, CAMPAIGN = "earlier", "spring"
_MAIN = '[[identity]]\ndomain = "shop.example"\nsigned = false\n'
_CONTROL_S = 1.0  # as a scheduler does
_LOOK_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """One scenario."""

    name: str
    sources: str  # sources.toml
    recipients: Mapping[str, int]  # by receiver, as the emulated world calls it
    earlier: Mapping[str, int] = field(default_factory=dict)  # of a campaign that went out before, from which the fleet learns
    after_s: float = 0.0  # when ours follows, from the beginning
    spec: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # of the configuration, beside sources.toml
    world: WorldOptions = field(default_factory=world_options)
    rtt_s: float = 0.2
    poll_s: float = 1.0
    assumptions: Assumptions = field(default_factory=Assumptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What was foreseen, and what came of it: seconds from submission to the last final state, and deliveries by source."""

    name: str
    foreseen: Forecast
    took_s: float
    delivered: Mapping[str, int]

    @property
    def foreseen_s(self) -> float:
        return self.foreseen.eta - self.foreseen.now

    @property
    def error(self) -> float:
        return (self.foreseen_s - self.took_s) / self.took_s

    def by_source(self) -> Mapping[str, int]:
        """How many each source was foreseen to deliver."""
        found = defaultdict[str, float](float)  # an expectation need not be whole
        for route in self.foreseen.routes:
            for item in route.days:
                found[item.source] += item.delivered
        return {source: round(count) for source, count in found.items()}


def rehearse(case: Rehearsal, directory: Path) -> Played:
    """Play a scenario both ways."""
    settings = _configured(case, directory)
    spec = parse({**TERMS, **case.spec}, file=CAMPAIGN)
    delivered = Counter[str]()

    def count(attempt: Attempt) -> None:
        ours = attempt.held.envelope.campaign == CAMPAIGN
        delivered[attempt.lane.source] += ours and attempt.outcome.verdict is Verdict.DELIVERED

    async def story(stage: Stage) -> tuple[Forecast, float]:
        if case.earlier:
            await stage.submit(EARLIER, _several(case.earlier))
            await stage.finished(EARLIER, _LOOK_S)
        await stage.sleep_until(START + case.after_s)
        async with trio.open_nursery() as helpers:
            found = await _foresee(stage, case, spec)
            helpers.start_soon(_control, stage, spec)
            await stage.submit(CAMPAIGN, _several(case.recipients), case.spec)
            await stage.finished(CAMPAIGN, _LOOK_S)
            helpers.cancel_scope.cancel()
        return found, stage.clock() - found.now

    setup = Setup(settings=settings, world=case.world, rtt_s=case.rtt_s, poll_s=case.poll_s, on_attempt=count)
    found, took_s = play(setup, story)
    return Played(name=case.name, foreseen=found, took_s=took_s, delivered=delivered)


def _several(recipients: Mapping[str, int]) -> list[Recipients]:
    return [Recipients(receiver=name, count=count) for name, count in recipients.items()]


async def _foresee(stage: Stage, case: Rehearsal, spec: CampaignSpec) -> Forecast:
    """What `penstock plan` would say now."""
    settings, profiles, now = stage.setup.settings, stage.profiles, stage.clock()
    bands = {stage.receiver(name): (0, 0, count, 0) for name, count in case.recipients.items()}
    known = await known_of(stage.queue, settings, spec, CAMPAIGN, bands, profiles, now)
    planner = Planner(settings, spec, profiles, retry_curve(settings), bands, known, case.assumptions, now)
    return forecast(planner.scenario())


def _configured(case: Rehearsal, directory: Path) -> Settings:
    for name, text in {"penstock.toml": _MAIN, "sources.toml": case.sources, **case.files}.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return load(directory)


async def _control(stage: Stage, spec: CampaignSpec) -> None:
    """The scheduler's part in schedules and rates."""
    controller, outlook = Controller(stage.queue), Outlook(schedule_of(spec))
    while spec.scheduled:
        await controller.run_once(stage.clock())
        shut = outlook.closed(stage.clock())
        opens = shut.end if shut is not None and shut.covers(stage.clock()) else 0.0
        await stage.sleep_until(max(stage.clock() + _CONTROL_S, opens))
