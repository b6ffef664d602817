"""`kizuna member ...`: who belongs to the data space."""

from typing import Annotated
from urllib.parse import quote

import typer

from identity.service.cli.local import SAY, Address, Json, KeyFile, MaybeDirectory, cell, client, show
from kernel.cli import print_result

MemberReference = Annotated[str, typer.Argument(metavar="MEMBER", help=SAY("member_argument"))]


def commands() -> typer.Typer:
    """The group `member`."""
    group = typer.Typer(no_args_is_help=True, help=SAY("member_help"))
    group.command("invite", help=SAY("invite_help"))(invite)
    _change(group, "approve", "approved")
    group.command("list", help=SAY("list_help"))(list_members)
    _change(group, "suspend", "suspended")
    _change(group, "reinstate", "reinstated")
    _change(group, "revoke", "revoked")
    group.command("attest", help=SAY("attest_help"))(attest)
    group.command("certificates", help=SAY("certificates_help"))(certificates)
    group.command("revoke-certificate", help=SAY("revoke_certificate_help"))(revoke_certificate)
    return group


def invite(
    did: Annotated[str, typer.Option(help=SAY("did_option"))],
    name: Annotated[str, typer.Option(help=SAY("name_option"))],
    corporate_number: Annotated[str, typer.Option(help=SAY("corporate_number_option"))],
    role: Annotated[list[str] | None, typer.Option(help=SAY("role_option"))] = None,
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    wanted = {"did": did, "name": name, "corporateNumber": corporate_number, "roles": role or []}
    made = client(directory, management, key_file).post("/v1/invitations", wanted)
    text = SAY("invited", name=name, code=made["invitation"], expires=made["expires"])
    show(made, text, as_json=as_json)


def list_members(
    directory: MaybeDirectory = None, management: Address = "", key_file: KeyFile = None, *, as_json: Json = False
) -> None:
    members = list(client(directory, management, key_file).items("/v1/members"))
    if as_json:
        print_result({"members": members}, as_json=True)
    elif members:
        columns = ("name", "state", "number", "roles", "corporateNumber", "did", "id")
        print_result([{column: cell(member[column]) for column in columns} for member in members], as_json=False)
    else:
        typer.echo(SAY("no_members"))


def attest(
    member: MemberReference,
    name: Annotated[str, typer.Argument(help=SAY("attest_name"))],
    value: Annotated[str, typer.Argument(help=SAY("attest_value"))] = "",
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    path = f"/v1/members/{quote(member, safe='')}/attestations"
    found = client(directory, management, key_file).post(path, {"name": name, "value": value or None})
    print_result(found if as_json else found["attested"], as_json=as_json)


def certificates(
    member: MemberReference,
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    found = client(directory, management, key_file).get(f"/v1/members/{quote(member, safe='')}/certificates")
    print_result(found if as_json else found["certificates"], as_json=as_json)


def revoke_certificate(
    serial: Annotated[str, typer.Argument(help=SAY("serial_argument"))],
    reason: Annotated[str, typer.Option(help=SAY("reason_option"))] = "unspecified",
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    found = client(directory, management, key_file).post(f"/v1/certificates/{quote(serial, safe='')}/revoke", {"reason": reason})
    show(found, SAY("certificate_revoked", serial=found["serial"], did=found["did"]), as_json=as_json)


def _change(group: typer.Typer, action: str, said: str) -> None:
    """Add a command that changes the state of a member."""

    @group.command(action, help=SAY(f"{action}_help"))
    def change(
        member: MemberReference,
        directory: MaybeDirectory = None,
        management: Address = "",
        key_file: KeyFile = None,
        *,
        as_json: Json = False,
    ) -> None:
        changed = client(directory, management, key_file).post(f"/v1/members/{quote(member, safe='')}/{action}", {})
        show(changed, SAY(said, name=changed["name"], number=changed["number"]), as_json=as_json)
