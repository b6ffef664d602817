"""What our own store received under agreements: read back for a purpose, kept as long as it must be, deleted when it must be.

Rules
- Whatever hands out bytes, or a token that opens them, is decided by the agreement's policy in phase `consumer`, for the purposes and the recipients that the reading
  program states; the rest are facts of our own credentials and of the ledger. That holds for every role, an administrator too. Without a purpose nothing is handed out;
  what the policy does not permit is refused with the reason.
- What is handed out leaves a decision record in the agreement's chain: who asked for what stands in the audit log, on what it rested in the chain.
- While a duty to keep runs, nothing is deleted. A deletion removes the file first, then says so in the record; a crash in between is repeated.
- The record of what was received stays, with its digest: it is what evidence of deletion refers to.

Not done here: what a program does with bytes that it was given. That is the program's word, and its owner's obligation.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from connector.optimistic import optimistic
from connector.processes.errors import PolicyRefused
from connector.processes.model import Agreement, Decided, Ledger
from connector.store.port import ReceivedObject, Store
from connector.usage.decide import Stated, Usage
from identity.vc import BadCredential, read_vc
from kernel import telemetry
from kernel.clock import Clock, iso
from kernel.errors import Conflict, NotFound, UnavailableError
from policies.duties import retained
from policies.odrl import Decision, PolicyError, evaluate, record

log = telemetry.get(__name__)


class Holdings:
    """Received objects of one participant; `directory` holds the files."""

    def __init__(self, store: Store, usage: Usage, clock: Clock, directory: Path) -> None:
        self._store, self._usage, self._clock, self._directory = store, usage, clock, directory

    async def read(self, transfer: str, stated: Stated) -> tuple[ReceivedObject, Path]:
        """An object and its file, for what is stated; raises `NotFound`, `PolicyRefused`."""
        found = await self._object(transfer)
        await self.permit(found.agreement, transfer, stated)
        return found, self._directory / found.file

    async def hand_out(self, transfer: str, stated: Stated, target: Path) -> ReceivedObject:
        """Copy an object to a file; raises as `read`, and `UnavailableError` where it cannot be written."""
        found, file = await self.read(transfer, stated)
        try:
            await asyncio.to_thread(shutil.copyfile, file, target)
        except OSError as error:
            raise UnavailableError(f"cannot write {target}: {error.strerror}", next_step=f"the data are in {found.file}") from error
        return found

    @optimistic("the agreement's decisions keep moving")
    async def permit(self, key: str, transfer: str, stated: Stated) -> None:
        """Return when data under an agreement may be handed out for this, and that is written down; raises `PolicyRefused`."""
        agreement, ledger, decision = await self._judged(key, stated)
        made = record(decision, agreement.policy, ledger.last)
        await self._store.add_decision(Decided(agreement=key, seq=ledger.decided + 1, transfer=transfer, record=made))

    async def judge(self, key: str, stated: Stated) -> None:
        """Return when data under an agreement may be handed out for this; raises `PolicyRefused`."""
        await self._judged(key, stated)

    async def _judged(self, key: str, stated: Stated) -> tuple[Agreement, Ledger, Decision]:
        agreement, ledger = await self._store.agreement(key), await self._store.ahead(key)
        if agreement is None:
            raise PolicyRefused(("the agreement is not known any more",), "not permitted")
        if not stated.purposes:
            known = ", ".join(self._usage.stated(agreement.policy).purposes) or "any"
            why = f"the agreement does not permit it: no purpose is stated; it permits {known}"
            raise PolicyRefused(("no purpose is stated",), why, "state it: --purpose NAME")
        try:
            asked = self._usage.request(agreement, ledger, await self._claims(), "consumer", stated=stated)
            decision = evaluate(self._usage.policy(agreement), asked)
        except PolicyError as error:
            raise PolicyRefused((error.detail,), "the agreement's policy cannot be read") from error
        if not decision.permitted:
            raise PolicyRefused(decision.explain(), f"the agreement does not permit it: {'; '.join(decision.explain())}")
        return agreement, ledger, decision

    async def _claims(self) -> dict[str, list[dict[str, Any]]]:
        """Subjects of our own credentials that are valid now, by type."""
        now, found = self._clock.now(), dict[str, list[dict[str, Any]]]()
        for held in await self._store.held():
            if held.until is None or held.until > now:
                try:
                    found.setdefault(held.type, []).extend(read_vc(held.jwt).subjects)
                except BadCredential as error:
                    log.warning("a held credential cannot be read", id=held.id, detail=error.detail)
        return found

    async def discard(self, transfer: str) -> ReceivedObject:
        """Delete one object because a person says so; raises `Conflict` while it must be kept."""
        found = await self._object(transfer)
        agreement = await self._store.agreement(found.agreement)
        if agreement is not None:
            await self._may_go(agreement)
        return await self._remove(found, "a person's decision")

    async def delete(self, agreement: Agreement, why: str) -> list[str]:
        """Delete everything that we hold under an agreement; the digests of what is gone. Raises `Conflict` while it must be kept."""
        held = [each for each in await self._store.received_under(agreement.id) if not each.deleted]
        if held:
            await self._may_go(agreement)
        return [(await self._remove(each, why)).sha256 for each in held]

    async def _may_go(self, agreement: Agreement) -> None:
        until = retained((await self._store.ledger(agreement.id)).duties, self._clock.now())
        if until is not None:
            raise Conflict(f"it must be kept until {iso(until)}", next_step="see `kizuna duty list`")

    async def _object(self, transfer: str) -> ReceivedObject:
        found = next(iter(await self._store.received(transfer)), None)
        if found is None or found.deleted:
            raise NotFound(f"nothing is held of transfer {transfer}", next_step="see `kizuna received list`")
        return found

    async def _remove(self, found: ReceivedObject, why: str) -> ReceivedObject:
        await asyncio.to_thread((self._directory / found.file).unlink, missing_ok=True)
        gone = replace(found, deleted=iso(self._clock.now()))
        await self._store.add_received(gone)
        log.info("received data deleted", transfer=found.transfer, agreement=found.agreement, sha256=found.sha256, why=why)
        return gone
