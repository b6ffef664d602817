"""Delivered messages that are not settled yet, because the peer's next message, which usually comes at once, settles them with the commit of its own.

Rules
- A message lingers when the state that it leads to leaves it to the peer alone to go on (`Table.awaits`): what follows by itself comes from there. After any other
  (a last message, a start or suspension of a transfer, after which either side may act) nobody need come, and it is settled at once.
- The commit that confirms the row ends the lingering: nothing is written for it. One that withdraws the row does not, and it is settled.
- It is settled after `SECONDS`, and before anybody looks at its process or acts on it: a person, or the peer by anything that is no proof of it (`exchange`, rule 2).
  Lists and events alone may be late by so much. The time that is written down is that of the answer.
- What lingers holds neither a slot nor a lane, and costs no query. It does not outlast its lease.
- What lingers when the worker ends is left: it is sent again at the next start, as after a crash, and the peer knows it by its `@id`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from msgspec import Struct

from connector.processes import exchange, tables
from connector.processes.model import Process

# The peer's next message comes a few milliseconds after its answer. With 500 negotiations at once it takes 120 ms at the median, 570 ms at most; on a machine that is
# busy with other things as well, up to 1.5 s.
SECONDS: Final = 2.0
Settle = Callable[[], Coroutine[Any, Any, None]]


class _Delivered(Struct, frozen=True):
    process: Process  # as it was when the message was sent
    peer_pid: str  # by the answer, or known before
    settle: Settle
    since: float


class Lingering:
    """At most one message of each process."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self.spawn: Callable[[Coroutine[Any, Any, None]], object] = asyncio.create_task  # how what is settled by itself is run
        self._delivered: dict[str, _Delivered] = {}  # by process, oldest first
        self._timer: asyncio.TimerHandle | None = None

    def __contains__(self, process: str) -> bool:
        return process in self._delivered

    def add(self, process: Process, peer_pid: str, settle: Settle) -> None:
        """Let the pending step of a process linger; `settle` is called once, or not at all."""
        loop = asyncio.get_running_loop()
        self._delivered[process.id] = _Delivered(process, process.peer_pid or peer_pid, settle, loop.time())
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._look)

    def forget(self, process: str) -> None:
        """Its step has been taken."""
        self._delivered.pop(process, None)

    async def settle(self, process: str, by: str = "", pids: tuple[str, ...] = ()) -> None:
        """Now, unless the peer's message `by` will do it, which names the process by these pids."""
        found = self._delivered.get(process)
        if found is not None and not (found.peer_pid in pids and _proves(by, found.process)):
            del self._delivered[process]
            await found.settle()

    def end(self) -> None:
        """Leave them all."""
        self._delivered.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Settle those whose time is over, or nearly so: one look for many."""
        self._timer, loop = None, asyncio.get_running_loop()
        over = loop.time() - self.seconds * 0.9
        while self._delivered:
            process, oldest = next(iter(self._delivered.items()))
            if oldest.since > over:
                self._timer = loop.call_at(oldest.since + self.seconds, self._look)
                return
            del self._delivered[process]
            self.spawn(oldest.settle())


def lingers(process: Process, row: str) -> bool:
    """Whether the message of this row, once delivered, leaves it to the peer to go on."""
    pending = process.pending
    return pending is not None and pending.row == row and tables.table_of(process).awaits(pending.to, process.role)


def _proves(message: str, process: Process) -> bool:
    """Whether the peer's message is legal only after our pending step."""
    table, sender, pending = tables.TABLES[process.kind], exchange.sender_to(process.role), process.pending
    if pending is None or message == table.termination:
        return False
    return table.find(pending.to, message, sender) is not None and table.find(process.state, message, sender) is None
