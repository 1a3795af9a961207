"""The link of the distance bench: what it does with packets, and that it is gone afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.link import _HELD_MOST, FAR, Line, LinkError, link
from tests.scenarios.stage import eventually


def test_packets_come_out_in_order_when_their_time_has_come() -> None:
    line = Line(hold_s=25.0)
    line.put(b"a", now=100.0)
    line.put(b"b", now=110.0)
    assert line.wait_s(now=101.0) == 24.0
    assert list(line.due(now=124.9)) == []
    assert list(line.due(now=125.0)) == [b"a"]
    assert line.wait_s(now=125.0) == 10.0
    assert list(line.due(now=500.0)) == [b"b"]
    assert line.wait_s(now=500.0) == float("inf")


def test_a_line_holds_a_bounded_number_of_packets_and_loses_the_rest() -> None:
    line = Line(hold_s=1.0)
    for number in range(_HELD_MOST + 10):
        line.put(b"%d" % number, now=0.0)
    assert len(list(line.due(now=1.0))) == _HELD_MOST


def test_without_root_there_is_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LinkError, match="need root"), link(50.0):
        pass


@pytest.mark.integration
def test_both_ends_reach_each_other_and_nothing_stays_behind() -> None:
    dial = (
        f"import socket; print(socket.socket().connect_ex(('{FAR}', 9)))"  # nobody listens: that there is an answer is enough
    )
    with link(2.0) as line:
        asked = subprocess.run([*line.near, sys.executable, "-c", dial], capture_output=True, text=True, check=True)
        alone = subprocess.run([*line.near, "ip", "-o", "link"], capture_output=True, text=True, check=True)
        assert _namespaces(os.getpid())
    assert asked.stdout.strip() == "111"  # refused
    assert len(alone.stdout.splitlines()) == 2  # the loopback, and our device
    assert not _namespaces(os.getpid())


@pytest.mark.integration
async def test_a_link_whose_owner_is_killed_takes_its_namespaces_along() -> None:
    owner = _killed_owner()

    async def gone() -> bool:
        return not _namespaces(owner)

    await eventually("the namespaces are gone", gone)


def _killed_owner() -> int:
    with subprocess.Popen([sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        assert _namespaces(owner.pid)
        owner.kill()
    return owner.pid


_OWNER = """\
import signal
from tests.bench.link import link
with link(2.0):
    print("up", flush=True)
    signal.pause()
"""


def _namespaces(owner: int) -> list[Path]:
    return list(Path("/run/netns").glob(f"bench{owner}-*"))
