"""Small paths into JSON: `a.b[].c`, `elements[symbol=C].value`. Used for claims and for rules across fields.

A path is members joined by dots. `[]` goes into every element of a list, `[name=value]` into those whose member `name` is the
text `value`. What is not there yields nothing. There is no other syntax, no expression and no code.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

_STEP: Final = re.compile(r"([A-Za-z0-9_@-]+)(\[(?:([A-Za-z0-9_@-]+)=([^\]=]{1,120}))?\])?")


class BadPath(ValueError):
    """A path that is not of this syntax."""


class Step(Struct, frozen=True):
    """A member; `into`: into the elements of its list; `name` and `value`: only into those."""

    member: str
    into: bool
    name: str
    value: str


class Path(Struct, frozen=True):
    """A compiled path."""

    steps: tuple[Step, ...]

    def select(self, node: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
        """Every value there, each with its JSON Pointer."""
        found = [(pointer, node)]
        for step in self.steps:
            found = [each for where, value in found for each in _follow(step, where, value)]
        return iter(found)


def path(text: str) -> Path:
    """Compile a path; the empty text is the node itself. Raises `BadPath`."""
    return Path(tuple(_step(part) for part in _parts(text)) if text else ())


def _parts(text: str) -> list[str]:
    return re.split(r"\.(?![^\[]*\])", text)


def _step(text: str) -> Step:
    found = _STEP.fullmatch(text)
    if not found:
        raise BadPath(f"{text[:80]!r} is not a step of a path")
    return Step(found[1], found[2] is not None, found[3] or "", found[4] or "")


def _follow(step: Step, where: str, node: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict) or step.member not in node:
        return
    value, where = node[step.member], f"{where}/{step.member.replace('~', '~0').replace('/', '~1')}"
    if not step.into:
        yield where, value
        return
    for n, each in enumerate(value if isinstance(value, list) else ()):
        if not step.name or (isinstance(each, dict) and each.get(step.name) == step.value):
            yield f"{where}/{n}", each
