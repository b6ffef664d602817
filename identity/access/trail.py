"""Writing the audit log: one row with every change, in the transaction of the change itself.

Rules
- `recording` opens an event for one call. The first write to the database while it is open takes the row along (`kernel.db.Database.accompany`), so that
  neither an effect without its row nor a row without its effect can exist.
- A call without a write, a refused one, and one that fails after its write get a row of their own, before the caller is answered. When that row cannot be written,
  neither is the answer.
- A caller that nobody knows can send as much as it likes: of those refusals, 60 a minute get a row; the next row says how many did not.
- Every row is also a log line with its number and hash: a head kept elsewhere.

Not done here: what the rows are (`audit`), where they are kept (`sql`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import msgspec

from identity.access.audit import DONE, Entry, Event, Head
from identity.access.principal import Principal
from kernel import telemetry
from kernel.clock import Clock, iso
from kernel.errors import KizunaError

UNKNOWN: Final = "unknown"
A_MINUTE: Final = 60
_LONGEST: Final = 300
log = telemetry.get(__name__)


class AuditStore(Protocol):
    """Where rows are kept."""

    async def append(self, event: Event) -> Entry:
        """Write a row alone; durable on return."""
        ...

    async def entries(self, after: int, limit: int) -> list[Entry]: ...
    async def head(self) -> Head: ...


class Pending:
    """The event of a call that is under way; `entry` is its row once that is durable."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.entry: Entry | None = None
        self.open = True


_current: ContextVar[Pending | None] = ContextVar("audit_event", default=None)


def pending() -> Pending | None:
    """The event that the next write must take along, if there is one."""
    found = _current.get()
    return found if found is not None and found.open and found.entry is None else None


def about(key: str) -> None:
    """Name the object of the call under way, where its path does not: the id of what is made."""
    found = pending()
    if found is not None:
        found.event = msgspec.structs.replace(found.event, object=key[:_LONGEST])


class Trail:
    """Records the calls of one service."""

    def __init__(self, store: AuditStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._minute, self._strangers, self._untold = datetime.min.replace(tzinfo=UTC), 0, 0

    @asynccontextmanager
    async def recording(self, caller: Principal, action: str, key: str) -> AsyncIterator[None]:
        """Around a call that changes something: it has its row when the block is left, whatever becomes of it."""
        found = Pending(self._event(caller, action, key, DONE))
        token = _current.set(found)
        try:
            yield
        except BaseException as error:
            found.open = False
            code = error.code if isinstance(error, KizunaError) else f"http-{getattr(error, 'status', 500)}"
            await self._append(msgspec.structs.replace(found.event, outcome=code))
            raise
        finally:
            found.open = False
            _current.reset(token)
        if found.entry is None:
            await self._append(found.event)
        else:
            _tell(found.entry)

    async def refused(self, caller: Principal, action: str, key: str, outcome: str) -> None:
        """A known caller was refused."""
        await self._append(self._event(caller, action, key, outcome))

    async def stranger(self, who: str, action: str, outcome: str) -> None:
        """A caller that has proven nothing was refused; `who` is the key it came with, when that was once good."""
        now = self._clock.now()
        if not timedelta(0) <= now - self._minute < timedelta(minutes=1):
            self._minute, self._strangers = now, 0
        self._strangers += 1
        if self._strangers > A_MINUTE:
            self._untold += 1
            return
        untold, self._untold = self._untold, 0
        name = f"{untold} more were refused since" if untold else ""
        await self._append(self._event(Principal(who or UNKNOWN, name, ()), action, "", outcome))

    def _event(self, caller: Principal, action: str, key: str, outcome: str) -> Event:
        return Event(
            at=iso(self._clock.now()),
            who=caller.who[:_LONGEST],
            name=caller.name[:_LONGEST],
            role=caller.role,
            action=action,
            object=key[:_LONGEST],
            outcome=outcome,
        )

    async def _append(self, event: Event) -> None:
        _tell(await self._store.append(event))


def _tell(entry: Entry) -> None:
    log.info(
        "audit", seq=entry.seq, hash=entry.hash, who=entry.who, action=entry.action, object=entry.object, outcome=entry.outcome
    )
