"""What is done at its time: used tokens are forgotten once they could not be used again, agreements are renewed and ended.

Of several replicas one at a time looks, so that nothing is done twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from connector.store.port import Store
from kernel import telemetry
from kernel.clock import Clock
from kernel.errors import KizunaError

EVERY: Final = 600.0  # seconds
log = telemetry.get(__name__)


class Timers:
    """Runs until it is cancelled."""

    def __init__(self, store: Store, clock: Clock, agreements: Callable[[], Awaitable[None]]) -> None:
        """`agreements` does what is due about agreements."""
        self._store, self._clock, self._agreements = store, clock, agreements

    async def run(self) -> None:
        while True:
            try:
                async with self._store.turn("timers"):
                    await self._store.purge(int(self._clock.now().timestamp()))
                    await self._agreements()
            except KizunaError as error:
                log.warning("what is due failed", detail=error.detail)
            await asyncio.sleep(EVERY)
