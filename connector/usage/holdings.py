"""What our own store received under agreements: read back for a purpose, kept as long as it must be, deleted when it must be.

Rules
- Every read is decided by the agreement's policy in phase `consumer`, for the purpose and the recipients that the reading program states; the rest are facts of our
  own credentials and of the ledger. What the policy does not permit is refused with the reason.
- While a duty to keep runs, nothing is deleted. A deletion removes the file first, then says so in the record; a crash in between is repeated.
- The record of what was received stays, with its digest: it is what evidence of deletion refers to.

Not done here: what a program does with bytes that it was given. That is the program's word, and its owner's obligation.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from connector.processes.errors import PolicyRefused
from connector.processes.model import Agreement
from connector.store.port import ReceivedObject, Store
from connector.usage.decide import Stated, Usage
from identity.vc import BadCredential, read_vc
from kernel import telemetry
from kernel.clock import Clock, iso
from kernel.errors import Conflict, NotFound
from policies.duties import retained
from policies.odrl import PolicyError, evaluate

log = telemetry.get(__name__)


class Holdings:
    """Received objects of one participant; `directory` holds the files."""

    def __init__(self, store: Store, usage: Usage, clock: Clock, directory: Path) -> None:
        self._store, self._usage, self._clock, self._directory = store, usage, clock, directory

    async def read(self, transfer: str, purposes: Sequence[str], recipients: Sequence[str]) -> tuple[ReceivedObject, Path]:
        """An object and its file, for these purposes and recipients; raises `NotFound`, `PolicyRefused`."""
        found = await self._object(transfer)
        agreement = await self._store.agreement(found.agreement)
        if agreement is None:
            raise PolicyRefused(("the agreement is not known any more",), "not permitted")
        await self._permit(agreement, purposes, recipients)
        return found, self._directory / found.file

    async def _permit(self, agreement: Agreement, purposes: Sequence[str], recipients: Sequence[str]) -> None:
        ledger = await self._store.ledger(agreement.id)
        try:
            asked = self._usage.request(agreement, ledger, await self._claims(), "consumer", Stated(purposes, recipients))
            decision = evaluate(self._usage.policy(agreement), asked)
        except PolicyError as error:
            raise PolicyRefused((error.detail,), "the agreement's policy cannot be read") from error
        if not decision.permitted:
            raise PolicyRefused(decision.explain(), f"the agreement does not permit it: {'; '.join(decision.explain())}")

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
