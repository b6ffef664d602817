"""What was paid under an agreement, as the provider enters it: the only source of `payAmount`.

Rules
- An amount is entered by a person, with the unit of the agreement's policy and what shows it (an invoice, a receipt). Another unit is refused: nothing is converted.
- It is written with the next version of the agreement's counter in one transaction. A transfer that is being granted writes that counter, too, so a payment that is
  entered meanwhile makes it be decided again, with the amount as it then is. A running transfer is decided anew at once.
- Nothing is taken out again; a negative amount corrects.

Not done here: moving money, and telling the consumer, who has its own receipts. The duty to compensate is shown as done by evidence (`usage.obligations`).
"""

from decimal import Decimal, InvalidOperation
from typing import Final

from msgspec.structs import replace

from connector.optimistic import optimistic
from connector.processes.errors import AgreementUnknown
from connector.store.port import Payment, Store
from kernel.clock import Clock, iso
from kernel.errors import BadInput, Conflict
from policies.duties import Counter, recorded
from policies.duties.counters import PAID

_LONGEST: Final = 40


class Payments:
    """The payments under one participant's agreements."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    @optimistic("the counter keeps moving")
    async def add(self, payment: Payment) -> Counter:
        """Enter an amount; the counter afterwards. Raises `AgreementUnknown`, `BadInput` (amount, unit, no evidence), `Conflict`."""
        amount = _amount(payment.amount)
        if not payment.evidence.strip():
            raise BadInput("what shows the payment?", next_step="give the number of the invoice or receipt: --evidence ...")
        after = recorded(await self._counter(payment.agreement), amount, payment.unit)
        await self._store.add_payment(replace(payment, amount=str(amount), at=iso(self._clock.now())), after)
        return after

    async def _counter(self, agreement: str) -> Counter:
        found = await self._store.agreement(agreement)
        if found is None or found.role != "provider":
            raise AgreementUnknown(f"no agreement {agreement} as provider", next_step="see `kizuna agreement list`")
        counters = (await self._store.ledger(agreement)).counters
        counter = next((each for each in counters if each.operand == PAID), None)
        if counter is None:
            raise Conflict("the agreement's policy asks for no amount", next_step="see `kizuna counter list`")
        return counter


def _amount(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation as error:
        raise BadInput(f"{text[:40]!r} is no amount", next_step="write it like 120.50") from error
    if not found.is_finite() or not found or len(text) > _LONGEST:
        raise BadInput(f"{text[:40]!r} is no amount", next_step="write it like 120.50")
    return found
