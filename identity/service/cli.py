"""`kizuna identity init|run` and `kizuna member ...`: the operator's commands.

`member` talks to the management API of the running service: `--dir` reads address and key from its data directory,
`--management URL --key-file FILE` reaches one elsewhere. `run` replaces the command by the serving process
(`python -m identity.service`), which loads nothing of the command line.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from identity.service import settings, setup
from identity.service.settings import Settings
from kernel.cli import ManagementClient, print_result
from kernel.clock import SystemClock
from kernel.errors import Misconfigured
from kernel.texts import texts

_say = texts("identity.service")

Directory = Annotated[Path, typer.Option("--dir", help=_say("dir_option"))]
MaybeDirectory = Annotated[Path | None, typer.Option("--dir", help=_say("dir_option"))]
Address = Annotated[str, typer.Option("--management", help=_say("management_option"))]
KeyFile = Annotated[Path | None, typer.Option("--key-file", help=_say("key_option"))]
Json = Annotated[bool, typer.Option("--json", help=_say("json_option"))]
MemberReference = Annotated[str, typer.Argument(metavar="MEMBER", help=_say("member_argument"))]


def register(app: typer.Typer) -> None:
    """Add `identity` and `member` to the command."""
    identity = typer.Typer(no_args_is_help=True, help=_say("identity_help"))
    identity.command("init", help=_say("init_help"))(init)
    identity.command("run", help=_say("run_help"))(run)
    app.add_typer(identity, name="identity")
    member = typer.Typer(no_args_is_help=True, help=_say("member_help"))
    member.command("invite", help=_say("invite_help"))(invite)
    member.command("approve", help=_say("approve_help"))(approve)
    member.command("list", help=_say("list_help"))(list_members)
    member.command("suspend", help=_say("suspend_help"))(suspend)
    member.command("reinstate", help=_say("reinstate_help"))(reinstate)
    member.command("revoke", help=_say("revoke_help"))(revoke)
    app.add_typer(member, name="member")


def init(
    *,
    directory: Directory,
    name: Annotated[str, typer.Option(help=_say("name_option"))],
    data_space: Annotated[str, typer.Option(help=_say("data_space_option"))],
    definitions: Annotated[Path, typer.Option(help=_say("definitions_option"))],
    tls_cert: Annotated[Path, typer.Option(help=_say("tls_cert_option"))],
    tls_key: Annotated[Path, typer.Option(help=_say("tls_key_option"))],
    port: Annotated[int, typer.Option(min=1, max=65535, help=_say("port_option"))],
    host: Annotated[str, typer.Option(help=_say("host_option"))] = "localhost",
    bind: Annotated[str, typer.Option(help=_say("bind_option"))] = "127.0.0.1",
    management_port: Annotated[int, typer.Option(min=0, max=65535, help=_say("management_port_option"))] = 0,
    roots: Annotated[Path | None, typer.Option(help=_say("roots_option"))] = None,
    allow_private: Annotated[list[str] | None, typer.Option(help=_say("allow_private_option"))] = None,
    as_json: Json = False,
) -> None:
    found = Settings(
        name=name,
        data_space=data_space,
        host=host,
        bind=bind,
        port=port,
        management_port=management_port or port + 1,
        allow_private=tuple(allow_private or ()),
    )
    setup.initialise(
        directory,
        found,
        certificate=tls_cert,
        key=tls_key,
        credential_definitions=definitions,
        roots=roots,
        clock=SystemClock(),
    )
    result = {"did": found.did, "url": found.url, "management": management_url(found), "directory": str(directory)}
    _show(result, _say("initialised", data_space=data_space, dir=directory, did=found.did), as_json=as_json)


def run(directory: Directory) -> None:
    command = [sys.executable, "-P", "-m", "identity.service", "--dir", str(directory)]
    os.execv(sys.executable, command)  # noqa: S606  # our own interpreter; -P keeps the working directory out of the path


def invite(
    did: Annotated[str, typer.Option(help=_say("did_option"))],
    name: Annotated[str, typer.Option(help=_say("name_option"))],
    corporate_number: Annotated[str, typer.Option(help=_say("corporate_number_option"))],
    role: Annotated[list[str] | None, typer.Option(help=_say("role_option"))] = None,
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    wanted = {"did": did, "name": name, "corporateNumber": corporate_number, "roles": role or []}
    made = client(directory, management, key_file).post("/v1/invitations", wanted)
    text = _say("invited", name=name, code=made["invitation"], expires=made["expires"])
    _show(made, text, as_json=as_json)


def list_members(
    directory: MaybeDirectory = None, management: Address = "", key_file: KeyFile = None, *, as_json: Json = False
) -> None:
    members = client(directory, management, key_file).get("/v1/members")["members"]
    if as_json:
        print_result({"members": members}, as_json=True)
    elif members:
        columns = ("name", "state", "number", "roles", "corporateNumber", "did", "id")
        print_result([{column: _cell(member[column]) for column in columns} for member in members], as_json=False)
    else:
        typer.echo(_say("no_members"))


def approve(
    member: MemberReference,
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    _change(client(directory, management, key_file), member, "approve", "approved", as_json=as_json)


def suspend(
    member: MemberReference,
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    _change(client(directory, management, key_file), member, "suspend", "suspended", as_json=as_json)


def reinstate(
    member: MemberReference,
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    _change(client(directory, management, key_file), member, "reinstate", "reinstated", as_json=as_json)


def revoke(
    member: MemberReference,
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    _change(client(directory, management, key_file), member, "revoke", "revoked", as_json=as_json)


def client(directory: Path | None, management: str, key_file: Path | None) -> ManagementClient:
    """The management API of the service meant by the options; raises `Misconfigured` with the next step."""
    if directory is not None:
        found = settings.load(directory)
        key = setup.management_key(key_file or directory / setup.MANAGEMENT_KEY)
        return ManagementClient(management or management_url(found), key)
    if not management or key_file is None:
        raise Misconfigured(_say("no_address"), next_step=_say("no_address_next"))
    return ManagementClient(management, setup.management_key(key_file))


def management_url(found: Settings) -> str:
    """Base URL of the management API."""
    host = f"[{found.management_bind}]" if ":" in found.management_bind else found.management_bind
    return f"http://{host}:{found.management_port}"


def _change(service: ManagementClient, member: str, action: str, text: str, *, as_json: bool) -> None:
    changed = service.post(f"/v1/members/{quote(member, safe='')}/{action}", {})
    _show(changed, _say(text, name=changed["name"], number=changed["number"]), as_json=as_json)


def _show(value: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_result(value, as_json=True)
    else:
        typer.echo(text)


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value or "")
