"""The processes of one host: which there are, how each is started, and in which order they end."""

import sys
from pathlib import Path

from sender.settings import Settings, load
from workers.fleet import children


def settings(directory: Path) -> Settings:
    (directory / "penstock.toml").write_text(f'[fleet]\ndelivery = 3\nsigners = 2\nruntime_dir = "{directory}/run"\n')
    (directory / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    return load(directory)


def test_every_role_is_there(tmp_path: Path) -> None:
    specs = {child.name: child for child in children(settings(tmp_path), tmp_path, {"WHERE": "here"})}
    assert sorted(specs) == [
        "delivery-0",
        "delivery-1",
        "delivery-2",
        "expander-0",
        "scheduler-0",
        "signer-0",
        "signer-1",
    ]
    command = [sys.executable, "-m", "workers.cli", "run", "delivery", "--index", "2", "--config", str(tmp_path)]
    assert specs["delivery-2"].argv == command
    assert specs["delivery-2"].env == {"WHERE": "here"}


def test_delivery_ends_first_and_signers_last(tmp_path: Path) -> None:
    order = {child.name.partition("-")[0]: child.order for child in children(settings(tmp_path), None, {})}
    assert order["delivery"] < order["expander"] == order["scheduler"] < order["signer"]


def test_signers_are_asked_whether_they_answer_and_know_nothing_of_the_store(tmp_path: Path) -> None:
    for child in children(settings(tmp_path), None, {"PENSTOCK_REDIS_URL": "unix:///x"}):
        assert (child.probe is not None) == child.name.startswith("signer")
        assert bool(child.env) != child.name.startswith("signer")


def test_without_a_directory_children_look_where_we_do(tmp_path: Path) -> None:
    assert all("--config" not in child.argv for child in children(settings(tmp_path), None, {}))
