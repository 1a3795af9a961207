"""Which warmup plan holds for which lane, and for which sending identity: what settings, profiles and plans say together."""

from collections.abc import Mapping

from sender.policy.plan import NO_PLAN, Plan
from sender.policy.plans import Plans
from sender.policy.receivers import Profiles
from sender.settings import Settings
from sender.settings.sections import DEFAULT_WARMUP


class Assignments:
    """Answers for any lane. Receivers without a profile share one plan, and one progress, per source."""

    def __init__(
        self,
        sources: Mapping[str, Mapping[str, str]],
        identities: Mapping[str, str],
        profiles: Profiles,
        plans: Plans,
    ) -> None:
        """`sources` are the plans that each source names, by receiver; `identities` those of the signing domains."""
        self._sources, self._identities = sources, identities
        self._profiles, self._plans = profiles, plans

    @classmethod
    def of(cls, settings: Settings, profiles: Profiles) -> "Assignments":
        """Raises ConfigErrors with all that is wrong in the plans."""
        identities = {identity.domain: identity.warmup for identity in settings.identities}
        return cls(settings.warmup, identities, profiles, Plans.parse(settings.plans))

    def plan(self, source: str, receiver: str) -> Plan | None:
        """The plan of this source at this receiver; None where it is warm.

        What the source says of the receiver comes first, then what the receiver's profile says, then the source's default.
        """
        label = self._profiles.label(receiver)
        named = self._sources.get(source, {})
        name = named.get(label) or self._profiles.profile(receiver).warmup or named.get(DEFAULT_WARMUP, NO_PLAN)
        return self._plans.plan(name, label) if name != NO_PLAN else None

    def identity(self, domain: str) -> Plan | None:
        """The plan of this signing domain on all sources together; None where it has none."""
        name = self._identities.get(domain, NO_PLAN)
        return self._plans.plan(name) if name != NO_PLAN else None

    @property
    def domains(self) -> tuple[str, ...]:
        """The signing domains that have a plan."""
        return tuple(domain for domain, name in self._identities.items() if name != NO_PLAN)

    def is_shared(self, receiver: str) -> bool:
        """Whether this receiver has no profile, and so shares its source's progress with all others of them."""
        return self._profiles.label(receiver) != receiver

    def __repr__(self) -> str:
        return f"<Assignments of {len(self._sources)} sources and {len(self._identities)} identities>"
