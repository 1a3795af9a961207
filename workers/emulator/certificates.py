"""The throw-away authority of the emulated world: a key that exists only in memory, a certificate for each MX host."""

import ssl
from pathlib import Path

import trustme


class Authority:
    """Issues a certificate for a host when its first client asks for TLS."""

    def __init__(self, directory: Path) -> None:
        """`directory` must exist: the authority's certificate, not its key, is written there as `ca.pem`."""
        self._directory = directory
        self._authority = trustme.CA(organization_name="Penstock emulated internet")
        self._contexts: dict[tuple[str, ...], ssl.SSLContext] = {}
        self.file = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def context(self, *names: str) -> ssl.SSLContext:
        """What a server of that name shakes hands with; the same one every time, so that sessions can be resumed."""
        context = self._contexts.get(names)
        if context is None:
            context = self._contexts[names] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._configure(context, self._authority.issue_cert(*names))
        return context

    def unrelated(self, *names: str) -> ssl.SSLContext:
        """A context whose certificate nobody's authority has signed, for clients that must refuse it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._configure(context, trustme.CA(organization_name="Nobody").issue_cert(*names))
        return context

    def _configure(self, context: ssl.SSLContext, leaf: trustme.LeafCert) -> None:
        # OpenSSL loads a chain from a file only: it lives for these two lines, in our own directory.
        with leaf.private_key_and_cert_chain_pem.tempfile(dir=str(self._directory)) as path:
            context.load_cert_chain(path)
