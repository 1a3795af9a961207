"""deploy/ agrees with the project: pins with hashes, units that call commands that exist, ports that are served."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sender.settings import load
from sender.settings.sections import PenstockFile
from workers.cli import COMMANDS
from workers.fleet import DELIVERY_PORT, EXPANDER_PORT, SCHEDULER_PORT, consumer_port, supervisor_port

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
LISTS = ["constraints-build.txt", "constraints.txt", "constraints-dev.txt"]


def pins(name: str) -> dict[str, tuple[str, list[str]]]:
    """Package: its version and hashes."""
    text = (DEPLOY / name).read_text().replace("\\\n", " ")
    found: dict[str, tuple[str, list[str]]] = {}
    for line in text.splitlines():
        if line and not line.lstrip().startswith("#"):
            requirement, *options = line.split()
            package, version = requirement.split("==")
            found[canonicalize_name(package)] = (version, options)
    return found


def wanted(section: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = {
        "build": project["build-system"]["requires"],
        "run": project["project"]["dependencies"],
        "dev": project["project"]["optional-dependencies"]["dev"],
    }
    return [Requirement(line) for line in lists[section]]


@pytest.mark.parametrize("name", LISTS)
def test_every_pin_has_hashes(name: str) -> None:
    for package, (_, options) in pins(name).items():
        assert options, package
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option) for option in options), package


@pytest.mark.parametrize("name", LISTS)
def test_no_index_and_no_machine_is_named(name: str) -> None:
    text = (DEPLOY / name).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert not re.search(r"(^|[ =])/", text, re.MULTILINE)


@pytest.mark.parametrize(("name", "sections"), [(LISTS[0], ["build"]), (LISTS[1], ["run"]), (LISTS[2], ["run", "dev"])])
def test_the_pins_are_what_the_project_asks_for(name: str, sections: list[str]) -> None:
    """Whoever changes pyproject.toml and forgets `make constraints` hears of it here."""
    pinned = pins(name)
    for requirement in [one for section in sections for one in wanted(section)]:
        version, _ = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_the_lists_agree() -> None:
    """Installing one after the other must not change a version again."""
    for first in LISTS:
        for second in LISTS:
            both = pins(first).keys() & pins(second).keys()
            assert {package: pins(first)[package] for package in both} == {package: pins(second)[package] for package in both}
    assert pins(LISTS[1]).keys() <= pins(LISTS[2]).keys()


def test_units_call_commands_that_exist() -> None:
    units = list((DEPLOY / "systemd").glob("*.service"))
    assert len(units) == 2
    for unit in units:
        calls = re.findall(r"^ExecStart=.*/penstock (\w+)", unit.read_text(), re.MULTILINE)
        assert len(calls) == 1
        assert calls[0] in COMMANDS


def test_the_container_has_all_that_the_wheel_is_made_of() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = {
        word
        for line in re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
        for word in line.split()
    }
    assert {*wheel["packages"], *wheel["force-include"]} <= copied


def test_where_prometheus_finds_the_processes_is_a_directory_that_it_may_enter() -> None:
    """Those of the sockets and of the state are Penstock's alone."""
    (unit,) = (DEPLOY / "systemd").glob("penstock.service")
    assert "CacheDirectory=penstock\nCacheDirectoryMode=0755\n" in unit.read_text()
    named = re.findall(r"/[\w/]+/targets\.json", (DEPLOY / "prometheus/README.md").read_text())
    assert set(named) == {"/var/cache/penstock/targets.json"}


def test_prometheus_scrapes_the_ports_that_are_served() -> None:
    scraped = {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", (DEPLOY / "prometheus/prometheus.yml").read_text())}
    defaults = PenstockFile()
    delivery = range(DELIVERY_PORT, DELIVERY_PORT + defaults.fleet.delivery)
    offsets = (EXPANDER_PORT, SCHEDULER_PORT, *delivery, consumer_port(load()), supervisor_port(load()))
    assert scraped == {defaults.metrics.port + offset for offset in offsets}


def test_each_process_of_the_containers_serves_where_their_prometheus_looks() -> None:
    """Prometheus scrapes the loopback: whatever is built from here has to be on the same one."""
    text = (DEPLOY / "compose.yaml").read_text().partition("\nservices:\n")[2].partition("\nvolumes:\n")[0]
    services = dict(re.findall(r"^  (\w+):\n((?:(?:    .*|  #.*)?\n)+)", text, re.MULTILINE))
    ours = {name for name, body in services.items() if "dockerfile: deploy/Dockerfile" in body}
    assert ours == {"penstock", "consumer"}
    for name in (ours - {"penstock"}) | {"prometheus"}:
        assert 'network_mode: "service:penstock"' in services[name], name
