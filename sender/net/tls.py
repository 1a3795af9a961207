"""One TLS context per policy, and the sessions that let a second handshake with the same host be short.

A context takes some 40 ms to build where it loads the trust store, so each is built once, when first needed. Nothing
below TLS 1.2 is spoken (RFC 8996). SNI always names the MX host.
"""

import ssl
from collections import OrderedDict
from pathlib import Path

from sender.model import TlsPolicy

# Where no certificate is checked, any encryption beats none (RFC 7435): keys and digests that a verified session refuses
# (below 112 bits of security) are let pass.
_UNVERIFIED_CIPHERS = "DEFAULT:@SECLEVEL=1"

# The result types of RFC 8460 section 4.3, by OpenSSL's verification codes (x509_vfy.h).
_EXPIRED, _NOT_YET_VALID, _HOSTNAME_MISMATCH = 10, 9, 62
_UNTRUSTED = frozenset({2, 18, 19, 20, 21, 24, 27})


class TlsContexts:
    """The client side of TLS for every policy: contexts, and a bounded memory of sessions to resume.

    `ca_file` is a PEM bundle to trust in place of the system's. Raises OSError when it is first needed and can't be read.
    """

    def __init__(self, *, ca_file: str = "", sessions: int = 4096) -> None:
        self._ca_file = ca_file
        self._size = sessions
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._sessions: OrderedDict[tuple[bool, str], ssl.SSLSession] = OrderedDict()

    def __repr__(self) -> str:
        return f"<TlsContexts ca={self._ca_file or 'system'}, {len(self._sessions)} sessions>"

    def context(self, policy: TlsPolicy) -> ssl.SSLContext:
        """The context for this policy: only VERIFIED looks at the certificate."""
        verified = policy is TlsPolicy.VERIFIED
        context = self._contexts.get(verified)
        if context is None:
            context = self._contexts[verified] = self._verified() if verified else _unverified()
        return context

    def session(self, policy: TlsPolicy, host: str) -> ssl.SSLSession | None:
        """A session of an earlier connection to this host under the same context.

        It may serve many: that a ticket used twice lets an observer link two connections (RFC 8446 appendix C.4) tells
        nothing about a sender whose address is public.
        """
        return self._sessions.get((policy is TlsPolicy.VERIFIED, host))

    def remember(self, policy: TlsPolicy, host: str, session: ssl.SSLSession | None) -> None:
        """Keep a connection's session, where the server gave something to resume with."""
        if session is None or not (session.has_ticket or session.id):
            return
        key = (policy is TlsPolicy.VERIFIED, host)
        self._sessions[key] = session
        self._sessions.move_to_end(key)
        if len(self._sessions) > self._size:
            self._sessions.popitem(last=False)

    def _verified(self) -> ssl.SSLContext:
        if self._ca_file:
            return _modern(ssl.create_default_context(cafile=str(Path(self._ca_file).expanduser())))
        return _modern(ssl.create_default_context())


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(_UNVERIFIED_CIPHERS)
    return _modern(context)


def _modern(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION
    return context


def words(error: ssl.SSLError) -> str:
    """OpenSSL's own words for what happened."""
    return (error.reason or str(error)).replace("_", " ").lower()


def reason(error: ssl.SSLError) -> str:
    """Why a handshake failed: RFC 8460's word for it, then OpenSSL's."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"validation-failure: {words(error)}"
    code = error.verify_code
    if code in (_EXPIRED, _NOT_YET_VALID):
        word = "certificate-expired"
    elif code == _HOSTNAME_MISMATCH:
        word = "certificate-host-mismatch"
    else:
        word = "certificate-not-trusted" if code in _UNTRUSTED else "validation-failure"
    return f"{word}: {error.verify_message or words(error)}"
