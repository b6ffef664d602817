"""The connector's sub-commands of `kizuna`."""

import typer

from connector.cli import contracts, data, setup


def register(app: typer.Typer) -> None:
    """Called by `kernel.cli` through the entry point `kizuna.commands`."""
    setup.register(app)
    data.register(app)
    contracts.register(app)
