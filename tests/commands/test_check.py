"""`penstock check`: everything that is wrong, at once, with file, key and reason."""

from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from sender.content.key import generate
from sender.content.rotation import Algorithm
from workers.commands.check import check, command
from workers.commands.init import write

TODAY = date(2026, 6, 1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write(tmp_path)
    return tmp_path


def put(home: Path, name: str, text: str) -> None:
    (home / name).write_text(text, encoding="utf-8")


def identity(home: Path, *, algorithm: str = "rsa-sha256", dates: str = "") -> None:
    put(
        home,
        "penstock.toml",
        f'[[identity]]\ndomain = "a.example"\nkeys = [{{selector = "s", file = "k.pem", algorithm = "{algorithm}"{dates}}}]\n',
    )


def fatal(home: Path) -> list[str]:
    return [str(finding.error).replace(f"{home}/", "") for finding in check(home, TODAY) if finding.fatal]


def warnings(home: Path) -> list[str]:
    return [str(finding.error).replace(f"{home}/", "") for finding in check(home, TODAY) if not finding.fatal]


def test_what_init_writes_is_good_but_for_its_placeholders(home: Path) -> None:
    assert fatal(home) == []
    assert warnings(home) == [
        "penstock.toml: identity: none: campaigns can't be signed; `penstock keygen` makes a key",
        "sources.toml: local: ehlo: 'localhost.localdomain' is no public name: receivers will refuse it",
    ]
    result = CliRunner().invoke(command, ["--config", str(home)])
    assert result.exit_code == 0
    assert result.output.endswith(f"{home}: good\n")


def test_five_different_errors_are_reported_together(home: Path) -> None:
    put(
        home,
        "penstock.toml",
        """
        [redis]
        partitons = 16
        [net]
        smtp_port = 0
        [retry]
        give_up = "4 days"
        [log]
        level = "loud"
        [[identity]]
        domain = "a.example"
        keys = [{selector = "s", file = "missing.pem"}]
        """,
    )
    found = fatal(home)
    assert [line.split(": ")[1] for line in found] == [
        "redis.partitons",
        "net.smtp_port",
        "retry.give_up",
        "log.level",
        "identity a.example",
    ]
    assert all(line.startswith("penstock.toml: ") for line in found)
    result = CliRunner().invoke(command, ["--config", str(home)])
    assert result.exit_code == 1
    assert result.output.count("error: ") == 5
    assert result.output.endswith("5 errors\n")


def test_errors_of_receivers_stand_beside_the_others(home: Path) -> None:
    put(home, "receivers/x.toml", '[match]\nmx = [".example.net."]\n[limits]\nconections = 3\n')
    put(home, "sources.toml", "")
    found = fatal(home)
    assert found[0].startswith("sources.toml: source: no source")
    assert found[1].startswith("receivers/x.toml: limits.conections: unknown key")


def test_a_shadowed_rule_is_found(home: Path) -> None:
    rule = '[[rule]]\nname = "{}"\ncategory = "rate"\ncodes = [450]\nexamples = ["450 x"]\n'
    put(home, "receivers/x.toml", '[match]\nmx = [".example.net"]\n' + rule.format("a") + rule.format("b"))
    assert fatal(home) == ["receivers/x.toml: rule[1].examples: rule 'x/a' decides '450 x', not 'x/b'"]


def test_a_good_key_is_good(home: Path) -> None:
    generate(Algorithm.ED25519, home / "k.pem")
    identity(home, algorithm="ed25519-sha256")
    assert fatal(home) == []


def test_a_key_that_others_may_read_is_refused(home: Path) -> None:
    generate(Algorithm.ED25519, home / "k.pem")
    (home / "k.pem").chmod(0o640)
    identity(home, algorithm="ed25519-sha256")
    assert len(fatal(home)) == 1
    assert "k.pem" in fatal(home)[0]
    assert "0640" in fatal(home)[0]


def test_a_key_of_another_algorithm_is_refused(home: Path) -> None:
    generate(Algorithm.ED25519, home / "k.pem")
    identity(home, algorithm="rsa-sha256")
    assert "configured is rsa-sha256" in fatal(home)[0]


@pytest.mark.parametrize("dates", [", from = 2027-01-01", ", until = 2026-06-01"])
def test_an_identity_that_no_key_signs_for_today_is_an_error(home: Path, dates: str) -> None:
    generate(Algorithm.ED25519, home / "k.pem")
    identity(home, algorithm="ed25519-sha256", dates=dates)
    assert fatal(home) == ["penstock.toml: identity a.example: keys: none of them signs on 2026-06-01"]


@pytest.mark.parametrize(
    ("mode", "text", "why"),
    [
        (0o600, "a " + "0" * 32, None),
        (0o644, "a " + "0" * 32, "others may read it"),
        (0o600, "secret", "line 1: expected a name"),
        (0o600, "é", "not a text of ASCII characters"),
        (0o600, None, "No such file"),
    ],
)
def test_token_keys_are_read(home: Path, mode: int, text: str | None, why: str | None) -> None:
    put(home, "penstock.toml", '[tokens]\nkey_file = "t.key"\n')
    if text is not None:
        put(home, "t.key", text)
        (home / "t.key").chmod(mode)
    found = fatal(home)
    assert found == [] if why is None else why in found[0]
    assert "secret" not in "".join(found)


def test_what_is_seldom_meant_is_a_warning(home: Path) -> None:
    put(
        home,
        "penstock.toml",
        '[metrics]\naddress = "0.0.0.0"\ntoken = "t"\n[redis]\nurl = "redis://queue.example:6379"\n[net]\nca_file = "x"\n',
    )
    put(home, "sources.toml", '[[source]]\nname = "a"\nehlo = "mail"\naddress = "192.0.2.77"\n')
    said = "\n".join(warnings(home))
    for expected in (
        "metrics.address",
        "without TLS",
        "without a password",
        "'mail' is no public name",
        "192.0.2.77 is not an address",
    ):
        assert expected in said
    assert fatal(home) == [f"penstock.toml: net.ca_file: {home}/x: No such file or directory".replace(f"{home}/", "")]


def test_addresses_of_other_hosts_are_theirs_to_check(home: Path) -> None:
    put(home, "sources.toml", '[[source]]\nname = "a"\nehlo = "m.example"\naddress = "192.0.2.77"\nhost = "elsewhere"\n')
    assert not [line for line in warnings(home) if "192.0.2.77" in line]


def test_no_source_of_this_host_is_a_warning(home: Path) -> None:
    source = '[[source]]\nname = "{0}"\nehlo = "m.example"\nhost = "{1}"\n'
    put(home, "penstock.toml", '[fleet]\nhost = "here"\n')
    put(home, "sources.toml", source.format("a", "mx2") + source.format("b", "mx1"))
    expected = "sources.toml: host: no source is this host's (here), but mx1, mx2's: nothing is sent from here"
    assert expected in warnings(home)
    put(home, "sources.toml", source.format("a", "mx2") + source.format("b", "here"))
    assert not [line for line in warnings(home) if "no source" in line]


def test_a_url_that_can_t_be_read_is_reported_once(home: Path) -> None:
    for url in ("redis://host:abc", "redis://[::1"):
        put(home, "penstock.toml", f'[redis]\nurl = "{url}"\n')
        assert len(fatal(home)) == 1
        assert fatal(home)[0].startswith("penstock.toml: redis.url: its host or port can't be read")


def test_token_keys_of_our_own_making_are_read_too(home: Path) -> None:
    put(home, "penstock.toml", '[fleet]\nstate_dir = "state"\n')
    assert fatal(home) == []  # not there yet: `penstock run` makes them
    (home / "state").mkdir()
    put(home, "state/tokens.key", "é")
    (home / "state" / "tokens.key").chmod(0o600)
    assert "not a text of ASCII characters" in fatal(home)[0]


def test_the_shipped_configuration_is_good() -> None:
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0
    assert "shipped configuration: good" in result.output


def test_the_suppression_key_is_read(home: Path) -> None:
    put(home, "penstock.toml", '[fleet]\nstate_dir = "state"\n')
    assert fatal(home) == []  # not there yet: `penstock run` makes it
    (home / "state").mkdir()
    put(home, "state/suppression.key", "secret")
    (home / "state" / "suppression.key").chmod(0o600)
    (found,) = fatal(home)
    assert "suppression.key_file: " in found
    assert "expected 64 hexadecimal digits and nothing else" in found
    assert "secret" not in found


def test_a_warmup_plan_that_is_wrong_is_reported(home: Path) -> None:
    put(home, "warmup/mine.toml", 'stay = 0\ntime_zone = "Paris"\n[stages]\nday = [1]\n')
    put(home, "warmup/broken.toml", "[stages")
    found = fatal(home)
    assert [line.partition(":")[0] for line in found] == ["warmup/broken.toml", "warmup/mine.toml"]
    assert "stay: expected a whole number >= 1; found 0" in found[1]


def test_recipients_that_no_source_would_write_to_are_warned_of(home: Path) -> None:
    source = '[[source]]\nname="{}"\nehlo="mta.shop.example"\nwarmup="{}"\n'
    put(home, "sources.toml", source.format("a", "cautious") + source.format("b", "steady"))
    expected = "sources.toml: a: warmup: cautious keeps recipients with an engagement below 25 to warm sources"
    assert any(line.startswith(expected) for line in warnings(home))
    put(home, "sources.toml", source.format("a", "cautious") + source.format("b", "none"))
    assert not any("engagement" in line for line in warnings(home))


def test_a_webhooks_secret_is_looked_at_and_never_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = '[[consumer]]\nname = "hooks"\nkind = "webhook"\nurl = "https://hooks.a.example/"\n'
    put(home, "penstock.toml", f'{hooks}secret_file = "hooks.secret"\nca_file = "none.pem"\n')
    assert fatal(home) == [
        "penstock.toml: consumer hooks: secret_file: hooks.secret: can't be read: No such file or directory",
        "penstock.toml: consumer hooks: ca_file: none.pem: No such file or directory",
    ]
    put(home, "hooks.secret", "whsec_c2VjcmV0")
    (home / "hooks.secret").chmod(0o640)
    put(home, "penstock.toml", f'{hooks}secret_file = "hooks.secret"\n')
    assert fatal(home) == ["penstock.toml: consumer hooks: secret_file: hooks.secret: others may read it; chmod 0600"]
    (home / "hooks.secret").chmod(0o600)
    why = "secret 1 is not whsec_ and 24 to 64 octets in base64"
    assert fatal(home) == [f"penstock.toml: consumer hooks: secret_file: hooks.secret: {why}"]
    put(home, "hooks.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    assert fatal(home) == []
    put(home, "penstock.toml", f'{hooks}secret_env = "HOOKS"\n')
    monkeypatch.setenv("HOOKS", "whsec_c2VjcmV0")
    assert fatal(home) == [f"penstock.toml: consumer hooks: secret_env: environment: HOOKS: {why}"]


@pytest.mark.parametrize("text", ["", "no certificate\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_of_authorities_that_has_none_is_an_error(home: Path, text: str) -> None:
    put(home, "ca.pem", text)
    put(home, "penstock.toml", '[net]\nca_file = "ca.pem"\n')
    assert fatal(home) == ["penstock.toml: net.ca_file: ca.pem: no certificates in PEM"]
