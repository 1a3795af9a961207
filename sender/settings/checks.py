"""What no single field can tell: uniqueness, addresses, host names. Pure: nothing here asks the host or the network.

Each check yields the errors it finds; all run, so that all errors are reported together.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from sender.errors import ConfigError
from sender.settings.sections import Consumer, Identity, PenstockFile, SourceTable, WebhookConsumer
from sender.settings.store_url import StoreUrl

# Labels go into Redis keys, metrics and "pool/receiver" texts: no separator of any of them may occur in one.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_POOL = re.compile(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?")  # as campaigns name it
_SELECTOR_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PRINTABLE = re.compile(r"[!-~]+")
_KEY_ID_LIMIT = 255  # octets of domain, "/" and selector: how signers name a key
_PORT_MAX = 65_535
_EVENTS_LEAST_S = 60
_WEBHOOK_TIMEOUT_MOST_S = 120
_CONSUMERS_MOST = 20  # each is a label in the metrics, and reads all that is told
_FILE_OF_ANOTHER = re.compile(r"(-dead)?(-\d{6,})?\Z")  # what follows a consumer's name in those of its files


def main_problems(
    main: PenstockFile, identities: Sequence[Identity | None], consumers: Sequence[Consumer | None], file: str
) -> Iterator[ConfigError]:
    """All that is wrong across the tables of penstock.toml; None stands for an identity or a consumer reported already."""
    yield from _redis(main, file)
    yield from _net(main, file)
    yield from _metrics(main, file)
    yield from _retry(main, file)
    yield from _events(main, file)
    yield from _consumers(consumers, file)
    yield from _identities(identities, file)


def source_problems(sources: Sequence[SourceTable | None], file: str) -> Iterator[ConfigError]:
    """All that is wrong among the sources; None stands for one reported already."""
    names: set[str] = set()
    addresses: set[tuple[str, str]] = set()
    for place, source in enumerate(sources):
        if source is None:
            continue
        yield from _source(source, f"source[{place}]", file)
        if source.name in names:
            yield ConfigError(file, f"source[{place}].name", f"{source.name!r} is there already")
        if source.address and (source.host, source.address) in addresses:
            yield ConfigError(file, f"source[{place}].address", f"{source.address} belongs to another source already")
        names.add(source.name)
        addresses.add((source.host, source.address))


def host_name(text: str) -> bool:
    """Whether this is a host name of letters, digits and hyphens (RFC 5321 section 2.3.5), without a final dot."""
    return 0 < len(text) <= 253 and all(_LABEL.fullmatch(label) for label in text.split("."))


def ehlo_name(text: str) -> bool:
    """Whether EHLO may say this: a host name or an address literal (RFC 5321 section 4.1.3)."""
    if text.startswith("[") and text.endswith("]"):
        return _address(text[1:-1].removeprefix("IPv6:")) is not None
    return host_name(text)


def redis_flaw(url: str) -> str:
    """Why this can't be the queue's URL, or "" where its form is good; says nothing of a password in it."""
    try:
        StoreUrl.parse(url)
    except ValueError as error:
        return str(error)
    return ""


def _redis(main: PenstockFile, file: str) -> Iterator[ConfigError]:
    if main.redis.url and (why := redis_flaw(main.redis.url)):
        yield ConfigError(file, "redis.url", why)


def _net(main: PenstockFile, file: str) -> Iterator[ConfigError]:
    for place, server in enumerate(main.net.nameservers):
        if _address(server) is None:
            yield ConfigError(file, f"net.nameservers[{place}]", f"{server!r} is not an IP address")
    for place, block in enumerate(main.net.allow_targets):
        try:
            ipaddress.ip_network(block)
        except ValueError as error:  # its text says what is wrong, host bits set included
            yield ConfigError(file, f"net.allow_targets[{place}]", f"{error}; write a network like 10.1.0.0/16")


def _metrics(main: PenstockFile, file: str) -> Iterator[ConfigError]:
    if _address(main.metrics.address) is None:
        yield ConfigError(file, "metrics.address", f"{main.metrics.address!r} is not an IP address")
    elif not main.metrics.token and not ipaddress.ip_address(main.metrics.address).is_loopback:
        yield ConfigError(file, "metrics.token", f"missing: {main.metrics.address} can be reached from outside")
    # the expander's own, the scheduler's, one each delivery process, the consumer's, the supervisor's
    last = main.metrics.port + 3 + main.fleet.delivery
    if last > _PORT_MAX:
        why = f"{main.metrics.port}: the supervisor of {main.fleet.delivery} delivery processes would need port {last}"
        yield ConfigError(file, "metrics.port", f"{why}; allowed are ports to {_PORT_MAX}")
    if main.metrics.targets_file and not main.metrics.targets_file.endswith(".json"):
        why = f"{main.metrics.targets_file!r}: Prometheus reads it as JSON only where its name ends in .json"
        yield ConfigError(file, "metrics.targets_file", why)


def _retry(main: PenstockFile, file: str) -> Iterator[ConfigError]:
    for place, step in enumerate(main.retry.curve):
        if step < 1:
            yield ConfigError(file, f"retry.curve[{place}]", "a wait under 1s would hammer the receiver")


def _events(main: PenstockFile, file: str) -> Iterator[ConfigError]:
    if main.events.keep < _EVENTS_LEAST_S:
        yield ConfigError(file, "events.keep", "under 1m: they would be gone before anybody could have read them")


def _consumers(consumers: Sequence[Consumer | None], file: str) -> Iterator[ConfigError]:
    names = [consumer.name if consumer is not None else None for consumer in consumers]
    for place, name in enumerate(names):
        if name is None:
            continue
        if name in names[:place]:
            yield ConfigError(file, f"consumer[{place}].name", f"{name!r} is there already")
        if (other := _FILE_OF_ANOTHER.sub("", name)) != name and other in names:
            yield ConfigError(file, f"consumer[{place}].name", f"{name!r}: files of that name are those of {other!r}")
    for place, consumer in enumerate(consumers):
        if isinstance(consumer, WebhookConsumer):
            yield from _webhook(consumer, f"consumer[{place}]", file)
    if len(names) > _CONSUMERS_MOST:
        yield ConfigError(file, "consumer", f"{len(names)} of them; allowed are {_CONSUMERS_MOST}")


def _webhook(consumer: WebhookConsumer, key: str, file: str) -> Iterator[ConfigError]:
    """Says nothing of what the URL holds: it may carry a secret."""
    try:
        url = urlsplit(consumer.url)
        host, _ = url.hostname, url.port
    except ValueError as error:
        yield ConfigError(file, f"{key}.url", f"not a URL: {error}")
        return
    if url.scheme not in ("https", "http") or not host or url.fragment or not _PRINTABLE.fullmatch(consumer.url):
        yield ConfigError(file, f"{key}.url", "not a URL like https://hooks.example.com/penstock")
    elif not host_name(host) and _address(host) is None:
        yield ConfigError(file, f"{key}.url", "its host is neither a host name nor an address")
    if url.username is not None or url.password is not None:
        yield ConfigError(file, f"{key}.url", "holds a user or a password; the signature says who we are")
    if url.scheme == "http" and not consumer.allow_private:
        yield ConfigError(file, f"{key}.url", "http is in clear: allowed with allow_private alone; write https://")
    if bool(consumer.secret_file) == bool(consumer.secret_env):
        yield ConfigError(file, f"{key}.secret_file", "name either secret_file or secret_env: deliveries are signed")
    for name, value, least in (("timeout", consumer.timeout, 0.1), ("retry_most", consumer.retry_most, 1.0)):
        if value < least:
            yield ConfigError(file, f"{key}.{name}", f"{value:g}s: allowed is {least:g}s and more")
    if consumer.timeout > _WEBHOOK_TIMEOUT_MOST_S:
        yield ConfigError(file, f"{key}.timeout", f"{consumer.timeout:g}s: allowed are {_WEBHOOK_TIMEOUT_MOST_S}s")


def _identities(identities: Sequence[Identity | None], file: str) -> Iterator[ConfigError]:
    domains = [identity.domain if identity is not None else None for identity in identities]
    for place, identity in enumerate(identities):
        if identity is None:
            continue
        key = f"identity[{place}]"
        if not host_name(identity.domain) or identity.domain != identity.domain.lower():
            yield ConfigError(file, f"{key}.domain", f"{identity.domain!r} is not a domain in lower case and A-label form")
        if identity.domain in domains[:place]:
            yield ConfigError(file, f"{key}.domain", f"{identity.domain!r} is there already")
        if identity.signed and not identity.keys:
            yield ConfigError(file, f"{key}.keys", "no key: mail of this identity could not be signed")
        if not identity.signed and (identity.keys or identity.also):
            yield ConfigError(file, f"{key}.signed", "false, but there are keys: one of the two is a mistake")
        if identity.message_id_domain and not host_name(identity.message_id_domain):
            yield ConfigError(file, f"{key}.message_id_domain", f"{identity.message_id_domain!r} is not a domain")
        yield from _keys(identity, key, file)
        for other_place, other in enumerate(identity.also):
            if other not in domains and None not in domains:
                yield ConfigError(file, f"{key}.also[{other_place}]", f"{other!r} is not the domain of an identity")


def _keys(identity: Identity, key: str, file: str) -> Iterator[ConfigError]:
    selectors = [item.selector for item in identity.keys]
    for place, item in enumerate(identity.keys):
        where = f"{key}.keys[{place}]"
        if not all(_SELECTOR_LABEL.fullmatch(label) for label in item.selector.split(".")):
            yield ConfigError(file, f"{where}.selector", f"{item.selector!r} is not a lower-case DNS name")
        elif len(identity.domain) + 1 + len(item.selector) > _KEY_ID_LIMIT:
            yield ConfigError(file, f"{where}.selector", f"longer than {_KEY_ID_LIMIT - 1} octets together with its domain")
        if item.selector in selectors[:place]:
            yield ConfigError(file, f"{where}.selector", f"{item.selector!r} is there already")
        if item.from_ is not None and item.until is not None and item.until <= item.from_:
            yield ConfigError(file, f"{where}.until", f"{item.until} is not after from = {item.from_}")


def _source(source: SourceTable, key: str, file: str) -> Iterator[ConfigError]:
    if not _NAME.fullmatch(source.name):
        yield ConfigError(file, f"{key}.name", f"{source.name!r}: letters, digits, '_', '.' and '-', at most 63")
    if not _POOL.fullmatch(source.pool):
        yield ConfigError(file, f"{key}.pool", f"{source.pool!r}: lower-case letters, digits, '_' and '-', at most 64")
    if source.address and _address(source.address) is None:
        yield ConfigError(file, f"{key}.address", f"{source.address!r} is not an IP address")
    if not ehlo_name(source.ehlo):
        yield ConfigError(file, f"{key}.ehlo", f"{source.ehlo!r} is neither a host name nor an address literal")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
