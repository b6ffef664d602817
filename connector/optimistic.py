"""Writing without a lock: read, decide, write on condition that nothing has moved since; where it has, read and decide anew.

Rules
- What is decorated is one whole attempt: it reads what it decides by. An attempt that meets a `VersionConflict` has written nothing.
- After `ATTEMPTS` of them the caller is told, and what it can do. Who comes again by itself (outbox, monitor) has its own answer to that.
"""

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from connector.processes.errors import VersionConflict

ATTEMPTS: Final = 5
P = ParamSpec("P")
T = TypeVar("T")


def optimistic(
    detail: str, *, next_step: str = "try again"
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Try the function again while what it read has moved; raises `VersionConflict` with these words when it keeps moving."""

    def decorate(attempt: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(attempt)
        async def tried(*args: P.args, **kwargs: P.kwargs) -> T:
            for _ in range(ATTEMPTS):
                try:
                    return await attempt(*args, **kwargs)
                except VersionConflict:
                    continue
            raise VersionConflict(detail, next_step=next_step)

        return tried

    return decorate
