"""`penstock run`: what can't work is refused in words before anything is started."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from workers import fleet, process
from workers.cli import main


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was started, in place of starting it."""
    names: list[str] = []

    async def run_fleet(config: Path | None) -> None:
        names.append("fleet")

    monkeypatch.setattr(fleet, "run_fleet", run_fleet)
    monkeypatch.setattr(process, "run_role", lambda role, name, config, port: names.append(f"{name} +{port}"))
    return names


def configure(directory: Path, identities: str) -> None:
    (directory / "penstock.toml").write_text(f'[fleet]\nruntime_dir = "run"\nstate_dir = "state"\n{identities}')
    (directory / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')


def test_all_that_check_calls_an_error_is_told_and_nothing_is_started(tmp_path: Path, started: list[str]) -> None:
    keys = (
        '[[identity]]\ndomain = "shop.example"\nkeys = [{selector = "a", file = "a.pem"}, {selector = "b", file = "b.pem"}]\n'
    )
    configure(tmp_path, keys)
    result = CliRunner().invoke(main, ["run", "--config", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output.count("No such file or directory") == 2
    assert result.output.endswith("2 errors\n")
    assert started == []
    assert not (tmp_path / "run").exists()


def test_a_configuration_without_errors_is_run(tmp_path: Path, started: list[str]) -> None:
    configure(tmp_path, "")  # without identities: a warning
    result = CliRunner().invoke(main, ["run", "--config", str(tmp_path)])
    assert (result.exit_code, result.output, started) == (0, "", ["fleet"])


@pytest.mark.parametrize("role", ["expander", "scheduler"])
def test_there_is_one_expander_and_one_scheduler_on_a_host(tmp_path: Path, started: list[str], role: str) -> None:
    configure(tmp_path, "")
    result = CliRunner().invoke(main, ["run", role, "--index", "1", "--config", str(tmp_path)])
    assert result.exit_code == 2
    assert f"there is one {role} on a host: 1 can't be run" in result.output
    assert started == []


def test_metrics_ports_count_up(tmp_path: Path, started: list[str]) -> None:
    configure(tmp_path, "")
    for role, index in (("expander", 0), ("scheduler", 0), ("delivery", 0), ("delivery", 3)):
        CliRunner().invoke(main, ["run", role, "--index", str(index), "--config", str(tmp_path)], catch_exceptions=False)
    assert started == ["expander-0 +0", "scheduler-0 +1", "delivery-0 +2", "delivery-3 +5"]


def test_a_process_beyond_the_last_port_is_refused_in_words(tmp_path: Path) -> None:
    configure(tmp_path, "[metrics]\nport = 65500\n")
    result = CliRunner().invoke(main, ["run", "delivery", "--index", "200", "--config", str(tmp_path)])
    assert result.exit_code == 1
    assert "metrics.port: 65500: delivery-200 would need port 65702" in result.output


def test_a_signer_has_no_more_in_its_memory_than_it_needs() -> None:
    program = "import sys, workers.commands.run, workers.signer, sender.content.key; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split())
    assert loaded >= {"workers.signer", "cryptography"}
    assert not loaded & {"redis", "dns", "httpcore2", "sender.queue", "sender.engine", "sender.smtp"}
