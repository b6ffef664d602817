"""`kizuna agreement`: contract agreements, their end and their renewal, through the management API."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from connector.cli.local import HERE, SAY, Directory, Json, client, rows
from connector.cli.negotiations import By, Id, Reason, person
from kernel import wire
from kernel.cli import print_result

if TYPE_CHECKING:
    from identity.did.document import DidDocument

_WORDS: Final = {True: "yes", False: "NO", None: "not there"}


def agreements() -> typer.Typer:
    """The sub-commands."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list", help=SAY("agreement_list"))
    def listing(
        template: Annotated[str, typer.Option("--template", help=SAY("agreement_template"))] = "",
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        found: Any = client(directory).get(f"/v1/agreements?template={quote(template)}" if template else "/v1/agreements")
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

    @app.command("export", help=SAY("agreement_export"))
    def export(
        agreement: Id,
        output: Annotated[Path | None, typer.Option("--output", help=SAY("export_output"))] = None,
        directory: Directory = HERE,
    ) -> None:
        found = wire.dumps(client(directory).get(f"/v1/agreements/{agreement}/evidence"))
        if output is None:
            typer.echo(found.decode())
        else:
            output.write_bytes(found + b"\n")
            print_result({"file": str(output)}, as_json=False)

    @app.command("verify", help=SAY("agreement_verify"))
    def verify(
        file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=SAY("verify_file"))],
        documents: Annotated[list[Path] | None, typer.Option("--did-document", exists=True, help=SAY("verify_document"))] = None,
        policies: Annotated[list[Path] | None, typer.Option("--policy", exists=True, help=SAY("verify_policy"))] = None,
        as_json: Json = False,
    ) -> None:
        from connector.contracts import bundle  # noqa: PLC0415  the start of `connector run` loads these commands too

        texts = dict(map(_policy, policies or []))
        checks = bundle.verify(bundle.read(file.read_bytes()), dict(map(_document, documents or [])), texts)
        print_result([{"check": each.what, "holds": _WORDS[each.ok], "detail": each.detail} for each in checks], as_json=as_json)
        if any(each.ok is False for each in checks):
            raise typer.Exit(1)

    return app


def _document(file: Path) -> "tuple[str, DidDocument]":
    from identity.did.document import parse_document  # noqa: PLC0415

    found = wire.loads(file.read_bytes())
    did = str(found.get("id")) if isinstance(found, dict) else ""
    return did, parse_document(found, did)


def _policy(file: Path) -> tuple[str, str]:
    """A policy that terms were written from: its digest, and its text in the form that is hashed."""
    found = wire.loads(file.read_bytes())
    return wire.digest(found), wire.canonical(found).decode()
