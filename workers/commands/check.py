"""`penstock check`: all that is wrong with a configuration, at once, before anything is sent.

Errors keep Penstock from starting; warnings are things that are seldom meant. Each check is a function that yields its
findings; a new one is one more line in CHECKS.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import click

from sender.content.key import PrivateKey
from sender.content.rotation import Algorithm
from sender.errors import ConfigError, ConfigErrors
from sender.policy.plan import NO_PLAN
from sender.policy.plans import Plans
from sender.policy.receivers import Profiles
from sender.settings import Settings, WebhookConsumer, read
from sender.settings.checks import redis_flaw
from sender.settings.store_url import StoreUrl
from workers.commands.options import config_option
from workers.places import host_name, suppression_digests, suppression_file, token_file, token_keys, webhook_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or that is seldom meant."""

    error: ConfigError
    fatal: bool = True

    def __str__(self) -> str:
        return f"{'error' if self.fatal else 'warning'}: {self.error}"


@click.command()
@config_option
def command(config: Path | None) -> None:
    """Validate the configuration and report every error.

    Each has its file, key and reason. Nothing is started and no store is asked.
    """
    findings = check(config, datetime.now(tz=UTC).date())
    for finding in findings:
        click.echo(str(finding), err=True)
    fatal = sum(finding.fatal for finding in findings)
    if fatal:
        click.echo(f"{fatal} error{'s' if fatal > 1 else ''}", err=True)
        raise click.exceptions.Exit(1)
    click.echo(f"{config or 'shipped configuration'}: good")


def check(directory: Path | None, today: date) -> list[Finding]:
    """Everything found, errors of the files themselves first."""
    reading = read(directory)
    findings = [Finding(error=error) for error in reading.errors]
    for one in CHECKS:
        findings += one(reading.settings, today)
    return findings


def _receivers(settings: Settings, today: date) -> Iterator[Finding]:
    readable = {name: raw for name, raw in settings.receivers.items() if raw[1]}  # an unreadable one was reported already
    try:
        Profiles.parse(readable)
    except ConfigErrors as several:
        yield from (Finding(error=error) for error in several.errors)


def _plans(settings: Settings, today: date) -> Iterator[Finding]:
    readable = {name: raw for name, raw in settings.plans.items() if raw[1]}  # an unreadable one was reported already
    try:
        plans = Plans.parse(readable)
    except ConfigErrors as several:
        yield from (Finding(error=error) for error in several.errors)
    else:
        yield from _nobody_warm(settings, plans)


def _nobody_warm(settings: Settings, plans: Plans) -> Iterator[Finding]:
    """Pools whose plans keep some recipients to warm sources, and that have none."""
    named = {source.name: settings.warmup[source.name].get("default", NO_PLAN) for source in settings.sources}
    warm = {source.pool for source in settings.sources if named[source.name] == NO_PLAN}
    for source in settings.sources:
        name = named[source.name]
        least = plans.plan(name).engagement_min if name in plans else 0
        if least and source.pool not in warm:
            why = f"{name} keeps recipients with an engagement below {least} to warm sources, and pool {source.pool!r} has none"
            yield _source(settings, f"{source.name}: warmup", f"{why}: they wait until one has passed its plan")


def _keys(settings: Settings, today: date) -> Iterator[Finding]:
    for identity in settings.identities:
        for key in identity.keys:
            try:
                PrivateKey.load(settings.path(key.file), Algorithm(key.algorithm))
            except ConfigError as error:
                yield _main(settings, f"identity {identity.domain}: key {key.selector}", str(error))
        if identity.keys and not any((key.from_ or date.min) <= today < (key.until or date.max) for key in identity.keys):
            yield _main(settings, f"identity {identity.domain}: keys", f"none of them signs on {today}")
    if not settings.identities:
        yield _main(settings, "identity", "none: campaigns can't be signed; `penstock keygen` makes a key", fatal=False)


