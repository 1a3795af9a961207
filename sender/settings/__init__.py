"""Settings: defaults -> files -> one validated object, in one place.

1. `sections` says what each table may hold: types, ranges and defaults.
2. `reading` lays the operator's directory over the shipped `config/`, file by file, and collects every error on the way.
3. `checks` looks across tables: names that must be unique, addresses, host names. Pure: it asks the host nothing.
4. `load` hands out the Settings, or raises all the errors together. `read` keeps both, for `penstock check`.
"""

from sender.settings.reading import Reading, Settings, load, read, shipped
from sender.settings.sections import (
    Consumer,
    Delivery,
    Events,
    FileConsumer,
    Fleet,
    Identity,
    IpPreference,
    Journal,
    KeyFile,
    Log,
    Metrics,
    Net,
    Redis,
    Retry,
    Suppression,
    Timeouts,
    Tokens,
    WebhookConsumer,
)

__all__ = [
    "Consumer",
    "Delivery",
    "Events",
    "FileConsumer",
    "Fleet",
    "Identity",
    "IpPreference",
    "Journal",
    "KeyFile",
    "Log",
    "Metrics",
    "Net",
    "Reading",
    "Redis",
    "Retry",
    "Settings",
    "Suppression",
    "Timeouts",
    "Tokens",
    "WebhookConsumer",
    "load",
    "read",
    "shipped",
]
