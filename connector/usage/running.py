"""Transfers that we provide, decided anew while they run: when time, a credential, a counter or a ledger of ours has changed.

Rules
- Decided is with the verified claims that the transfer was let in with, or renewed with since, as far as their credentials have not ended; with the counters, duties
  and relations (also for the dataset's products) as they are; in phase `monitoring`.
- A transfer that is not permitted any more is suspended where time alone will permit it again or a new credential may, else terminated. The decision is kept in the
  agreement's chain; the peer is told no more than that the policy does not permit it.
- Whoever asks for a new data token has just proven its credentials again: the policy is decided with those, and they are kept in place of the old ones. A refusal
  suspends the transfer.

Not done here: knowing when (`worker.monitor`).
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec.structs import replace

from connector.commands import Commands
from connector.optimistic import optimistic
from connector.processes.model import Agreement, Commit, Decided, Ledger, Process
from connector.store.port import Store
from connector.usage import claims
from connector.usage.claims import Shown
from connector.usage.decide import Usage
from connector.usage.relations import Relations
from identity.verify import VerifiedParticipant
from kernel import telemetry
from kernel.clock import Clock
from kernel.errors import KizunaError, Unauthorized
from policies.odrl import Decision, Policy, PolicyError, Request, evaluate, next_change, record

NOT_PERMITTED: Final = "the agreement's policy does not permit it any more"
log = telemetry.get(__name__)


class Running:
    """Running transfers of one participant."""

    def __init__(self, store: Store, usage: Usage, relations: Relations, commands: Commands, clock: Clock) -> None:
        self._store, self._usage, self._relations, self._commands, self._clock = store, usage, relations, commands, clock

    async def decide(self, agreement: Agreement, ledger: Ledger, process: Process, *, renewable: bool = False) -> datetime | None:
        """Decide a transfer that we provide; the next instant at which that may come out otherwise. Raises `PolicyError`."""
        if process.role != "provider" or (process.pending is not None and process.pending.to != "STARTED"):
            return None  # data are closed already
        found = _shown(process)
        products = await self._usage.products(agreement)
        policy, asked = self._asked(agreement, ledger, claims.valid(found, self._clock.now()), products)
        decision = evaluate(policy, asked)
        following = _first(next_change(policy, asked), self._relations.next_change(process.peer, asked.now))
        if decision.permitted:
            return _first(following, claims.lapse(found, asked.now))
        if not renewable and (ever := claims.ever(found)) != claims.valid(found, asked.now):
            renewable = evaluate(*self._asked(agreement, ledger, ever, products)).permitted
        step = "suspend" if renewable or following is not None else "terminate"
        if step == "suspend" and process.state != "STARTED":
            return following
        log.warning("not permitted any more", pid=process.id, peer=process.peer, step=step, reasons=decision.explain())
        decided = _decided(agreement, ledger, process, decision)
        await self._commands.step("transfer", process.id, step, NOT_PERMITTED, code="policy", decided=decided)
        return following

    async def lost(self, peer: str, types: Collection[str] | None, failed: Callable[[str], None]) -> None:
        """Credentials of these types (None: all) of a peer do not count any more: what relied on them is suspended.

        `failed` is told the agreement of what could not be decided.
        """
        for process in await self._store.open_with(peer):
            agreement = await self._store.agreement(process.data.get("agreementId", "")) if process.kind == "transfer" else None
            if agreement is None:
                continue
            left = _with(process, claims.without(_shown(process), types))
            try:
                await self.decide(agreement, await self._store.ahead(agreement.id), left, renewable=True)
            except KizunaError as error:
                log.warning("a transfer is looked at again", pid=process.id, detail=error.detail)
                failed(agreement.id)

    @optimistic("the process keeps moving", next_step="ask again")
    async def renewed(self, process: Process, who: VerifiedParticipant) -> Process:
        """Decide a transfer with what its consumer has just proven, and keep that; raises `Unauthorized` where it is not permitted."""
        process, found = await self._commands.process("transfer", process.id), claims.shown(who)
        agreement = await self._store.agreement(process.data["agreementId"])
        if agreement is None:
            raise Unauthorized("invalid token", reason="the agreement is gone", peer=process.peer)
        ledger = await self._store.ahead(agreement.id)
        try:
            products = await self._usage.products(agreement)
            policy, asked = self._asked(agreement, ledger, claims.valid(found, self._clock.now()), products)
            decision = evaluate(policy, asked)
        except PolicyError as error:
            raise Unauthorized("invalid token", reason=f"the policy cannot be read: {error.detail}", peer=process.peer) from error
        if not decision.permitted:
            await self.decide(agreement, ledger, _with(process, found), renewable=True)
            raise Unauthorized("invalid token", reason="; ".join(decision.explain()), peer=process.peer)
        if _shown(process) == found:
            return process
        kept = replace(_with(process, found), version=process.version + 1)
        made = _decided(agreement, ledger, process, decision)
        await self._store.commit(Commit(process=kept, expected=process.version, decided=made))
        return kept

    def _asked(self, agreement: Agreement, ledger: Ledger, known: claims.Claims, products: Sequence[str]) -> tuple[Policy, Request]:
        return self._usage.policy(agreement), self._usage.request(agreement, ledger, known, "monitoring", products=products)


def _first(*moments: datetime | None) -> datetime | None:
    return min((each for each in moments if each is not None), default=None)


def _decided(agreement: Agreement, ledger: Ledger, process: Process, decision: Decision) -> Decided:
    made = record(decision, agreement.policy, ledger.last)
    return Decided(agreement=agreement.id, seq=ledger.decided + 1, transfer=process.id, record=made)


def _shown(process: Process) -> Shown:
    found: dict[str, Any] = process.data.get("claims") or {}
    return found


def _with(process: Process, found: Shown) -> Process:
    return replace(process, data={**process.data, "claims": found})
