"""Keys, log, door and their routes of one management API, put together."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from identity.access.door import Door, TokenVerifier, guard
from identity.access.keys import Keys, KeyStore
from identity.access.routes import AccessRoutes
from identity.access.trail import AuditStore, Trail
from kernel.clock import Clock
from kernel.errors import Misconfigured
from kernel.web import Route


class AccessStore(KeyStore, AuditStore, Protocol):
    """Where keys and log are kept."""


class Access:
    """Who may use a management API. `load` reads the key of the data directory."""

    def __init__(
        self, store: AccessStore, participant: str, clock: Clock, load: Callable[[], str], provider: TokenVerifier | None = None
    ) -> None:
        self._store, self._participant = store, participant
        self._keys = Keys(store, clock)
        self._provider = provider
        self._door = Door(load, self._keys, provider)
        self._trail = Trail(store, clock)

    def routes(self, others: Sequence[Route]) -> list[Route]:
        """The routes for keys and log, beside these."""
        scopes = frozenset(each.scope for each in others if each.scope)
        return AccessRoutes(self._keys, self._store, self._participant, scopes).routes()

    def guard(self, table: Sequence[Route]) -> Any:
        """The middleware before every route of the table; raises `Misconfigured` for a scope in the settings that no route has."""
        known = {each.scope for each in table}
        unknown = sorted(self._provider.scopes() - known) if self._provider is not None else []
        if unknown:
            raise Misconfigured(f"oidc: no scope {', '.join(unknown)}", next_step=f"scopes: {', '.join(sorted(known - {''}))}")
        return guard(table, self._door, self._trail)

    async def close(self) -> None:
        """Close what was opened to reach the provider."""
        if self._provider is not None:
            await self._provider.close()
