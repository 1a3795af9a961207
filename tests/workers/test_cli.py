import re
import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

from sender.errors import BackendError, ConfigError, ConfigErrors
from workers.cli import COMMANDS, Commands, main


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `penstock status` raise."""

    def fail_with(error: BaseException) -> None:
        @click.command("status")
        def command() -> None:
            raise error

        monkeypatch.setattr(Commands, "get_command", lambda *_: command)

    return fail_with


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: main {name}")
    assert len(result.output.splitlines()[2].strip()) > 10


def test_help_lists_all_commands() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(re.search(rf"^  {name} +\w", result.output, re.MULTILINE) for name in COMMANDS)


def test_an_unknown_command_is_refused() -> None:
    result = CliRunner().invoke(main, ["statsu"])
    assert result.exit_code == 2
    assert "statsu" in result.output


def test_the_version_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom workers.cli import main\ntry:\n main(['--version'])\nfinally:\n print(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert re.fullmatch(r"penstock, version \d+\.\d+\.\d+\n", ended.stdout)
    assert not {"trio", "redis", "jinja2", "dns", "cryptography", "rich"} & set(ended.stderr.split())


def test_expected_errors_are_words(failing: Callable[[BaseException], None]) -> None:
    failing(ConfigErrors([ConfigError("a.toml", "x", "missing"), ConfigError("b.toml", "y", "unknown key")]))
    result = CliRunner().invoke(main, ["status"])
    assert (result.exit_code, result.output) == (1, "Error: a.toml: x: missing\nb.toml: y: unknown key\n")


def test_expected_errors_out_of_several_tasks_are_words_too(failing: Callable[[BaseException], None]) -> None:
    lost = BackendError("Redis is gone")
    failing(ExceptionGroup("", [lost, ExceptionGroup("", [ConfigError("a.toml", "x", "missing"), lost])]))
    result = CliRunner().invoke(main, ["status"])
    assert (result.exit_code, result.output) == (1, "Error: Redis is gone\na.toml: x: missing\n")


def test_a_store_that_is_away_or_full_has_a_status_of_its_own_for_those_who_try_again(
    failing: Callable[[BaseException], None],
) -> None:
    for error in (BackendError("away"), ExceptionGroup("", [BackendError("away"), BackendError("away")])):
        failing(error)
        result = CliRunner().invoke(main, ["status"])
        assert (result.exit_code, result.output) == (75, "Error: away\n")


def test_a_bug_is_not_hidden(failing: Callable[[BaseException], None]) -> None:
    failing(ExceptionGroup("", [BackendError("Redis is gone"), ZeroDivisionError()]))
    result = CliRunner().invoke(main, ["status"])
    assert isinstance(result.exception, ExceptionGroup)
