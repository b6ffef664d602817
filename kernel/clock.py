"""Time as a collaborator: everything that reads a clock is given one, so that tests move it."""

from datetime import UTC, datetime
from typing import Protocol

from kernel.errors import BadInput


class Clock(Protocol):
    """Gives the present time in UTC, always with its zone."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: `2026-11-24T09:00:00.000Z`. Sorts like the time it means."""
    found = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{found.isoformat('T', 'milliseconds')[:-6]}Z"


def parse_iso(text: str) -> datetime:
    """The moment of an ISO 8601 text with a zone; raises `BadInput` (a time without a zone means nothing here)."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise BadInput(f"not an ISO 8601 time: {text!r}") from error
    if found.tzinfo is None:
        raise BadInput(f"time without a zone: {text!r}", next_step="add Z or an offset")
    return found.astimezone(UTC)