def _tokens(settings: Settings, today: date) -> Iterator[Finding]:
    if not settings.tokens.key_file and not token_file(settings).exists():
        return  # the first `penstock run` makes it
    try:
        token_keys(settings)
    except ConfigError as error:
        yield _main(settings, "tokens.key_file", str(error))
    except ConfigErrors as several:
        yield from (Finding(error=error) for error in several.errors)


def _suppression(settings: Settings, today: date) -> Iterator[Finding]:
    if not settings.suppression.key_file and not suppression_file(settings).exists():
        return  # the first `penstock run` makes it
    try:
        suppression_digests(settings)
    except ConfigError as error:
        yield _main(settings, "suppression.key_file", str(error))


def _consumers(settings: Settings, today: date) -> Iterator[Finding]:
    for consumer in settings.consumers:
        if isinstance(consumer, WebhookConsumer) and bool(consumer.secret_file) != bool(consumer.secret_env):
            key = f"consumer {consumer.name}"
            try:
                webhook_keys(settings, consumer)
            except ConfigError as error:
                yield _main(settings, f"{key}: {'secret_env' if consumer.secret_env else 'secret_file'}", str(error))
            yield from _authorities(settings, f"{key}: ca_file", consumer.ca_file)


def _ca_file(settings: Settings, today: date) -> Iterator[Finding]:
    yield from _authorities(settings, "net.ca_file", settings.net.ca_file)


def _authorities(settings: Settings, key: str, name: str) -> Iterator[Finding]:
    """Whether this file of certificates, where one is named, can be used."""
    if not name:
        return
    path = settings.path(name)
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # that of ssl, too
        why = "no certificates in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        yield _main(settings, key, f"{path}: {why}")


def _redis(settings: Settings, today: date) -> Iterator[Finding]:
    if redis_flaw(settings.redis.url):
        return  # empty, or reported already
    url = StoreUrl.parse(settings.redis.url)
    if url.remote and not url.tls:
        yield _main(settings, "redis.url", "another host without TLS: recipients cross the network in clear", fatal=False)
    if url.remote and not (url.password or url.cert_file):
        yield _main(settings, "redis.url", "another host without a password", fatal=False)


def _metrics(settings: Settings, today: date) -> Iterator[Finding]:
    if settings.metrics.address not in ("127.0.0.1", "::1"):
        yield _main(settings, "metrics.address", f"{settings.metrics.address} can be reached from outside", fatal=False)


def _sources(settings: Settings, today: date) -> Iterator[Finding]:
    here = host_name(settings)
    if settings.sources and all(source.host not in ("", here) for source in settings.sources):
        hosts = ", ".join(sorted({source.host for source in settings.sources}))
        yield _source(settings, "host", f"no source is this host's ({here}), but {hosts}'s: nothing is sent from here")
    for source in settings.sources:
        if source.ehlo.rpartition(".")[2] in ("localdomain", "local", "invalid") or "." not in source.ehlo.strip("[]"):
            why = f"{source.ehlo!r} is no public name: receivers will refuse it"
            yield _source(settings, f"{source.name}: ehlo", why)
        if source.address and source.host in ("", here) and not _ours(source.address):
            yield _source(settings, f"{source.name}: address", f"{source.address} is not an address of this host ({here})")


def _ours(address: str) -> bool:
    """Whether connections can leave from this address: the kernel knows."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _main(settings: Settings, key: str, why: str, *, fatal: bool = True) -> Finding:
    return Finding(error=ConfigError(str(settings.directory / "penstock.toml"), key, why), fatal=fatal)


def _source(settings: Settings, key: str, why: str) -> Finding:
    return Finding(error=ConfigError(str(settings.directory / "sources.toml"), key, why), fatal=False)


CHECKS: tuple[Callable[[Settings, date], Iterator[Finding]], ...] = (
    _receivers,
    _plans,
    _keys,
    _tokens,
    _suppression,
    _consumers,
    _ca_file,
    _redis,
    _metrics,
    _sources,
)
