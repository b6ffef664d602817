"""Callers that were refused lately, stage by stage: for whoever runs the connector, never for the caller.

The newest few hundred are kept in memory; the log has them all. A flood of strangers pushes older ones out.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from identity.verify import Caller, VerifiedParticipant
from kernel.clock import Clock, iso
from kernel.errors import Unauthorized

KEPT: Final = 256
Authenticate = Callable[[Caller, bool], Awaitable[VerifiedParticipant]]


class Refusal(Struct, frozen=True):
    """One refused caller: the DID that its token claims, and the stage, subject and reason that ended it; `explanation` has all stages."""

    number: int
    at: str
    peer: str
    stage: str
    subject: str
    reason: str
    detail: str
    explanation: str


class Refusals:
    """The last refusals of `authenticate`, newest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._found: deque[Refusal] = deque(maxlen=KEPT)
        self._count = 0

    def watching(self, authenticate: Authenticate) -> Authenticate:
        """The same authentication, whose refusals are noted."""

        async def watched(caller: Caller, fresh: bool) -> VerifiedParticipant:
            try:
                return await authenticate(caller, fresh)
            except Unauthorized as error:
                self._note(error)
                raise

        return watched

    def page(self, before: int, limit: int, peer: str = "") -> list[Refusal]:
        """Refusals with a number under `before` (0: from the newest), of one peer or of all."""
        found = (each for each in reversed(self._found) if (not before or each.number < before) and peer in ("", each.peer))
        return [each for each, _ in zip(found, range(limit), strict=False)]

    def _note(self, error: Unauthorized) -> None:
        facts = {name: str(error.facts.get(name, "")) for name in ("peer", "stage", "subject", "reason", "explanation")}
        self._count += 1
        self._found.append(
            Refusal(number=self._count, at=iso(self._clock.now()), detail=str(error.facts.get("cause", "")), **facts)
        )
