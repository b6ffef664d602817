"""What an agreement obliges to and what it counts: pure, kept by whoever holds the agreement.

entries = opened(agreement_id, policy, at)       # every duty, with its trigger and due date
entries, acts = ticked(entries, now)             # what has become overdue, and what follows
entry = fulfilled(entry, evidence, now)          # or waived(...)
entries = answered(entries, policy, now, path, lambda entry: fulfilled(...))    # with the consequences that this begins
counters = counted(agreement_id, policy)         # count, payAmount: decremented in the transaction that grants
entries = compensated(entries, policy, ...)      # what a payment does to the duties to compensate
"""

from policies.duties.compensation import account, compensated
from policies.duties.counters import Counter, Exhausted, counted, granted, recorded, returned
from policies.duties.ledger import (
    Act,
    Entry,
    Evidence,
    answered,
    fulfilled,
    moved,
    next_instant,
    opened,
    retained,
    states,
    ticked,
    waived,
)

__all__ = [
    "Act",
    "Counter",
    "Entry",
    "Evidence",
    "Exhausted",
    "account",
    "answered",
    "compensated",
    "counted",
    "fulfilled",
    "granted",
    "moved",
    "next_instant",
    "opened",
    "recorded",
    "retained",
    "returned",
    "states",
    "ticked",
    "waived",
]
