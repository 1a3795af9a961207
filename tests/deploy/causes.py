"""What makes each alert fire: series that a healthy fleet does not have, and when the alert is on."""

from dataclasses import dataclass, field

from tests.deploy import traffic as has
from tests.deploy.promtool import MINUTES, Series
from tests.deploy.traffic import from_nothing, rising, steady


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The alert, its severity and labels; `series` take the place of healthy ones, or come on top."""

    alert: str
    severity: str
    series: Series
    at: int  # minute
    labels: dict[str, str] = field(default_factory=dict)


_LANES = ("google", "orange", "other")

CAUSES = (
    Cause(
        alert="PenstockDeferralSpike",
        severity="warning",
        series={has.attempts("google", "deferred"): rising(60), has.refusals("google", "rate"): rising(31)},
        at=60,
        labels={"receiver": "google"},
    ),
    Cause(  # three, and the first ones that this process has seen: nothing has risen between two scrapes
        alert="PenstockBlockSeen",
        severity="critical",
        series={has.refusals("google", "block"): from_nothing(3, minute=100)},
        at=105,
        labels={"receiver": "google"},
    ),
    Cause(
        alert="PenstockNoDeliveries",
        severity="critical",
        series={
            **{has.attempts(receiver, outcome): steady(900) for receiver in _LANES for outcome in ("delivered", "deferred")},
            **{has.refusals(receiver, "greylist"): steady(900) for receiver in _LANES},
            **{has.refusals("other", "block"): steady(0)},
            **{has.deliveries(receiver): steady(900) for receiver in _LANES},
            **{has.sessions(receiver): steady(0) for receiver in _LANES},
            **{has.failures(receiver): rising(5) for receiver in _LANES},
        },
        at=60,
    ),
    Cause(
        alert="PenstockSourceStopped",
        severity="warning",
        series={has.paused("google"): "0x100 1x20 0 1x400"},
        at=200,
        labels={"source": "s1", "receiver": "google"},
    ),
    Cause(
        alert="PenstockLanesUnclaimed",
        severity="critical",
        series={
            has.sessions("orange"): steady(0),
            has.opened("orange"): steady(0),
            has.failures("orange"): steady(0),
            has.paused("orange"): steady(0),
            has.warmup("used_envelopes", "orange"): steady(100),
        },
        at=120,
        labels={"receiver": "orange"},
    ),
    Cause(
        alert="PenstockBacklogOld",
        severity="warning",
        series={has.oldest("ready"): steady(90_000)},
        at=60,
        labels={"what": "ready"},
    ),
    Cause(
        alert="PenstockRetriesLate",
        severity="critical",
        series={has.oldest("due"): steady(400)},
        at=60,
        labels={"what": "due"},
    ),
    Cause(
        alert="PenstockCapUnused",
        severity="warning",
        series={has.warmup("used_envelopes", "orange"): has.day(0.5)},
        at=410,
        labels={"source": "s1", "receiver": "orange"},
    ),
    Cause(
        alert="PenstockWarmupHeld",
        severity="warning",
        series={has.gate("ratio", "orange", "deferral"): steady(0.02)},
        at=60,
        labels={"source": "s1", "receiver": "orange", "gate": "deferral"},
    ),
    Cause(
        alert="PenstockWarmupStopped",
        severity="warning",
        series={has.warmup("stopped", "orange"): f"0x100 1x{MINUTES - 100}"},
        at=110,
        labels={"source": "s1", "receiver": "orange"},
    ),
    Cause(
        alert="PenstockComplaintsRising",
        severity="warning",
        series={has.gate("ratio", "google", "complaint"): steady(0.0009)},
        at=60,
        labels={"source": "s1", "receiver": "google"},
    ),
    Cause(
        alert="PenstockComplaintsHigh",
        severity="critical",
        series={has.gate("ratio", "google", "complaint"): steady(0.0027)},
        at=60,
        labels={"source": "s1", "receiver": "google"},
    ),
    Cause(
        alert="PenstockRestartLoop",
        severity="critical",
        series={has.STARTED: "0x100 6000x4 6240x4 6480x4 6720x480"},
        at=114,
        labels={"role": "delivery", "instance": "d:1"},
    ),
    Cause(
        alert="PenstockJournalUnhealthy",
        severity="critical",
        series={has.JOURNAL: f"1x100 0x{MINUTES - 100}"},
        at=110,
        labels={"role": "delivery", "instance": "d:1"},
    ),
    Cause(
        alert="PenstockProcessGone",
        severity="critical",
        series={has.up("delivery", "d:2"): f"1x100 0x{MINUTES - 100}"},
        at=110,
        labels={"role": "delivery", "instance": "d:2"},
    ),
    Cause(
        alert="PenstockLoopLag",
        severity="warning",
        series={has.lag("0.01"): rising(90)},
        at=60,
        labels={"instance": "d:1"},
    ),
    Cause(
        alert="PenstockSigningFailing",
        severity="critical",
        series={has.signatures("failed"): from_nothing(2, minute=100)},
        at=105,
    ),
    Cause(
        alert="PenstockStoreUnwell",
        severity="critical",
        series={has.STORE: f"1x100 0x{MINUTES - 100}"},
        at=110,
        labels={"server": "store:6379"},
    ),
    Cause(  # nothing is answered any more, and calls take the time that they are given
        alert="PenstockStoreCallsFailing",
        severity="critical",
        series={has.calls("done"): "0+6000x100 600000x500", has.calls("failed"): "0x100 0+12x500"},
        at=110,
    ),
    Cause(
        alert="PenstockDnsFailing",
        severity="warning",
        series={has.dns("failed"): rising(40)},
        at=60,
    ),
    Cause(
        alert="PenstockKeyOld",
        severity="warning",
        series={has.KEY: steady(-181 * 86_400)},
        at=70,
        labels={"domain": "shop.example", "selector": "s2026"},
    ),
    Cause(
        alert="PenstockConsumerBehind",
        severity="warning",
        series={has.consumer("lag_seconds"): steady(2000)},
        at=60,
        labels={"consumer": "warehouse"},
    ),
    Cause(  # the webhook's `give_up` is over, and each further batch is tried once
        alert="PenstockConsumerDeadLetters",
        severity="warning",
        series={has.DEAD: f"0x100 0+500x{MINUTES - 100}"},
        at=105,
        labels={"consumer": "warehouse"},
    ),
    Cause(
        alert="PenstockConsumerLost",
        severity="warning",
        series={has.consumer("lost_entries_total"): f"3x100 5x{MINUTES - 100}"},
        at=110,
        labels={"consumer": "warehouse"},
    ),
)
