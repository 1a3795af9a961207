"""Where a host keeps what is its own: state that must outlive a restart, and sockets that must not.

What the configuration names goes first; without it the XDG directories of the user, as the specification has them.
"""

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from sender.content.token import TokenKeys
from sender.errors import ConfigError
from sender.policy.suppression import KEY_OCTETS, Digests
from sender.settings import Consumer, Settings, WebhookConsumer
from workers.consumers.signature import signing_keys

_RUN = Path("/run/penstock")
REDIS_URL = "PENSTOCK_REDIS_URL"  # the supervisor tells its children where the embedded server is


def state_dir(settings: Settings) -> Path:
    """Queue data, token keys and the suppression key."""
    if settings.fleet.state_dir:
        return settings.path(settings.fleet.state_dir)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base).absolute() / "penstock"


def runtime_dir(settings: Settings) -> Path:
    """The sockets of signers; a directory only we can enter. A service manager makes /run/penstock where it runs us."""
    if settings.fleet.runtime_dir:
        return settings.path(settings.fleet.runtime_dir)
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base).absolute() / "penstock"
    return _RUN if os.access(_RUN, os.W_OK) else state_dir(settings) / "run"


def make_private(directory: Path) -> Path:
    """The directory, made with mode 0700 where there is none; ConfigError where it is another's or can't be made.

    What is missing above it is made alike: it may be a private directory too, of which this is the first that is wanted.
    """
    try:
        for missing in reversed([above for above in directory.parents if not above.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(str(directory), "", f"can't be made: {error.strerror}") from error
    mode = directory.stat().st_mode & 0o777
    if mode & 0o077:
        raise ConfigError(str(directory), "", f"mode {mode:04o}: others may enter; chmod 0700")
    return directory


def embedded_dir(settings: Settings) -> Path:
    """The embedded server's data and its socket."""
    return state_dir(settings) / "valkey"


def journal_dir(settings: Settings) -> Path:
    """The journals of this host's delivery processes."""
    return state_dir(settings) / "journal"


def events_dir(settings: Settings, consumer: Consumer) -> Path:
    """Where a consumer's files are."""
    return settings.path(consumer.directory) if consumer.directory else state_dir(settings) / "events"


def webhook_keys(settings: Settings, consumer: WebhookConsumer) -> tuple[bytes, ...]:
    """What a consumer's deliveries are signed with, the newest first; never told in any error."""
    if consumer.secret_env:
        where, text = f"environment: {consumer.secret_env}", os.environ.get(consumer.secret_env, "")
    else:
        path = settings.path(consumer.secret_file)
        where, text = str(path), _secret(path, named=True)
    return signing_keys(text, where)


def redis_url(settings: Settings) -> str:
    """The queue's URL: configured, or told by a supervisor, or where an embedded server would listen."""
    return settings.redis.url or os.environ.get(REDIS_URL) or f"unix://{embedded_dir(settings) / 'valkey.sock'}"


def embedded_elsewhere(settings: Settings) -> bool:
    """Whether the queue is an embedded server that `penstock run` has to have started, beside us."""
    return not settings.redis.url and REDIS_URL not in os.environ


def signer_sockets(settings: Settings) -> list[Path]:
    """One socket a signer."""
    return [runtime_dir(settings) / f"signer-{number}.sock" for number in range(settings.fleet.signers)]


def host_name(settings: Settings) -> str:
    """The name by which sources say which host owns their address."""
    return settings.fleet.host or socket.gethostname()


def token_keys(settings: Settings) -> TokenKeys:
    """The keys of return paths and links. All hosts of a fleet need the same file: copy it, or name a shared one."""
    path = token_file(settings)
    return TokenKeys.parse(_secret(path, named=bool(settings.tokens.key_file)), file=str(path))


def make_token_keys(settings: Settings) -> None:
    """Make the token file where there is none yet and the configuration names none."""
    if not settings.tokens.key_file:
        _make_secret(token_file(settings), f"a {secrets.token_hex(32)}\n")


def token_file(settings: Settings) -> Path:
    return settings.path(settings.tokens.key_file) if settings.tokens.key_file else state_dir(settings) / "tokens.key"


def suppression_digests(settings: Settings) -> Digests:
    """The key of suppressions. All hosts of a fleet need the same file: copy it, or name a shared one."""
    path = suppression_file(settings)
    return Digests.parse(_secret(path, named=bool(settings.suppression.key_file)), file=str(path))


def make_suppression_key(settings: Settings) -> None:
    """Make the key file where there is none yet and the configuration names none."""
    if not settings.suppression.key_file:
        _make_secret(suppression_file(settings), secrets.token_hex(KEY_OCTETS) + "\n")


def suppression_file(settings: Settings) -> Path:
    named = settings.suppression.key_file
    return settings.path(named) if named else state_dir(settings) / "suppression.key"


def _secret(path: Path, *, named: bool) -> str:
    """What a file of secrets holds; ConfigError where it can't be read, or where others could."""
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(str(path), "", "others may read it; chmod 0600")
        return path.read_text(encoding="ascii")
    except OSError as error:
        remedy = "" if named else "; `penstock run` makes one"
        raise ConfigError(str(path), "", f"can't be read: {error.strerror}{remedy}") from error
    except UnicodeDecodeError:
        raise ConfigError(str(path), "", "not a text of ASCII characters") from None  # the cause quotes the secret


def _make_secret(path: Path, text: str) -> None:
    """Write a secret for us alone, where there is none yet: whoever reads the file meanwhile finds none, or all of it."""
    if path.exists():
        return
    make_private(path.parent)
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text)
        with suppress(FileExistsError):  # another process was faster: its secret is everybody's
            path.hardlink_to(new)
    finally:
        new.unlink(missing_ok=True)
