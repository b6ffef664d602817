"""Events in SQL: written along with what they tell (`connector.store.happened`), read in the order of commits, and forgotten from the oldest on."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import chain, takewhile
from typing import Any, Final

import msgspec

from connector.store import happened
from connector.store.port import Happened
from kernel.clock import Clock, iso

Statement = tuple[str, tuple[Any, ...]]
encode = msgspec.msgpack.encode
_EVENT: Final = "INSERT INTO event (participant, at, kind, subject, body) VALUES "


class SqlEvents(ABC):
    """The part of a `Store` that tells what happened, but for what differs between the databases."""

    _me: str
    _clock: Clock
    _after, _before, _order, _newest = "seq > ?", "seq < ?", "seq", "seq DESC"  # as they are committed
    _settled = ""  # which of them may be told, where they become visible in another order

    @abstractmethod
    async def _rows(self, sql: str, *arguments: Any) -> Sequence[Any]:
        """What a query finds; rows are tuples."""

    @abstractmethod
    async def _write(self, *statements: Statement) -> Sequence[Any]:
        """Write in one transaction, all or nothing; what the last statement returns. Broken uniqueness raises what `broken` makes of it."""

    def _events(self, told: Iterable[Happened], at: str = "") -> list[Statement]:
        found = tuple(told)
        at = at or (iso(self._clock.now()) if found else "")
        rows = [(self._me, at, each.kind, each.subject, encode(each.facts)) for each in found]
        return [several(_EVENT, "(?,?,?,?,?)", rows)] if rows else []

    async def events(self, after: str, limit: int) -> list[Happened]:
        sql = f"SELECT turn, seq, at, kind, subject, body FROM event WHERE participant = ? AND {self._after}{self._settled} ORDER BY {self._order} LIMIT ?"  # noqa: S608  constants
        rows = await self._rows(sql, self._me, *self._place(after), limit)
        return [
            Happened(id=f"{turn}.{seq}", at=at, kind=kind, subject=subject, facts=msgspec.msgpack.decode(body))
            for turn, seq, at, kind, subject, body in rows
        ]

    async def last_event(self) -> str:
        return await self._outermost(self._newest)

    async def first_event(self) -> str:
        return await self._outermost(self._order)

    async def _outermost(self, order: str) -> str:
        sql = f"SELECT turn, seq FROM event WHERE participant = ?{self._settled} ORDER BY {order} LIMIT 1"  # noqa: S608  constants
        rows = await self._rows(sql, self._me)
        return f"{rows[0][0]}.{rows[0][1]}" if rows else ""

    async def forget_events(self, before: str, most: int) -> int:
        sql = f"SELECT turn, seq, at FROM event WHERE participant = ?{self._settled} ORDER BY {self._order} LIMIT ?"  # noqa: S608  constants
        old = list(takewhile(lambda row: row[2] < before, await self._rows(sql, self._me, most)))
        if len(old) > 1:
            place = self._place(f"{old[-1][0]}.{old[-1][1]}")
            await self._write((f"DELETE FROM event WHERE participant = ? AND {self._before}", (self._me, *place)))  # noqa: S608  constants
        return max(0, len(old) - 1)

    async def settling(self, after: str) -> bool:
        sql = f"SELECT 1 FROM event WHERE participant = ? AND {self._after} LIMIT 1"  # noqa: S608  constants
        return bool(await self._rows(sql, self._me, *self._place(after)))

    def _place(self, after: str) -> tuple[int, ...]:
        return happened.place(after)[-self._after.count("?") :]


def several(sql: str, values: str, rows: Sequence[tuple[Any, ...]]) -> Statement:
    """One INSERT of several rows, in their order."""
    return sql + ", ".join([values] * len(rows)), tuple(chain.from_iterable(rows))
