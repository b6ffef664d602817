"""`kizuna connector init | run | join | status | rotate-certificate`: set up a node and bring it into a data space."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from connector.cli import wallet
from connector.cli.local import HERE, SAY, Directory, Json, Wait, client, rows
from kernel.cli import print_result
from kernel.errors import BadInput, Misconfigured

_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # RFC 7638, SHA-256


def _file(text: str) -> Any:
    return typer.Option(exists=True, dir_okay=False, help=SAY(text))


def _port(text: str) -> Any:
    return typer.Option(min=1, max=65535, help=SAY(text))


def register(app: typer.Typer) -> None:
    """Add `connector` to the `kizuna` application."""
    group = typer.Typer(no_args_is_help=True)
    group.command("init", help=SAY("connector_init"))(init)
    group.command("run", help=SAY("connector_run"))(run)
    group.command("join", help=SAY("connector_join"))(join)
    group.command("status", help=SAY("connector_status"))(status)
    group.command("refusals", help=SAY("connector_refusals"))(refusals)
    group.command("rotate-certificate", help=SAY("connector_rotate"))(rotate)
    wallet.register(group)
    app.add_typer(group, name="connector", help=SAY("connector"))


def init(
    name: Annotated[str, typer.Option(help=SAY("name"))],
    profile: Annotated[str, typer.Option(help=SAY("profile"))],
    authority: Annotated[str, typer.Option(help=SAY("authority"))],
    tls_cert: Annotated[Path, _file("tls_cert")],
    tls_key: Annotated[Path, _file("tls_key")],
    roots: Annotated[Path, _file("roots")],
    public_port: Annotated[int, _port("public_port")],
    member_port: Annotated[int, _port("member_port")],
    management_port: Annotated[int, _port("management_port")],
    host: Annotated[str, typer.Option(help=SAY("host"))] = "localhost",
    base_path: Annotated[str, typer.Option(help=SAY("base_path"))] = "",
    allow_private: Annotated[list[str] | None, typer.Option(help=SAY("allow_private"))] = None,
    issuer: Annotated[list[str] | None, typer.Option(help=SAY("issuer"))] = None,
    authority_key: Annotated[str, typer.Option(help=SAY("authority_key"))] = "",
    open_peer: Annotated[list[str] | None, typer.Option(help=SAY("open_peer"))] = None,
    passphrase_file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help=SAY("passphrase_file"))] = None,
    database: Annotated[str, typer.Option(help=SAY("database"))] = "",
    directory: Directory = HERE,
    as_json: Json = False,
) -> None:
    from connector import settings  # noqa: PLC0415  not needed to print a help text, nor to run
    from connector.install import install  # noqa: PLC0415
    from identity.did import parse  # noqa: PLC0415
    from policies.profiles import load  # noqa: PLC0415

    if (directory / settings.FILE).exists():
        raise Misconfigured(SAY("init_exists", directory=directory), next_step=SAY("init_exists_next"))
    if authority_key and not _THUMBPRINT.fullmatch(authority_key):
        raise BadInput(SAY("bad_authority_key", text=authority_key), next_step=SAY("bad_authority_key_next"))
    parse(authority)
    load(profile)
    found = settings.Settings(
        name=name,
        profile=profile,
        authority=authority,
        authority_key=authority_key,
        host=host,
        base_path=base_path,
        public_port=public_port,
        member_port=member_port,
        management_port=management_port,
        allow_private=tuple(allow_private or ()),
        database=database,
        issuers=tuple(settings.Issuer(did, types) for did, types in map(_named_types, issuer or [])),
        passphrase_file=str(passphrase_file.absolute()) if passphrase_file else "",
        peers=tuple(settings.Peer(did, "off", types) for did, types in map(_named_types, open_peer or [])),
    )
    settings.check(found)
    install(directory, found, certificate=tls_cert, key=tls_key, roots=roots)
    print_result({"did": found.did, "directory": str(directory), "next": SAY("next_run", directory=directory)}, as_json=as_json)


def run(
    directory: Directory = HERE, also: Annotated[list[Path] | None, typer.Option("--with", help=SAY("connector_with"))] = None
) -> None:
    command = [sys.executable, "-P", "-m", "connector"]
    command += [part for each in (directory, *(also or ())) for part in ("--dir", str(each))]
    os.execv(sys.executable, command)  # noqa: S606  our own interpreter; -P keeps the working directory out of the path


def join(
    invitation: Annotated[str, typer.Argument(help=SAY("invitation"))],
    wait: Wait = 60,
    directory: Directory = HERE,
    as_json: Json = False,
) -> None:
    print_result(client(directory).post("/v1/membership", {"invitation": invitation}, wait=wait), as_json=as_json)


def status(directory: Directory = HERE, as_json: Json = False) -> None:
    found: Any = client(directory).get("/v1/status")
    print_result(found, as_json=as_json)


def refusals(
    peer: Annotated[str, typer.Option("--peer", help=SAY("refusals_peer"))] = "", directory: Directory = HERE, as_json: Json = False
) -> None:
    found: Any = client(directory).get(f"/v1/refusals?{urlencode({'peer': peer})}")
    print_result(found if as_json else rows(found["items"], "at", "peer", "stage", "subject", "reason", "detail"), as_json=as_json)


def rotate(directory: Directory = HERE, as_json: Json = False) -> None:
    print_result(client(directory).post("/v1/membership/certificate", {}), as_json=as_json)


def _named_types(text: str) -> tuple[str, tuple[str, ...]]:
    did, equals, types = text.partition("=")
    if not equals or not did.startswith("did:") or not types:
        raise BadInput(f"{text}: not DID=Type,Type", next_step="for example did:key:z6Mk...=PartnerCredential")
    return did, tuple(types.split(","))
