"""Named points at which a test lets the process die. In production the hook does nothing.

A point stands before and after everything that must not be half-done: commits, sends, answers, file renames, signatures.
Tests put a function into `hook` that counts the points and ends the process at the k-th (tests/faults).
"""

from collections.abc import Callable


def _nothing(_name: str) -> None:
    return


hook: Callable[[str], None] = _nothing


def crashpoint(name: str) -> None:
    """Mark a point; `name` is documented where it stands."""
    hook(name)
