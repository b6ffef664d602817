"""`kizuna credential ...`: what has been issued, and its suspension, reinstatement and revocation by id, holder or type."""

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from identity.service.cli.local import SAY, Address, Json, KeyFile, MaybeDirectory, client, show
from kernel.cli import print_result

Id = Annotated[str, typer.Argument(metavar="[CREDENTIAL]", help=SAY("credential_argument"))]
Holder = Annotated[str, typer.Option("--holder", help=SAY("holder_option"))]
Type = Annotated[str, typer.Option("--type", help=SAY("type_option"))]
_COLUMNS = ("id", "type", "holder", "state", "validUntil")


def commands() -> typer.Typer:
    """The group `credential`."""
    group = typer.Typer(no_args_is_help=True, help=SAY("credential_help"))
    group.command("list", help=SAY("credential_list_help"))(list_credentials)
    group.command("suspend", help=SAY("credential_suspend_help"))(suspend)
    group.command("reinstate", help=SAY("credential_reinstate_help"))(reinstate)
    group.command("revoke", help=SAY("credential_revoke_help"))(revoke)
    return group


def list_credentials(
    holder: Holder = "",
    type_: Type = "",
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    wanted = urlencode({"holder": holder, "type": type_})
    found = list(client(directory, management, key_file).items(f"/v1/credentials?{wanted}"))
    if as_json:
        print_result({"credentials": found}, as_json=True)
    else:
        print_result([{column: each[column] for column in _COLUMNS} for each in found], as_json=False)


def suspend(
    credential: Id = "",
    holder: Holder = "",
    type_: Type = "",
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    wanted = {"id": credential, "holder": holder, "type": type_}
    _told(client(directory, management, key_file).post("/v1/credentials/suspend", wanted, timeout=120), as_json=as_json)


def reinstate(
    credential: Id = "",
    holder: Holder = "",
    type_: Type = "",
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    wanted = {"id": credential, "holder": holder, "type": type_}
    _told(client(directory, management, key_file).post("/v1/credentials/reinstate", wanted, timeout=120), as_json=as_json)


def revoke(
    credential: Id = "",
    holder: Holder = "",
    type_: Type = "",
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    wanted = {"id": credential, "holder": holder, "type": type_}
    _told(client(directory, management, key_file).post("/v1/credentials/revoke", wanted, timeout=120), as_json=as_json)


def _told(changed: dict[str, Any], *, as_json: bool) -> None:
    lines = [
        SAY("credential_changed", id=each["id"], state=each["state"], holder=each["holder"]) for each in changed["credentials"]
    ]
    show(changed, "\n".join(lines) or SAY("credential_unchanged"), as_json=as_json)
