"""What every command shares: the data directory, the running connector's management API, and how results are shown.

A command finds its connector by `--dir` (or `KIZUNA_DIR`): settings and management key lie there; `KIZUNA_KEY_FILE` names a file with another key (`kizuna key
add`), whose role then decides. It never opens the
database: one process owns it (ADR 0004).
"""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from kernel.cli import ManagementClient, print_result
from kernel.errors import BadInput, Misconfigured
from kernel.texts import texts

SAY = texts("connector")
KEY_FILE = "management.key"

Directory = Annotated[Path, typer.Option("--dir", envvar="KIZUNA_DIR", help=SAY("dir"))]
Json = Annotated[bool, typer.Option("--json", help=SAY("json"))]
Wait = Annotated[float, typer.Option("--wait", min=0, max=600, help=SAY("wait"))]
HERE = Path()
_DETAILS = ("offer", "terms", "journal", "outbox", "waiting", "agreement", "leeway")


def client(directory: Path) -> ManagementClient:
    """The management API of the connector whose data lie in `directory`; raises `Misconfigured`."""
    from connector import settings  # noqa: PLC0415  not needed to print a help text, nor to run

    if not (directory / settings.FILE).exists():
        raise Misconfigured(SAY("not_a_directory", directory=directory), next_step=SAY("not_a_directory_next", directory=directory))
    found = settings.load(directory)
    scheme = "https" if found.management_certificate else "http"
    address = f"{scheme}://{found.management_bind}:{found.management_port}"
    key = Path(os.environ.get("KIZUNA_KEY_FILE") or directory / KEY_FILE)
    try:
        return ManagementClient(address, key.read_text(encoding="ascii").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(SAY("no_key", file=key), next_step=SAY("no_key_next")) from error


def rows(found: Any, *columns: str) -> list[dict[str, Any]]:
    """Only the named columns of a list, for people; `--json` shows all."""
    return [{column: row.get(column, "") for column in columns} for row in found]


def process(found: Any) -> dict[str, Any]:
    """A negotiation or transfer for people: what is there, its terms, whom it waits for and its steps in lines."""
    lines = {name: each for name, each in found.items() if each not in (None, "", [], {}) and name not in _DETAILS}
    if waiting := found.get("waiting"):
        lines["waiting"] = f"for {waiting['who']} since {waiting['since']}, who may approve or refuse: {waiting['why']}"
    if agreement := found.get("agreement"):
        lines["agreement"] = agreement["id"]
    listed = {
        "terms": found.get("terms") or [],
        "steps": [
            f"{each['at']}  {each['after']}  {each['message']} of the {each['sender']}"
            + (f", by {each['person']}" if each["person"] else "")
            for each in found.get("journal") or []
        ],
        "unsent": [
            f"{each['message']}, {each['attempts']} attempts: {each['reason'] or 'on its way'}"
            for each in found.get("outbox") or []
        ],
    }
    return lines | {name: "\n    ".join(["", *each]) for name, each in listed.items() if each}


def bound(text: str) -> tuple[str, dict[str, Any]]:
    """`name`, `name=least..most`, `name=a,b`: a parameter that the other side may set otherwise, and what it may be."""
    name, _, value = text.partition("=")
    if not name:
        raise BadInput(f"--open {text}: no name", next_step="write --open until, --open until=A..B or --open role=a,b")
    if ".." in value:
        least, _, most = value.partition("..")
        return name, {"least": least, "most": most}
    return name, {"values": value.split(",")} if value else {}


def pair(text: str) -> tuple[str, str | list[str]]:
    """`name=value`, or `name=a,b` for a list; raises `BadInput`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadInput(f"--set {text}: not name=value", next_step="write --set role=cellMaker or --set purpose=a,b")
    return name, value.split(",") if "," in value else value


def listed(directory: Path, path: str, columns: tuple[str, ...], *, as_json: bool, terms: tuple[str, ...] = ()) -> None:
    """Print a list of the management API: the named columns for people, everything for programs. `terms`: columns with terms of policies, which people read short."""
    found = list(client(directory).items(path))
    shown = {"items": found} if as_json else [read(row, terms) for row in rows(found, *columns)]
    print_result(shown, as_json=as_json)


def read(row: dict[str, Any], terms: tuple[str, ...]) -> dict[str, Any]:
    """A row with its terms of policies as people read them."""
    from policies.odrl.vocabulary import readable  # noqa: PLC0415  not needed to print a help text

    return row | {name: readable(row[name]) for name in terms}
