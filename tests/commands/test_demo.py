"""What the demo says when it stays up, and what it keeps for itself."""

import io
import signal
import socket
from pathlib import Path

import pytest
import trio
import trio.testing
from rich.console import Console

from tests import ports
from workers.commands import demo


async def test_where_to_look_can_be_copied_from_a_narrow_terminal() -> None:
    output, config = io.StringIO(), Path("/tmp/penstock-a1b2c3d4/config")
    with trio.CancelScope() as scope:
        scope.cancel()
        await demo.stay(Console(file=output, width=40), config, config.parent / "fleet.log", "http://127.0.0.1:19471")
    assert output.getvalue().splitlines() == [
        "Staying up. Look around with: penstock top --config /tmp/penstock-a1b2c3d4/config",
        "Prometheus, with the shipped rules and alerts: http://127.0.0.1:19471",
        "What became of each message, line by line: /tmp/penstock-a1b2c3d4/state/events/demo.jsonl",
        "The fleet's log: /tmp/penstock-a1b2c3d4/fleet.log. Ctrl-C ends it all.",
    ]


async def test_a_signal_that_comes_as_soon_as_anything_is_begun_ends_it(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """It would leave behind what was made until somebody listened: a directory with keys in it."""
    unheard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: unheard.append(number))

    async def play(*arguments: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        await trio.sleep_forever()

    monkeypatch.setattr(demo, "_play", play)
    output = io.StringIO()
    with trio.fail_after(60):
        assert not await demo._until_signal(Console(file=output), 10, False, False, None)
    signal.signal(signal.SIGTERM, before)
    assert (output.getvalue(), unheard) == ("ending ...\n", [])


def test_two_demos_have_no_port_in_common() -> None:
    """One takes its ports seconds before its fleet listens on them."""
    lowest = ports.free_ports(3 * 8)  # a real demo beside us may have the first ones, or be leaving them
    with demo.free_ports(lowest) as first, demo.free_ports(lowest) as second:
        assert (first, second) == (lowest, lowest + 8)
    with demo.free_ports(lowest) as again:
        assert again == first


def test_ports_on_which_somebody_listens_are_passed_over() -> None:
    lowest = ports.free_ports(3 * 8)
    with socket.create_server(("127.0.0.1", lowest + 1)), demo.free_ports(lowest) as found:
        assert found == lowest + 8
