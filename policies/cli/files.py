"""What every command shares: policies out of files, directories or standard input, the profile, and the forms of output."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from kernel import wire
from kernel.errors import BadInput
from kernel.texts import texts

SAY = texts("policies")
LARGEST = 1_048_576

Files = Annotated[list[Path], typer.Argument(help=SAY("files"))]
ProfileName = Annotated[str, typer.Option("--profile", envvar="KIZUNA_PROFILE", help=SAY("profile"))]
Json = Annotated[bool, typer.Option("--json", help=SAY("json"))]


def documents(paths: list[Path], pattern: str = "*.json") -> Iterator[tuple[str, Any]]:
    """Name and JSON value of each file; directories are searched, `-` is standard input. Raises `BadInput`."""
    for path in paths:
        if str(path) == "-":
            yield "-", _value("-", sys.stdin.buffer.read(LARGEST + 1))
        elif path.is_dir():
            found = sorted(path.rglob(pattern))
            if not found:
                raise BadInput(SAY("nothing_there", path=path))
            for each in found:
                yield str(each), _read(each)
        else:
            yield str(path), _read(path)


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as opened:
            return _value(str(path), opened.read(LARGEST + 1))
    except OSError as error:
        raise BadInput(SAY("cannot_read", path=path, reason=error.strerror or "")) from error


def _value(name: str, data: bytes) -> Any:
    try:
        return wire.loads(data, limit=LARGEST, depth=64)
    except BadInput as error:
        raise BadInput(SAY("not_json", path=name, reason=error.detail.removeprefix("not JSON: "))) from error
