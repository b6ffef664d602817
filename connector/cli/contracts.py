"""`kizuna negotiate | negotiation | agreement | transfer | outbox`: contracts and transfers through the management API."""

from pathlib import Path
from typing import Annotated, Any

import typer

from connector.cli.agreements import agreements
from connector.cli.local import HERE, SAY, Directory, Json, Wait, bound, client, listed, pair, process
from connector.cli.negotiations import By, Code, Id, Reason, negotiations, person
from kernel.cli import print_result

TRANSFER_COLUMNS = ("id", "role", "peer", "format", "state", "note")


def register(app: typer.Typer) -> None:
    """Add the commands to the `kizuna` application."""
    app.command("negotiate", help=SAY("negotiate"))(negotiate)
    app.add_typer(negotiations(), name="negotiation", help=SAY("negotiation"))
    app.add_typer(agreements(), name="agreement", help=SAY("agreement"))
    app.add_typer(_transfers(), name="transfer", help=SAY("transfer"))
    app.add_typer(_outbox(), name="outbox", help=SAY("outbox"))


def negotiate(
    peer: Annotated[str, typer.Argument(help=SAY("peer"))],
    dataset: Annotated[str, typer.Argument(help=SAY("negotiate_dataset"))],
    offer: Annotated[str, typer.Option("--offer", help=SAY("negotiate_offer"))] = "",
    values: Annotated[list[str] | None, typer.Option("--set", help=SAY("counter_set"))] = None,
    open_to: Annotated[list[str] | None, typer.Option("--open", help=SAY("negotiate_open"))] = None,
    otherwise: Annotated[str, typer.Option("--otherwise", help=SAY("negotiate_otherwise"))] = "wait",
    approval: Annotated[str, typer.Option("--approval", help=SAY("negotiate_approval"))] = "",
    wait: Wait = 30,
    directory: Directory = HERE,
    as_json: Json = False,
) -> None:
    body = {
        "peer": peer, "dataset": dataset, "offer": offer, "values": dict(map(pair, values or [])), "bounds": dict(map(bound, open_to or [])),
        "otherwise": otherwise, "approval": approval,
    }  # fmt: skip
    found: Any = client(directory).post("/v1/negotiations", body, wait=wait)
    print_result(found if as_json else process(found), as_json=as_json)


def _transfers() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("start", help=SAY("transfer_start"))
    def start(
        agreement: Id,
        format_: Annotated[str, typer.Option("--format", help=SAY("transfer_format"))] = "HttpData-PULL",
        wait: Wait = 30,
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        body = {"agreement": agreement, "format": format_}
        found: Any = client(directory).post("/v1/transfers", body, wait=wait)
        print_result(found if as_json else process(found), as_json=as_json)

    @app.command("list", help=SAY("transfer_list"))
    def listing(directory: Directory = HERE, as_json: Json = False) -> None:
        listed(directory, "/v1/transfers", TRANSFER_COLUMNS, as_json=as_json)

    @app.command("show", help=SAY("transfer_show"))
    def show(transfer: Id, wait: Wait = 0, directory: Directory = HERE, as_json: Json = False) -> None:
        print_result(client(directory).get(f"/v1/transfers/{transfer}", wait=wait), as_json=as_json)

    @app.command("pull", help=SAY("transfer_pull"))
    def pull(
        transfer: Id,
        output: Annotated[Path | None, typer.Option("--output", help=SAY("pull_output"))] = None,
        purpose: Annotated[list[str] | None, typer.Option("--purpose", help=SAY("received_purpose"))] = None,
        recipient: Annotated[list[str] | None, typer.Option("--recipient", help=SAY("received_recipient"))] = None,
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        body = {"output": str(output.absolute()) if output else "", "purposes": purpose or [], "recipients": recipient or []}
        print_result(client(directory).post(f"/v1/transfers/{transfer}/pull", body, timeout=86_400), as_json=as_json)

    for name in ("suspend", "resume", "complete", "terminate"):
        _act(app, name)
    return app


def _act(app: typer.Typer, name: str) -> None:
    @app.command(name, help=SAY(f"transfer_{name}"))
    def act(
        transfer: Id, reason: Reason = "", code: Code = "", by: By = "", directory: Directory = HERE, as_json: Json = False
    ) -> None:
        body = {"reason": reason, "code": code, "person": person(by)}
        found = client(directory).post(f"/v1/transfers/{transfer}/{name}", body)
        print_result(found, as_json=as_json)


def _outbox() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("list", help=SAY("outbox_list"))
    def listing(directory: Directory = HERE, as_json: Json = False) -> None:
        listed(directory, "/v1/outbox", ("id", "message", "peer", "due", "attempts", "reason"), as_json=as_json)

    @app.command("release", help=SAY("outbox_release"))
    def release(row: Id, directory: Directory = HERE, as_json: Json = False) -> None:
        print_result(client(directory).post(f"/v1/outbox/{row}/release", {}), as_json=as_json)

    return app
