"""What is done at its time: used tokens are forgotten once they could not be used again, events once they are older than they are kept; agreements are renewed and ended.

Of several replicas one at a time looks, so that nothing is done twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from connector.store.port import Store
from kernel import telemetry
from kernel.clock import Clock, iso
from kernel.errors import KizunaError

EVERY: Final = 600.0  # seconds
AT_ONCE: Final = 1_000  # events that are removed in one transaction
log = telemetry.get(__name__)


class Timers:
    """Runs until it is cancelled."""

    def __init__(self, store: Store, clock: Clock, agreements: Callable[[], Awaitable[None]], keep: timedelta) -> None:
        """`agreements` does what is due about agreements, `keep` is how long events are kept."""
        self._store, self._clock, self._agreements, self._keep = store, clock, agreements, keep

    async def run(self) -> None:
        while True:
            try:
                async with self._store.turn("timers"):
                    now = self._clock.now()
                    await self._store.purge(int(now.timestamp()))
                    while await self._store.forget_events(iso(now - self._keep), AT_ONCE):
                        pass
                    await self._agreements()
            except KizunaError as error:
                log.warning("what is due failed", detail=error.detail)
            await asyncio.sleep(EVERY)
