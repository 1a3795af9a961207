"""A Postfix of our own: instance, queue, mailboxes and certificates in one directory, one smtpd per kind of receiver.

What it keeps of a message: every octet between the first header field and the end. Mailboxes are files with LF line ends,
as Postfix keeps all its mail; a bare LF could not be told from CRLF there, and none is ever sent. On top of the message
stand the fields of `ADDED`, in this order, and nothing else: three that `virtual` writes, the milter's, and smtpd's Received.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.integration.programs import answers, find, need_root, running, tail

PORT = 2525
ADDED = (b"Return-Path", b"X-Original-To", b"Delivered-To", b"Authentication-Results", b"Received")

_MAIL_UID = 65_534  # nobody: whoever delivers to mailboxes may own nothing else
_FIELD = re.compile(rb"([!-9;-~]+):[ \t]?((?:[^\r]|\r\n[ \t])*)\r\n")

# Services that the system's master.cf has and a receiver needs; none in a chroot, which would want files of the system's.
_MASTER = """\
cleanup    unix  n  -  n  -      0  cleanup
qmgr       unix  n  -  n  300    1  qmgr
tlsmgr     unix  -  -  n  1000?  1  tlsmgr
rewrite    unix  -  -  n  -      -  trivial-rewrite
bounce     unix  -  -  n  -      0  bounce
defer      unix  -  -  n  -      0  bounce
trace      unix  -  -  n  -      0  bounce
verify     unix  -  -  n  -      1  verify
flush      unix  n  -  n  1000?  0  flush
proxymap   unix  -  -  n  -      -  proxymap
showq      unix  n  -  n  -      -  showq
error      unix  -  -  n  -      -  error
retry      unix  -  -  n  -      -  error
discard    unix  -  -  n  -      -  discard
virtual    unix  -  n  n  -      -  virtual
anvil      unix  -  -  n  -      1  anvil
postlog    unix-dgram n - n -    1  postlogd
"""

# inet_interfaces names an address that any host has, since Postfix refuses one that no interface was given; where smtpd
# listens, master.cf says. Clients are strangers (mynetworks), whose header fields are not rewritten.
_MAIN = """\
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
maillog_file = {home}/maillog
maillog_file_prefixes = {home}
myhostname = {name}
mydestination =
local_transport = error:no local mail here
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.1
local_header_rewrite_clients =
smtpd_relay_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
smtpd_tls_security_level = encrypt
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
smtputf8_enable = yes
message_size_limit = 20000000
virtual_transport = virtual
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = static:inbox/
virtual_minimum_uid = 1000
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
smtpd_milters = inet:{milter}
milter_default_action = tempfail
milter_protocol = 6
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One smtpd: its MX name, its own address, and the settings that differ from main.cf."""

    name: str
    address: str
    options: tuple[str, ...] = ()

    def service(self, chain_file: Path) -> str:
        """Its line of master.cf."""
        options = "".join(f" -o {option}" for option in (f"smtpd_tls_chain_files={chain_file}", *self.options))
        return f"{self.address}:{PORT} inet n - n - - smtpd{options}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message out of a mailbox: what Postfix wrote on top of it, and the message itself, its line ends CRLF again."""

    added: dict[bytes, bytes]
    content: bytes

    @property
    def rcpt(self) -> str:
        return self.added[b"X-Original-To"].decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Postfix:
    """The instance that runs."""

    home: Path

    def arrived(self) -> int:
        """How many messages are in the mailboxes."""
        return sum(1 for _ in self._files())

    def clear(self) -> None:
        """Empty the mailboxes."""
        for path in list(self._files()):
            path.unlink()

    def take(self) -> list[Received]:
        """Every message that has arrived, which empties the mailboxes."""
        taken = []
        for path in list(self._files()):
            taken.append(_read(path.read_bytes()))
            path.unlink()
        return taken

    def log(self) -> list[str]:
        """What Postfix has logged so far, line by line."""
        path = self.home / "maillog"
        return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []

    def conversations(self, address: str, since: int = 0) -> list[dict[str, int]]:
        """The commands of each connection that has ended: {"mail": 12, "bdat": 12, ...}, as its smtpd counted them.

        Which connections are those from `address`, our source; `since` leaves out so many lines of the log.
        """
        ended = [line for line in self.log()[since:] if f"disconnect from unknown[{address}]" in line]
        return [
            {verb: int(count.split("/")[0]) for verb, count in re.findall(r" ([a-z]+)=(\d+(?:/\d+)?)", line)} for line in ended
        ]

    def _files(self) -> Iterator[Path]:
        return (self.home / "mail" / "inbox" / "new").glob("*")


def _read(data: bytes) -> Received:
    """Strip exactly the fields of ADDED; fails where the top of the message is anything else."""
    data = data.replace(b"\n", b"\r\n")
    added: dict[bytes, bytes] = {}
    place = 0
    for name in ADDED:
        field = _FIELD.match(data, place)
        if field is None or field[1] != name:
            pytest.fail(f"expected {name.decode()} on top of the message, found {data[place : place + 200]!r}", pytrace=False)
        added[name], place = field[2], field.end()
    return Received(added=added, content=data[place:])


@contextmanager
def postfix(
    home: Path, listeners: Mapping[str, Listener], certificates: Mapping[str, trustme.LeafCert], milter: str
) -> Iterator[Postfix]:
    """A Postfix that takes mail for NAME.example on the listener NAME, with the certificate NAME; `milter` is host:port."""
    need_root("Postfix's master runs as root only")
    command, config, log = find("postfix", "postfix"), home / "etc", home / "console.log"
    _make_folders(home)
    (config / "main.cf").write_text(
        _MAIN.format(
            home=home,
            name=listeners["mx"].name,
            domains=" ".join(f"{name}.example" for name in listeners),
            uid=_MAIL_UID,
            milter=milter,
        )
    )
    services = []
    for name, listener in listeners.items():
        chain_file = config / f"{name}.pem"
        certificates[name].private_key_and_cert_chain_pem.write_to_path(str(chain_file))
        services.append(listener.service(chain_file))
    (config / "master.cf").write_text("".join(services) + _MASTER)
    with log.open("wb") as file:
        made = subprocess.run(
            [command, "-c", str(config), "check"], stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False
        )
    if made.returncode:
        pytest.fail(f"postfix check ended with status {made.returncode}: {tail(log)}", pytrace=False)
    # "postfix start-fg" would put a shell between us and the master, which then is no child of ours
    master = [f"{_daemons(config)}/master", "-c", str(config), "-d"]
    with running(master, log, lambda: all(answers(listener.address, PORT) for listener in listeners.values())):
        yield Postfix(home=home)


def _make_folders(home: Path) -> None:
    (home / "etc").mkdir()
    (home / "queue").mkdir()
    for name, owner in (("data", "postfix"), ("mail", _MAIL_UID)):
        (home / name).mkdir(mode=0o700)
        shutil.chown(home / name, owner, owner)


def _daemons(config: Path) -> str:
    """Where this system has Postfix's daemons."""
    command = [find("postconf", "postfix"), "-c", str(config), "-h", "daemon_directory"]
    return subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout.strip()
