"""`penstock suppress`: addresses in, digests kept, and nothing half done."""

import csv
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from sender.queue.base import Queue
from sender.queue.memory import MemoryQueue
from sender.settings import Settings, load
from workers.cli import main
from workers.commands import suppress
from workers.places import make_suppression_key, suppression_file
from workers.suppression_file import Writer

Run = Callable[..., Result]


class Host:
    """One host of a fleet: its configuration, and a store that outlives each command."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.queue = directory, MemoryQueue()
        (directory / "penstock.toml").write_text('[fleet]\nstate_dir = "state"\n')
        (directory / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
        make_suppression_key(self.settings)

    @property
    def settings(self) -> Settings:
        return load(self.directory)

    @asynccontextmanager
    async def connected(self, settings: Settings, patience_s: float) -> AsyncIterator[Queue]:
        await trio.lowlevel.checkpoint()
        yield self.queue

    def run(self, *arguments: str, stdin: str | bytes = "", fails: bool = False) -> str:
        """What a command says, without what it says of its errors unless it fails."""
        result = CliRunner().invoke(main, ["suppress", *arguments, "--config", str(self.directory)], input=stdin)
        assert result.exit_code == int(fails), result.output
        return result.output if fails else result.stdout

    def entries(self) -> int:
        async def count() -> int:
            return len((await self.queue.suppressions("", 1_000_000))[1])

        return trio.run(count)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    monkeypatch.setattr(suppress, "connected", host.connected)
    return host


def test_what_was_added_is_shown_in_any_spelling_and_removed(host: Host) -> None:
    assert host.run("add", "Ann@Example.org", "bob@bücher.example") == "2 addresses: 2 added, 0 there already (all lists)\n"
    assert host.run("add", "ann@example.org", "ANN@example.org") == "1 address: 0 added, 1 there already (all lists)\n"
    shown = host.run("show", "ann@example.org", "bob@xn--bcher-kva.example", "eve@example.org").splitlines()
    assert shown[0].startswith("ann@example.org: suppressed on all lists: manual, since 20")
    assert shown[0].endswith(", from operator")
    assert shown[1].startswith("bob@xn--bcher-kva.example: suppressed")
    assert shown[2] == "eve@example.org: not suppressed"
    assert host.run("remove", "ann@EXAMPLE.org", "eve@example.org") == "2 addresses: 1 removed, 1 not there (all lists)\n"
    assert host.run("show", "ann@example.org") == "ann@example.org: not suppressed\n"


def test_an_entry_of_one_list_holds_there_alone(host: Host) -> None:
    options = ("--list", "offers", "--reason", "unsubscribe", "--source", "form 7", "--expires", "90d")
    assert "1 added, 0 there already (list offers)" in host.run("add", "ann@example.org", *options)
    assert host.run("show", "ann@example.org") == "ann@example.org: not suppressed\n"
    (shown,) = json.loads(host.run("show", "ann@example.org", "--list", "offers", "--json"))
    assert shown["expires"] > shown["at"] > "2026"
    assert {key: shown[key] for key in ("address", "suppressed", "list", "reason", "source")} == {
        "address": "ann@example.org",
        "suppressed": True,
        "list": "offers",
        "reason": "unsubscribe",
        "source": "form 7",
    }
    assert json.loads(host.run("show", "bob@example.org", "--json")) == [{"address": "bob@example.org", "suppressed": False}]
    assert "0 removed" in host.run("remove", "ann@example.org")
    assert "1 removed" in host.run("remove", "ann@example.org", "--list", "offers")


def test_addresses_come_from_standard_input_too(host: Host) -> None:
    assert "3 addresses: 3 added" in host.run("add", "-", "eve@example.org", stdin="ann@example.org\n\n bob@example.org \n")
    assert host.run("show", "-", stdin="eve@example.org\n").startswith("eve@example.org: suppressed")


def test_nothing_is_added_unless_all_can_be_read(host: Host) -> None:
    said = host.run("add", "ann@example.org", "no one", "-", stdin="bob@example.org\ntwo@@signs.example\n", fails=True)
    assert "ADDRESS 2: 'no one': " in said
    assert "standard input, line 2: " in said
    assert host.entries() == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--reason", "Not OK"), "--reason: 'Not OK': 1 to 40 lower-case letters"),
        (("--list", "x" * 201), "--list: 'xxx"),
        (("--source", "a\nb"), "--source: 'a\\nb': at most 200 printable characters"),
        (("--expires", "tomorrow"), "--expires: 'tomorrow': write a day like 2027-01-31"),
        (("--expires", "tomorrow"), "T09:00:00Z, or a duration like 90d"),
        (("--expires", "2001-01-01"), "--expires: '2001-01-01' has passed"),
    ],
)
def test_options_are_checked_before_anything_is_written(host: Host, arguments: tuple[str, ...], why: str) -> None:
    assert why in host.run("add", "ann@example.org", *arguments, fails=True)
    assert host.entries() == 0


def test_many_bad_addresses_are_counted_and_too_many_good_ones_are_for_import(host: Host) -> None:
    said = host.run("add", "-", stdin="nobody\n" * 100, fails=True)
    assert said.count("no @") == 20
    assert "and 80 more like these" in said
    many = "".join(f"r{number}@example.org\n" for number in range(100_001))
    assert "more than 100,000: `penstock suppress import` takes any number" in host.run("add", "-", stdin=many, fails=True)
    assert host.entries() == 0


def test_an_import_adds_all_rows_or_none(host: Host, tmp_path: Path) -> None:
    good = tmp_path / "good.csv"
    good.write_text("email,reason\nann@example.org,complaint\nbob@example.org,unsubscribe\n")
    assert host.run("import", str(good)) == "2 entries: 2 added, 0 there already\n"
    assert host.run("import", str(good)) == "2 entries: 0 added, 2 there already\n"
    assert "complaint, since" in host.run("show", "ann@example.org")
    assert host.run("show", "ann@example.org").rstrip().endswith("from good.csv")
    bad = tmp_path / "bad.csv"
    rows = "".join(f"r{number}@example.org\n" for number in range(3_000))
    bad.write_text(f"address\n{rows}nobody\n")
    assert f"{bad}: line 3002: 'nobody': no @" in host.run("import", str(bad), fails=True)
    assert host.entries() == 2


def test_an_import_from_standard_input_leaves_out_what_has_expired(host: Host) -> None:
    data = "address,expires\nann@example.org,2001-01-01\nbob@example.org,\n"
    assert host.run("import", "-", stdin=data) == "1 entry: 1 added, 0 there already, 1 left out as expired\n"


def test_an_export_holds_no_address_and_is_read_back(host: Host, tmp_path: Path) -> None:
    host.run("add", "ann@example.org", "--list", "Offers, weekly", "--expires", "2030-01-01")
    host.run("add", "bob@example.org", "--reason", "complaint")
    file = tmp_path / "out.csv"
    host.run("export", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert "example" not in text
    assert [row["list"] for row in csv.DictReader(io.StringIO(text))] == ["", "Offers, weekly"]
    assert host.run("export") == text
    _, before = trio.run(host.queue.suppressions, "", 100)
    host.queue = MemoryQueue()
    assert host.run("import", str(file)) == "2 entries: 2 added, 0 there already\n"
    _, after = trio.run(host.queue.suppressions, "", 100)
    assert [replace(one, at=0.0) for one in after] == [replace(one, at=0.0) for one in before]
    assert [one.at for one in after] == pytest.approx([one.at for one in before], abs=1e-5)


def test_an_export_overwrites_nothing_and_leaves_nothing_half_written(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.run("add", "ann@example.org")
    file = tmp_path / "out.csv"
    file.write_text("mine")
    assert f"{file}: it exists: not overwritten" in host.run("export", str(file), fails=True)
    assert file.read_text() == "mine"

    def fails(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "write", fails)
    other = tmp_path / "other.csv"
    result = CliRunner().invoke(main, ["suppress", "export", str(other), "--config", str(host.directory)])
    assert result.exit_code == 1
    assert not other.exists()


def test_an_export_of_another_key_is_refused(host: Host, tmp_path: Path) -> None:
    host.run("add", "ann@example.org")
    file = tmp_path / "out.csv"
    host.run("export", str(file))
    suppression_file(host.settings).write_text("5b" * 32)
    host.queue = MemoryQueue()
    assert "digests made under another key than ours" in host.run("import", str(file), fails=True)


def test_a_host_with_another_key_than_the_store_s_does_nothing(host: Host) -> None:
    host.run("add", "ann@example.org")
    suppression_file(host.settings).write_text("5b" * 32)
    for command in ("add", "remove", "show"):
        said = host.run(command, "ann@example.org", fails=True)
        assert "the store's suppressions were made under key" in said
        assert str(suppression_file(host.settings)) in said
        assert "5b5b" not in said
    assert host.entries() == 1


def test_without_a_key_the_remedy_is_named(host: Host) -> None:
    suppression_file(host.settings).unlink()
    assert "`penstock run` makes one" in host.run("add", "ann@example.org", fails=True)


def test_entries_say_when_they_were_made(host: Host) -> None:
    before = time.time()
    host.run("add", "ann@example.org")
    (entry,) = trio.run(host.queue.suppressions, "", 10)[1]
    assert before <= entry.at <= time.time()
