"""What became of envelopes and of attempts, and how long receivers took."""

from sender.metrics.families import RECEIVER, SOURCE, Families, Label
from sender.model import Category, Envelope, Outcome, State, Step, Verdict

# From a reply inside the same data centre to the ten minutes we wait for the end of data (RFC 5321 section 4.5.3.2.6).
_STEP_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
# From an idle lane to a receiver near by, through a lane that holds half a minute's work, to one that trickles under a plan.
_REPLY_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0)

_STATE = Label("outcome", " ".join(State))
_VERDICT = Label("outcome", " ".join(Verdict))
_CATEGORY = Label("category", " ".join(each for each in Category if each is not Category.ACCEPTED))
_BY = "delivery"
_SETTLES = "delivery, scheduler"  # the scheduler settles for processes that died


class Deliveries:
    """Counts attempts and what they came to."""

    def declare_deliveries(self, families: Families) -> None:
        self._finished = families.tally(
            "penstock_deliveries_total", "Envelopes that reached their final state.", SOURCE, RECEIVER, _STATE, by=_SETTLES
        )
        self._attempts = families.tally(
            "penstock_attempts_total", "Attempts to deliver one envelope.", SOURCE, RECEIVER, _VERDICT, by=_BY
        )
        self._refusals = families.counter(
            "penstock_refusals_total",
            "Attempts that were deferred or rejected, and sessions that were turned away before any (unsent), by reason.",
            RECEIVER,
            _CATEGORY,
            Label("verdict", f"{Verdict.DEFERRED} {Verdict.REJECTED} {Verdict.UNSENT}"),
            by=_BY,
        )
        self._shadowed = families.counter(
            "penstock_shadow_rules_total",
            "Attempts that a rule in shadow would have decided.",
            RECEIVER,
            Label("rule", "a rule of config/receivers with `shadow = true`"),
            Label("would", f"the verdict it would have given: {_VERDICT.values}"),
            by=_BY,
        )
        self._in_doubt = families.counter(
            "penstock_in_doubt_total",
            "Attempts whose end of data was sent and whose reply never came.",
            RECEIVER,
            by=_SETTLES,
        )
        self._late = families.tally(
            "penstock_settled_late_total",
            "Outcomes that came after their lease had been taken back: others may have sent again.",
            by=_BY,
        )[()]
        self._declare_durations(families)

    def _declare_durations(self, families: Families) -> None:
        steps = families.spread(
            "penstock_step_duration_seconds",
            "Time from asking to the receiver's answer, by step of the dialogue.",
            Label("step", " ".join(Step)),
            _STEP_BUCKETS,
            by=_BY,
        )
        self._steps = {step: steps.labels(step) for step in Step}
        replies = families.spread(
            "penstock_lease_to_reply_duration_seconds",
            "Time from an envelope's lease to the receiver's last word on this attempt, by its outcome.",
            Label("outcome", f"{_VERDICT.values}; unsent stays 0, being no attempt"),
            _REPLY_BUCKETS,
            by=_BY,
        )
        self._replies = {verdict: replies.labels(verdict) for verdict in Verdict}

    def attempt(self, source: str, receiver: str, outcome: Outcome) -> None:
        """One attempt ended; its category is counted too unless it was delivered or never tried."""
        self._attempts[source, receiver, outcome.verdict].inc()
        if outcome.shadow is not None:
            self.shadowed(receiver, outcome.shadow)
        if outcome.verdict is Verdict.DEFERRED or outcome.verdict is Verdict.REJECTED:
            self._refusals[receiver, outcome.category, outcome.verdict].inc()

    def turned_away(self, receiver: str, outcome: Outcome) -> None:
        """The receiver refused a session before any envelope was tried."""
        self._refusals[receiver, outcome.category, Verdict.UNSENT].inc()

    def shadowed(self, receiver: str, would: Outcome) -> None:
        """A rule in shadow would have made this of a reply."""
        self._shadowed[receiver, would.rule, would.verdict].inc()

    def finished(self, source: str, receiver: str, state: State) -> None:
        """One envelope reached its final state on this lane."""
        self._finished[source, receiver, state].inc()

    def in_doubt(self, receiver: str) -> None:
        """The reply to one end of data never came."""
        self._in_doubt[(receiver,)].inc()

    def settled_late(self, positions: int) -> None:
        """So many outcomes found their lease gone."""
        self._late.inc(positions)

    def replied(self, verdict: Verdict, seconds: float, envelope: Envelope) -> None:
        """The receiver's last word on an attempt came so long after the envelope's lease; not for what was never tried."""
        self._replies[verdict].observe_of(seconds, envelope)

    def step(self, step: Step, seconds: float) -> None:
        """The receiver took so long to answer at this step."""
        self._steps[step].observe(seconds)
