"""`penstock keygen`: a DKIM key, readable by its owner alone, and the DNS record that publishes it."""

from pathlib import Path

import click

from sender.content.key import generate, zone_line
from sender.content.rotation import Algorithm, DkimKey
from sender.errors import ConfigError

_ALGORITHMS = {"rsa": Algorithm.RSA, "ed25519": Algorithm.ED25519}


@click.command()
@click.argument("domain")
@click.argument("selector")
@click.option("--algorithm", type=click.Choice(sorted(_ALGORITHMS)), default="rsa", show_default=True, help="RSA has 2048 bit.")
@click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path), help="Where to; ./keys/DOMAIN.SELECTOR.pem.")
def command(domain: str, selector: str, algorithm: str, path: Path | None) -> None:
    """Make a DKIM key for DOMAIN and print its DNS record.

    SELECTOR is its name in the DNS. An existing file is never overwritten.
    """
    record = make(domain, selector, _ALGORITHMS[algorithm], path or Path("keys") / f"{domain}.{selector}.pem")
    click.echo(record)


def make(domain: str, selector: str, algorithm: Algorithm, path: Path) -> str:
    """Write the key with mode 0600, in a directory of mode 0700 where there is none yet, and return the DNS record."""
    try:
        DkimKey(domain=domain, selector=selector, algorithm=algorithm)
    except ValueError as error:
        raise ConfigError("keygen", "", str(error)) from error
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(str(path.parent), "", error.strerror or str(error)) from error
    return zone_line(domain, selector, generate(algorithm, path).dns_record())
