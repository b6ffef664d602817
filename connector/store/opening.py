"""Which database a connector has: PostgreSQL where the settings name one, else SQLite in its data directory."""

from pathlib import Path
from typing import Final

from connector.settings import Settings
from connector.store.port import Store
from connector.store.sqlite import SqliteStore, open_database

DATABASE: Final = "data.sqlite"


async def open_store(directory: Path, found: Settings) -> Store:
    """The opened store; raises `Misconfigured`, `InUse`, `NewerData`, `UnavailableError`."""
    if not found.database:
        return SqliteStore(open_database(directory / DATABASE), found.did)
    from connector.store.postgres import PostgresStore  # noqa: PLC0415  a connector on SQLite needs no driver in memory

    return await PostgresStore.open(found.database, found.did, found.lease)
