"""The processes of one host: which there are, how each is started, and in which order they end."""

import re
import sys
from pathlib import Path

from sender.settings import Settings, load
from workers.embedded import STOP_S
from workers.fleet import _SPARE_S, children, consumer_port
from workers.supervisor import Patience

README = Path(__file__).parents[2] / "README.md"


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


def test_who_follows_the_events_is_there_where_consumers_are(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text('[[consumer]]\nname = "log"\nkind = "file"\n')
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    assert "consumer-0" in {child.name for child in children(load(tmp_path), tmp_path, {})}
    assert consumer_port(load(tmp_path)) == 2 + 2, "behind the last delivery process"


def test_delivery_ends_first_and_signers_last(tmp_path: Path) -> None:
    order = {child.name.partition("-")[0]: child.order for child in children(settings(tmp_path), None, {})}
    assert order["delivery"] < order["expander"] == order["scheduler"] < order["signer"]


def test_signers_are_asked_whether_they_answer_and_know_nothing_of_the_store(tmp_path: Path) -> None:
    for child in children(settings(tmp_path), None, {"PENSTOCK_REDIS_URL": "unix:///x"}):
        assert (child.probe is not None) == child.name.startswith("signer")
        assert bool(child.env) != child.name.startswith("signer")


def test_without_a_directory_children_look_where_we_do(tmp_path: Path) -> None:
    assert all("--config" not in child.argv for child in children(settings(tmp_path), None, {}))


def test_the_readme_states_the_bound_of_a_stop(tmp_path: Path) -> None:
    """What a service manager's own timeout is set by."""
    (said,) = re.findall(r"- \*\*Stop\*\*: (.*?)A second SIGTERM", README.read_text(), re.DOTALL)
    later = len({child.order for child in children(settings(tmp_path), None, {})}) - 1
    assert later == 2
    text = " ".join(said.split())
    assert f"`fleet.drain_s` plus {_SPARE_S:.0f} s" in text
    assert f"at most {Patience().let_go_s:.0f} s for each of the two later groups" in text
    assert f"at most {STOP_S:.0f} s for an embedded Valkey" in text
