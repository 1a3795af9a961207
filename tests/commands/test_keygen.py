"""`penstock keygen`: a key of mode 0600, its DNS record, and never a second one in the same place."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from sender.content.key import PrivateKey
from sender.content.rotation import Algorithm
from workers.cli import main


@pytest.mark.parametrize(
    ("name", "algorithm", "tag"), [("rsa", Algorithm.RSA, "rsa"), ("ed25519", Algorithm.ED25519, "ed25519")]
)
def test_a_key_and_its_record(tmp_path: Path, name: str, algorithm: Algorithm, tag: str) -> None:
    path = tmp_path / "keys" / "k.pem"
    result = CliRunner().invoke(main, ["keygen", "example.com", "s1", "--algorithm", name, "--file", str(path)])
    assert result.exit_code == 0, result.output
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert result.output.startswith(f's1._domainkey.example.com. IN TXT ( "v=DKIM1; k={tag}; p=')
    record = "".join(re.findall(r'"([^"]*)"', result.output))
    assert record == PrivateKey.load(path, algorithm).dns_record()


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    arguments = ["keygen", "example.com", "s1", "--algorithm", "ed25519", "--file", str(path)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    before = path.read_bytes()
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1
    assert str(path) in again.output
    assert path.read_bytes() == before


def test_it_goes_to_keys_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["keygen", "example.com", "s1", "--algorithm", "ed25519"]).exit_code == 0
    assert (tmp_path / "keys" / "example.com.s1.pem").is_file()


@pytest.mark.parametrize(("domain", "selector"), [("Example.com", "s1"), ("example.com", "s 1"), ("../x", "s")])
def test_names_that_dns_can_not_hold_are_refused(tmp_path: Path, domain: str, selector: str) -> None:
    result = CliRunner().invoke(main, ["keygen", domain, selector, "--file", str(tmp_path / "k")])
    assert result.exit_code == 1
    assert "expected a lower-case DNS name" in result.output
    assert not (tmp_path / "k").exists()
