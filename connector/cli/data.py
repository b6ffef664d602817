"""`kizuna asset | offer | catalog`: what this company publishes, and what others do."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from connector.cli.local import HERE, SAY, Directory, Json, bound, client, pair, rows
from kernel.cli import print_result


def register(app: typer.Typer) -> None:
    """Add the commands to the `kizuna` application."""
    app.add_typer(_assets(), name="asset", help=SAY("asset"))
    app.add_typer(_offers(), name="offer", help=SAY("offer"))
    app.add_typer(_catalogs(), name="catalog", help=SAY("catalog"))


def _assets() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("add", help=SAY("asset_add"))
    def add(
        payload: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=SAY("payload"))],
        schema: Annotated[str, typer.Option("--schema", help=SAY("schema"))],
        title: Annotated[str, typer.Option("--title", help=SAY("title"))],
        title_ja: Annotated[str, typer.Option("--title-ja", help=SAY("title_ja"))] = "",
        media_type: Annotated[str, typer.Option("--media-type", help=SAY("media_type"))] = "application/json",
        products: Annotated[list[str] | None, typer.Option("--product", help=SAY("asset_product"))] = None,
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        given = {"schema": schema, "title": title, "titleJa": title_ja, "mediaType": media_type, "product": products or []}
        query = urlencode(given, doseq=True)
        found = client(directory).upload(f"/v1/assets?{query}", payload)
        print_result(found, as_json=as_json)

    @app.command("list", help=SAY("asset_list"))
    def listing(directory: Directory = HERE, as_json: Json = False) -> None:
        found = list(client(directory).items("/v1/assets"))
        print_result({"items": found} if as_json else rows(found, "id", "schema", "size", "products", "title"), as_json=as_json)

    return app


def _offers() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("add", help=SAY("offer_add"))
    def add(
        asset: Annotated[str, typer.Argument(help=SAY("id"))],
        template: Annotated[str, typer.Option("--template", help=SAY("offer_template"))],
        parameter: Annotated[list[str] | None, typer.Option("--set", help="name=value; a list: name=a,b")] = None,
        approval: Annotated[str, typer.Option("--approval", help=SAY("offer_approval"))] = "",
        open_to: Annotated[list[str] | None, typer.Option("--open", help=SAY("offer_open"))] = None,
        otherwise: Annotated[str, typer.Option("--otherwise", help=SAY("offer_otherwise"))] = "wait",
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        body = {
            "asset": asset,
            "template": template,
            "parameters": dict(map(pair, parameter or [])),
            "approval": approval,
            "bounds": dict(map(bound, open_to or [])),
            "otherwise": otherwise,
        }
        found: Any = client(directory).post("/v1/offers", body)
        print_result(found if as_json else _offer_row(found), as_json=as_json)

    @app.command("list", help=SAY("offer_list"))
    def listing(directory: Directory = HERE, as_json: Json = False) -> None:
        found = list(client(directory).items("/v1/offers"))
        print_result({"items": found} if as_json else [_offer_row(each) for each in found], as_json=as_json)

    return app


def _catalogs() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("show", help=SAY("catalog_show"))
    def show(
        peer: Annotated[str, typer.Argument(help=SAY("peer"))],
        turtle: Annotated[bool, typer.Option("--turtle", help=SAY("turtle"))] = False,
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        found: Any = client(directory).post("/v1/catalog", {"peer": peer})
        if turtle:
            from catalog import describe  # noqa: PLC0415  not needed to print a help text, nor to run

            typer.echo(describe.turtle(found))
            return
        print_result(found if as_json else [row for each in found["dataset"] for row in _dataset_rows(each)], as_json=as_json)

    return app


def _dataset_rows(dataset: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each offer, with what the dataset is about and its terms in short lines."""
    from catalog import describe  # noqa: PLC0415  not needed to print a help text, nor to run

    said = {"dataset": dataset["@id"], "title": _title(dataset.get("dct:title")), "products": " ".join(describe.products(dataset))}
    return [{**said, "offer": offer["@id"], "terms": "\n".join(_terms(offer))} for offer in dataset.get("hasPolicy", [])]


def _terms(offer: dict[str, Any]) -> list[str]:
    """Terms of somebody else, who may have written anything."""
    from connector.management.views import terms  # noqa: PLC0415  the start of `connector run` loads these commands too

    try:
        return terms(offer)
    except (LookupError, TypeError, AttributeError):
        return ["(cannot be read)"]


def _offer_row(offer: dict[str, Any]) -> dict[str, Any]:
    shown = {name: offer.get(name, "") for name in ("id", "asset", "template", "approval", "otherwise")}
    return shown | {"open": ", ".join(offer.get("bounds") or {}), "terms": "\n".join(offer["terms"])}


def _title(value: Any) -> str:
    """The first of the language-tagged titles, or a plain one."""
    first = value[0] if isinstance(value, list) and value else value
    return str(first.get("@value", "")) if isinstance(first, dict) else str(first or "")
