"""What commands share: where the configuration is."""

from pathlib import Path

import click

config_option = click.option(
    "--config",
    envvar="PENSTOCK_CONFIG",
    show_envvar=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The configuration directory (see `penstock init`); the shipped defaults if not given.",
)
