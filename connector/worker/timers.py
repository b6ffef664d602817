"""What is done at its time: used tokens are forgotten once they could not be used again."""

import asyncio
from typing import Final

from connector.store.port import Store
from kernel import telemetry
from kernel.clock import Clock
from kernel.errors import KizunaError

EVERY: Final = 600.0  # seconds
log = telemetry.get(__name__)


class Timers:
    """Runs until it is cancelled."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def run(self) -> None:
        while True:
            try:
                await self._store.purge(int(self._clock.now().timestamp()))
            except KizunaError as error:
                log.warning("purge failed", detail=error.detail)
            await asyncio.sleep(EVERY)
