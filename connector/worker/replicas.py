"""What a replica holds in memory, kept in step with the others: the catalog's shelf, trade relations, the member certificate, and our keys.

A notice says what has changed; where some may have been missed, everything is read anew. What cannot be read is tried again after a second.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from connector.store.port import Store
from kernel import telemetry
from kernel.errors import KizunaError

PAUSE: Final = 1.0
OFFER: Final = "offer"
RELATION: Final = "relation"
MEMBERSHIP: Final = "membership"
KEYS: Final = "keys"
log = telemetry.get(__name__)
Follow = Callable[[str], Awaitable[None]]


class Replicas:
    """Follows the other replicas; `run` ends when it is cancelled."""

    def __init__(self, store: Store, followers: Mapping[str, Follow]) -> None:
        """`followers` by kind of change (`Store.on_notice`): each takes the key of what has changed, or nothing for all of its kind."""
        self._followers = followers
        self._heard: dict[tuple[str, str], None] = {}
        self._awake = asyncio.Event()
        store.on_notice(self._hear)

    def _hear(self, kind: str, key: str) -> None:
        if kind in ("", *self._followers):
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
                    for name, follow in self._followers.items():
                        if kind in (name, ""):
                            await follow(key)
                except (KizunaError, OSError) as error:
                    log.warning("another replica's change cannot be read", kind=kind, detail=str(error))
                    await asyncio.sleep(PAUSE)
                    self._heard[kind, key] = None
