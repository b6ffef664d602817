"""`kizuna duty | counter | decision | received`: what agreements oblige to, what was used of them, why, and what was received, through the management API."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from connector.cli.local import HERE, SAY, Directory, Json, client, listed, read
from connector.cli.negotiations import By, Id, Reason, person
from kernel.cli import print_result

Of = Annotated[str, typer.Option("--agreement", help=SAY("of_agreement"))]
_DUTY = ("id", "agreement", "action", "state", "owed", "due", "until", "note")


def register(app: typer.Typer) -> None:
    """Add the commands to the `kizuna` application."""
    app.add_typer(_duties(), name="duty", help=SAY("duty"))
    app.add_typer(_counters(), name="counter", help=SAY("counter"))
    app.add_typer(_decisions(), name="decision", help=SAY("decision"))
    app.add_typer(_received(), name="received", help=SAY("received"))


def _duties() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("list", help=SAY("duty_list"))
    def listing(agreement: Of = "", directory: Directory = HERE, as_json: Json = False) -> None:
        listed(directory, of_agreement("/v1/duties", agreement), _DUTY, as_json=as_json, terms=("action",))

    @app.command("fulfil", help=SAY("duty_fulfil"))
    def fulfil(
        duty: Id,
        evidence: Annotated[str, typer.Option("--evidence", help=SAY("duty_evidence"))] = "E1",
        statement: Annotated[str, typer.Option("--statement", help=SAY("duty_statement"))] = "",
        digest: Annotated[str, typer.Option("--digest", help=SAY("duty_digest"))] = "",
        by: By = "",
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        body = {"person": person(by), "kind": evidence, "statement": statement, "digest": digest}
        _changed(client(directory).post(f"/v1/duties/{duty}/fulfil", body), as_json=as_json)

    @app.command("waive", help=SAY("duty_waive"))
    def waive(duty: Id, reason: Reason = "", by: By = "", directory: Directory = HERE, as_json: Json = False) -> None:
        body = {"person": person(by), "reason": reason}
        _changed(client(directory).post(f"/v1/duties/{duty}/waive", body), as_json=as_json)

    return app


def _changed(found: dict[str, Any], *, as_json: bool) -> None:
    """Show a duty as it is now."""
    print_result(found if as_json else read(found, ("action",)), as_json=as_json)


def _counters() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("list", help=SAY("counter_list"))
    def listing(directory: Directory = HERE, as_json: Json = False) -> None:
        listed(directory, "/v1/counters", ("agreement", "operand", "limit", "used", "unit"), as_json=as_json, terms=("operand",))

    return app


def _decisions() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("list", help=SAY("decision_list"))
    def listing(agreement: Of = "", directory: Directory = HERE, as_json: Json = False) -> None:
        listed(directory, of_agreement("/v1/decisions", agreement), ("id", "agreement", "seq", "transfer"), as_json=as_json)

    @app.command("replay", help=SAY("decision_replay"))
    def replay(decision: Id, directory: Directory = HERE, as_json: Json = False) -> None:
        found = client(directory).get(f"/v1/decisions/{decision}/replay")
        print_result(found, as_json=as_json)
        if found["differences"]:
            raise typer.Exit(1)

    return app


def _received() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("list", help=SAY("received_list"))
    def listing(directory: Directory = HERE, as_json: Json = False) -> None:
        listed(directory, "/v1/received", ("transfer", "agreement", "dataset", "size", "at", "deleted"), as_json=as_json)

    @app.command("get", help=SAY("received_get"))
    def get(
        transfer: Id,
        output: Annotated[Path, typer.Option("--output", help=SAY("received_output"))],
        purpose: Annotated[list[str] | None, typer.Option("--purpose", help=SAY("received_purpose"))] = None,
        recipient: Annotated[list[str] | None, typer.Option("--recipient", help=SAY("received_recipient"))] = None,
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        body = {"purposes": purpose or [], "recipients": recipient or [], "output": str(output.absolute())}
        print_result(client(directory).post(f"/v1/received/{transfer}/read", body, timeout=3600), as_json=as_json)

    @app.command("delete", help=SAY("received_delete"))
    def delete(transfer: Id, directory: Directory = HERE, as_json: Json = False) -> None:
        print_result(client(directory).post(f"/v1/received/{transfer}/delete", {}), as_json=as_json)

    return app


def of_agreement(path: str, agreement: str) -> str:
    """The path, for one agreement or for all."""
    return f"{path}?agreement={quote(agreement)}" if agreement else path
