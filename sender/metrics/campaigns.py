"""Campaigns: what was submitted, and where those stand that moved last."""

from collections.abc import Mapping

from sender.metrics.families import Families, Label
from sender.model import State

CAMPAIGNS_SHOWN = 50


class Campaigns:
    """Counts recipients as they come in, and shows what became of them."""

    def declare_campaigns(self, families: Families) -> None:
        self._submitted = families.tally(
            "penstock_submitted_recipients_total",
            "Recipients read from the inbox, whatever becomes of them.",
            by="expander",
        )[()]
        self._expanded = families.counter(
            "penstock_expanded_recipients_total",
            "The same, by what became of them there.",
            Label("outcome", "queued; rejected: the domain takes no mail; suppressed; invalid; cancelled; expired"),
            by="expander",
        )
        self._refused = families.counter(
            "penstock_inbox_refused_total",
            "Inbox entries moved to the dead letters.",
            Label("what", "campaign rows"),
            by="expander",
        )
        self._envelopes = families.snapshot(
            "penstock_campaign_envelopes",
            f"Recipients of the {CAMPAIGNS_SHOWN} campaigns that moved last, by where they are.",
            Label("campaign", f"the ids of at most {CAMPAIGNS_SHOWN} campaigns"),
            Label("state", f"{' '.join(State)}; open: none of these yet; those in the inbox count as full batches"),
            by="scheduler",
        )

    def submitted(self, count: int) -> None:
        """So many recipients were read from the inbox."""
        self._submitted.inc(count)

    def expanded(self, outcome: str, count: int) -> None:
        """So many recipients left the inbox: "queued", "rejected", "suppressed" or "invalid"."""
        self._expanded[(outcome,)].inc(count)

    def inbox_refused(self, what: str, count: int = 1) -> None:
        """So many inbox entries, "campaign" or "rows", went to the dead letters."""
        self._refused[(what,)].inc(count)

    def campaigns(self, figures: Mapping[str, Mapping[str, int]]) -> None:
        """The campaigns that moved last, with how many envelopes are in which state; all others are gone."""
        self._envelopes.show({(name, state): count for name, states in figures.items() for state, count in states.items()})
