"""`kizuna agreement`: contract agreements, their end and their renewal, through the management API."""

from typing import Annotated, Any

import typer

from connector.cli.local import HERE, SAY, Directory, Json, client, rows
from connector.cli.negotiations import By, Id, Reason, person
from kernel.cli import print_result


def agreements() -> typer.Typer:
    """The sub-commands."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list", help=SAY("agreement_list"))
    def listing(directory: Directory = HERE, as_json: Json = False) -> None:
        found: Any = client(directory).get("/v1/agreements")
        print_result(found if as_json else rows(found["items"], "id", "role", "peer", "dataset", "hash"), as_json=as_json)

    @app.command("show", help=SAY("agreement_show"))
    def show(agreement: Id, directory: Directory = HERE, as_json: Json = False) -> None:
        print_result(client(directory).get(f"/v1/agreements/{agreement}"), as_json=as_json)

    @app.command("retire", help=SAY("agreement_retire"))
    def retire(agreement: Id, reason: Reason = "", by: By = "", directory: Directory = HERE, as_json: Json = False) -> None:
        body = {"person": person(by), "reason": reason}
        print_result(client(directory).post(f"/v1/agreements/{agreement}/retire", body), as_json=as_json)

    @app.command("renew", help=SAY("agreement_renew"))
    def renew(
        agreement: Id,
        days: Annotated[int, typer.Option("--days", min=0, max=3650, help=SAY("renew_days"))] = 30,
        by: By = "",
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        body = {"person": person(by), "days": days}
        print_result(client(directory).post(f"/v1/agreements/{agreement}/renewal", body), as_json=as_json)

    return app
