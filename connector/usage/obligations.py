"""Doing and showing duties: evidence of either side, waivers, and the deletion of what our own store holds.

Rules
- A duty is owed by the consumer, unless it names the provider as its assignee. Who owes it gives evidence; who it is owed to may waive it, or note evidence that came
  another way, as a third party's attestation (E3) does. E2 is made by our own store alone. Both are told to the other side, in the transaction that writes them down.
- Evidence or a waiver after the time of a duty begins its consequences, whether the monitor has looked before or not, on the ledger of whoever has it.
- What is told is a signed statement (`usage.statements`) about the duty's id, which is the same on both sides. The receiver checks the sender, the signature and the party's role, and
  its own ledger then decides. What is said of a payment is taken by `usage.payments`.
- Who a duty is owed to tells the other side, in the same way, that it is overdue: it stands in the notes of both. The receiver believes its own clock; the word of the
  other only adds the note.
- Data that our store received are deleted before the time of the agreement's duty to delete, by a tenth of the period, an hour at most. The evidence is of class E2:
  the digests of what was removed. A duty to keep goes first: until it ends, nothing is deleted.

Not done here: waking up (`worker.monitor`), what an overdue duty leads to.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

from connector.optimistic import optimistic
from connector.processes.errors import UnknownProcess
from connector.processes.model import Agreement, Process
from connector.store.port import Store
from connector.usage.decide import Usage
from connector.usage.holdings import Holdings
from connector.usage.payments import Payments
from connector.usage.statements import Statements
from kernel import telemetry
from kernel.clock import Clock, iso, parse_iso
from kernel.errors import BadInput, Conflict, Forbidden, NotFound
from policies.duties import Entry, Evidence, answered, fulfilled, moved, ticked, waived
from policies.duties.ledger import EvidenceClass
from policies.odrl import ODRL, PolicyError

DELETE: Final = ODRL + "delete"
MARGIN: Final = timedelta(hours=1)
log = telemetry.get(__name__)


def deletion(entry: Entry) -> datetime | None:
    """When our own store deletes for this duty; None where it is not one to delete by a date."""
    if entry.action != DELETE or entry.state != "active" or not entry.due:
        return None
    due, began = parse_iso(entry.due), parse_iso(entry.triggered)
    return due - min(MARGIN, (due - began) / 10)


class Obligations:
    """Duties under one participant's agreements."""

    def __init__(self, store: Store, usage: Usage, holdings: Holdings, clock: Clock, statements: Statements) -> None:
        self._store, self.usage, self.holdings, self._clock, self._statements = store, usage, holdings, clock, statements
        self.payments = Payments(store, usage, statements, clock)

    async def fulfil(self, key: str, kind: EvidenceClass, statement: str, digest: str, person: str) -> Entry:
        """Note evidence that a duty was done; the other side is told when it is ours. Raises `Conflict`, `BadInput`, `NotFound`."""
        if kind == "E2":
            raise BadInput("evidence of class E2 is made by the system that did it, not by a person", next_step="give class E1")
        return await self._changed(key, {"kind": kind, "statement": statement, "digest": digest, "person": person})

    async def waive(self, key: str, person: str, reason: str) -> Entry:
        """Give up a duty that is owed to us. Raises `Conflict`, `Forbidden`, `NotFound`."""
        return await self._changed(key, {"waived": reason or "no reason given", "person": person})

    @optimistic("the duty keeps changing")
    async def _changed(self, key: str, said: dict[str, Any]) -> Entry:
        agreement, entry = await self._duty(key)
        party = agreement.participant
        claims = {"iss": party, "duty": entry.id, "agreement": agreement.id, "at": iso(self._clock.now()), **said}
        mine = self.usage.owing(agreement, entry.path) == party
        token = self._statements.sign(claims) if mine or "waived" in said else ""
        return await self._answered(agreement, entry, claims, token, token)

    async def taken(self, process: Process, who: str, body: Any) -> None:
        """What the peer of a negotiation says about a duty of the agreement, or of a payment; a repeat changes nothing. Raises what a wrong statement deserves."""
        if not isinstance(body, dict) or not isinstance(body.get("statement"), str):
            raise BadInput("a signed statement is expected")
        token: str = body["statement"]
        claims = await self._statements.verified(token, who)
        agreement = await self._store.agreement(str(claims.get("agreement", "")))
        if agreement is None or agreement.peer != who or agreement.negotiation != process.id:
            raise UnknownProcess("no such duty", peer=who)
        if "payment" in claims:
            await self.payments.told(agreement, claims, token)
        else:
            await self._said(agreement, who, claims, token)

    async def _said(self, agreement: Agreement, who: str, claims: Mapping[str, Any], token: str) -> None:
        """What the peer says about a duty."""
        under, entry = await self._duty(str(claims.get("duty", "")))
        if under.id != agreement.id:
            raise UnknownProcess("no such duty", peer=who)
        if any(token == each.statement for each in entry.evidence) or entry.state == "waived":
            return
        if "overdue" in claims:
            await self._reminded(agreement, entry, who)
        else:
            await self._answered(agreement, entry, claims, token, "")

    async def _reminded(self, agreement: Agreement, entry: Entry, who: str) -> Entry:
        """Note that the side that a duty is owed to has told us that it is overdue. What follows of that is the monitor's, not the note's."""
        if self.usage.owing(agreement, entry.path) == who:
            raise Forbidden("who owes a duty does not remind of it")
        if entry.state == "active":
            raise Conflict("the duty is not overdue by our clock", next_step="tell it again later")
        stored = await self._store.duty(entry.id)
        noted = f"{who} has told that it is overdue"
        if entry.state != "overdue" or stored is None or stored.note == noted:
            return entry
        (changed,) = moved([stored], [replace(stored, note=noted)])
        await self._store.save_duties([changed])
        return changed

    async def keep(self, agreement: Agreement, entries: Sequence[Entry]) -> None:
        """Write down what time has made of duties; who owes one that is overdue now is told, in the same transaction. Raises `VersionConflict`."""
        late = [
            each for each in entries if each.state == "overdue" and self.usage.owing(agreement, each.path) != agreement.participant
        ]
        process = await self._statements.channel(agreement) if late else None
        if process is None:
            await self._store.save_duties(entries)
            return
        at = iso(self._clock.now())
        said = [
            {"iss": agreement.participant, "duty": each.id, "agreement": agreement.id, "at": at, "overdue": each.due}
            for each in late
        ]
        noted = {each.path: replace(each, note=f"{agreement.peer} was told that it is overdue") for each in late}
        kept = tuple(noted.get(each.path, each) for each in entries)
        await self._statements.tell(process, [self._statements.sign(each) for each in said], kept)

    async def delete(self, agreement: Agreement) -> list[str]:
        """Delete what we hold under an agreement, and show that; the digests. A duty to keep refuses it with `Conflict`."""
        gone = await self.holdings.delete(agreement, "a duty of the agreement")
        statement = f"{len(gone)} object(s) deleted" if gone else "nothing was held"
        for entry in (await self._store.ledger(agreement.id)).duties:
            if entry.action == DELETE and entry.state in ("active", "overdue"):
                await self._changed(entry.id, {"kind": "E2", "statement": statement, "digest": " ".join(gone), "person": ""})
        log.info("deleted by a duty", agreement=agreement.id, objects=len(gone))
        return gone

    async def _duty(self, key: str) -> tuple[Agreement, Entry]:
        entry = await self._store.duty(key)
        agreement = await self._store.agreement(entry.agreement) if entry is not None else None
        if entry is None or agreement is None:
            raise NotFound(f"no duty {key}", next_step="see `kizuna duty list`")
        try:
            now, _ = ticked((await self._store.ledger(agreement.id)).duties, self.usage.policy(agreement), self._clock.now())
        except PolicyError as error:
            raise Conflict(f"the agreement's policy cannot be read: {error.detail}") from error
        return agreement, next(each for each in now if each.path == entry.path)

    def _applied(self, agreement: Agreement, entry: Entry, claims: Mapping[str, Any], token: str) -> Entry:
        party, owing = str(claims["iss"]), self.usage.owing(agreement, entry.path)
        if "waived" in claims:
            if party == owing:
                raise Forbidden("who owes a duty cannot waive it", next_step="ask the other side of the agreement")
            return waived(entry, party, str(claims["waived"])[:1000])
        if party not in (owing, agreement.participant):
            raise Forbidden("evidence comes from who owes the duty")
        kind = claims.get("kind")
        if kind not in ("E0", "E1", "E2", "E3"):
            raise BadInput("the class of the evidence is E0 to E3")
        if kind == "E3" and party == owing:
            raise BadInput("a third party's attestation is noted by who the duty is owed to", next_step="give class E1")
        shown = Evidence(
            kind=kind, by=party, at=str(claims.get("at", "")), statement=token or str(claims.get("statement", "")), digest=str(claims.get("digest", ""))
        )  # fmt: skip
        return fulfilled(entry, shown, self._clock.now())

    async def _answered(self, agreement: Agreement, entry: Entry, claims: Mapping[str, Any], token: str, told: str) -> Entry:
        """Write down what claims make of a duty, with the statement to the other side where one is to be told and it knows how to take it."""
        before = (await self._store.ledger(agreement.id)).duties
        after = answered(
            before,
            self.usage.policy(agreement),
            self._clock.now(),
            entry.path,
            lambda each: self._applied(agreement, each, claims, token),
        )
        changed = moved(before, after)
        process = await self._statements.channel(agreement) if told else None
        if process is None:
            await self._store.save_duties(changed)
        else:
            await self._statements.tell(process, [told], changed)
        return next(each for each in changed if each.path == entry.path)
