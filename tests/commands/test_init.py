"""`penstock init` writes what loads as it stands, and overwrites nothing."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from sender.errors import ConfigErrors
from sender.settings import load
from workers.cli import main
from workers.commands.init import write


def test_what_it_writes_loads_and_equals_the_defaults(tmp_path: Path) -> None:
    home = tmp_path / "etc" / "penstock"
    result = CliRunner().invoke(main, ["init", str(home)])
    assert result.exit_code == 0, result.output
    assert f"wrote {home / 'penstock.toml'}" in result.output
    own, shipped = load(home), load()
    assert (own.redis, own.retry, own.sources, own.receivers) == (
        shipped.redis,
        shipped.retry,
        shipped.sources,
        shipped.receivers,
    )
    assert (home / "keys").stat().st_mode & 0o777 == 0o700
    assert (home / "README.md").is_file()
    assert (home / "warmup").is_dir()
    assert own.plans == shipped.plans


def test_it_is_commented(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ("penstock.toml", "sources.toml"):
        settings = [line for line in (tmp_path / name).read_text(encoding="utf-8").splitlines() if " = " in line]
        commented = [line for line in settings if "#" in line]
        assert len(commented) >= 0.9 * len(settings), name


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "sources.toml").write_text("mine", encoding="utf-8")
    (tmp_path / "penstock.toml").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigErrors) as caught:
        write(tmp_path)
    assert len(caught.value.errors) == 2
    result = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert result.exit_code == 1
    assert f"{tmp_path / 'sources.toml'}: it exists: not overwritten" in result.output
    assert (tmp_path / "sources.toml").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "README.md").exists()


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = CliRunner().invoke(main, ["init", str(tmp_path / "file" / "below")])
    assert result.exit_code == 1
    assert f"Error: {tmp_path / 'file'}" in result.output
