"""Where a host keeps its own: the configuration first, then the XDG directories, and nothing that others may enter."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sender.errors import ConfigError
from sender.settings import Settings, load
from workers import places


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any of the variables that say where things go."""
    for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", places.REDIS_URL):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def settings(directory: Path, text: str = "") -> Settings:
    config = directory / "config"
    config.mkdir(exist_ok=True)
    (config / "penstock.toml").write_text(text)
    (config / "sources.toml").write_text('[[source]]\nname = "s1"\nehlo = "mta.shop.example"\n')
    return load(config)


def test_what_the_configuration_names_goes_first(home: Path) -> None:
    made = settings(home, '[fleet]\nstate_dir = "here"\nruntime_dir = "/run/there"\nhost = "mx1"\nsigners = 3\n')
    assert places.state_dir(made) == home / "config" / "here"
    assert places.runtime_dir(made) == Path("/run/there")
    assert places.embedded_dir(made) == home / "config" / "here" / "valkey"
    assert [path.name for path in places.signer_sockets(made)] == ["signer-0.sock", "signer-1.sock", "signer-2.sock"]
    assert places.host_name(made) == "mx1"


def test_then_the_users_directories(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(home)
    assert places.state_dir(made) == home / ".local" / "state" / "penstock"
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert places.state_dir(made) == Path("/var/state/penstock")
    assert places.runtime_dir(made) == Path("/run/user/7/penstock")
    assert places.host_name(made) == socket.gethostname()


def test_the_queue_is_the_configured_one_or_the_supervisor_s_or_an_embedded_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert places.redis_url(settings(home)) == f"unix://{home}/.local/state/penstock/valkey/valkey.sock"
    monkeypatch.setenv(places.REDIS_URL, "unix:///told.sock")
    assert places.redis_url(settings(home)) == "unix:///told.sock"
    assert places.redis_url(settings(home, '[redis]\nurl = "redis://db:6379"\n')) == "redis://db:6379"


def test_a_private_directory_is_made_and_one_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    made = places.make_private(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    assert places.make_private(made) == made
    made.chmod(0o750)
    with pytest.raises(ConfigError, match="mode 0750: others may enter; chmod 0700"):
        places.make_private(made)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="can't be made"):
        places.make_private(tmp_path / "file" / "below")


def test_the_state_is_private_whichever_directory_in_it_is_made_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a runtime directory of the user's, that of the signers is in it, and comes before the keys."""
    monkeypatch.setattr(places, "_RUN", home / "none")
    made = settings(home)
    assert places.make_private(places.runtime_dir(made)) == places.state_dir(made) / "run"
    places.make_token_keys(made)
    assert places.state_dir(made).stat().st_mode & 0o777 == 0o700


def test_token_keys_are_made_once_for_us_alone(home: Path) -> None:
    made = settings(home)
    with pytest.raises(ConfigError, match=r"No such file or directory; `penstock run` makes one"):
        places.token_keys(made)
    places.make_token_keys(made)
    path = places.token_file(made)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    places.make_token_keys(made)
    assert path.read_text() == before
    tokens = places.token_keys(made).make("spring", 7)
    assert tokens == places.token_keys(made).make("spring", 7)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read it; chmod 0600"):
        places.token_keys(made)


def test_a_token_file_that_is_named_is_never_made(home: Path) -> None:
    """All hosts of a fleet need the same one: a file of our own making would be another."""
    made = settings(home, '[tokens]\nkey_file = "tokens.key"\n')
    places.make_token_keys(made)
    assert places.token_file(made) == home / "config" / "tokens.key"
    assert not places.token_file(made).exists()


def test_a_relative_configuration_leads_to_an_absolute_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings(home, '[fleet]\nstate_dir = "state"\nruntime_dir = "run"\n')
    monkeypatch.chdir(home)
    made = load(Path("config"))
    assert places.redis_url(made) == f"unix://{home}/config/state/valkey/valkey.sock"
    assert places.runtime_dir(made) == home / "config" / "run"


def test_relative_directories_of_the_user_s_are_made_absolute_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(home)
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_STATE_HOME", "mine")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "sockets")
    assert places.state_dir(made) == home / "mine" / "penstock"
    assert places.runtime_dir(made) == home / "sockets" / "penstock"


def test_a_token_file_that_is_not_ascii_is_refused_without_telling_it(home: Path) -> None:
    made = settings(home, '[tokens]\nkey_file = "tokens.key"\n')
    with pytest.raises(ConfigError, match=r"No such file or directory$"):
        places.token_keys(made)  # and `penstock run` makes none of that name
    places.token_file(made).write_text("a geheimnisübersicht")
    places.token_file(made).chmod(0o600)
    with pytest.raises(ConfigError, match="not a text of ASCII characters") as caught:
        places.token_keys(made)
    assert "geheim" not in str(caught.value)


def test_a_suppression_key_is_made_once_for_us_alone(home: Path) -> None:
    made = settings(home)
    with pytest.raises(ConfigError, match=r"suppression\.key: can't be read: .*; `penstock run` makes one"):
        places.suppression_digests(made)
    places.make_suppression_key(made)
    path = places.suppression_file(made)
    assert path.stat().st_mode & 0o777 == 0o600
    mark = places.suppression_digests(made).mark
    places.make_suppression_key(made)
    assert places.suppression_digests(made).mark == mark
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read it; chmod 0600"):
        places.suppression_digests(made)


@pytest.mark.parametrize("make", [places.make_token_keys, places.make_suppression_key])
def test_of_two_that_make_a_secret_at_once_the_first_one_s_is_both_s(
    home: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Settings], None]
) -> None:
    made, exists = settings(home), Path.exists
    found = list[tuple[str, str]]()

    def late(path: Path) -> bool:
        """It is not there, says the look; then another process comes, and makes it."""
        there = exists(path)
        if not found:
            found.append((path.name, ""))
            make(made)
            found[0] = (path.name, path.read_text())
        return there

    monkeypatch.setattr(Path, "exists", late)
    make(made)
    ((name, text),) = found
    assert [path.name for path in places.state_dir(made).iterdir()] == [name]
    assert (places.state_dir(made) / name).read_text() == text != ""


def test_a_secret_that_is_being_written_is_not_there_yet(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a key would be another key, or an error in whoever starts just now."""
    made, fdopen = settings(home), os.fdopen

    def watched(*arguments: Any, **options: Any) -> Any:
        with pytest.raises(ConfigError, match="No such file or directory"):
            places.suppression_digests(made)
        return fdopen(*arguments, **options)

    monkeypatch.setattr("workers.places.os.fdopen", watched)
    places.make_suppression_key(made)
    assert places.suppression_digests(made).mark


def test_a_suppression_key_that_is_named_is_never_made(home: Path) -> None:
    made = settings(home, '[suppression]\nkey_file = "shared.key"\n')
    places.make_suppression_key(made)
    assert places.suppression_file(made) == home / "config" / "shared.key"
    assert not places.suppression_file(made).exists()
    places.suppression_file(made).write_text("geheim")
    places.suppression_file(made).chmod(0o600)
    with pytest.raises(ConfigError, match="expected 64 hexadecimal digits") as caught:
        places.suppression_digests(made)
    assert "geheim" not in str(caught.value)
