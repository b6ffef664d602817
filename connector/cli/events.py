"""`kizuna events`: what happened at this connector, through the management API."""

import time
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from connector.cli.local import HERE, SAY, Directory, Json, client
from kernel import wire
from kernel.errors import UnavailableError

_PAGE: Final = 500
_WAIT: Final = 60.0  # seconds for one question
_PAUSE: Final = 2.0  # seconds, while the connector does not answer


def register(app: typer.Typer) -> None:
    """Add the command to the `kizuna` application."""
    app.command("events", help=SAY("events"))(events)


def events(
    after: Annotated[str, typer.Option("--after", help=SAY("events_after"))] = "",
    follow: Annotated[bool, typer.Option("--follow", help=SAY("events_follow"))] = False,
    directory: Directory = HERE,
    as_json: Json = False,
) -> None:
    api, place = client(directory), after or ("now" if follow else "")
    while True:
        try:
            found = api.get(f"/v1/events?limit={_PAGE}&after={quote(place)}", wait=_WAIT if follow else 0)
        except UnavailableError as error:
            if not follow or place == "now":
                raise
            typer.echo(SAY("events_silent", detail=error.detail), err=True)
            time.sleep(_PAUSE)
            continue
        for each in found["items"]:
            typer.echo(wire.dumps(each).decode() if as_json else _line(each))
        place = found["next"]
        if not follow and len(found["items"]) < _PAGE:
            return


def _line(event: dict[str, Any]) -> str:
    from policies.odrl.vocabulary import readable  # noqa: PLC0415  not needed to print a help text

    facts = readable(" ".join(f"{name}={value}" for name, value in event["facts"].items()))
    return "  ".join((event["id"], event["at"], event["kind"], event["subject"], facts))
