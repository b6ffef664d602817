"""Uses for a separate data plane: drawn from an agreement's counters ahead of time, so that it can grant them by itself, and given back where they were not used.

    drawn      in one commit with the decision and the counters as they are afterwards: at the start of a transfer's data flow, and again when the plane renews it
    returned   in one transaction with the counters: what was used stays taken

Rules
- A plane gets what it asks for, or what is left of that; where nothing is left it is refused. Without a counter there is nothing to divide, and it gets what it asks for.
- The plane names the allotment. Asking again under that name, after an answer that was lost, gives the same allotment and takes nothing; so does giving back again.
- What is not given back stays taken: a plane that dies has used it all, as far as anybody can know. Nothing is ever granted twice.
- The agreement is in force, the transfer runs, and the policy permits with the counters as they would be afterwards, or nothing is drawn. Giving back is always possible.

Not done here: the messages between control and data plane (Data Plane Signaling); ours is in the same process and takes its use with the transfer.
"""

from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from connector.optimistic import optimistic
from connector.processes import transfer
from connector.processes.errors import AgreementRetired, UnknownProcess
from connector.processes.model import Allotted, Commit, Ledger, Process
from connector.store.port import Store
from connector.usage.decide import Usage
from kernel.clock import Clock, iso
from kernel.errors import BadInput, Conflict, NotFound
from kernel.faults import crashpoint
from policies.duties import returned
from policies.duties.counters import COUNT

MOST: Final = 1_000_000


class Allotments:
    """What the data planes of one participant have drawn."""

    def __init__(self, store: Store, usage: Usage, clock: Clock) -> None:
        self._store, self._usage, self._clock = store, usage, clock

    @optimistic("the counters keep moving", next_step="ask again under the same id")
    async def draw(self, key: str, process: str, plane: str, wanted: int) -> Allotted:
        """Uses for a running transfer, under the plane's own name for them; raises `BadInput`, `Conflict`, `UnknownProcess`, `AgreementRetired`, `PolicyRefused` (also where nothing is left)."""
        if not key or not 1 <= wanted <= MOST:
            raise BadInput(f"an id and a number of uses from 1 to {MOST} are needed")
        known = await self._store.allotment(key)
        if known is not None:
            if (known.transfer, known.plane) != (process, plane):
                raise Conflict("there is another allotment of that id", next_step="give every allotment an id of its own")
            return known
        async with self._store.turn("allotments"):  # side by side they would send each other away
            return await self._drawn(key, process, plane, wanted)

    async def _drawn(self, key: str, pid: str, plane: str, wanted: int) -> Allotted:
        process = await self._running(pid)
        agreement = await self._store.agreement(process.data["agreementId"])
        if agreement is None or agreement.retired is not None:
            raise AgreementRetired("the agreement is not in force any more")
        ledger = await self._store.ahead(agreement.id)
        amount = min(wanted, _left(ledger)) or wanted  # nothing left: the grant says so
        products = await self._usage.products(agreement)
        grant = self._usage.grant(agreement, ledger, process.data.get("claims") or {}, products, uses=amount)
        made = Allotted(id=key, transfer=pid, agreement=agreement.id, plane=plane, amount=amount, at=iso(self._clock.now()))
        decided = replace(grant.decided, transfer=pid) if grant.decided is not None else None
        moved = replace(process, version=process.version + 1)
        crashpoint("allotment:before-commit")
        await self._store.commit(
            Commit(process=moved, expected=process.version, counters=grant.counters, decided=decided, allotted=made)
        )
        crashpoint("allotment:after-commit")
        return made

    async def _running(self, pid: str) -> Process:
        found = await self._store.process(pid)
        if found is None or found.kind != "transfer" or found.role != "provider":
            raise UnknownProcess(f"no transfer {pid} that we provide", next_step="see `kizuna transfer list`")
        if not transfer.open_now(found):
            raise Conflict(f"the transfer is {found.state}: nothing is drawn", next_step="draw when it is started")
        return found

    @optimistic("the counters keep moving", next_step="give it back again")
    async def give_back(self, key: str, used: int) -> Allotted:
        """The rest of an allotment; raises `NotFound`, `BadInput` where more was used than drawn, `Conflict` where it was settled otherwise."""
        found = await self._store.allotment(key)
        if found is None:
            raise NotFound(f"no allotment {key}")
        if found.returned:
            if found.used != used:
                raise Conflict(f"it was given back with {found.used} used")
            return found
        if not 0 <= used <= found.amount:
            raise BadInput(f"{used} of {found.amount} cannot have been used")
        counters = (await self._store.ledger(found.agreement)).counters
        after = [returned(each, Decimal(found.amount - used)) for each in counters if each.operand == COUNT]
        settled = replace(found, version=found.version + 1, used=used, returned=iso(self._clock.now()))
        await self._store.return_allotment(settled, after)
        return settled


def _left(ledger: Ledger) -> int:
    """Uses that are left, as far as they are counted."""
    return min((max(0, int(each.left)) for each in ledger.counters if each.operand == COUNT), default=MOST)
