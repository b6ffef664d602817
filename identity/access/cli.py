"""`kizuna key` and `kizuna audit`, for whichever service's management API `client` reaches.

An export is JSON lines: first `{"participant", "head"}`, then one row a line in order. Whoever has the file verifies it alone; with a head that was noted
earlier, the verification also shows that nothing before it was rewritten.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from identity.access.audit import Chain, Entry, Head, head_of
from kernel import wire
from kernel.cli import ManagementClient, print_result
from kernel.clock import SystemClock, iso, parse_iso
from kernel.errors import BadInput
from kernel.texts import texts

SAY: Final = texts("identity.access")
Client = Callable[[Path], ManagementClient]
Directory = Annotated[Path, typer.Option("--dir", envvar="KIZUNA_DIR", help=SAY("dir"))]
HERE: Final = Path()
Json = Annotated[bool, typer.Option("--json", help=SAY("json"))]
Pinned = Annotated[str, typer.Option("--head", help=SAY("head"))]
After = Annotated[int, typer.Option("--after", min=0, help=SAY("after"))]
Scopes = Annotated[list[str] | None, typer.Option("--scope", help=SAY("scope"))]
Export = Annotated[Path | None, typer.Option("--file", exists=True, dir_okay=False, help=SAY("file"))]
KEY_COLUMNS: Final = ("id", "name", "role", "scopes", "expires", "revoked", "used")
AUDIT_COLUMNS: Final = ("seq", "at", "who", "name", "role", "action", "object", "outcome")
_LIFE: Final = re.compile(r"([1-9][0-9]{0,4})([dh])", re.ASCII)


def register(app: typer.Typer, client: Client) -> None:
    """Add `key` and `audit`."""
    app.add_typer(_keys(client), name="key", help=SAY("key_help"))
    app.add_typer(_audit(client), name="audit", help=SAY("audit_help"))


def _keys(client: Client) -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("add", help=SAY("key_add"))
    def add(
        role: Annotated[str, typer.Option("--role", help=SAY("role"))],
        name: Annotated[str, typer.Option("--name", help=SAY("name"))],
        scope: Scopes = None,
        expires: Annotated[str, typer.Option("--expires", help=SAY("expires"))] = "90d",
        directory: Directory = HERE,
        as_json: Json = False,
    ) -> None:
        body = {"name": name, "role": role, "scopes": scope or [], "expires": until(expires, SystemClock().now())}
        found = client(directory).post("/v1/keys", body)
        print_result(found, as_json=as_json)
        if not as_json:
            typer.echo(SAY("key_once"), err=True)

    @app.command("list", help=SAY("key_list"))
    def listing(directory: Directory = HERE, as_json: Json = False) -> None:
        _show(client(directory).items("/v1/keys"), KEY_COLUMNS, as_json=as_json)

    @app.command("revoke", help=SAY("key_revoke"))
    def revoke(key: Annotated[str, typer.Argument(help=SAY("key_id"))], directory: Directory = HERE, as_json: Json = False) -> None:
        print_result(client(directory).post(f"/v1/keys/{key}/revoke", {}), as_json=as_json)

    return app


def _audit(client: Client) -> typer.Typer:
    app = typer.Typer(no_args_is_help=True)

    @app.command("list", help=SAY("audit_list"))
    def listing(after: After = 0, directory: Directory = HERE, as_json: Json = False) -> None:
        _show(client(directory).items("/v1/audit", str(after)), AUDIT_COLUMNS, as_json=as_json)

    @app.command("verify", help=SAY("audit_verify"))
    def verify(head: Pinned = "", file: Export = None, directory: Directory = HERE, as_json: Json = False) -> None:
        if file is not None:
            found = verified(file, head)
        else:
            found = client(directory).get("/v1/audit/verify" + (f"?head={head}" if head else ""))
        if as_json:
            print_result(found, as_json=True)
        else:
            typer.echo(SAY("intact", **found) if found["intact"] else SAY("broken", **found["fault"]))
        if not found["intact"]:
            raise typer.Exit(1)

    @app.command("export", help=SAY("audit_export"))
    def export(
        output: Annotated[Path | None, typer.Option("--output", help=SAY("output"))] = None, directory: Directory = HERE
    ) -> None:
        lines = _lines(client(directory))
        if output is None:
            sys.stdout.writelines(lines)
        else:
            with output.open("x", encoding="utf-8") as target:
                target.writelines(lines)

    return app


def until(text: str, now: datetime) -> str:
    """The end of a life like `90d` as ISO 8601; empty for `never`. Raises `BadInput`."""
    if text == "never":
        return ""
    life = _LIFE.fullmatch(text)
    if life is not None:
        count = int(life[1])
        return iso(now + (timedelta(days=count) if life[2] == "d" else timedelta(hours=count)))
    try:
        return iso(parse_iso(text))
    except BadInput as error:
        raise BadInput(SAY("bad_life", text=text), next_step=SAY("bad_life_next")) from error


def verified(file: Path, pinned: str) -> dict[str, Any]:
    """Follow the chain in an exported log; the same answer as the service's own. Raises `BadInput`."""
    chain = None
    try:
        with file.open(encoding="utf-8") as lines:
            first = wire.loads(next(lines))
            chain, head = Chain(first["participant"], head_of(pinned) if pinned else None), head_of(first["head"])
            for line in lines:
                chain.take(msgspec.convert(wire.loads(line), Entry))
    except (StopIteration, KeyError, TypeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BadInput(SAY("not_export", file=file), next_step=SAY("not_export_next")) from error
    fault = chain.end(head)
    return {
        "intact": fault is None,
        "entries": chain.last.seq,
        "head": str(chain.last),
        "fault": msgspec.structs.asdict(fault) if fault else None,
    }


def _lines(client: ManagementClient) -> Iterator[str]:
    """The log up to the head of this moment."""
    found = client.get("/v1/audit?limit=1")
    head: Head = head_of(found["head"])
    yield wire.dumps({"participant": found["participant"], "head": str(head)}).decode() + "\n"
    for row in client.items("/v1/audit") if head.seq else ():
        if row["seq"] > head.seq:
            return
        yield wire.dumps(row).decode() + "\n"


def _show(items: Iterable[dict[str, Any]], columns: tuple[str, ...], *, as_json: bool) -> None:
    found = list(items)
    if as_json:
        print_result({"items": found}, as_json=True)
    else:
        print_result([{column: _cell(row.get(column, "")) for column in columns} for row in found], as_json=False)


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
