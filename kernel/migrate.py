"""Bringing a database to the newest revision with alembic, which is imported only when there is something to do.

The scripts find the connection as `context.config.attributes["connection"]`, or the address of a SQLite file as `sqlalchemy.url`. Replicas that start together take
turns: the first one upgrades.
"""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, Final

from kernel.errors import NewerData

TURN: Final = 4_707_382_213_127_001  # of all that upgrade one PostgreSQL database


def upgrade(path: Path, scripts: Path) -> None:
    """Run the migrations in `scripts` on the SQLite file; raises `NewerData` for a revision they do not know."""
    from sqlalchemy import create_engine, pool  # noqa: PLC0415  costs 20 MB and half a second; a running service never needs it

    sqlite3.connect(path).close()
    path.chmod(0o600)
    engine = create_engine(f"sqlite:///{path}", poolclass=pool.NullPool)
    with engine.connect() as connection:
        _run(scripts, str(path), connection)
    engine.dispose()


def upgrade_server(url: str, scripts: Path) -> None:
    """The same for a PostgreSQL database; for a thread without an event loop."""
    asyncio.run(_upgrade_server(url, scripts))


async def _upgrade_server(url: str, scripts: Path) -> None:
    import asyncpg  # noqa: PLC0415
    from sqlalchemy import pool  # noqa: PLC0415
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

    turn = await asyncpg.connect(url)
    try:
        await turn.execute("SELECT pg_advisory_lock($1)", TURN)
        engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=pool.NullPool)
        async with engine.connect() as connection:
            await connection.run_sync(lambda sync: _run(scripts, "the database", sync))
        await engine.dispose()
    finally:
        await turn.close()


def _run(scripts: Path, name: str, connection: Any) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util.exc import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.set_main_option("sqlalchemy.url", str(connection.engine.url).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise NewerData(
            f"{name} was written by a newer version ({error})",
            next_step="run that version, or restore a backup of this one",
        ) from error
