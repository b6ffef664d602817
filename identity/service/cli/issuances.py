"""`kizuna issuance ...`: credential requests and offers: what waits for a person, what is under way, and why it is late."""

from typing import Annotated
from urllib.parse import quote

import typer

from identity.service.cli.local import SAY, Address, Json, KeyFile, MaybeDirectory, client, show
from kernel.cli import print_result

Id = Annotated[str, typer.Argument(metavar="REQUEST", help=SAY("issuance_argument"))]
_COLUMNS = ("id", "holder", "state", "reason", "attempts", "due", "error")


def commands() -> typer.Typer:
    """The group `issuance`."""
    group = typer.Typer(no_args_is_help=True, help=SAY("issuance_help"))
    group.command("list", help=SAY("issuance_list_help"))(list_issuances)
    group.command("approve", help=SAY("issuance_approve_help"))(approve)
    group.command("reject", help=SAY("issuance_reject_help"))(reject)
    group.command("offer", help=SAY("issuance_offer_help"))(offer)
    return group


def list_issuances(
    directory: MaybeDirectory = None, management: Address = "", key_file: KeyFile = None, *, as_json: Json = False
) -> None:
    found = client(directory, management, key_file).items("/v1/issuances")
    print_result(found if as_json else [{name: each[name] or "" for name in _COLUMNS} for each in found], as_json=as_json)


def approve(
    request: Id, directory: MaybeDirectory = None, management: Address = "", key_file: KeyFile = None, *, as_json: Json = False
) -> None:
    found = client(directory, management, key_file).post(f"/v1/issuances/{quote(request, safe='')}/approve", {})
    show(found, SAY("issuance_decided", id=found["id"], holder=found["holder"], state=found["state"]), as_json=as_json)


def reject(
    request: Id,
    reason: Annotated[str, typer.Option(help=SAY("issuance_reason_option"))] = "",
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    found = client(directory, management, key_file).post(f"/v1/issuances/{quote(request, safe='')}/reject", {"reason": reason})
    show(found, SAY("issuance_decided", id=found["id"], holder=found["holder"], state=found["state"]), as_json=as_json)


def offer(
    member: Annotated[str, typer.Argument(metavar="MEMBER", help=SAY("member_argument"))],
    definitions: Annotated[list[str], typer.Argument(metavar="DEFINITION...", help=SAY("definitions_argument"))],
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    found = client(directory, management, key_file).post(
        f"/v1/members/{quote(member, safe='')}/offers", {"definitions": definitions}
    )
    show(found, SAY("issuance_decided", id=found["id"], holder=found["holder"], state=found["state"]), as_json=as_json)
