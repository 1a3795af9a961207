"""Redis 7.0 as a careful operator runs it: TLS with client certificates, and a user who may do only what the guide lets him."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import trustme

from sender.errors import BackendError
from tests.ports import free_port
from tests.redis.servers import HOST, Server, ask, debian_redis, until

GUIDE = Path(__file__).parents[2] / "deploy" / "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A server nobody enters without a certificate and a password."""

    server: Server
    url: str  # for Penstock
    admin_url: str  # for who may do everything


@asynccontextmanager
async def guarded_server(directory: Path) -> AsyncIterator[Guarded]:
    """Start it, with the user of deploy/README.md."""
    files = _certificates(directory)
    lines = [
        f"tls-port {(port := free_port())}",
        f"tls-cert-file {files['server']}",
        f"tls-key-file {files['server']}",
        f"tls-ca-cert-file {files['ca']}",
        "tls-auth-clients yes",
        "user default off",
        "user admin on >all ~* +@all",
        acl_line("secret"),
    ]
    server = Server(directory / "server", *lines, program=debian_redis())
    options = f"?ca_file={quote(str(files['ca']))}&cert_file={quote(str(files['client']))}"
    guarded = Guarded(
        server=server,
        url=f"rediss://penstock:secret@{HOST}:{port}{options}",
        admin_url=f"redis://admin:all@{HOST}:{server.port}",  # without TLS: a context costs 40 ms
    )
    try:
        await server.start(wait=False)
        await until(lambda: _answers(guarded.admin_url), "the guarded server")
        yield guarded
    finally:
        await server.stop()


def acl_line(password: str) -> str:
    """The guide's ACL SETUSER line, as a line of a configuration file."""
    match = re.search(r"ACL SETUSER penstock on >PASSWORD (.*)", GUIDE.read_text(encoding="utf-8"))
    assert match is not None, f"{GUIDE} has no ACL line"
    return f"user penstock on >{password} {match[1]}"


def _certificates(directory: Path) -> dict[str, Path]:
    """One authority, a server and a client; key and certificate in one file."""
    directory.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    files = {name: directory / f"{name}.pem" for name in ("ca", "server", "client")}
    authority.cert_pem.write_to_path(files["ca"])
    for name, identity in (("server", HOST), ("client", "penstock.example")):
        authority.issue_cert(identity).private_key_and_cert_chain_pem.write_to_path(files[name])
    return files


async def _answers(url: str) -> bool:
    try:
        return bool(await ask(url, ("PING",)) == b"PONG")
    except BackendError:
        return False
