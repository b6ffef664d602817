"""`kizuna policy check`: is it a policy, by this profile; and does it fit the wire."""

from typing import Annotated, Any

import typer
from msgspec import Struct, to_builtins

from kernel.cli import print_result
from kernel.errors import BadInput
from policies.cli.files import SAY, Files, Json, ProfileName, documents
from policies.odrl import PolicyError
from policies.odrl.wire import VERSIONS, fitted
from policies.profiles import Profile, load

Wire = Annotated[str, typer.Option("--wire", help=SAY("wire"))]


class Finding(Struct, frozen=True):
    """One finding: `level` is `error`, `refused` (the wire has no place) or `undescribed` (a peer may drop it)."""

    file: str
    path: str
    level: str
    reason: str


def register(app: typer.Typer) -> None:
    """Add the command to `kizuna policy`."""
    app.command("check", help=SAY("check"))(check)


def check(files: Files, profile: ProfileName = "base", wire: Wire = "", as_json: Json = False) -> None:
    if wire and wire not in VERSIONS:
        raise BadInput(SAY("unknown_wire", wire=wire), next_step=SAY("unknown_wire_next", known=", ".join(VERSIONS)))
    loaded = load(profile)
    found, count = [], 0
    for name, value in documents(files):
        count += 1
        found += findings(name, value, loaded, wire=bool(wire))
    if as_json:
        print_result({"files": count, "findings": to_builtins(found)}, as_json=True)
    else:
        for each in found:
            typer.echo(f"{each.file}: {each.path or '/'}: {each.reason} [{each.level}]")
        typer.echo(SAY("checked", files=count, findings=len(found)))
    if any(each.level != "undescribed" for each in found):
        raise typer.Exit(1)


def findings(name: str, value: Any, profile: Profile, *, wire: bool) -> list[Finding]:
    """What is wrong with one policy."""
    try:
        profile.policy(value)
        misfits = fitted(value).misfits if wire else ()
    except PolicyError as error:
        return [Finding(name, error.path, "error", error.reason)]
    return [Finding(name, each.path, each.level, each.reason) for each in misfits]
