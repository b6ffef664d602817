"""What was made of something that never changes (an offer, the terms of an agreement), kept for as long as it is the very same object that is asked about."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

CAPACITY: Final = 1_024
K = TypeVar("K")
V = TypeVar("V")


class Held(Generic[K, V]):
    """What `make` makes, once for each object; the oldest ones make room."""

    __slots__ = ("_known", "_make")

    def __init__(self, make: Callable[[K], V]) -> None:
        self._make = make
        self._known: OrderedDict[int, tuple[K, V]] = OrderedDict()

    def __call__(self, given: K) -> V:
        """Raises what `make` raises; then nothing is kept."""
        known = self._known.get(id(given))
        if known is not None and known[0] is given:
            return known[1]
        found = self._make(given)
        self._known[id(given)] = given, found
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)
        return found
