"""`kizuna negotiation`: see, compare and answer what is negotiated, through the management API."""

import getpass
from pathlib import Path
from typing import Annotated, Any

import typer

from connector.cli.local import HERE, SAY, Directory, Json, Wait, client, pair, process, rows
from kernel import wire
from kernel.cli import print_result
from kernel.errors import BadInput

Id = Annotated[str, typer.Argument(help=SAY("id"))]
Reason = Annotated[str, typer.Option("--reason", help=SAY("reason"))]
Code = Annotated[str, typer.Option("--code", help=SAY("code"))]
By = Annotated[str, typer.Option("--by", envvar="KIZUNA_PERSON", help=SAY("by"))]
Values = Annotated[list[str] | None, typer.Option("--set", help=SAY("counter_set"))]
Terms = Annotated[Path | None, typer.Option("--terms", exists=True, dir_okay=False, help=SAY("counter_terms"))]
COLUMNS = ("id", "role", "peer", "state", "note")


def negotiations() -> typer.Typer:
    """The sub-commands."""
    app = typer.Typer(no_args_is_help=True)
    _looking(app)
    _answering(app)
    _offering(app)
    return app


def person(by: str) -> str:
    """Who decides: as given, else whoever is logged in."""
    return by or getpass.getuser()


def _looking(app: typer.Typer) -> None:
    @app.command("list", help=SAY("negotiation_list"))
    def listing(
        waiting: Annotated[bool, typer.Option("--waiting", help=SAY("waiting"))] = False,
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        found: Any = client(directory).get(f"/v1/negotiations{'?waiting=true' if waiting else ''}")
        shown = [{**each, **_waits(each)} for each in found["items"]]
        columns = ("id", "role", "peer", "state", "who", "since", "why") if waiting else COLUMNS
        print_result(found if as_json else rows(shown, *columns), as_json=as_json)

    @app.command("show", help=SAY("negotiation_show"))
    def show(negotiation: Id, wait: Wait = 0, directory: Directory = HERE, as_json: Json = False) -> None:
        found: Any = client(directory).get(f"/v1/negotiations/{negotiation}", wait=wait)
        print_result(found if as_json else process(found), as_json=as_json)

    @app.command("diff", help=SAY("negotiation_diff"))
    def diff(negotiation: Id, directory: Directory = HERE, as_json: Json = False) -> None:
        found: Any = client(directory).get(f"/v1/negotiations/{negotiation}/differences")
        lines = [
            {"term": each["about"] or each["path"], "asked": _short(each["asked"]), "offered": _short(each["offered"])}
            for each in found["differences"]
        ]
        print_result(found if as_json else lines, as_json=as_json)


def _answering(app: typer.Typer) -> None:
    @app.command("accept", help=SAY("negotiation_accept"))
    def accept(negotiation: Id, by: By = "", directory: Directory = HERE, as_json: Json = False) -> None:
        _post(directory, negotiation, "accept", {"person": person(by)}, as_json=as_json)

    @app.command("approve", help=SAY("negotiation_approve"))
    def approve(negotiation: Id, by: By = "", directory: Directory = HERE, as_json: Json = False) -> None:
        _post(directory, negotiation, "approve", {"person": person(by)}, as_json=as_json)

    @app.command("refuse", help=SAY("negotiation_refuse"))
    def refuse(negotiation: Id, reason: Reason = "", by: By = "", directory: Directory = HERE, as_json: Json = False) -> None:
        _post(directory, negotiation, "refuse", {"person": person(by), "reason": reason}, as_json=as_json)

    @app.command("terminate", help=SAY("negotiation_terminate"))
    def terminate(
        negotiation: Id, reason: Reason = "", code: Code = "", by: By = "", directory: Directory = HERE, as_json: Json = False
    ) -> None:
        _post(directory, negotiation, "terminate", {"reason": reason, "code": code, "person": person(by)}, as_json=as_json)

    @app.command("counter", help=SAY("negotiation_counter"))
    def counter(
        negotiation: Id, values: Values = None, terms: Terms = None, by: By = "", directory: Directory = HERE, as_json: Json = False
    ) -> None:
        _post(directory, negotiation, "counter", _terms(values, terms) | {"person": person(by)}, as_json=as_json)


def _offering(app: typer.Typer) -> None:
    @app.command("offer", help=SAY("negotiation_offer"))
    def offer(
        peer: Annotated[str, typer.Argument(help=SAY("peer"))],
        offer: Annotated[str, typer.Argument(help=SAY("id"))],
        values: Values = None,
        terms: Terms = None,
        by: By = "",
        wait: Wait = 30,
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        body = {"peer": peer, "offer": offer, "person": person(by), **_terms(values, terms)}
        found: Any = client(directory).post("/v1/negotiations/offers", body, wait=wait)
        print_result(found if as_json else process(found), as_json=as_json)


def _post(directory: Path, negotiation: str, act: str, body: dict[str, Any], *, as_json: bool) -> None:
    found: Any = client(directory).post(f"/v1/negotiations/{negotiation}/{act}", body)
    print_result(found if as_json else process(found), as_json=as_json)


def _terms(values: list[str] | None, terms: Path | None) -> dict[str, Any]:
    found: dict[str, Any] = {"values": dict(map(pair, values or []))}
    if terms is None:
        return found
    whole = wire.loads(terms.read_bytes())
    if not isinstance(whole, dict):
        raise BadInput(f"{terms} holds no policy", next_step="write an ODRL offer as DSP carries it")
    return found | {"terms": whole}


def _waits(negotiation: dict[str, Any]) -> dict[str, str]:
    return negotiation.get("waiting") or {"who": "", "since": "", "why": ""}


def _short(value: Any) -> str:
    return "" if value is None else wire.dumps(value).decode()
