"""The outbox worker: every row that a transaction left behind is carried out, in the order of its process, until it is done.

Rules
- It sleeps until a commit or the next due time wakes it; an idle connector does nothing.
- At most one row of a process at a time, as many in all and to one peer as `lanes` allows. Every attempt has a new token, the same body and the same `@id`.
- After the answer the core decides (`exchange.delivered | refused`), and its commit takes the row away, sooner or later (`lingering`). A row that was confirmed or
  withdrawn meanwhile is simply not there any more.
- The attempt of a row that a commit has taken away is broken off.
- After a crash all rows are due again: a message may arrive twice, and the peer knows it by its `@id`.
- Where replicas share the store, a claimed row is leased: an attempt whose lease has ended before it began is not begun. A store that fails is asked again after a second.

Points where a test may end the process: `outbox:before-send`, `outbox:after-send`, `outbox:after-commit`.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

import msgspec

from connector.dsp import outbound
from connector.dsp.outbound import Answer
from connector.optimistic import ATTEMPTS
from connector.processes import exchange, tables, transfer
from connector.processes.errors import VersionConflict
from connector.processes.model import Commit, OutboxRow, Process
from connector.store.port import Claim, Store
from connector.worker.lanes import PATIENCE, Lanes
from connector.worker.lingering import Lingering, Settle, lingers
from connector.worker.reactions import MISTAKEN, UNREACHABLE, Reaction, delay, reaction
from kernel import telemetry
from kernel.clock import Clock, iso, parse_iso
from kernel.errors import KizunaError
from kernel.faults import crashpoint
from kernel.http import Unreachable

FAULT: Final = 1.0  # seconds until the next try when the store fails
log = telemetry.get(__name__)
T = TypeVar("T")
Send = Callable[[Process, OutboxRow], Awaitable[Answer]]
Push = Callable[[Process], Awaitable[None]]


class Outbox:
    """Carries out rows; `run` ends when it is cancelled."""

    def __init__(
        self,
        store: Store,
        send: Send,
        push: Push,
        clock: Clock,
        new_id: Callable[[], str],
        *,
        parallel: int = 64,
        ready_within: Callable[[str], float] = lambda _peer: 0.0,
        patience: float = PATIENCE,
        lingering: Lingering | None = None,
    ) -> None:
        """`ready_within`: seconds for which a peer (DID) may answer a first message by 404 because it is not ready. `patience`: see `lanes`."""
        self._store, self._send, self._push, self._clock = store, send, push, clock
        self._new_id, self._ready_within = new_id, ready_within
        self._lanes = Lanes(parallel, patience)
        self._awake = asyncio.Event()
        self._busy: dict[str, str] = {}  # by process its row that is under way or lingers
        self._running: dict[str, asyncio.Task[None]] = {}
        self._given_up: set[str] = set()  # rows whose attempts are broken off because too many wait for an answer
        self._lingering = lingering or Lingering()
        store.on_commit(self._awake.set)
        store.on_gone(self._gone)

    def wake(self) -> None:
        """Look again now."""
        self._awake.set()

    async def run(self) -> None:
        """Until cancelled; rows under way are then left for the next start."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._lingering.spawn = tasks.create_task
                while True:
                    self._awake.clear()
                    try:
                        following = await self._look(tasks)
                    except KizunaError as error:
                        log.warning("the outbox cannot be read", detail=error.detail)
                        following = self._in(FAULT)
                    await self._sleep(following)
        finally:
            self._lingering.end()

    def _gone(self, commit: Commit) -> None:
        """Rows that a commit has confirmed: the next ones of their process may be sent. Of those that it has withdrawn, what the peer has answered counts."""
        key = commit.process.id
        row = self._busy.get(key)
        if row in commit.confirmed:
            del self._busy[key]
            self._lingering.forget(key)
        elif row in commit.withdrawn and key in self._lingering:
            self._lingering.spawn(self._lingering.settle(key))
        self._awake.set()

    async def _look(self, tasks: asyncio.TaskGroup) -> str | None:
        """Begin what is due; the time of what follows."""
        await self._cut()
        self._given_up |= (excess := set(self._lanes.excess()))
        for key in excess:
            self._running[key].cancel()
        if not (free := self._lanes.free()):
            return None
        claims, following = await self._store.claim(iso(self._clock.now()), free, self._busy.keys(), self._lanes.rooms())
        for claim in claims:
            self._busy[claim.row.process] = claim.row.id
            self._lanes.began(claim.lane, claim.row.id)
            self._running[claim.row.id] = tasks.create_task(self._carry(claim))
        if claims:
            await asyncio.sleep(0)  # now all have begun: what is broken off before would never end
        return following

    async def _cut(self) -> None:
        """Break off the attempts of rows that were withdrawn, so that they cannot arrive when they would be legal again."""
        running = frozenset(self._running)
        for key in running - await self._store.living(running):
            if key in self._running:  # it may have ended while the store was asked
                self._running[key].cancel()

    async def _sleep(self, following: str | None) -> None:
        seconds = self._store.patience
        if self._busy:  # whose peer may have become quiet
            seconds = self._lanes.patience if seconds is None else min(self._lanes.patience, seconds)
        if following is not None:
            wait = max(0.0, (parse_iso(following) - self._clock.now()).total_seconds()) if following else 0.0
            seconds = wait if seconds is None else min(wait, seconds)
        timer = asyncio.get_running_loop().call_later(seconds, self._awake.set) if seconds is not None else None
        await self._awake.wait()
        if timer is not None:
            timer.cancel()

    async def _carry(self, due: Claim) -> None:
        row, process = due.row, due.process
        try:
            if process is None:
                await self._store.drop(row.id, due.fence)
                return
            with telemetry.bound(pid=process.id, peer=process.peer, state=process.state, message=row.message, message_id=row.id):
                await (self._deliver(process, due) if row.act == "dsp" else self._carry_push(process, due))
        except KizunaError as error:
            log.warning("outbox row failed", row=row.id, detail=error.detail)
            await asyncio.sleep(FAULT)
        finally:
            if row.process not in self._lingering:
                self._free(row)
            self._running.pop(row.id, None)
            self._given_up.discard(row.id)
            self._lanes.ended(due.lane, row.id)
            self._awake.set()

    def _free(self, row: OutboxRow) -> None:
        """It is neither under way nor lingers; another one of its process may be by now."""
        if self._busy.get(row.process) == row.id:
            del self._busy[row.process]

    async def _attempt(self, due: Claim, call: Awaitable[T]) -> T:
        """What the peer answers; its lane hears of that, and whether it has answered at all."""
        try:
            answer = await call
        except Unreachable:
            self._lanes.unanswered(due.lane, due.row.id)
            raise
        except asyncio.CancelledError as error:
            if due.row.id not in self._given_up or self._running[due.row.id].uncancel():
                raise
            self._lanes.unanswered(due.lane, due.row.id)
            raise Unreachable("no answer yet, and many others are waited for") from error
        self._lanes.answered(due.lane, due.row.id)
        return answer

    async def _deliver(self, process: Process, due: Claim) -> None:
        crashpoint("outbox:before-send")
        if time.monotonic() >= due.until:
            log.warning("the lease has ended before the message was sent")
            return
        try:
            answer = await self._attempt(due, self._send(process, due.row))
        except KizunaError as error:
            await self._postpone(due, UNREACHABLE, error.detail, "")
            return
        crashpoint("outbox:after-send")
        self._running.pop(due.row.id, None)  # the attempt is over: nothing is left to break off
        patience = self._patience(process) if answer.status == 404 else 0.0
        found = reaction(answer.status, first_message=not process.state, patience=patience)
        if found.action == "deliver" and (why := outbound.mistaken(answer, process)):
            found = Reaction((answer.status,), "park", MISTAKEN.first, why, MISTAKEN.tries)
        if found.action == "deliver":
            log.info("delivered", status=answer.status)
            await self._conclude(process, due, answer)
        elif found.action == "refuse":
            why = f"{found.text} ({answer.status}): {answer.excerpt}"
            await self._settle(process, due, lambda current: self._refused(current, due.row, why))
            log.warning("refused by the peer", status=answer.status, excerpt=answer.excerpt)
        else:
            await self._postpone(due, found, f"{found.text} ({answer.status})", answer.retry_after)
        crashpoint("outbox:after-commit")

    async def _conclude(self, process: Process, due: Claim, answer: Answer) -> None:
        """Settle a delivered message, now or after it has lingered."""
        if self._busy.get(process.id) != due.row.id:
            return  # the peer's next message was here before this answer, and has confirmed it
        now, theirs = iso(self._clock.now()), _theirs(answer, process)
        settle = partial(self._settle, process, due, lambda current: self._delivered(current, due.row, theirs, now))
        if lingers(process, due.row.id) and time.monotonic() + self._lingering.seconds < due.until:
            self._lingering.add(process, theirs, partial(self._late, due, settle))
        else:
            await settle()

    async def _late(self, due: Claim, settle: Settle) -> None:
        try:
            await settle()
        except KizunaError as error:
            log.warning("outbox row failed", row=due.row.id, detail=error.detail)
            await asyncio.sleep(FAULT)
        finally:
            self._free(due.row)
            self._awake.set()

    def _patience(self, process: Process) -> float:
        """Seconds that the peer of a new process still has to be ready."""
        return self._ready_within(process.peer) - (self._clock.now() - parse_iso(process.created)).total_seconds()

    def _delivered(self, process: Process, row: OutboxRow, peer_pid: str, now: str) -> Commit | None:
        table = tables.table_of(process)
        change = exchange.delivered(table, process, row.id, now=now, peer_pid=peer_pid)
        if change is None:
            return None
        if process.kind == "transfer":
            change = msgspec.structs.replace(change, outbox=(*change.outbox, *transfer.pushes(change, self._new_id)))
        return exchange.commit(change, process.version)

    def _refused(self, process: Process, row: OutboxRow, why: str) -> Commit | None:
        table = tables.table_of(process)
        change = exchange.refused(table, process, row.id, reason=why, now=iso(self._clock.now()))
        return None if change is None else exchange.commit(change, process.version)

    async def _settle(self, process: Process | None, due: Claim, decide: Callable[[Process], Commit | None]) -> None:
        """Commit what the answer means, first for the process as it was when the row was claimed."""
        for _ in range(ATTEMPTS):
            commit = decide(process) if process is not None else None
            if commit is None:
                await self._store.drop(due.row.id, due.fence)
                return
            try:
                await self._store.commit(commit)
            except VersionConflict:
                process = await self._store.process(due.row.process)
                continue
            return
        log.warning("the process keeps moving; its answer is read again later", row=due.row.id)

    async def _carry_push(self, process: Process, due: Claim) -> None:
        try:
            await self._attempt(due, self._push(process))
        except KizunaError as error:
            await self._postpone(due, UNREACHABLE, error.detail, "")
            return
        await self._store.drop(due.row.id, due.fence)

    async def _postpone(self, due: Claim, found: Reaction, reason: str, retry_after: str) -> None:
        parked = found.action == "park" and due.attempts + 1 >= found.tries
        seconds = 3600.0 if parked else delay(found, due.attempts, retry_after, random.random(), self._clock.now())  # noqa: S311  spreads load
        when = self._in(seconds)
        await self._store.postpone(due.row.id, due.fence, when, reason[:500], parked=parked)
        log.warning("parked" if parked else "postponed", reason=reason, until=when, attempts=due.attempts + 1)

    def _in(self, seconds: float) -> str:
        return iso(self._clock.now() + timedelta(seconds=seconds))


def _theirs(answer: Answer, process: Process) -> str:
    known = answer.acknowledgement
    return known.provider_pid if process.role == "consumer" else known.consumer_pid
