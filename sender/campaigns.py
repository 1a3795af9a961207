"""Campaigns as delivery needs them: specification, compiled template, signing keys and retry curve, kept while in use."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakSet

import trio

from sender.condition import schedule_of
from sender.content.rotation import DkimKey
from sender.content.spec import CampaignSpec, parse
from sender.content.template import Compiled, compile_campaign
from sender.errors import ConfigError, ConfigErrors
from sender.policy.retry import RetryCurve
from sender.policy.schedule import FOR_EVER, Schedule, closed
from sender.queue.base import Queue

_KEPT = 500  # compiled campaigns; one without attachments takes some 100 kB


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningIdentity:
    """A domain that mail may be sent for: the keys that sign it, and the domain of its Message-IDs.

    No keys means that a relay behind us signs: only an identity that says so in the configuration has none.
    """

    domain: str
    message_id_domain: str
    keys: tuple[DkimKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Campaign:
    """One campaign, ready to compose from."""

    id: str
    spec: CampaignSpec
    compiled: Compiled
    identity: SigningIdentity
    curve: RetryCurve
    schedule: Schedule = field(default_factory=Schedule)

    def extras(self, fields: Mapping[str, str]) -> dict[str, str]:
        """What came with a recipient and the template does not need: events carry it back."""
        return {name: value for name, value in fields.items() if name not in self.compiled.fields}

    def __repr__(self) -> str:
        return f"<Campaign {self.id} in {self.spec.pool}, signed by {self.identity.domain}>"


class Campaigns:
    """Fetches, compiles and keeps the campaigns of one process."""

    def __init__(self, queue: Queue, identities: Sequence[SigningIdentity], curve: RetryCurve, pools: Sequence[str]) -> None:
        self._queue, self._curve, self._pools = queue, curve, frozenset(pools)
        self._identities = {identity.domain: identity for identity in identities}
        self._kept: OrderedDict[str, Campaign] = OrderedDict()
        self._living: WeakSet[Campaign] = WeakSet()  # and those that leased envelopes still refer to
        self._fetching: dict[str, trio.Event] = {}

    @property
    def in_memory(self) -> list[Campaign]:
        """All campaigns that this process may hold envelopes of."""
        return list(self._living)

    def check(self, campaign_id: str, document: bytes) -> CampaignSpec:
        """Everything that can be known before a recipient is; raises ConfigErrors with all that is wrong."""
        spec = parse(document, file=f"campaign {campaign_id}")
        self._build(campaign_id, spec)
        return spec

    async def get(self, campaign_id: str) -> Campaign | None:
        """The campaign, from memory or from the queue; None where the queue has none of that id.

        Raises ConfigErrors where it was accepted under another configuration than this process has.
        """
        while campaign_id not in self._kept and (fetched := self._fetching.get(campaign_id)) is not None:
            await fetched.wait()  # thousands of lanes begin with a campaign: one of them fetches it, the others wait
        kept = self._kept.get(campaign_id)
        if kept is not None:
            self._kept.move_to_end(campaign_id)
            return kept
        self._fetching[campaign_id] = fetched = trio.Event()
        try:
            return await self._fetch(campaign_id)
        finally:
            del self._fetching[campaign_id]
            fetched.set()

    async def _fetch(self, campaign_id: str) -> Campaign | None:
        document = await self._queue.spec(campaign_id)
        if document is None:
            return None
        campaign = self._build(campaign_id, parse(document, file=f"campaign {campaign_id}"))
        self._kept[campaign_id] = campaign
        self._living.add(campaign)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return campaign

    def _build(self, campaign_id: str, spec: CampaignSpec) -> Campaign:
        identity = self._identities.get(spec.signing_domain)
        file = f"campaign {campaign_id}"
        errors = []
        if identity is None:
            known = ", ".join(sorted(self._identities)) or "none"
            errors.append(
                ConfigError(file, "identity", f"no identity {spec.signing_domain!r} is configured; there are: {known}")
            )
        if spec.pool not in self._pools:
            known = ", ".join(sorted(self._pools)) or "none"
            errors.append(ConfigError(file, "pool", f"no source is in pool {spec.pool!r}; there are: {known}"))
        schedule = schedule_of(spec)
        if spec.start is not None and not _ever_opens(schedule):
            errors.append(ConfigError(file, "windows", "none of them is open between the start and the deadline"))
        if errors or identity is None:
            raise ConfigErrors(errors)
        give_up_s = self._curve.give_up_s if spec.give_up is None else float(spec.give_up)
        curve = replace(self._curve, give_up_s=give_up_s, not_after=schedule.deadline)
        compiled = compile_campaign(
            spec, campaign=campaign_id, message_id_domain=identity.message_id_domain, file=f"campaign {campaign_id}"
        )
        return Campaign(id=campaign_id, spec=spec, compiled=compiled, identity=identity, curve=curve, schedule=schedule)


def _ever_opens(schedule: Schedule) -> bool:
    """Whether there is any time between start and deadline at which it may be sent."""
    shut = closed(schedule, schedule.start)
    return shut is None or not shut.covers(schedule.start) or shut.end < FOR_EVER
