"""What Prometheus is told about which processes there are: a file that is there while the fleet runs, and gone after it."""

import json
from pathlib import Path

import pytest

from sender.errors import ConfigError
from sender.settings import Settings, load
from workers.fleet import scraped
from workers.targets import announced, groups


def settings(directory: Path, metrics: str = "", more: str = "") -> Settings:
    text = f'[metrics]\n{metrics}\n[fleet]\ndelivery = 2\nhost = "mta-7"\n{more}'
    (directory / "penstock.toml").write_text(text)
    return load(directory)


def told(found: Settings) -> list[tuple[str, str, str]]:
    """Target, role and host of each group."""
    return [
        (target, group["labels"]["role"], group["labels"]["host"])
        for group in groups(found, scraped(found))
        for target in group["targets"]
    ]


def test_each_process_has_a_group_with_its_role_and_host(tmp_path: Path) -> None:
    assert told(settings(tmp_path)) == [
        ("127.0.0.1:9464", "expander", "mta-7"),
        ("127.0.0.1:9465", "scheduler", "mta-7"),
        ("127.0.0.1:9466", "delivery", "mta-7"),
        ("127.0.0.1:9467", "delivery", "mta-7"),
        ("127.0.0.1:9469", "supervisor", "mta-7"),
    ]


def test_a_consumer_is_told_of_where_there_is_one_and_moves_nobody(tmp_path: Path) -> None:
    found = told(settings(tmp_path, more='[[consumer]]\nname = "log"\nkind = "file"\n'))
    assert found[-2:] == [("127.0.0.1:9468", "consumer", "mta-7"), ("127.0.0.1:9469", "supervisor", "mta-7")]


@pytest.mark.parametrize(
    ("address", "target"),
    [("0.0.0.0", "mta-7:9464"), ("::", "mta-7:9464"), ("::1", "[::1]:9464"), ("10.1.2.3", "10.1.2.3:9464")],
)
def test_targets_are_as_others_reach_them(tmp_path: Path, address: str, target: str) -> None:
    assert told(settings(tmp_path, f'address = "{address}"\ntoken = "secret"'))[0][0] == target


def test_the_file_is_there_for_all_to_read_and_gone_afterwards(tmp_path: Path) -> None:
    found = settings(tmp_path, 'targets_file = "targets.json"')
    (tmp_path / "targets.json").write_text("what a fleet that was killed has left")
    with announced(found, scraped(found)):
        assert json.loads((tmp_path / "targets.json").read_text()) == groups(found, scraped(found))
        assert (tmp_path / "targets.json").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["penstock.toml"]


def test_it_stays_after_an_error_so_that_the_processes_are_missed(tmp_path: Path) -> None:
    found = settings(tmp_path, 'targets_file = "targets.json"')
    with pytest.raises(KeyError), announced(found, scraped(found)):
        raise KeyError
    assert json.loads((tmp_path / "targets.json").read_text()) == groups(found, scraped(found))


def test_without_a_file_nothing_is_written(tmp_path: Path) -> None:
    found = settings(tmp_path)
    with announced(found, scraped(found)):
        assert [path.name for path in tmp_path.iterdir()] == ["penstock.toml"]


def test_a_file_that_cannot_be_written_is_named_with_its_key(tmp_path: Path) -> None:
    found = settings(tmp_path, f'targets_file = "{tmp_path}/none/targets.json"')
    why = r"metrics\.targets_file: .*/none/targets\.json can't be written: No such file"
    with pytest.raises(ConfigError, match=why), announced(found, scraped(found)):
        raise AssertionError("nobody would find it")
