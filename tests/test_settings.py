"""Settings: the shipped files load and are complete, an operator's files lie over them, and every error is told at once."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import pytest
from msgspec import Struct
from msgspec.structs import fields

from sender.assembly import identities
from sender.errors import ConfigErrors
from sender.model import Step
from sender.policy.plans import BandTable, GateTable, PlanFile
from sender.policy.receivers import ProfileFile
from sender.settings import load, read, shipped
from sender.settings.checks import ehlo_name, host_name, redis_flaw
from sender.settings.sections import FileConsumer, PenstockFile, SourcesFile


def keys_of(kind: type[Struct], prefix: str = "") -> Iterator[str]:
    """Every key a file may have, in dotted form; keys of `[[tables]]` without their place."""
    for field in fields(kind):
        name = f"{prefix}{field.encode_name}"
        tables = [kind for kind in kinds(field.type) if isinstance(kind, type) and issubclass(kind, Struct)]
        if tables and tables[0] not in (GateTable, BandTable):  # written in one line
            for table in tables:
                yield from keys_of(table, f"{name}.")
        else:
            yield name


def kinds(wanted: Any) -> tuple[Any, ...]:
    """What a field may be, or each of its items."""
    if get_origin(wanted) in (tuple, UnionType):
        return kinds(get_args(wanted)[0]) if get_origin(wanted) is tuple else get_args(wanted)
    return (wanted,)


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return directory


def problems(directory: Path) -> list[str]:
    return [str(error).removeprefix(f"{directory}/") for error in read(directory).errors]


def test_the_shipped_files_load() -> None:
    settings = load()
    assert [source.name for source in settings.sources] == ["local"]
    assert {"_default", "google", "microsoft", "yahoo", "apple", "orange", "laposte", "sfr", "free"} <= set(settings.receivers)


@pytest.mark.parametrize("kind", [PenstockFile, SourcesFile, ProfileFile, PlanFile])
def test_every_key_is_documented(kind: type[Struct]) -> None:
    text = (shipped() / "README.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    assert set(keys_of(kind)) <= documented
    roots = {field.encode_name for field in fields(kind)}
    stale = {key for key in documented if key.split(".")[0] in roots} - set(keys_of(kind)) - {"rule", "identity.keys"}
    assert not stale


@pytest.mark.parametrize(("name", "kind"), [("penstock.toml", PenstockFile), ("sources.toml", SourcesFile)])
def test_every_key_stands_in_the_shipped_file_with_a_comment(name: str, kind: type[Struct]) -> None:
    text = (shipped() / name).read_text(encoding="utf-8")
    for key in keys_of(kind):
        assert re.search(rf"^(?:# )?{key.rpartition('.')[2]} = ", text, re.MULTILINE), key


def test_the_shipped_file_states_the_defaults() -> None:
    settings = load()
    shown = tomllib.loads((shipped() / "penstock.toml").read_text(encoding="utf-8"))
    for field in fields(PenstockFile):
        if field.name not in ("identity", "consumer"):
            section = getattr(settings, field.name)
            assert section == field.type(), field.name
            assert set(shown[field.name]) == {inner.encode_name for inner in fields(field.type)}


def test_an_operators_file_replaces_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        "penstock.toml",
        '[fleet]\ndelivery = 7\n[[identity]]\ndomain = "a.example"\nkeys = [{selector="s", file="k"}]',
    )
    write(tmp_path, "receivers/google.toml", '[match]\nmx = [".google.com"]\n')
    write(tmp_path, "receivers/mine.toml", '[match]\nmx = [".mine.example"]\n')
    settings = load(tmp_path)
    assert settings.fleet.delivery == 7
    assert settings.identities[0].keys[0].algorithm == "rsa-sha256"
    assert [source.name for source in settings.sources] == ["local"]
    assert settings.receivers["google"] == (str(tmp_path / "receivers/google.toml"), {"match": {"mx": [".google.com"]}})
    assert settings.receivers["orange"][0] == str(shipped() / "receivers/orange.toml")
    assert "mine" in settings.receivers
    assert settings.path("keys/k.pem") == tmp_path / "keys/k.pem"
    assert repr(settings) == f"<Settings {tmp_path}: 1 sources, {len(settings.receivers)} receivers>"


def test_deadlines_cover_every_step() -> None:
    found = load().deadlines
    assert set(found) == set(Step)
    assert found[Step.DOT] == 600
    assert found[Step.CONNECT] == 30


def test_all_errors_of_all_files_are_reported_at_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        "penstock.toml",
        """
        [redis]
        urll = ""
        partitions = 0
        [net]
        smtp_port = 99999
        allow_targets = ["10.0.0.1/8"]
        [retry]
        curve = []
        [timeout]
        [[identity]]
        domain = "Shop_.example"
        """,
    )
    write(tmp_path, "sources.toml", '[[source]]\nname = "a"\nehlo = "bad name"\naddress = "10.0.0"\npool = "A/B"\n')
    write(tmp_path, "receivers/bad.toml", "x = \n")
    found = problems(tmp_path)
    assert found[0] == "penstock.toml: redis.urll: unknown key; did you mean 'url'?"
    assert found[1:3] == [
        "penstock.toml: redis.partitions: expected a whole number >= 1; found 0",
        "penstock.toml: net.smtp_port: expected a whole number <= 65535; found 99999",
    ]
    assert [line.split(": ")[1] for line in found[3:]] == [
        "retry.curve",
        "timeout",
        "net.allow_targets[0]",  # the same table holds another mistake: both are told
        "identity[0].domain",
        "identity[0].keys",
        "source[0].pool",
        "source[0].address",
        "source[0].ehlo",
        "not TOML",
    ]
    assert "line 1, column 5" in found[-1]
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path)
    assert len(caught.value.errors) == len(found)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("penstock.toml", '[events]\nkeep = "59s"', "events.keep: under 1m"),
        ("penstock.toml", '[redis]\nurl = "http://x"', "redis.url: starts with none of redis://"),
        ("penstock.toml", '[redis]\nurl = "redis://host:abc"', "redis.url: its host or port can't be read"),
        ("penstock.toml", '[redis]\nurl = "redis://host:70000"', "redis.url: its host or port can't be read"),
        ("penstock.toml", '[redis]\nurl = "redis://[::1"', "redis.url: its host or port can't be read"),
        ("penstock.toml", '[redis]\nurl = "redis://host/zero"', "redis.url: '/zero' is no database"),
        ("penstock.toml", '[redis]\nurl = "unix://state/valkey.sock"', "redis.url: names no absolute path"),
        (
            "penstock.toml",
            '[metrics]\ntargets_file = "targets"',
            "metrics.targets_file: 'targets': Prometheus reads it",
        ),
        (
            "penstock.toml",
            "[metrics]\nport = 65535",
            "metrics.port: 65535: the supervisor of 2 delivery processes would need port 65540",
        ),
        ("penstock.toml", '[net]\nnameservers = ["dns.example"]', "net.nameservers[0]: 'dns.example' is not an IP address"),
        ("penstock.toml", '[net]\nallow_targets = ["10.0.0.1/8"]', "net.allow_targets[0]: 10.0.0.1/8 has host bits set"),
        ("penstock.toml", '[metrics]\naddress = "x"', "metrics.address: 'x' is not an IP address"),
        ("penstock.toml", '[retry]\ncurve = ["5m", "10ms"]', "retry.curve[1]: a wait under 1s"),
        ("penstock.toml", "identity = 5", "identity: expected tables"),
        ("penstock.toml", '[[identity]]\ndomain = "a.example"', "identity[0].keys: no key"),
        ("penstock.toml", "redis = 5", "redis: expected a table, found 5"),
        ("penstock.toml", b"\xff", "not UTF-8: byte 0"),
        ("penstok.toml", "", "penstok.toml: not a file we read; allowed: penstock.toml"),
        ("sources.toml", "", "source: no source"),
        ("sources.toml", "[[sources]]", "sources: unknown key; did you mean 'source'?"),
        ("sources.toml", '[[source]]\nname="a"\nehlo="a.b"\n' * 2, "source[1].name: 'a' is there already"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str | bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    assert [line for line in problems(tmp_path) if expected in line], problems(tmp_path)


def test_an_identity_and_its_keys_are_checked(tmp_path: Path) -> None:
    key = '{selector = "S 1", file = "k", from = 2026-02-01, until = 2026-01-01}'
    identity = f'[[identity]]\ndomain = "a.example"\nmessage_id_domain = "-"\nalso = ["b.example"]\nkeys = [{key}, {key}]\n'
    write(tmp_path, "penstock.toml", identity * 2)
    keys = [error.key for error in read(tmp_path).errors]
    for expected in (
        "identity[0].message_id_domain",
        "identity[0].keys[0].selector",
        "identity[0].keys[0].until",
        "identity[0].keys[1].selector",
        "identity[0].also[0]",
        "identity[1].domain",
    ):
        assert expected in keys


def test_two_sources_do_not_share_an_address(tmp_path: Path) -> None:
    source = '[[source]]\nname = "{}"\nehlo = "a.example"\naddress = "192.0.2.1"\nhost = "{}"\n'
    write(tmp_path, "sources.toml", source.format("a", "h") + source.format("b", "h") + source.format("c", "other"))
    assert problems(tmp_path) == ["sources.toml: source[1].address: 192.0.2.1 belongs to another source already"]


def test_a_directory_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="no such directory"):
        load(tmp_path / "none")


def test_a_bad_section_leaves_the_others(tmp_path: Path) -> None:
    write(tmp_path, "penstock.toml", '[redis]\npartitions = "x"\n[log]\nlevel = "debug"\n')
    reading = read(tmp_path)
    assert reading.settings.log.level == "debug"
    assert reading.settings.redis.partitions == 16
    assert len(reading.errors) == 1


@pytest.mark.parametrize("name", ["mail.example.com", "a", "[192.0.2.1]", "[IPv6:2001:db8::1]", "xn--bcher-kva.example"])
def test_names_ehlo_may_say(name: str) -> None:
    assert ehlo_name(name)


@pytest.mark.parametrize(
    "name", ["", "a b", "a_b.example", "-a.example", "a.example.", "[x]", "a..b", "bücher.example", "a\r\nb", "x" * 64]
)
def test_names_ehlo_may_not_say(name: str) -> None:
    assert not ehlo_name(name)
    assert not host_name(name)


def test_what_is_read_stays_raw() -> None:
    table: Any = load().receivers["orange"][1]
    assert table["limits"]["connections"] == 2


@pytest.mark.parametrize(
    "url", ["redis://", "rediss://:secret@db.example:6380/3", "redis://[::1]:6379", "unix:///run/r.sock?db=2"]
)
def test_urls_of_stores_that_are_good(url: str) -> None:
    assert redis_flaw(url) == ""


def test_a_url_s_password_is_not_told() -> None:
    assert "secret" not in redis_flaw("redis://:secret@[db:secret")


@pytest.mark.parametrize("selector", ["a..b", ".a", "a.", "a-", "a.-b", "x" * 64, ".".join(["x" * 60] * 4) + ".xxx"])
def test_a_selector_that_no_key_could_bear_is_refused(tmp_path: Path, selector: str) -> None:
    key = f'{{selector = "{selector}", file = "k"}}'
    write(tmp_path, "penstock.toml", f'[[identity]]\ndomain = "a.example"\nkeys = [{key}]\n')
    assert [error.key for error in read(tmp_path).errors] == ["identity[0].keys[0].selector"]


@pytest.mark.parametrize("selector", ["s1", "a.b", "_x.s-1", "1"])
def test_what_is_taken_for_a_selector_makes_a_key(tmp_path: Path, selector: str) -> None:
    key = f'{{selector = "{selector}", file = "k"}}'
    write(tmp_path, "penstock.toml", f'[[identity]]\ndomain = "a.example"\nkeys = [{key}]\n')
    assert [key.selector for key in identities(load(tmp_path))[0].keys] == [selector]


def test_the_last_port_may_be_the_highest(tmp_path: Path) -> None:
    write(tmp_path, "penstock.toml", "[metrics]\nport = 65530\n[fleet]\ndelivery = 2\n")
    assert problems(tmp_path) == []


def test_paths_are_absolute_whatever_the_directory_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "conf", "penstock.toml", "")
    monkeypatch.chdir(tmp_path)
    settings = load(Path("conf"))
    assert settings.path("keys/k.pem") == tmp_path / "conf" / "keys" / "k.pem"


def test_plans_of_sources_are_by_receiver(tmp_path: Path) -> None:
    write(
        tmp_path,
        "sources.toml",
        """
        [[source]]
        name = "a"
        ehlo = "a.example"
        [[source]]
        name = "b"
        ehlo = "b.example"
        warmup = "steady"
        [[source]]
        name = "c"
        ehlo = "c.example"
        warmup = { google = "cautious", other = "steady" }
        """,
    )
    write(tmp_path, "warmup/mine.toml", "[stages]\nday = [1, 2]\n")
    settings = load(tmp_path)
    assert settings.warmup == {
        "a": {"default": "none"},
        "b": {"default": "steady"},
        "c": {"default": "none", "google": "cautious", "other": "steady"},
    }
    assert set(settings.plans) == {"steady", "cautious", "sendgrid", "sparkpost", "mailtrap", "mine"}
    assert settings.plans["mine"] == (str(tmp_path / "warmup/mine.toml"), {"stages": {"day": [1, 2]}})


def test_plans_and_receivers_that_are_not_there_are_named(tmp_path: Path) -> None:
    write(
        tmp_path,
        "sources.toml",
        """
        [[source]]
        name = "a"
        ehlo = "a.example"
        warmup = "stedy"
        [[source]]
        name = "b"
        ehlo = "b.example"
        warmup = { default = "nine", gogle = "steady", _default = "steady" }
        [[source]]
        name = "c"
        ehlo = "c.example"
        warmup = 7
        """,
    )
    write(tmp_path, "penstock.toml", '[[identity]]\ndomain = "a.example"\nsigned = false\nwarmup = "casual"')
    write(tmp_path, "receivers/mine.toml", 'warmup = "sparkpots"\n[match]\nmx = [".mine.example"]\n')
    write(tmp_path, "warmup/own.toml", "[stages]\nday = [1, 2]\n[receiver.orang]\nstay = 2\n")
    found = problems(tmp_path)
    assert found[0] == "sources.toml: source[2].warmup: expected a text or a table; found 7"
    assert found[1] == "warmup/own.toml: receiver.orang: no receiver 'orang'; did you mean 'orange'?"
    assert found[2] == "sources.toml: source[0].warmup: no plan 'stedy'; did you mean 'steady'?"
    assert found[3].startswith("sources.toml: source[1].warmup.default: no plan 'nine'; did you mean 'none'?")
    assert found[4] == "sources.toml: source[1].warmup.gogle: no receiver 'gogle'; did you mean 'google'?"
    assert found[5].startswith("sources.toml: source[1].warmup._default: no receiver '_default'")
    assert found[6].startswith("penstock.toml: identity[0].warmup: no plan 'casual'; allowed: cautious, mailtrap, none,")
    assert found[7:] == ["receivers/mine.toml: warmup: no plan 'sparkpots'; did you mean 'sparkpost'?"]


def test_consumers_are_read_by_their_kind_and_every_error_is_told(tmp_path: Path) -> None:
    good = '[[consumer]]\nname = "log"\nkind = "file"\nrotate_every = 0\n'
    write(tmp_path, "sources.toml", '[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    write(tmp_path, "penstock.toml", good)
    (consumer,) = load(tmp_path).consumers
    assert isinstance(consumer, FileConsumer)
    assert (consumer.name, float(consumer.rotate_every)) == ("log", 0.0)
    bad = '[[consumer]]\nname = "B_"\nkind = "file"\n[[consumer]]\nname = "x"\nkind = "fiel"\n[[consumer]]\nname = "y"\n'
    write(tmp_path, "penstock.toml", good + good + bad + '[[consumer]]\nname = "z"\nkind = "file"\nkeep_file = 3\n')
    assert problems(tmp_path) == [
        "penstock.toml: consumer[2].name: expected lower-case letters, digits and '-', at most 32; found 'B_'",
        "penstock.toml: consumer[3].kind: expected one of file, webhook; found 'fiel'",
        "penstock.toml: consumer[4].kind: missing",
        "penstock.toml: consumer[5].keep_file: unknown key; did you mean 'keep_files'?",
        "penstock.toml: consumer[1].name: 'log' is there already",
    ]
    write(tmp_path, "penstock.toml", f'[[consumer]]\nname = "a"\nkind = ["file"]\n{good}{good}')
    assert problems(tmp_path) == [
        "penstock.toml: consumer[0].kind: expected one of file, webhook; found ['file']",
        "penstock.toml: consumer[2].name: 'log' is there already",
    ]
    write(tmp_path, "penstock.toml", "".join(good.replace("log", f"log{number}") for number in range(21)))
    assert problems(tmp_path) == ["penstock.toml: consumer: 21 of them; allowed are 20"]
    write(tmp_path, "penstock.toml", f"[metrics]\nport = 65531\n{good}")
    (problem,) = problems(tmp_path)
    assert problem.startswith(
        "penstock.toml: metrics.port: 65531: the supervisor of 2 delivery processes would need port 65536"
    )
    write(tmp_path, "penstock.toml", "consumer = 3\n")
    assert problems(tmp_path) == ["penstock.toml: consumer: expected tables: write [[consumer]]"]


def test_no_consumer_is_called_as_another_calls_its_files(tmp_path: Path) -> None:
    write(tmp_path, "sources.toml", '[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')

    def told(*names: str) -> list[str]:
        tables = (f'[[consumer]]\nname = "{name}"\nkind = "file"\n' for name in names)
        write(tmp_path, "penstock.toml", "".join(tables))
        return [problem.removeprefix("penstock.toml: consumer") for problem in problems(tmp_path)]

    assert told("hooks", "log-dead", "log-1", "000001") == []
    assert told("hooks", "hooks-dead", "hooks-000001", "hooks-dead-1000000") == [
        f"[{place}].name: '{name}': files of that name are those of 'hooks'"
        for place, name in enumerate(("hooks-dead", "hooks-000001", "hooks-dead-1000000"), 1)
    ]


def test_a_webhook_says_who_it_is_and_is_not_in_clear(tmp_path: Path) -> None:
    write(tmp_path, "sources.toml", '[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')

    def told(text: str) -> list[str]:
        write(tmp_path, "penstock.toml", f'[[consumer]]\nname = "hooks"\nkind = "webhook"\n{text}')
        return [problem.removeprefix("penstock.toml: consumer[0].") for problem in problems(tmp_path)]

    secret = 'secret_file = "hooks.secret"\n'
    assert told(f'url = "https://hooks.shop.example/p?a=b"\n{secret}') == []
    assert told(f'url = "http://127.0.0.1:8000/"\nallow_private = true\n{secret}') == []
    assert told(secret) == ["url: missing"]
    for url in (
        "hooks.shop.example",
        "ftp://hooks.shop.example/",
        "https:///x",
        "https://a b/",
        "https://hooks.shop.example/#x",
    ):
        assert told(f'url = "{url}"\n{secret}') == ["url: not a URL like https://hooks.example.com/penstock"], url
    assert told(f'url = "https://[::1/"\n{secret}') == ["url: not a URL: Invalid IPv6 URL"]
    assert told(f'url = "https://me:s3cret@hooks.shop.example/"\n{secret}') == [
        "url: holds a user or a password; the signature says who we are"
    ]
    assert told(f'url = "http://hooks.shop.example/"\n{secret}') == [
        "url: http is in clear: allowed with allow_private alone; write https://"
    ]
    assert told('url = "https://hooks.shop.example/"\n') == [
        "secret_file: name either secret_file or secret_env: deliveries are signed"
    ]
    assert told(f'url = "https://hooks.shop.example/"\ntimeout = 0\nretry_most = 0\n{secret}') == [
        "timeout: 0s: allowed is 0.1s and more",
        "retry_most: 0s: allowed is 1s and more",
    ]
    assert told(f'url = "https://hooks.shop.example/"\ntimeout = "1h"\n{secret}') == ["timeout: 3600s: allowed are 120s"]
