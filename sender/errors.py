"""What can surprise us. A receiver's refusal is not here: it is an ordinary answer, an Outcome."""

from collections.abc import Sequence
from enum import StrEnum

from sender.model import Step


class SenderError(Exception):
    """The root: catching it catches all that this package raises on purpose."""


class ConfigError(SenderError):
    """A setting, campaign or key file that can't be used: names the file, the key, what was found and what is allowed."""

    def __init__(self, file: str, key: str, why: str) -> None:
        super().__init__(f"{file}: {key}: {why}" if key else f"{file}: {why}")
        self.file, self.key, self.why = file, key, why


class ConfigErrors(SenderError):
    """All that is wrong with a configuration at once, in file order."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)


class ContentError(SenderError):
    """A message that can't be built or must not leave: names the field and what is wrong with it."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field, self.why = field, why


class LocalProtocolError(SenderError):
    """We used the protocol machine wrongly: our bug, never the receiver's."""


class RemoteProtocolError(SenderError):
    """The receiver broke the protocol: the session is dropped and what was open is deferred."""

    def __init__(self, step: Step, why: str) -> None:
        super().__init__(f"{step}: {why}")
        self.step, self.why = step, why


class TransportKind(StrEnum):
    """How a connection failed; also a metric label."""

    REFUSED = "refused"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    RESET = "reset"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    FORBIDDEN = "forbidden"  # the address is not one we may connect to
    RESOURCES = "resources"  # out of descriptors or ports: ours, not the receiver's


class TransportError(SenderError):
    """The connection failed underneath the dialogue, at this step and in this way."""

    def __init__(self, step: Step, kind: TransportKind, detail: str = "") -> None:
        super().__init__(f"{step}: {kind}{': ' + detail if detail else ''}")
        self.step, self.kind, self.detail = step, kind, detail


class SigningError(SenderError):
    """A signature could not be had: the message is not sent, and never unsigned."""


class BackendError(SenderError):
    """The queue's store refused or could not be reached; nothing was half-written."""


class ResolutionError(SenderError):
    """A domain's mail hosts could not be found; `permanent` only where DNS itself said so (no such domain, no address)."""

    def __init__(self, domain: str, why: str, *, permanent: bool) -> None:
        super().__init__(f"{domain}: {why}")
        self.domain, self.why, self.permanent = domain, why, permanent
