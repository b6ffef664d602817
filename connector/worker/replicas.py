"""What a replica holds in memory, kept in step with the others: the catalog's shelf, the member certificate, and our keys.

A notice says what has changed; where some may have been missed, everything is read anew. What cannot be read is tried again after a second.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from connector.store.port import Store
from kernel import telemetry
from kernel.errors import KizunaError

PAUSE: Final = 1.0
OFFER: Final = "offer"
MEMBERSHIP: Final = "membership"
KEYS: Final = "keys"
log = telemetry.get(__name__)


class Replicas:
    """Follows the other replicas; `run` ends when it is cancelled."""

    def __init__(
        self,
        store: Store,
        offer: Callable[[str], Awaitable[None]],
        membership: Callable[[], Awaitable[None]],
        keys: Callable[[], None],
    ) -> None:
        """`offer` takes an id, or nothing for all of them; `keys` reads those of the data directory again."""
        self._offer, self._membership, self._keys = offer, membership, keys
        self._heard: dict[tuple[str, str], None] = {}
        self._awake = asyncio.Event()
        store.on_notice(self._hear)

    def _hear(self, kind: str, key: str) -> None:
        self._heard[kind, key] = None
        self._awake.set()

    async def run(self) -> None:
        while True:
            await self._awake.wait()
            self._awake.clear()
            while self._heard:
                kind, key = next(iter(self._heard))
                del self._heard[kind, key]
                try:
                    await self._follow(kind, key)
                except (KizunaError, OSError) as error:
                    log.warning("another replica's change cannot be read", kind=kind, detail=str(error))
                    await asyncio.sleep(PAUSE)
                    self._heard[kind, key] = None

    async def _follow(self, kind: str, key: str) -> None:
        if kind in (OFFER, ""):
            await self._offer(key)
        if kind in (MEMBERSHIP, ""):
            await self._membership()
        if kind in (KEYS, ""):
            self._keys()
