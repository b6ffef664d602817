"""The service's own work: deliveries, re-signing of lists and CRL, forgetting used tokens.

Rules
- Woken by commits and by the next due time; no polling. A pass that finds nothing to do writes nothing, so it does not wake itself.
- Deliveries run side by side, one task per process: a slow holder delays nobody else. Each is leased first (`store.issuance`), so that no other issuer takes it
  while we live; one that takes longer than its lease is broken off.
- What is here is the work of the roles of this process: only an issuer has a `delivery`.
- The only `except Exception` of the background are here: an unexpected error is logged and tried again after a pause.

Not done here: what the work is (`issuer.delivery`, `issuer.statuslists`, `ca.crl`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from identity.service.issuer.delivery import Delivery
from identity.service.store.issuance import Due
from identity.service.store.ledger import Ledger
from kernel.clock import iso, parse_iso
from kernel.errors import UnavailableError
from kernel.telemetry import get
from kernel.waiting import until

_PARALLEL: Final = 16
_PAUSE: Final = 5.0
_LONGEST: Final = 3600.0
_FORGET: Final = timedelta(minutes=15)
_LEASE: Final = timedelta(minutes=3)
_LONGEST_DELIVERY: Final = 150.0  # seconds; within the lease
_log = get(__name__)

Upkeep = tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[datetime | None]]]


@dataclass(slots=True)
class Worker:
    """One loop; `upkeep` holds pairs of (do what is due, when something is due next)."""

    ledger: Ledger
    delivery: Delivery | None
    upkeep: Sequence[Upkeep]
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    forgotten: datetime | None = None

    async def run(self) -> None:
        """Work until cancelled; running deliveries are cancelled with it and resumed at the next start."""
        try:
            while True:
                self.wake.clear()
                pause = await self._guarded_pass()
                await until(self.wake, pause)
        finally:
            for task in self.under_way.values():
                task.cancel()
            await asyncio.gather(*self.under_way.values(), return_exceptions=True)

    async def _guarded_pass(self) -> float:
        try:
            return await self.step()
        except Exception:  # noqa: BLE001  # the worker must outlive any single failure
            _log.exception("background pass failed")
            return _PAUSE

    async def step(self) -> float:
        """One pass; returns the seconds until something is due."""
        await self._forget_tokens()
        for work, _ in self.upkeep:
            await work()
        if self.delivery is not None:
            await self._take(self.delivery)
        return await self._pause()

    async def _take(self, delivery: Delivery) -> None:
        free, books = _PARALLEL - len(self.under_way), self.ledger
        now, until = books.now(), iso(books.clock.now() + _LEASE)
        if free > 0 and len(await books.database.read(lambda c: books.issuances.due(c, now, 1))) > 0:
            owner = books.database.replica
            for row in await books.database.write(lambda c: books.issuances.claim(c, now, until, owner, free)):
                self._start(delivery, row)

    def _start(self, delivery: Delivery, row: Due) -> None:
        def done(_: asyncio.Task[None]) -> None:
            self.under_way.pop(row.issuance, None)
            self.wake.set()

        task = asyncio.create_task(self._carry(delivery, row))
        self.under_way[row.issuance] = task
        task.add_done_callback(done)

    async def _carry(self, delivery: Delivery, row: Due) -> None:
        try:
            async with asyncio.timeout(_LONGEST_DELIVERY):
                await delivery.deliver(row)
        except Exception:  # noqa: BLE001  # what was foreseen is in the outbox row; the rest must not stop the loop, nor spin it
            _log.exception("delivery failed unexpectedly", pid=row.issuance)
            await asyncio.sleep(_PAUSE)
            with suppress(UnavailableError):  # the lease ends by itself
                await delivery.release(row)

    async def _pause(self) -> float:
        """Seconds until the next due time. Rows under way do not count: their end wakes the loop."""
        times = [moment for _, when in self.upkeep if (moment := await when()) is not None]
        under_way = frozenset(self.under_way)
        if self.delivery is not None and len(under_way) < _PARALLEL:
            waiting = await self.ledger.database.read(lambda c: self.ledger.issuances.waiting(c, len(under_way) + 1))
            times.extend(parse_iso(due) for issuance, due in waiting if issuance not in under_way)
        if not times:
            return _LONGEST
        return min(_LONGEST, max(0.05, (min(times) - self.ledger.clock.now()).total_seconds()))

    async def _forget_tokens(self) -> None:
        now = self.ledger.clock.now()
        if self.forgotten is None or now - self.forgotten >= _FORGET:
            self.forgotten = now
            await self.ledger.database.write(lambda c: self.ledger.journal.forget(c, iso(now)))
