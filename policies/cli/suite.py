"""`kizuna policy suite DIR`: the public ODRL Test Suite through this engine, counted at three levels."""

from pathlib import Path
from typing import Annotated

import typer

from kernel.cli import print_result
from policies.cli.files import SAY, Json

Directory = Annotated[Path, typer.Argument(help=SAY("suite_directory"))]


def register(app: typer.Typer) -> None:
    """Add the command to `kizuna policy`."""
    app.command("suite", help=SAY("suite"))(suite)


def suite(directory: Directory, as_json: Json = False) -> None:
    from policies.suite import LEVELS, run  # noqa: PLC0415  RDF is loaded only where it is read

    result = run(directory)
    odd = [
        {"case": each.name, "level": level, "outcome": each.outcome(level), "why": each.defect.get(level) or each.levels[level][0]}
        for each in result.cases
        for level in LEVELS
        if each.outcome(level) != "passed"
    ]
    if as_json:
        print_result({"counts": result.counts(), "expected": result.expected, "odd": odd}, as_json=True)
    else:
        print_result([{"level": level, **counts} for level, counts in result.counts().items()], as_json=False)
        print_result(odd, as_json=False)
    if not result.expected:
        raise typer.Exit(1)
