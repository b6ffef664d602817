"""The connector's sub-commands of `kizuna`."""

import typer

from connector.cli import contracts, data, duties, events, ledgers, setup
from connector.cli.local import client
from identity.access import cli as access


def register(app: typer.Typer) -> None:
    """Called by `kernel.cli` through the entry point `kizuna.commands`."""
    setup.register(app)
    data.register(app)
    contracts.register(app)
    duties.register(app)
    events.register(app)
    ledgers.register(app)
    access.register(app, client)
