"""The operator's commands: `kizuna identity`, `kizuna member`, `kizuna credential`, `kizuna issuance`, `kizuna trust`.

All but `identity` talk to the management API of the running service (`local`).
"""

import typer

from identity.service.cli import credentials, issuances, members, service, trust


def register(app: typer.Typer) -> None:
    """Called by `kernel.cli` through the entry point `kizuna.commands`."""
    app.add_typer(service.commands(), name="identity")
    app.add_typer(members.commands(), name="member")
    app.add_typer(credentials.commands(), name="credential")
    app.add_typer(issuances.commands(), name="issuance")
    app.add_typer(trust.commands(), name="trust")
