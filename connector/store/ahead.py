"""Ledgers of agreements as commits under way will leave them, so that several decisions can follow each other before the first is durable.

Rules
- Writes are done in the order in which they were asked for (`kernel.db`): when one has ended, all before it have.
- A decision, with what it takes from counters, follows the ledger that is known, and the next one is made on what it leaves. It is written only where the decision before it
  stands (`sql`: its place in the chain comes from the row with that hash), so a write that fails takes along what was built on it; those who asked decide anew.
- So only what carries a decision may be built on what is not durable. Everything else is on `settled` ledgers.
- Any other write to a ledger makes it unknown until it is read again. So does what was read while a write was under way, once that has succeeded: the reading was without it.
- Nothing is kept while it is not known whether a write is still under way, since whoever asked for it has given up.

Only where nobody else writes: replicas of a server read what is committed.
"""

from asyncio import CancelledError
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import replace

from connector.processes.model import Decided, Ledger
from policies.duties import Counter


class _Known(Struct, frozen=True):
    """A ledger, how many writes had begun when it was read, and the last one that was built on it since."""

    ledger: Ledger
    read: int
    built: int = 0


class Ledgers:
    """Those of one participant that were used lately."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._begun = self._done = 0  # writes
        self._doubtful: dict[str, int] = {}  # agreement -> the last write of which nobody will hear

    def ahead(self, agreement: str) -> Ledger | None:
        """With what is under way."""
        known = self._known.get(agreement)
        return known.ledger if known is not None else None

    def settled(self, agreement: str) -> Ledger | None:
        """As it is durable; None also while something is under way."""
        known = self._known.get(agreement)
        return known.ledger if known is not None and max(known.read, known.built) <= self._done else None

    def read(self, agreement: str, ledger: Ledger) -> None:
        """Keep what was read just now."""
        if agreement not in self._doubtful:
            self._known[agreement] = _Known(ledger, self._begun)
            if len(self._known) > self._most:
                self._known.popitem(last=False)

    @contextmanager
    def deciding(self, made: Decided, counters: Sequence[Counter] = ()) -> Iterator[None]:
        """The block writes a decision, with what it takes from counters, and nothing else of a ledger."""
        known = self._known.get(made.agreement)
        with self.changing([made.agreement]):
            if known is not None and (known.ledger.decided, known.ledger.last) == (made.seq - 1, made.record.previous):
                newer = {each.operand: each for each in counters}
                after = tuple(newer.get(each.operand, each) for each in known.ledger.counters)
                ledger = replace(known.ledger, counters=after, decided=made.seq, last=made.record.hash)
                self._known[made.agreement] = _Known(ledger, known.read, self._begun)
            yield

    @contextmanager
    def changing(self, agreements: Iterable[str]) -> Iterator[None]:
        """The block writes to these ledgers."""
        changed = set(agreements)
        self._begun += 1
        turn = self._begun
        for each in changed:
            self._known.pop(each, None)
        try:
            yield
        except CancelledError:
            for each in changed:
                self._known.pop(each, None)
                self._doubtful[each] = turn
            raise
        except BaseException:
            self._ended(changed, turn, failed=True)
            raise
        self._ended(changed, turn, failed=False)

    def _ended(self, changed: Iterable[str], turn: int, *, failed: bool) -> None:
        """Forget what was built on a write that has failed, or was read without one that has succeeded."""
        self._done = max(self._done, turn)
        for each in changed:
            if self._doubtful.get(each, turn) < turn:
                del self._doubtful[each]
            known = self._known.get(each)
            if known is not None and (turn > known.read) == failed:
                del self._known[each]
