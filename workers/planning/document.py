"""The forecast for scripts: one JSON document. Times are Unix seconds, null for what never comes; counts may be fractions."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from sender.policy.forecast import Forecast, RouteForecast
from sender.policy.schedule import FOR_EVER
from workers.planning.report import OneMore, Report


def as_document(report: Report) -> dict[str, Any]:
    """All of it."""
    census, found = report.census, report.forecast
    return {
        "campaign": report.campaign,
        "pool": report.pool,
        "sources": list(report.sources),
        "now": found.now,
        "recipients": {
            "rows": census.rows,
            "mailable": census.mailable,
            "invalid": dict(census.invalid),
            "suppressed": census.suppressed if census.asked_who_is_suppressed else None,
            "null_mx": census.null_mx,
            "domains": census.domains,
            "looked_up": census.looked_up,
            "unanswered": census.unanswered,
            "left_out": census.left_out,
        },
        **_sums(found),
        "receivers": [_receiver(route) for route in found.routes],
        "one_more_source": [_one_more(variant, found) for variant in report.one_more],
        "assumed": {
            "latency_s": report.latency_s,
            "delivered": {name: each.delivered for name, each in report.expectations.items() if name not in report.measured},
            "offline": report.offline,
            "without_store": report.without_store or None,
        },
        "measured": {
            "delivered": {name: report.expectations[name].delivered for name in report.measured},
            "rejected": {name: report.expectations[name].rejected for name in report.measured},
        },
    }


def _sums(found: Forecast) -> Mapping[str, Any]:
    return {
        "tried": known(found.tried),
        "eta": known(found.eta),
        **{name: round(found.total(name), 1) for name in ("delivered", "rejected", "expired", "left", "spilled")},
    }


def _receiver(route: RouteForecast) -> dict[str, Any]:
    return {
        "receiver": route.receiver,
        "recipients": route.envelopes,
        **{name: round(getattr(route, name), 1) for name in ("delivered", "rejected", "expired", "left", "spilled")},
        "begins": known(route.begins),
        "tried": known(route.tried),
        "eta": known(route.eta),
        "held_by": {str(bind): round(share, 4) for bind, share in route.bound.items()},
        "days": [
            {
                "date": date.fromordinal(item.day).isoformat(),
                "source": item.source,
                "delivered": round(item.delivered, 1),
                "cap": item.cap,
            }
            for item in route.days
        ],
    }


def _one_more(variant: OneMore, before: Forecast) -> dict[str, Any]:
    return {
        "plan": variant.plan or None,
        **_sums(variant.forecast),
        "earlier_s": known(variant.earlier_s(before)),
        "receivers": {name: known(saved) for name, saved in variant.by_receiver(before).items()},
    }


def known(moment: float) -> float | None:
    """null for what never comes."""
    return moment if moment < FOR_EVER else None
