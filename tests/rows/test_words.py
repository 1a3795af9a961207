"""What strangers say stays what it is: one line of the log, never a label, never more than its bounds."""

import json
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from sender.metrics import Metrics
from sender.model import Destination, MxHost, Reply, State, Step
from sender.policy.receivers import Profiles
from sender.policy.verdict import judge
from sender.settings import load
from tests.rows.town import DOMAIN, town
from workers.attempt_log import AttemptLog
from workers.emulator.faults import Fault, Moment, Say
from workers.log import LINE_MOST, Renderer

HOSTILE = {
    "escapes": b'550 5.1.1 \x1b[2J\x1b[31mred\x07 "}, {"event":"forged"}\r\n',
    "a NUL and bare ends": b"550 5.1.1 a\x00b\rc\x0bd\r\n",
    "no UTF-8": b"550 5.1.1 caf\xe9 \xff\xfe \xc0\xaf\r\n",
    "separators": "550 5.1.1 a\u2028b\u202ec\x85d\r\n".encode(),
    "long lines": b"".join(b"550-5.1.1 " + b"x" * 900 + b"\r\n" for _ in range(60)) + b"550 5.1.1 end\r\n",
}


@pytest.mark.row("S19")
@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_reply_is_one_valid_line_of_the_log(kind: str, tmp_path: Path) -> None:
    refusal = Fault(acts={Moment.RCPT: Say(text=HOSTILE[kind])})
    async with town(tmp_path, refusal) as here:
        assert await here.post([{"to": f"ann@{DOMAIN}"}]) == {State.REJECTED: 1}
    lines: list[bytes] = []
    for told in here.attempts:
        AttemptLog(lines.append, "delivery-0", Renderer("delivery-0"))(told)
    (line,) = lines
    assert line.count(b"\n") == 1
    assert len(line) <= LINE_MOST
    found = json.loads(line)
    assert (found["event"], found["verdict"]) == ("attempt", "rejected")
    assert found["reply"].startswith("550 5.1.1 ")
    assert found["reply"].isprintable()


def counted(metrics: Metrics, profiles: Profiles, numbers: range) -> None:
    """As the parts of a process do, for a domain and a reply of its own each."""
    for number in numbers:
        destination = Destination(hosts=(MxHost(name=f"mx.shop{number}.example", preference=10),))
        label = profiles.label(profiles.receiver(destination, f"shop{number}.example"))
        reply = Reply(code=400 + number % 200, lines=(f"shop{number}.example says no to {number}",))
        outcome = judge(profiles.profile("_default"), Step.RCPT, reply)
        metrics.attempt("s1", label, outcome)
        metrics.finished("s1", label, State.REJECTED)
        metrics.in_doubt(label)
        metrics.session_opened("s1", label, f"TLSv{number}")
        metrics.session_closed("s1", label)
        metrics.session_failed(label, "timeout")
        metrics.queue({("main", label): number}, aside=0, leased=0, later=0, oldest_ready_s=0, oldest_due_s=0, dead=0)


@pytest.mark.row("S20")
def test_eight_thousand_domains_and_their_replies_add_no_series() -> None:
    metrics, profiles = Metrics(), Profiles.parse(load().receivers)
    counted(metrics, profiles, range(400))
    before = generate_latest(metrics.registry).decode()
    counted(metrics, profiles, range(400, 8_400))
    after = generate_latest(metrics.registry).decode()
    assert len(after.splitlines()) == len(before.splitlines())
    assert "shop" not in after
    assert len(after) < len(before) + 1_000  # the same numbers, with more digits


@pytest.mark.row("S20")
async def test_domains_without_a_profile_share_one_label_from_the_inbox_to_the_wire(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        for number in range(40):
            here.zone.add(f"shop{number}.example", "A", "127.77.200.1")
        assert await here.post([{"to": f"ann@shop{number}.example"} for number in range(40)]) == {State.DELIVERED: 40}
    text = generate_latest(here.metrics.registry).decode()
    assert 'penstock_deliveries_total{outcome="delivered",receiver="other",source="local"} 40.0' in text
    assert "shop0" not in text
