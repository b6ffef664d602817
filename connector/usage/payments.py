"""What was paid under an agreement, as the provider enters it: the only source of `payAmount`, and what shows that a duty to compensate was done.

Rules
- An amount is entered by a person of the provider, with the unit of the agreement's policy and what shows it (an invoice, a receipt). Another unit is refused: nothing is converted.
- It is written with the next version of the agreement's counter and with what it makes of the duties to compensate (`policies.duties.compensation`) in one transaction. A transfer that is
  being granted writes that counter, too, so a payment that is entered meanwhile makes it be decided again, with the amount as it then is. A running transfer is decided anew at once.
- The consumer is told each payment by a signed statement (`usage.statements`), in that transaction. It keeps the payment under the same id, counts it, and its own ledger decides what that
  makes of the duties. Only the provider is believed, since it speaks against itself; a repeat changes nothing. Who entered it is not told.
- A consumer that does not take statements is not told; the statement is kept as evidence all the same.
- Nothing is taken out again; a negative amount corrects, and a duty that is not paid any more is owed again.

Not done here: moving money; payments by a provider to its consumer, whose duties are shown as done by evidence (`usage.obligations`).
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from msgspec.structs import replace

from connector.optimistic import optimistic
from connector.processes.errors import AgreementUnknown
from connector.processes.model import Agreement, Ledger, Payment
from connector.store.port import Store
from connector.usage.decide import Usage
from connector.usage.statements import Statements
from kernel.clock import Clock, iso, parse_iso
from kernel.errors import BadInput, Conflict, Forbidden
from policies.duties import Counter, Entry, Evidence, compensated, moved, recorded
from policies.duties.counters import PAID
from policies.odrl import PolicyError

_LONGEST: Final = 40
_LONGEST_TEXT: Final = 1_000


class Payments:
    """The payments under one participant's agreements."""

    def __init__(self, store: Store, usage: Usage, statements: Statements, clock: Clock) -> None:
        self._store, self._usage, self._statements, self._clock = store, usage, statements, clock

    @optimistic("the counter keeps moving")
    async def add(self, payment: Payment) -> Counter:
        """Enter an amount; the counter afterwards. Raises `AgreementUnknown`, `BadInput` (amount, unit, no evidence), `Conflict`."""
        _check(payment)
        agreement = await self._store.agreement(payment.agreement)
        if agreement is None or agreement.role != "provider":
            raise AgreementUnknown(f"no agreement {payment.agreement} as provider", next_step="see `kizuna agreement list`")
        now = self._clock.now()
        made = replace(payment, amount=str(Decimal(payment.amount)), at=iso(now))
        said = {
            "iss": agreement.participant,
            "agreement": agreement.id,
            "at": made.at,
            "payment": made.id,
            "amount": made.amount,
            "unit": made.unit,
        }
        token = self._statements.sign({**said, "evidence": made.evidence})
        counter, duties = await self._counted(agreement, made, token, now)
        process = await self._statements.channel(agreement)
        if process is None:
            await self._store.add_payment(made, counter, duties)
        else:
            await self._statements.tell(process, [token], duties, counters=(counter,), payment=made)
        return counter

    @optimistic("the counter keeps moving")
    async def told(self, agreement: Agreement, claims: Mapping[str, Any], token: str) -> None:
        """Keep what the provider of an agreement has told us of a payment. Raises what a wrong statement deserves."""
        if agreement.role != "consumer":
            raise Forbidden("what was paid is stated by who is paid")
        texts = {name: str(claims.get(name, ""))[:_LONGEST_TEXT] for name in ("amount", "unit", "evidence", "at")}
        made = Payment(id=str(claims["payment"])[:_LONGEST_TEXT], agreement=agreement.id, person="", **texts)
        _check(made)
        known = await self._store.payment(made.id)
        if known == made:
            return
        if known is not None:
            raise BadInput("another payment has this id")
        counter, duties = await self._counted(agreement, made, token, min(parse_iso(made.at), self._clock.now()))
        await self._store.add_payment(made, counter, duties)

    async def _counted(self, agreement: Agreement, made: Payment, token: str, at: datetime) -> tuple[Counter, list[Entry]]:
        """The agreement's counter with a payment, and the duties that are otherwise by it. Raises `BadInput`, `Conflict`."""
        ledger = await self._store.ledger(agreement.id)
        after = recorded(_sum(ledger), Decimal(made.amount), made.unit)
        shown = Evidence(kind="E1", by=agreement.provider, at=made.at, statement=token, payment=made.id)
        try:
            found = compensated(ledger.duties, self._usage.policy(agreement), after, agreement.provider, shown, at)
        except PolicyError as error:
            raise Conflict(f"the agreement's policy cannot be read: {error.detail}") from error
        return after, moved(ledger.duties, found)


def _sum(ledger: Ledger) -> Counter:
    counter = next((each for each in ledger.counters if each.operand == PAID), None)
    if counter is None:
        raise Conflict("the agreement's policy asks for no amount", next_step="see `kizuna counter list`")
    return counter


def _check(payment: Payment) -> None:
    """An amount, and what shows it."""
    if not payment.evidence.strip():
        raise BadInput("what shows the payment?", next_step="give the number of the invoice or receipt: --evidence ...")
    try:
        found = Decimal(payment.amount)
    except InvalidOperation as error:
        raise BadInput(f"{payment.amount[:40]!r} is no amount", next_step="write it like 120.50") from error
    if not found.is_finite() or not found or len(payment.amount) > _LONGEST:
        raise BadInput(f"{payment.amount[:40]!r} is no amount", next_step="write it like 120.50")
