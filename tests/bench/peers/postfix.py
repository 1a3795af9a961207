"""Postfix and opendkim out of Debian: an instance of our own, its queue on the disk, tuned for bulk.

What differs from how Debian installs it, and why, stands beside each setting. Nothing of its safety is off: it syncs every
message to the disk before it takes charge of it, as it always does. Beside it runs the injector, which merges; its CPU is
shown, and not held against Postfix.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from sender.content.key import generate
from sender.content.rotation import Algorithm
from tests.bench import work
from tests.bench.peers.contender import Missing, Started, fewer, measured
from tests.bench.peers.senders import ROLE, sending, shares
from tests.bench.place import own_network
from tests.bench.rig import Case, Spent
from tests.integration.programs import answers, find, running

_PORT = 2526
_INJECTORS = 16  # connections that feed it

_MAIN = """\
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
maillog_file = {home}/maillog
maillog_file_prefixes = {home}
myhostname = mta.bench.example
mydestination =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
# One destination, as its cache of connections likes it, with all connections that the engine has, from the first message on.
relayhost = [{sink}]:{port}
smtp_destination_concurrency_limit = {connections}
initial_destination_concurrency = {connections}
smtp_connection_cache_destinations = [{sink}]:{port}
smtp_connection_cache_time_limit = 30s
connection_cache_ttl_limit = 30s
# TLS: connections are kept, too, which Postfix can since 3.4.
smtp_tls_security_level = {tls}
smtp_tls_connection_reuse = yes
smtp_tls_session_cache_database = btree:{home}/data/sessions
# As many processes as connections on both sides, and each for more than 100 messages.
default_process_limit = 200
max_use = 10000
# Nothing is looked up about anybody, and nothing rewritten.
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
local_header_rewrite_clients =
receive_override_options = no_address_mappings, no_header_body_checks
enable_original_recipient = no
# Injection is not slowed down where it is faster than delivery.
in_flow_delay = 0
{milter}
"""

_MILTER = """\
smtpd_milters = unix:{home}/opendkim.sock
milter_default_action = tempfail
milter_protocol = 6
"""

# Debian's services, none in a chroot, and no reverse look-ups.
_MASTER = """\
{address}:{port} inet n - n - - smtpd
cleanup   unix  n  -  n  -     0  cleanup
qmgr      unix  n  -  n  300   1  qmgr
tlsmgr    unix  -  -  n  1000? 1  tlsmgr
rewrite   unix  -  -  n  -     -  trivial-rewrite
bounce    unix  -  -  n  -     0  bounce
defer     unix  -  -  n  -     0  bounce
trace     unix  -  -  n  -     0  bounce
verify    unix  -  -  n  -     1  verify
flush     unix  n  -  n  1000? 0  flush
proxymap  unix  -  -  n  -     -  proxymap
smtp      unix  -  -  n  -     -  smtp
relay     unix  -  -  n  -     -  smtp
showq     unix  n  -  n  -     -  showq
error     unix  -  -  n  -     -  error
retry     unix  -  -  n  -     -  error
discard   unix  -  -  n  -     -  discard
anvil     unix  -  -  n  -     1  anvil
scache    unix  -  -  n  -     1  scache
tlsproxy  unix  -  -  n  -     0  tlsproxy
postlog   unix-dgram n - n -   1  postlogd
"""

# Signs what comes from the loopback, and looks at nothing else.
_OPENDKIM = """\
Mode s
Socket local:{home}/opendkim.sock
UMask 000
PidFile {home}/opendkim.pid
Domain {domain}
Selector {selector}
KeyFile {home}/dkim.pem
SignatureAlgorithm rsa-sha256
Canonicalization relaxed/relaxed
InternalHosts 127.0.0.0/8
RequireSafeKeys no
Syslog no
"""


class Postfix:
    """A Postfix, with an opendkim where it signs."""

    name = "Postfix + opendkim"
    words = "Debian's, tuned for bulk, spooled to disk, fed over SMTP; opendkim signs as a milter"
    own: tuple[str, ...] = ("postfix", "opendkim")
    only_signed = False

    def prepare(self, home: Path) -> None:
        """Look for what tests/setup-debian.sh installs."""
        if os.geteuid() != 0:
            raise Missing("Postfix's master runs as root only")
        for program in ("postfix", "opendkim"):
            if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
                raise Missing(f"{program} is not installed: tests/setup-debian.sh does it")

    def measure(self, case: Case, home: Path) -> Spent:
        return measured(fewer(case, unsigned=5_000, signed=2_000), _started)


@contextmanager
def _started(case: Case, directory: Path) -> Iterator[Started]:
    """The instance, its signer and its injector."""
    address = f"{own_network()}.20"
    (whole,) = shares(replace(case, sign="", delivery=1), directory)
    job = replace(whole, host=address, port=_PORT, connections=_INJECTORS)
    injector = [sys.executable, "-m", "tests.bench.peers.injector"]
    with (
        _opendkim(directory) if case.sign else nullcontext(0) as signer,
        _postfix(case, directory, address) as master,
        sending([job], directory, injector) as started,
    ):
        roots = {"postfix": [master], "opendkim": [signer] if signer else [], "injector": started.roots[ROLE]}
        yield replace(started, roots=roots)


@contextmanager
def _opendkim(home: Path) -> Iterator[int]:
    generate(Algorithm.RSA, home / "dkim.pem")
    config, socket = home / "opendkim.conf", home / "opendkim.sock"
    config.write_text(_OPENDKIM.format(home=home, domain=work.DOMAIN, selector=work.SELECTOR))
    with running([find("opendkim", "opendkim"), "-f", "-x", str(config)], home / "opendkim.log", socket.exists) as pid:
        yield pid


@contextmanager
def _postfix(case: Case, home: Path, address: str) -> Iterator[int]:
    """Its master's process number."""
    config, log = home / "etc", home / "console.log"
    for folder in ("etc", "queue", "data"):
        (home / folder).mkdir()
    shutil.chown(home / "data", "postfix", "postfix")
    values = {
        "home": home,
        "sink": case.place.sink,
        "port": case.place.port,
        "connections": case.connections,
        "tls": "encrypt" if case.tls else "none",
        "milter": _MILTER.format(home=home) if case.sign else "",
    }
    (config / "main.cf").write_text(_MAIN.format(**values))
    (config / "master.cf").write_text(_MASTER.format(address=address, port=_PORT))
    checked = subprocess.run(
        [find("postfix", "postfix"), "-c", str(config), "check"], capture_output=True, text=True, check=False
    )
    if checked.returncode:
        raise RuntimeError(f"postfix check: {checked.stderr.strip()}")
    asked = subprocess.run(
        [find("postconf", "postfix"), "-c", str(config), "-h", "daemon_directory"], capture_output=True, text=True, check=True
    )
    master = [f"{asked.stdout.strip()}/master", "-c", str(config), "-d"]
    with running(master, log, lambda: answers(address, _PORT)) as pid:
        yield pid
