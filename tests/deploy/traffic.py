"""A healthy fleet as Prometheus scrapes it, a value a minute: two lanes of one source, and work that never runs out.

Healthy is not spotless: a third of the first attempts are greylisted, a block comes now and then among the many at small
receivers, a DNS question in a hundred fails, a process is started anew, and a sending day ends with its cap used.
"""

from tests.deploy.promtool import MINUTES, Series

_DAY_ENDS = 400  # the minute at which a sending day ends
_LAST = MINUTES - _DAY_ENDS


def _delivery(name: str, labels: str) -> str:
    return f'{name}{{job="penstock",role="delivery",instance="d:1",{labels}}}'


def fleet(name: str, labels: str) -> str:
    """A series that the scheduler tells of the whole fleet."""
    return f'{name}{{job="penstock",role="scheduler",instance="s:1",{labels}}}'


def attempts(receiver: str, outcome: str) -> str:
    return _delivery("penstock_attempts_total", f'source="s1",receiver="{receiver}",outcome="{outcome}"')


def deliveries(receiver: str) -> str:
    return _delivery("penstock_deliveries_total", f'source="s1",receiver="{receiver}",outcome="delivered"')


def refusals(receiver: str, category: str) -> str:
    return _delivery("penstock_refusals_total", f'receiver="{receiver}",category="{category}"')


def failures(receiver: str) -> str:
    return _delivery("penstock_session_failures_total", f'receiver="{receiver}",kind="timeout"')


def sessions(receiver: str) -> str:
    return _delivery("penstock_sessions_open", f'source="s1",receiver="{receiver}"')


def lag(le: str) -> str:
    return _delivery("penstock_loop_lag_duration_seconds_bucket", f'le="{le}"')


def signatures(outcome: str) -> str:
    return _delivery("penstock_signatures_total", f'outcome="{outcome}"')


def dns(outcome: str) -> str:
    return _delivery("penstock_dns_queries_total", f'outcome="{outcome}"')


def ready(receiver: str) -> str:
    return fleet("penstock_queue_ready_envelopes", f'pool="p",receiver="{receiver}"')


def oldest(what: str) -> str:
    return fleet("penstock_queue_oldest_seconds", f'what="{what}"')


def warmup(what: str, receiver: str) -> str:
    return fleet(f"penstock_warmup_{what}", f'source="s1",receiver="{receiver}"')


def up(role: str, instance: str) -> str:
    return f'up{{job="penstock",role="{role}",instance="{instance}"}}'


STORE = fleet("penstock_store_well", 'server="store:6379"')


def rising(per_minute: float) -> str:
    """A counter."""
    return f"0+{per_minute}x{MINUTES}"


def steady(value: float) -> str:
    """A gauge that stays, or a counter that stands."""
    return f"{value}x{MINUTES}"


def from_nothing(value: int, minute: int) -> str:
    """A counter that is first seen at this minute, and goes no further."""
    return f"_x{minute} {value}x{MINUTES - minute}"


def day(share: float, cap: int = 800) -> str:
    """Units of a cap, used evenly until the day ends with this share of it used; the next day goes likewise."""
    step = cap * share / _DAY_ENDS
    return f"0+{step}x{_DAY_ENDS} 0+{step}x{_LAST}"


def healthy() -> dict[str, str]:
    """Every series of such a fleet that a rule or an alert looks at."""
    return {
        **_lane("google"),
        **_lane("orange"),
        attempts("other", "delivered"): rising(3000),
        deliveries("other"): rising(3000),
        refusals("other", "block"): rising(1),
        sessions("other"): steady(40),
        ready("other"): steady(9000),
        **_services(),
    }


def _lane(receiver: str) -> Series:
    return {
        attempts(receiver, "delivered"): f"0+60x300 0+60x{MINUTES - 300}",
        attempts(receiver, "deferred"): f"0+30x300 0+30x{MINUTES - 300}",
        refusals(receiver, "greylist"): f"0+29x300 0+29x{MINUTES - 300}",
        deliveries(receiver): f"0+60x300 0+60x{MINUTES - 300}",
        failures(receiver): rising(0.5),
        sessions(receiver): steady(4),
        ready(receiver): steady(500),
        warmup("used_envelopes", receiver): day(1.0),
        warmup("cap_envelopes", receiver): f"800x{_DAY_ENDS} 1200x{_LAST}",
    }


def _services() -> Series:
    return {
        up("scheduler", "s:1"): steady(1),
        up("delivery", "d:1"): steady(1),
        oldest("ready"): steady(7200),
        oldest("due"): steady(2),
        STORE: steady(1),
        dns("answer"): rising(99),
        dns("failed"): rising(1),
        signatures("signed"): rising(3100),
        lag("0.01"): rising(99.5),
        lag("0.25"): rising(100),
        lag("+Inf"): rising(100),
    }
