"""All tables of one participant behind one value, and the transaction that spends a token with what it authorises."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from identity.service.store.admission import Admissions
from identity.service.store.certificates import Certificates
from identity.service.store.issuance import Issuances
from identity.service.store.journal import Journal
from identity.service.store.members import Members
from identity.service.store.port import Connection, Database
from identity.service.store.sqlite import SqliteDatabase
from identity.service.store.status import LENGTH, StatusRows
from identity.service.store.trust import TrustLists
from kernel import db
from kernel.clock import Clock, iso
from kernel.errors import KizunaError

FILE: Final = "data.sqlite"
HEAD: Final = "0001"
MIGRATIONS: Final = Path(__file__).parent / "migrations"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ledger:
    """The tables of one participant (the service's own DID) and the database they live in."""

    participant: str
    database: Database
    clock: Clock
    members: Members
    admissions: Admissions
    issuances: Issuances
    statuses: StatusRows
    certificates: Certificates
    journal: Journal
    trust: TrustLists

    def now(self) -> str:
        """The present, as it is stored."""
        return iso(self.clock.now())

    async def authorised(self, issuer: str, jti: str, expires: str, work: Callable[[Connection], T]) -> T:
        """Spend the token and do the work in one transaction.

        Raises `Unauthorized` for a token that was used before, and whatever `KizunaError` the work raises: then the work is
        undone, and the token stays used.
        """

        def both(connection: Connection) -> T | KizunaError:
            self.journal.spend(connection, issuer=issuer, jti=jti, expires=expires)
            connection.execute("SAVEPOINT authorised")
            try:
                result: T | KizunaError = work(connection)
            except KizunaError as refusal:
                connection.execute("ROLLBACK TO authorised")
                result = refusal
            connection.execute("RELEASE authorised")
            return result

        outcome = await self.database.write(both)
        if isinstance(outcome, KizunaError):
            raise outcome
        return outcome


def ledger(participant: str, database: Database, clock: Clock, *, list_length: int = LENGTH) -> Ledger:
    """The tables of the participant in an open database."""
    return Ledger(
        participant=participant,
        database=database,
        clock=clock,
        members=Members(participant),
        admissions=Admissions(participant),
        issuances=Issuances(participant, database.alive),
        statuses=StatusRows(participant, list_length),
        certificates=Certificates(participant),
        journal=Journal(participant),
        trust=TrustLists(participant),
    )


def migrate(path: Path) -> None:
    """Bring the file to the newest revision."""
    from kernel.migrate import upgrade  # noqa: PLC0415  # alembic costs 40 MB; only a start that migrates needs it

    upgrade(path, MIGRATIONS)


def open_file(directory: Path, participant: str) -> SqliteDatabase:
    """Open the SQLite file of a data directory; raises `InUse`, `NewerData`, `StorageFull`."""
    return SqliteDatabase(db.Database.open(directory / FILE, head=HEAD, upgrade=migrate), participant)


async def open_database(directory: Path, participant: str, url: str) -> Database:
    """The database that the settings name: PostgreSQL by its URL, or else the file. Raises `UnavailableError` and `Misconfigured` beside the errors of `open_file`."""
    if not url:
        return open_file(directory, participant)
    from identity.service.store.postgres import PostgresDatabase  # noqa: PLC0415  # SQLite needs no driver in memory

    return await PostgresDatabase.open(url, participant, head=HEAD, migrations=MIGRATIONS)
