"""The service's own work: deliveries, re-signing of lists and CRL, forgetting used tokens.

Rules
- Woken by commits and by the next due time; no polling. A pass that finds nothing to do writes nothing, so it does not wake itself.
- Deliveries run side by side, one task per process: a slow holder delays nobody else.
- The only `except Exception` of the background are here: an unexpected error is logged and tried again after a pause.

Not done here: what the work is (`issuer.delivery`, `issuer.statuslists`, `ca.crl`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from identity.service.issuer.delivery import Delivery
from identity.service.store.issuance import Due
from identity.service.store.ledger import Ledger
from kernel.clock import iso, parse_iso
from kernel.telemetry import get

_PARALLEL: Final = 16
_PAUSE: Final = 5.0
_LONGEST: Final = 3600.0
_FORGET: Final = timedelta(minutes=15)
_log = get(__name__)

Upkeep = tuple[Callable[[], Awaitable[None]], Callable[[], datetime | None]]


@dataclass(slots=True)
class Worker:
    """One loop; `upkeep` holds pairs of (do what is due, when something is due next)."""

    ledger: Ledger
    delivery: Delivery
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
                try:
                    async with asyncio.timeout(pause):  # wait_for would lose a cancellation that meets the wake
                        await self.wake.wait()
                except TimeoutError:
                    continue
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
        now = self.ledger.now()
        free = _PARALLEL - len(self.under_way)
        if free > 0:
            due = self.ledger.database.read(lambda c: self.ledger.issuances.due(c, now, _PARALLEL * 2))
            for row in [row for row in due if row.issuance not in self.under_way][:free]:
                self._start(row)
        return self._pause()

    def _start(self, row: Due) -> None:
        def done(_: asyncio.Task[None]) -> None:
            self.under_way.pop(row.issuance, None)
            self.wake.set()

        task = asyncio.create_task(self._carry(row))
        self.under_way[row.issuance] = task
        task.add_done_callback(done)

    async def _carry(self, row: Due) -> None:
        try:
            await self.delivery.deliver(row)
        except Exception:  # noqa: BLE001  # what was foreseen is in the outbox row; the rest must not stop the loop, nor spin it
            _log.exception("delivery failed unexpectedly", pid=row.issuance)
            await asyncio.sleep(_PAUSE)

    def _pause(self) -> float:
        """Seconds until the next due time. Rows under way do not count: their end wakes the loop."""
        times = [moment for _, when in self.upkeep if (moment := when()) is not None]
        if len(self.under_way) < _PARALLEL:
            waiting = self.ledger.database.read(lambda c: self.ledger.issuances.waiting(c, len(self.under_way) + 1))
            times.extend(parse_iso(due) for issuance, due in waiting if issuance not in self.under_way)
        if not times:
            return _LONGEST
        return min(_LONGEST, max(0.05, (min(times) - self.ledger.clock.now()).total_seconds()))

    async def _forget_tokens(self) -> None:
        now = self.ledger.clock.now()
        if self.forgotten is None or now - self.forgotten >= _FORGET:
            self.forgotten = now
            await self.ledger.database.write(lambda c: self.ledger.journal.forget(c, iso(now)))
