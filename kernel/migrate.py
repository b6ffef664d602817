"""Bringing a database to the newest revision with alembic, which is imported only when there is something to do."""

import sqlite3
from pathlib import Path

from kernel.errors import NewerData


def upgrade(path: Path, scripts: Path) -> None:
    """Run the migrations in `scripts` on the SQLite file; raises `NewerData` for a revision they do not know."""
    from alembic import command  # noqa: PLC0415  costs 20 MB and half a second; a running service never needs it
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util.exc import CommandError  # noqa: PLC0415

    sqlite3.connect(path).close()
    path.chmod(0o600)
    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise NewerData(
            f"{path} was written by a newer version ({error})",
            next_step="run that version, or restore a backup of this one",
        ) from error
