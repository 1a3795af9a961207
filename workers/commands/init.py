"""`penstock init`: a commented configuration to start from. Nothing that exists is overwritten."""

from pathlib import Path

import click

from sender.errors import ConfigError, ConfigErrors
from sender.settings import shipped

_FILES = ("penstock.toml", "sources.toml", "README.md")
_KEYS = "keys"  # where penstock.toml shows keys; private from the start


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def command(directory: Path) -> None:
    """Write a commented configuration to DIRECTORY.

    Profiles of receivers and warmup plans stay with the program: a file of the same name in DIRECTORY/receivers or
    DIRECTORY/warmup replaces one.
    """
    for path in write(directory):
        click.echo(f"wrote {path}")
    key = directory / _KEYS / "DOMAIN.SELECTOR.pem"
    click.echo(f"next: name your addresses in {directory / 'sources.toml'}, make a key with")
    click.echo(f"`penstock keygen DOMAIN SELECTOR --file {key}`, name it in {directory / 'penstock.toml'},")
    click.echo(f"then `penstock check --config {directory}`")


def write(directory: Path) -> list[Path]:
    """Write the files and return their paths; raises ConfigErrors naming every file that is there already."""
    targets = [directory / name for name in _FILES]
    there = [ConfigError(str(path), "", "it exists: not overwritten") for path in targets if path.exists()]
    if there:
        raise ConfigErrors(there)
    try:
        for place in ("receivers", "warmup"):
            (directory / place).mkdir(parents=True, exist_ok=True)
        (directory / _KEYS).mkdir(mode=0o700, exist_ok=True)
        for path in targets:
            path.write_bytes((shipped() / path.name).read_bytes())
    except OSError as error:
        raise ConfigError(str(error.filename or directory), "", error.strerror or str(error)) from error
    return targets
