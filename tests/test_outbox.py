"""The notebook's way: the README's own lines, run against the emulated internet."""

import re
from pathlib import Path

import pytest
import trio

from sender.content.key import generate
from sender.content.rotation import Algorithm
from sender.errors import ConfigErrors
from sender.model import State
from sender.outbox import open_outbox
from sender.settings import Settings, load
from workers.emulator.internet import Internet, emulate
from workers.emulator.world import WorldOptions, build

ROOT = Path(__file__).parents[1]
PATIENT_S = 120  # a test that takes longer has hung


def configure(directory: Path, internet: Internet) -> None:
    """A configuration that leads into the emulated internet."""
    generate(Algorithm.RSA, directory / "rsa.pem")
    address, port = internet.dns_address
    (directory / "penstock.toml").write_text(
        f"""
        [net]
        nameservers = ["{address}"]
        dns_port = {port}
        smtp_port = {internet.smtp_port}
        allow_targets = ["127.77.0.0/16"]
        ip = "ipv4"
        [[identity]]
        domain = "shop.example"
        keys = [{{ selector = "s1", file = "rsa.pem" }}]
        """
    )
    (directory / "sources.toml").write_text('[[source]]\nname = "local"\nehlo = "mta.shop.example"\n')


def readme_lines() -> str:
    """The README's Python block that opens an outbox."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "open_outbox" in block]
    return str(block)


async def test_the_lines_of_the_readme_send_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with emulate(build(WorldOptions(troubles=0, greylist_s=0, requires_dkim=True))) as internet:
        configure(tmp_path, internet)
        source = readme_lines().replace('Path("conf")', f"Path({str(tmp_path)!r})").replace("trio.run(main)", "")
        scope: dict[str, object] = {}
        exec(compile(source, "README.md", "exec"), scope)
        main = scope["main"]
        assert callable(main)
        with trio.fail_after(PATIENT_S):
            await main()
        assert [taken.recipients for taken in internet.accepted] == [("ann@gmail.com",)]
    assert "delivered" in capsys.readouterr().out


async def test_every_recipient_is_accounted_for(tmp_path: Path) -> None:
    spec = {"from": "Shop <news@shop.example>", "subject": "Hello {{ name }}", "text": "Hello in {{ city }}\n"}
    people = [{"to": f"reader{number}@gmail.com", "name": "Ann", "city": "Lyon"} for number in range(40)]
    dirty = [
        {"to": "not an address", "city": "x"},
        {"to": "no.city@gmail.com"},
        {"to": "unknown@gmail.com", "name": "Bo", "city": "Oslo"},
    ]
    async with emulate(build(WorldOptions(troubles=0, greylist_s=0))) as internet:
        configure(tmp_path, internet)
        with trio.fail_after(PATIENT_S):
            async with open_outbox(load(tmp_path)) as outbox:
                await outbox.send("hello", spec, [*people, *dirty])
                status = await outbox.finished("hello")
        assert sorted(taken.recipients[0] for taken in internet.accepted) == sorted(row["to"] for row in people)
    totals = {state: sum(count for (_, found), count in status.final.items() if found is state) for state in State}
    assert (totals[State.DELIVERED], totals[State.INVALID], totals[State.REJECTED]) == (40, 2, 1)
    assert status.accepted == status.finished == 43


async def test_a_bad_specification_is_refused_before_anything_is_queued(tmp_path: Path) -> None:
    async with emulate(build(WorldOptions(troubles=0, greylist_s=0))) as internet:
        configure(tmp_path, internet)
        async with open_outbox(load(tmp_path)) as outbox:
            with pytest.raises(ConfigErrors) as caught:
                await outbox.send("bad", {"from": "news@other.example", "subject": "x", "text": "y"}, [])
            assert await outbox.status("bad") is None
    assert "no identity 'other.example' is configured" in str(caught.value)


_FAR = '[[source]]\nname = "far"\nehlo = "mta.shop.example"\nhost = "elsewhere"\npool = "far"\n'
_NEAR = '[[source]]\nname = "near"\nehlo = "mta.shop.example"\nhost = "here"\n'


def near_and_far(directory: Path, sources: str) -> Settings:
    (directory / "penstock.toml").write_text('[fleet]\nhost = "here"\n[[identity]]\ndomain = "shop.example"\nsigned = false\n')
    (directory / "sources.toml").write_text(sources)
    return load(directory)


async def test_without_a_source_of_this_host_it_does_not_open(tmp_path: Path) -> None:
    none = r"sources.toml: host: no source is this host's \(here\)"
    with trio.fail_after(PATIENT_S), pytest.raises(ConfigErrors, match=none):
        async with open_outbox(near_and_far(tmp_path, _FAR)):
            raise AssertionError("nothing could be sent")


async def test_a_pool_without_a_source_of_this_host_is_refused(tmp_path: Path) -> None:
    spec = {"from": "Shop <news@shop.example>", "subject": "x", "text": "y"}
    with trio.fail_after(PATIENT_S):
        async with open_outbox(near_and_far(tmp_path, _NEAR + _FAR)) as outbox:
            with pytest.raises(ConfigErrors, match="no source is in pool 'far'; there are: main"):
                await outbox.send("far", {**spec, "pool": "far"}, [])


async def test_sources_of_this_host_are_used(tmp_path: Path) -> None:
    async with emulate(build(WorldOptions(troubles=0, greylist_s=0))) as internet:
        configure(tmp_path, internet)
        with (tmp_path / "penstock.toml").open("a") as file:
            file.write('[fleet]\nhost = "here"\n')
        (tmp_path / "sources.toml").write_text(_NEAR)
        with trio.fail_after(PATIENT_S):
            async with open_outbox(load(tmp_path)) as outbox:
                await outbox.send(
                    "one", {"from": "Shop <news@shop.example>", "subject": "x", "text": "y"}, [{"to": "ann@gmail.com"}]
                )
                await outbox.finished("one")
        assert len(internet.accepted) == 1


async def test_a_source_that_warms_up_sends_what_its_plan_permits(tmp_path: Path) -> None:
    async with emulate(build(WorldOptions(troubles=0, greylist_s=0))) as internet:
        configure(tmp_path, internet)
        with (tmp_path / "sources.toml").open("a") as file:
            file.write('warmup = "mine"\n')
        (tmp_path / "warmup").mkdir()
        (tmp_path / "warmup" / "mine.toml").write_text("[stages]\nday = [5, 9]\nhour = [5, 9]\nminute = [5, 9]\n")
        campaign = {"from": "Shop <news@shop.example>", "subject": "Hello", "text": "Hello!\n"}
        async with open_outbox(load(tmp_path)) as outbox:
            await outbox.send("hello", campaign, [{"to": f"reader-{number}@gmail.com"} for number in range(8)])
            with trio.fail_after(PATIENT_S):
                while True:
                    status = await outbox.status("hello")
                    if status is not None and status.finished >= 5:
                        break
                    await trio.sleep(0.05)
            assert (status.final, status.queued) == ({("google", State.DELIVERED): 5}, 3)
