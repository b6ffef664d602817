"""`kizuna policy`: what authors of policies work with. Commands read files, never a connector.

Exit codes: 0 nothing found, 1 findings, 2 what was given cannot be read.
"""

import typer

from policies.cli import ask, check, judge, suite, write
from policies.cli.files import SAY


def register(app: typer.Typer) -> None:
    """Called by `kernel.cli` through the entry point `kizuna.commands`."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="policy", help=SAY("policy"))
    for each in (ask, check, judge, suite, write):
        each.register(group)
