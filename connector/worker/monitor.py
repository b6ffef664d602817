"""The policy monitor: what time or a revoked credential changes in a living agreement is done at that moment, and nothing is asked before.

    instants (agreement -> when) -> sleep until the earliest -> look at that one agreement -> its next instant

Rules
- A look writes down what has become of the duties, has our own store delete what is to be deleted, and decides every running transfer anew (`usage.running`).
- A duty that is overdue is a warning in the log and in `kizuna duty list` of both sides, since who owes it is told. Where it has no consequence and `on_overdue = "terminate"` the provider also retires the
  agreement: running transfers end, none begins. What follows is done before the duty is written as overdue, so a crash in between repeats it.
- The next instant is the first at which a duty or a decision changes, or a credential ends by itself that a running transfer was let in with. An agreement without a running transfer and without a dated duty has none, and costs nothing.
- Commits that make or change duties wake it (`Store.on_ledger`), but no new agreement whose duties have no date; so does a change of our trade relations, and a start of a
  transfer that we provide, which is looked at alone: others under its agreement would come out as before, unless there is a counter. A look reads the ledger once. Other
  replicas' commits wake it as soon as they are heard of. At the start everything is read in pages, and again where a notice may have been missed: when the connection to
  the database was lost, and every ten minutes where there are replicas. Two that act on the same find the second commit refused.

Not done here: ending what a member's suspension ends (`worker.measures`), renewing agreements (`worker.timers`).
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from typing import Final, Literal

from connector.contracts.persons import Contracts
from connector.processes.errors import VersionConflict
from connector.processes.model import Agreement, Ledger
from connector.store.port import LEDGER, Store
from connector.usage.decide import Usage
from connector.usage.obligations import Obligations, deletion
from connector.usage.running import Running
from kernel import telemetry
from kernel.clock import Clock, parse_iso
from kernel.errors import Conflict, KizunaError
from kernel.waiting import until
from policies.duties import moved, next_instant, ticked
from policies.odrl import PolicyError

PAGE: Final = 500
AGAIN: Final = timedelta(seconds=5)  # what failed is tried again
EVERY: Final = 600.0  # seconds between full looks, where there are replicas
log = telemetry.get(__name__)
Wait = Callable[[asyncio.Event, float | None], Awaitable[object]]


class Monitor:
    """Watches one participant's agreements; `run` ends when it is cancelled."""

    def __init__(
        self,
        *,
        store: Store,
        usage: Usage,
        running: Running,
        contracts: Contracts,
        obligations: Obligations,
        clock: Clock,
        on_overdue: Literal["notice", "terminate"] = "notice",
        wait: Wait = until,
    ) -> None:
        self._store, self._usage, self._running, self._contracts = store, usage, running, contracts
        self._obligations, self._clock, self._on_overdue, self._wait = obligations, clock, on_overdue, wait
        self._at: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []
        self._peers: set[str] = set()  # with whom a relation has changed
        self._begun: dict[str, set[str]] = {}  # agreement -> transfers that have started since it was looked at
        self._awake = asyncio.Event()
        self._missed = False  # what another replica has committed
        store.on_ledger(self.watch)
        store.on_notice(self._told)

    def __len__(self) -> int:
        """Agreements that have a next instant."""
        return len(self._at)

    def watch(self, agreement: str, transfer: str = "") -> None:
        """Look at this agreement now, or at a transfer alone that has started under it."""
        if transfer:
            self._begun.setdefault(agreement, set()).add(transfer)
        else:
            self._set(agreement, self._clock.now())
        self._awake.set()

    def _told(self, kind: str, key: str) -> None:
        """Another replica has committed something; without a key it is not known what, so everything is looked at."""
        transfer, _, agreement = key.partition(" ")
        if kind == LEDGER and agreement:
            self.watch(agreement, transfer)
        elif kind in (LEDGER, ""):
            self._missed = True
            self._awake.set()

    def changed(self, peer: str) -> None:
        """Look at everything that runs with a participant now: what our ledgers say of it has changed."""
        self._peers.add(peer)
        self._awake.set()

    async def run(self) -> None:
        surveyed: float | None = None
        while True:
            self._awake.clear()
            try:
                if surveyed is None or self._missed or self._stale(surveyed):
                    self._missed = False
                    await self.survey()
                    surveyed = asyncio.get_running_loop().time()
                seconds = await self.turn()
            except KizunaError as error:
                log.warning("agreements cannot be looked at", detail=error.detail)
                seconds = AGAIN.total_seconds()
            if self._store.patience is not None:
                seconds = EVERY if seconds is None else min(seconds, EVERY)
            await self._wait(self._awake, seconds)

    def _stale(self, surveyed: float) -> bool:
        """Whether other replicas may have committed what we have not looked at."""
        return self._store.patience is not None and asyncio.get_running_loop().time() - surveyed >= EVERY

    async def survey(self) -> None:
        """Learn the instants of everything that is stored."""
        after = ""
        while duties := await self._store.duties(after, PAGE, timed=True):
            for each in duties:
                self._set(each.agreement, min(parse_iso(each.instant), deletion(each) or parse_iso(each.instant)), earlier=True)
            after = duties[-1].id
            await asyncio.sleep(0)
        after = ""
        while running := await self._store.running(after, PAGE):
            for process in running:
                self._set(process.data["agreementId"], self._clock.now())
            after = running[-1].id
            await asyncio.sleep(0)

    async def turn(self) -> float | None:
        """Look at what has started, and at every agreement whose instant has come; seconds until the next one, None where there is none."""
        while self._peers:
            peer = next(iter(self._peers))
            for process in await self._store.open_with(peer):
                if process.kind == "transfer":
                    self._set(process.data["agreementId"], self._clock.now())
            self._peers.discard(peer)
        while self._begun:
            agreement, started = self._begun.popitem()
            await self._looked(agreement, self.look(agreement, started))
        while self._heap:
            at, agreement = self._heap[0]
            if self._at.get(agreement) != at:
                heapq.heappop(self._heap)
                continue
            now = self._clock.now()
            if at > now:
                return (at - now).total_seconds()
            heapq.heappop(self._heap)
            del self._at[agreement]
            await self._looked(agreement, self.look(agreement))
        return None

    async def _looked(self, agreement: str, look: Awaitable[datetime | None]) -> None:
        """Keep the next instant that a look finds."""
        try:
            following = await look
        except KizunaError as error:
            log.warning("an agreement is looked at again", agreement=agreement, detail=error.detail)
            following = self._clock.now() + AGAIN
        if following is not None:
            self._set(agreement, following, earlier=True)

    def _set(self, agreement: str, at: datetime, *, earlier: bool = False) -> None:
        known = self._at.get(agreement)
        if earlier and known is not None and known <= at:
            return
        self._at[agreement] = at
        heapq.heappush(self._heap, (at, agreement))

    async def look(self, key: str, started: Collection[str] = ()) -> datetime | None:
        """Do what this moment asks for in one agreement, or decide the transfers alone that have started; its next instant."""
        agreement = await self._store.agreement(key)
        if agreement is None:
            return None
        try:
            ledger = await self._store.ahead(key)
            if not started or ledger.counters:
                return await self._all(agreement, await self._tick(agreement, ledger))
            instants: list[datetime | None] = []
            for each in started:
                process = await self._store.process(each)
                if process is not None and process.state == "STARTED":
                    instants.append(await self._running.decide(agreement, ledger, process))
                await asyncio.sleep(0)
        except PolicyError as error:
            log.warning("the agreement's policy cannot be read: nothing is watched", agreement=key, detail=error.detail)
            return None
        except VersionConflict:
            return self._clock.now()
        return min((each for each in instants if each is not None), default=None)

    async def _all(self, agreement: Agreement, ledger: Ledger) -> datetime | None:
        """Decide every transfer of an agreement whose duties are as they are now."""
        instants = [next_instant(ledger.duties)]
        if agreement.role == "consumer":
            instants += [at for each in ledger.duties if (at := deletion(each)) is not None and at > self._clock.now()]
        for process in await self._store.transfers_of(agreement.id):
            instants.append(await self._running.decide(agreement, ledger, process))
        return min((each for each in instants if each is not None), default=None)

    # duties ----------------------------------------------------------------------------------------------------------

    async def _tick(self, agreement: Agreement, ledger: Ledger) -> Ledger:
        """Do what is due, and write down what has become of the duties; the ledger afterwards."""
        now = self._clock.now()
        if agreement.role == "consumer" and any((at := deletion(each)) is not None and at <= now for each in ledger.duties):
            try:
                await self._obligations.delete(agreement)
            except Conflict as error:
                log.warning("not deleted", agreement=agreement.id, detail=error.detail)
            ledger = await self._store.ledger(agreement.id)
        after, acts = ticked(ledger.duties, self._usage.policy(agreement), now)
        for act in acts:
            said = {"agreement": agreement.id, "peer": agreement.peer, "duty": act.entry.id, "action": act.entry.action}
            log.warning("a duty is overdue" if act.what == "end" else "a consequence has begun", **said, due=act.entry.due)
            if act.what == "end" and self._on_overdue == "terminate" and agreement.role == "provider":
                action = act.entry.action.rpartition("/")[2]
                await self._contracts.retire(agreement.id, "policy monitor", f"the duty to {action} is overdue")
        changed = moved(ledger.duties, after)
        if changed:
            await self._obligations.keep(agreement, changed)
        return await self._store.ledger(agreement.id) if changed else ledger

    # credentials ------------------------------------------------------------------------------------------------------

    async def lost(self, peer: str, types: Collection[str] | None) -> None:
        """Credentials of these types (None: all) of a peer do not count any more: what relied on them is suspended."""
        await self._running.lost(peer, types, self.watch)
