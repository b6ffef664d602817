"""What happens to running processes when the standing of a member changes.

| event | transfers | negotiations |
|---|---|---|
| suspended | suspended, or terminated (setting `on_suspension`) | stay; nothing is taken or sent |
| reinstated | those that we suspended for that go on | go on: what waits in the outbox is sent |
| revoked | terminated | terminated |
| a credential is revoked or suspended | those that relied on it are suspended (`worker.monitor`) | the next message is judged anew |

Every measure can be repeated: a process that has taken the step, or is about to, is left alone.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Literal

from connector.commands import Commands
from connector.processes.model import Kind, Process
from connector.store.port import Store
from kernel import telemetry
from kernel.errors import KizunaError

SUSPENDED: Final = "the authority has suspended the membership"
REVOKED: Final = "the authority has ended the membership"
Lost = Callable[[str], Awaitable[None]]
log = telemetry.get(__name__)


class Measures:
    """Own steps in the processes with one member."""

    def __init__(
        self, store: Store, commands: Commands, on_suspension: Literal["suspend", "terminate"], lost: Lost | None = None
    ) -> None:
        """`lost` does what follows when a credential of a member does not count any more."""
        self._store, self._commands, self._on_suspension, self._lost = store, commands, on_suspension, lost

    async def credential(self, did: str) -> None:
        """Decide anew what relied on a credential of this member."""
        if self._lost is not None:
            await self._lost(did)

    async def suspended(self, did: str) -> None:
        """Close the data to this member, in the protocol's terms."""
        for each in await self._store.open_with(did):
            if each.kind == "transfer" and (self._on_suspension == "terminate" or each.state == "STARTED"):
                await self._step(each, self._on_suspension, SUSPENDED)

    async def revoked(self, did: str) -> None:
        """End everything with this member."""
        for each in await self._store.open_with(did):
            await self._step(each, "terminate", REVOKED)

    async def reinstated(self, did: str) -> bool:
        """Go on with what was suspended for that; False while some of it is still on its way to being suspended."""
        waiting, processes = False, await self._store.open_with(did)
        for row in await self._store.outbox(*(each.id for each in processes)) if processes else ():
            await self._store.release(row.row.id)
        for each in processes:
            if each.kind != "transfer":
                continue
            if each.pending is not None:
                waiting = waiting or each.pending.sets.get("note") == SUSPENDED
            elif each.state == "SUSPENDED" and each.note == SUSPENDED:
                await self._step(each, "resume", "")
        return not waiting

    async def _step(self, process: Process, name: str, reason: str) -> None:
        kind: Kind = process.kind
        try:
            await self._commands.step(kind, process.id, name, reason)
        except KizunaError as error:  # the process has ended, or takes another step: the door stays shut all the same
            log.warning("measure not taken", pid=process.id, peer=process.peer, step=name, detail=error.detail)
