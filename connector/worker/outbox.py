"""The outbox worker: every row that a transaction left behind is carried out, in the order of its process, until it is done.

Rules
- It sleeps until a commit or the next due time wakes it; an idle connector does nothing.
- At most one row of a process at a time, at most `parallel` in all. Every attempt has a new token, the same body and the same `@id`.
- After the answer the core decides (`exchange.delivered | refused`), and its commit takes the row away. A row that was confirmed or withdrawn meanwhile is
  simply not there any more.
- The attempt of a row that a commit has taken away is broken off.
- After a crash all rows are due again: a message may arrive twice, and the peer knows it by its `@id`.

Points where a test may end the process: `outbox:before-send`, `outbox:after-send`, `outbox:after-commit`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import msgspec

from connector.dsp.outbound import Answer
from connector.processes import exchange, tables, transfer
from connector.processes.errors import VersionConflict
from connector.processes.model import Commit, OutboxRow, Process
from connector.store.port import Due, Store
from connector.worker.reactions import UNREACHABLE, Reaction, delay, reaction
from kernel import telemetry
from kernel.clock import Clock, iso, parse_iso
from kernel.errors import KizunaError
from kernel.faults import crashpoint

ATTEMPTS: Final = 5
log = telemetry.get(__name__)
Send = Callable[[Process, OutboxRow], Awaitable[Answer]]
Push = Callable[[Process], Awaitable[None]]


class Outbox:
    """Carries out rows; `run` ends when it is cancelled."""

    def __init__(
        self, store: Store, send: Send, push: Push, clock: Clock, new_id: Callable[[], str], *, parallel: int = 64
    ) -> None:
        self._store, self._send, self._push, self._clock = store, send, push, clock
        self._new_id, self._parallel = new_id, parallel
        self._awake = asyncio.Event()
        self._busy: dict[str, str] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        store.on_commit(self._awake.set)

    def wake(self) -> None:
        """Look again now."""
        self._awake.set()

    async def run(self) -> None:
        """Until cancelled; rows under way are then left for the next start."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._awake.clear()
                await self._cut()
                for due in await self._ready():
                    self._busy[due.row.id] = due.row.process
                    self._running[due.row.id] = tasks.create_task(self._carry(due))
                await self._sleep()

    async def _cut(self) -> None:
        """Break off the attempts of rows that were withdrawn, so that they cannot arrive when they would be legal again."""
        for key in set(self._running) - await self._store.living(frozenset(self._running)):
            self._running[key].cancel()

    async def _ready(self) -> list[Due]:
        free = self._parallel - len(self._busy)
        return await self._store.due(iso(self._clock.now()), free, self._taken()) if free > 0 else []

    def _taken(self) -> frozenset[str]:
        return frozenset(self._busy) | frozenset(self._busy.values())

    async def _sleep(self) -> None:
        following = await self._store.next_due(self._taken()) if len(self._busy) < self._parallel else None
        seconds = None
        if following is not None:
            seconds = max(0.0, (parse_iso(following) - self._clock.now()).total_seconds()) if following else 0.0
        try:
            async with asyncio.timeout(seconds):  # wait_for would lose a cancellation that meets the wake
                await self._awake.wait()
        except TimeoutError:
            return

    async def _carry(self, due: Due) -> None:
        row = due.row
        try:
            process = await self._store.process(row.process)
            if process is None:
                await self._store.drop(row.id)
                return
            with telemetry.bound(pid=process.id, peer=process.peer, state=process.state, message=row.message, message_id=row.id):
                await (self._deliver(process, due) if row.act == "dsp" else self._carry_push(process, due))
        except KizunaError as error:
            log.warning("outbox row failed", row=row.id, detail=error.detail)
        finally:
            self._busy.pop(row.id, None)
            self._running.pop(row.id, None)
            self._awake.set()

    async def _deliver(self, process: Process, due: Due) -> None:
        crashpoint("outbox:before-send")
        try:
            answer = await self._send(process, due.row)
        except KizunaError as error:
            await self._postpone(due, UNREACHABLE, error.detail, "")
            return
        crashpoint("outbox:after-send")
        self._running.pop(due.row.id, None)  # the attempt is over: nothing is left to break off
        found = reaction(answer.status, first_message=not process.state)
        if found.action == "deliver":
            await self._settle(due.row, lambda current: self._delivered(current, due.row, answer))
            log.info("delivered", status=answer.status)
        elif found.action == "refuse":
            why = f"{found.text} ({answer.status}): {answer.excerpt}"
            await self._settle(due.row, lambda current: self._refused(current, due.row, why))
            log.warning("refused by the peer", status=answer.status, excerpt=answer.excerpt)
        else:
            await self._postpone(due, found, f"{found.text} ({answer.status})", answer.retry_after)
        crashpoint("outbox:after-commit")

    def _delivered(self, process: Process, row: OutboxRow, answer: Answer) -> Commit | None:
        known = answer.acknowledgement
        theirs = known.provider_pid if process.role == "consumer" else known.consumer_pid
        table = tables.TABLES[process.kind]
        change = exchange.delivered(table, process, row.id, now=iso(self._clock.now()), peer_pid=theirs)
        if change is None:
            return None
        if process.kind == "transfer":
            change = msgspec.structs.replace(change, outbox=(*change.outbox, *transfer.pushes(change, self._new_id)))
        return exchange.commit(change, process.version)

    def _refused(self, process: Process, row: OutboxRow, why: str) -> Commit | None:
        table = tables.TABLES[process.kind]
        change = exchange.refused(table, process, row.id, reason=why, now=iso(self._clock.now()))
        return None if change is None else exchange.commit(change, process.version)

    async def _settle(self, row: OutboxRow, decide: Callable[[Process], Commit | None]) -> None:
        for _ in range(ATTEMPTS):
            process = await self._store.process(row.process)
            commit = decide(process) if process is not None else None
            if commit is None:
                await self._store.drop(row.id)
                return
            try:
                await self._store.commit(commit)
            except VersionConflict:
                continue
            return
        log.warning("the process keeps moving; its answer is read again later", row=row.id)

    async def _carry_push(self, process: Process, due: Due) -> None:
        try:
            await self._push(process)
        except KizunaError as error:
            await self._postpone(due, UNREACHABLE, error.detail, "")
            return
        await self._store.drop(due.row.id)

    async def _postpone(self, due: Due, found: Reaction, reason: str, retry_after: str) -> None:
        parked = found.action == "park" and due.attempts + 1 >= found.tries
        seconds = 3600.0 if parked else delay(found, due.attempts, retry_after, random.random())  # noqa: S311  spreads load
        when = iso(self._clock.now() + timedelta(seconds=seconds))
        await self._store.postpone(due.row.id, when, reason[:500], parked=parked)
        log.warning("parked" if parked else "postponed", reason=reason, until=when, attempts=due.attempts + 1)
