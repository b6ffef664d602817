"""How a story is told while it runs: lines for people, or one JSON object per step for machines."""

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from kernel import wire
from kernel.errors import KizunaError
from kernel.texts import texts

SAY = texts("deploy.demo")


class Told(Protocol):
    """Where a finished step goes."""

    def chapter(self, title: str) -> None: ...
    def step(self, row: dict[str, Any]) -> None: ...
    def end(self, row: dict[str, Any]) -> None: ...


class ForMachines:
    """JSON lines on standard output."""

    def chapter(self, title: str) -> None:
        """Chapters are for people."""

    def step(self, row: dict[str, Any]) -> None:
        sys.stdout.write(wire.dumps(row).decode() + "\n")
        sys.stdout.flush()

    end = step


class ForPeople:
    """Readable lines on standard output."""

    def chapter(self, title: str) -> None:
        print(f"\n{title}", flush=True)

    def step(self, row: dict[str, Any]) -> None:
        mark = SAY("ok" if row["ok"] else "failed")
        print(f"  [{mark}] {row['text']}  ({row['ms']} ms)", flush=True)
        for name, value in row.get("shows", {}).items():
            print(f"         {_label(name)}: {value}", flush=True)

    def end(self, row: dict[str, Any]) -> None:
        print()
        print(SAY("worked") if row["ok"] else SAY("not_worked", error=row.get("error", "")))
        if row.get("next"):
            print(f"  {SAY('next', step=row['next'])}")
        for name in ("steps", "seconds", "directory"):
            if name in row:
                print(f"  {_label(name)}: {row[name]}")
        if "memory" in row:
            parts = ", ".join(f"{_label(name)} {value}" for name, value in row["memory"].items() if name != "unit")
            print(f"  {_label('memory')}: {row['total_mb']} {row['memory']['unit']} ({parts})")


def _label(name: str) -> str:
    """The name of what is shown; that of a company is its own."""
    try:
        return SAY(f"label.{name}")
    except KeyError:
        return name


class Trail:
    """Runs steps, times them, tells them, and remembers whether all went well."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self.steps = 0

    def chapter(self, title: str) -> None:
        self._told.chapter(title)

    def step(self, name: str, text: str, act: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
        """Run one step; what it returns is shown. Raises what it raises, after telling that it failed."""
        began = time.monotonic()
        self.steps += 1
        row: dict[str, Any] = {"step": name, "ok": False, "ms": 0, "text": text}
        try:
            row["shows"] = act() or {}
            row["ok"] = True
        except KizunaError as error:
            row["error"] = error.detail
            row["next"] = error.next_step
            raise
        finally:
            row["ms"] = round((time.monotonic() - began) * 1000)
            self._told.step(row)
        return row["shows"]  # type: ignore[no-any-return]


class Unexpected(KizunaError):
    """The story went another way than told: a step that must succeed failed, or one that must be refused passed."""

    code = "unexpected"


def expect(condition: object, detail: str) -> None:
    """Raise `Unexpected` unless the condition holds."""
    if not condition:
        raise Unexpected(detail)


def refused(act: Callable[[], Any], *codes: str) -> KizunaError:
    """The error with which `act` is refused; raises `Unexpected` when it is not, or for another reason."""
    try:
        found = act()
    except KizunaError as error:
        if codes and error.code not in codes:
            raise Unexpected(f"refused with {error.code} ({error.detail}), expected {' or '.join(codes)}") from error
        return error
    raise Unexpected(f"was not refused: {str(found)[:200]}")
