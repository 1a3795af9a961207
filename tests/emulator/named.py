"""A client that connects to an address, and expects a name in the certificate."""

import smtplib


class NamedSmtp(smtplib.SMTP):
    """smtplib's; whoever sets `_host` says what `starttls` looks for, and `connect` is not asked."""

    _host: str
