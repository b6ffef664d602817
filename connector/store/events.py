"""Events in SQL: written along with what they tell (`connector.store.happened`), read in the order of commits, and forgotten from the oldest on.

What one write tells is one row. The id of an event is the place of its row, and its own place in the row as the last two digits (`_IN_ROW`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import chain, islice, takewhile
from typing import Any, Final

import msgspec

from connector.store import happened
from connector.store.port import EventKind, Happened
from kernel.clock import Clock, iso

Statement = tuple[str, tuple[Any, ...]]
encode = msgspec.msgpack.encode
_EVENT: Final = "INSERT INTO event (participant, at, body) VALUES "
_IN_ROW: Final = 100


class SqlEvents(ABC):
    """The part of a `Store` that tells what happened, but for what differs between the databases."""

    _me: str
    _clock: Clock
    _from, _after, _before, _order, _newest = "seq >= ?", "seq > ?", "seq < ?", "seq", "seq DESC"  # as they are committed
    _settled = ""  # which of them may be told, where they become visible in another order

    @abstractmethod
    async def _rows(self, sql: str, *arguments: Any) -> Sequence[Any]:
        """What a query finds; rows are tuples."""

    @abstractmethod
    async def _write(self, *statements: Statement) -> Sequence[Any]:
        """Write in one transaction, all or nothing; what the last statement returns. Broken uniqueness raises what `broken` makes of it."""

    def _events(self, told: Iterable[Happened], at: str = "") -> list[Statement]:
        found = [(each.kind, each.subject, each.facts) for each in told]
        if not found:
            return []
        at = at or iso(self._clock.now())
        rows = [(self._me, at, encode(found[first : first + _IN_ROW])) for first in range(0, len(found), _IN_ROW)]
        return [several(_EVENT, "(?,?,?)", rows)]

    async def events(self, after: str, limit: int) -> list[Happened]:
        sql = f"SELECT turn, seq, at, body FROM event WHERE participant = ? AND {self._from}{self._settled} ORDER BY {self._order} LIMIT ?"  # noqa: S608  constants
        rows = await self._rows(sql, self._me, *self._place(after), limit + 1)  # all of the first one may have been told
        told, last = chain.from_iterable(map(_told, rows)), happened.place(after)
        return list(islice((each for each in told if happened.place(each.id) > last), limit))

    async def last_event(self) -> str:
        return await self._outermost(self._newest, -1)

    async def first_event(self) -> str:
        return await self._outermost(self._order, 0)

    async def _outermost(self, order: str, which: int) -> str:
        sql = f"SELECT turn, seq, at, body FROM event WHERE participant = ?{self._settled} ORDER BY {order} LIMIT 1"  # noqa: S608  constants
        rows = await self._rows(sql, self._me)
        return _told(rows[0])[which].id if rows else ""

    async def forget_events(self, before: str, most: int) -> int:
        sql = f"SELECT turn, seq, at FROM event WHERE participant = ?{self._settled} ORDER BY {self._order} LIMIT ?"  # noqa: S608  constants
        old = list(takewhile(lambda row: row[2] < before, await self._rows(sql, self._me, most)))
        if len(old) > 1:
            place = old[-1][:2][-self._before.count("?") :]
            await self._write((f"DELETE FROM event WHERE participant = ? AND {self._before}", (self._me, *place)))  # noqa: S608  constants
        return max(0, len(old) - 1)

    async def settling(self, after: str) -> bool:
        sql = f"SELECT 1 FROM event WHERE participant = ? AND {self._after} LIMIT 1"  # noqa: S608  constants
        return bool(await self._rows(sql, self._me, *self._place(after)))

    def _place(self, after: str) -> tuple[int, ...]:
        turn, place = happened.place(after)
        return (turn, place // _IN_ROW)[-self._after.count("?") :]


def _told(row: Sequence[Any]) -> list[Happened]:
    turn, seq, at, body = row
    found = msgspec.msgpack.decode(body, type=list[tuple[EventKind, str, dict[str, str]]])
    return [
        Happened(id=f"{turn}.{seq * _IN_ROW + n}", at=at, kind=kind, subject=subject, facts=facts)
        for n, (kind, subject, facts) in enumerate(found)
    ]


def several(sql: str, values: str, rows: Sequence[tuple[Any, ...]]) -> Statement:
    """One INSERT of several rows, in their order."""
    return sql + ", ".join([values] * len(rows)), tuple(chain.from_iterable(rows))
