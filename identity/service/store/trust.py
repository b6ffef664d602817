"""Published trust lists, all of them: what the authority has said stays readable."""

from typing import Final

from msgspec import Struct

from identity.service.store.port import Connection

_COLUMNS: Final = "sequence, content, jwt, since, until"


class Published(Struct, frozen=True):
    """One signed list; `content` is its content as JSON text."""

    sequence: int
    content: str
    jwt: str
    since: str
    until: str


class TrustLists(Struct, frozen=True):
    """The lists of one participant."""

    participant: str

    def newest(self, connection: Connection) -> Published | None:
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM trust_list WHERE participant = ? ORDER BY sequence DESC LIMIT 1",  # noqa: S608  # constant
            (self.participant,),
        ).fetchone()
        return None if row is None else Published(*row)

    def add(self, connection: Connection, found: Published) -> None:
        connection.execute(
            f"INSERT INTO trust_list (participant, {_COLUMNS}) VALUES (?,?,?,?,?,?)",  # noqa: S608  # constant
            (self.participant, found.sequence, found.content, found.jwt, found.since, found.until),
        )
