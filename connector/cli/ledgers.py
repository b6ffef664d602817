"""`kizuna relation | payment`: the company's own ledgers, through the management API."""

from typing import Annotated

import typer

from connector.cli.duties import Of, of_agreement
from connector.cli.local import HERE, SAY, Directory, Json, client, listed
from connector.cli.negotiations import By, Id, Reason, person
from kernel.cli import print_result

_PAYMENT = ("id", "agreement", "amount", "unit", "evidence", "person", "at")
_RELATION = ("id", "partner", "kind", "product", "since", "until", "ended")


def register(app: typer.Typer) -> None:
    """Add the commands to the `kizuna` application."""
    app.add_typer(_relations(), name="relation", help=SAY("relation"))
    app.add_typer(_payments(), name="payment", help=SAY("payment"))


def _relations() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("add", help=SAY("relation_add"))
    def add(
        partner: Annotated[str, typer.Argument(help=SAY("peer"))],
        kind: Annotated[str, typer.Option("--as", help=SAY("relation_as"))],
        product: Annotated[str, typer.Option("--product", help=SAY("relation_product"))] = "",
        since: Annotated[str, typer.Option("--from", help=SAY("relation_from"))] = "",
        until: Annotated[str, typer.Option("--until", help=SAY("relation_until"))] = "",
        by: By = "",
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        body = {"person": person(by), "partner": partner, "kind": kind, "product": product, "since": since, "until": until}
        print_result(client(directory).post("/v1/relations", body), as_json=as_json)

    @app.command("list", help=SAY("relation_list"))
    def listing(directory: Directory = HERE, as_json: Json = False) -> None:
        listed(directory, "/v1/relations", _RELATION, as_json=as_json)

    @app.command("end", help=SAY("relation_end"))
    def end(relation: Id, reason: Reason = "", by: By = "", directory: Directory = HERE, as_json: Json = False) -> None:
        body = {"person": person(by), "reason": reason}
        print_result(client(directory).post(f"/v1/relations/{relation}/end", body), as_json=as_json)

    return app


def _payments() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("add", help=SAY("payment_add"))
    def add(
        agreement: Id,
        amount: Annotated[str, typer.Option("--amount", help=SAY("payment_amount"))],
        unit: Annotated[str, typer.Option("--unit", help=SAY("payment_unit"))],
        evidence: Annotated[str, typer.Option("--evidence", help=SAY("payment_evidence"))],
        by: By = "",
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        body = {"person": person(by), "agreement": agreement, "amount": amount, "unit": unit, "evidence": evidence}
        print_result(client(directory).post("/v1/payments", body), as_json=as_json)

    @app.command("list", help=SAY("payment_list"))
    def listing(agreement: Of = "", directory: Directory = HERE, as_json: Json = False) -> None:
        listed(directory, of_agreement("/v1/payments", agreement), _PAYMENT, as_json=as_json)

    return app
