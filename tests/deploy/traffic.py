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


def refusals(receiver: str, category: str, verdict: str = "deferred") -> str:
    return _delivery("penstock_refusals_total", f'receiver="{receiver}",category="{category}",verdict="{verdict}"')


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


def held(source: str, receiver: str) -> str:
    return fleet("penstock_lane_holds", f'source="{source}",receiver="{receiver}"')


def up(role: str, instance: str) -> str:
    return f'up{{job="penstock",role="{role}",instance="{instance}"}}'


def gate(what: str, receiver: str, gate: str) -> str:
    return fleet(f"penstock_warmup_gate_{what}", f'source="s1",receiver="{receiver}",gate="{gate}"')


def paused(receiver: str) -> str:
    return _delivery("penstock_lanes_paused", f'source="s1",receiver="{receiver}"')


def calls(outcome: str) -> str:
    return _delivery("penstock_store_calls_total", f'outcome="{outcome}"')


def opened(receiver: str) -> str:
    return _delivery("penstock_sessions_total", f'receiver="{receiver}",tls="TLSv1.3"')


def consumer(name: str) -> str:
    return f'penstock_consumer_{name}{{job="penstock",role="consumer",instance="c:1",consumer="warehouse"}}'


# What a supervisor says of its children: Prometheus keeps the role that it scrapes, and calls theirs another.
SIGNERS_STARTED = 'penstock_process_restarts_total{job="penstock",role="supervisor",instance="v:1",child="signer"}'
KEY = fleet("penstock_dkim_key_created_timestamp_seconds", 'domain="shop.example",selector="s2026"')
JOURNAL = 'penstock_journal_healthy{job="penstock",role="delivery",instance="d:1"}'
STARTED = 'process_start_time_seconds{job="penstock",role="delivery",instance="d:1"}'
CONSUMER_STARTED = 'process_start_time_seconds{job="penstock",role="consumer",instance="c:1"}'
DEAD = 'penstock_consumer_events_total{job="penstock",role="consumer",instance="c:1",consumer="warehouse",outcome="dead"}'
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
        paused(receiver): "0x100 1x30 0x300 1x20 0x150",
        opened(receiver): rising(0.5),
        warmup("held", receiver): steady(1),  # an operator's word, of today
        warmup("stopped", receiver): steady(0),
        gate("ratio", receiver, "deferral"): steady(0.01),
        gate("limit_ratio", receiver, "deferral"): steady(0.02),
        gate("ratio", receiver, "complaint"): steady(0.0005),
        gate("limit_ratio", receiver, "complaint"): steady(0.001),
        failures(receiver): rising(0.5),
        sessions(receiver): steady(4),
        ready(receiver): steady(500),
        warmup("used_envelopes", receiver): day(1.0),
        warmup("day_end_timestamp_seconds", receiver): f"{_DAY_ENDS * 60}x{_DAY_ENDS} {(_DAY_ENDS + 1_440) * 60}x{_LAST}",
        warmup("cap_envelopes", receiver): f"800x{_DAY_ENDS} 1200x{_LAST}",
    }


def _services() -> Series:
    return {
        up("scheduler", "s:1"): steady(1),
        up("delivery", "d:1"): steady(1),
        up("consumer", "c:1"): steady(1),
        oldest("ready"): steady(7200),
        oldest("due"): steady(2),
        STORE: f"1x50 _x20 1x{MINUTES - 70}",  # no scheduler told of it for a while
        JOURNAL: steady(1),
        STARTED: f"-86400x300 18000x{MINUTES - 300}",
        CONSUMER_STARTED: steady(-86_400),
        SIGNERS_STARTED: f"0x200 2x{MINUTES - 200}",
        KEY: steady(-100 * 86_400),  # time begins at 0 here
        calls("done"): rising(6000),
        calls("failed"): f"0x100 0+3x5 15x{MINUTES - 105}",
        consumer("lag_seconds"): steady(40),
        consumer("lost_entries_total"): steady(3),  # long ago
        DEAD: steady(500),  # likewise
        dns("answer"): rising(99),
        dns("failed"): rising(1),
        signatures("signed"): rising(3100),
        lag("0.01"): rising(99.5),
        lag("0.25"): rising(100),
        lag("+Inf"): rising(100),
    }
