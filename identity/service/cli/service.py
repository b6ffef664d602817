"""`kizuna identity init|split|run|key|audit` (and `keys`, `ca`): make the data directory, serve it, say who may use its management API and who did.

`run` replaces the command by the serving process (`python -m identity.service`), which loads nothing of the command line.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from identity.access import cli as access
from identity.jose import thumbprint
from identity.keys import KeyStore, passphrase
from identity.service import setup
from identity.service.cli import ca, keys
from identity.service.cli.local import SAY, Directory, Json, client, management_url, show
from identity.service.settings import Role, Settings
from kernel.clock import SystemClock


def commands() -> typer.Typer:
    """The group `identity`."""
    group = typer.Typer(no_args_is_help=True, help=SAY("identity_help"))
    group.command("init", help=SAY("init_help"))(init)
    group.command("split", help=SAY("split_help"))(split)
    group.command("run", help=SAY("run_help"))(run)
    keys.register(group)
    group.add_typer(ca.commands(), name="ca")
    access.register(group, lambda directory: client(directory, "", None))
    return group


def init(
    *,
    directory: Directory,
    name: Annotated[str, typer.Option(help=SAY("name_option"))],
    data_space: Annotated[str, typer.Option(help=SAY("data_space_option"))],
    definitions: Annotated[Path, typer.Option(help=SAY("definitions_option"))],
    tls_cert: Annotated[Path, typer.Option(help=SAY("tls_cert_option"))],
    tls_key: Annotated[Path, typer.Option(help=SAY("tls_key_option"))],
    port: Annotated[int, typer.Option(min=1, max=65535, help=SAY("port_option"))],
    host: Annotated[str, typer.Option(help=SAY("host_option"))] = "localhost",
    bind: Annotated[str, typer.Option(help=SAY("bind_option"))] = "127.0.0.1",
    management_port: Annotated[int, typer.Option(min=0, max=65535, help=SAY("management_port_option"))] = 0,
    roots: Annotated[Path | None, typer.Option(help=SAY("roots_option"))] = None,
    allow_private: Annotated[list[str] | None, typer.Option(help=SAY("allow_private_option"))] = None,
    root_ca: Annotated[Path | None, typer.Option(help=SAY("root_ca_option"))] = None,
    events_url: Annotated[str, typer.Option(help=SAY("events_url_option"))] = "",
    database: Annotated[str, typer.Option(help=SAY("database_option"))] = "",
    issuer_url: Annotated[str, typer.Option(help=SAY("issuer_url_option"))] = "",
    ca_url: Annotated[str, typer.Option(help=SAY("ca_url_option"))] = "",
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
        events_url=events_url,
        database=database,
        issuer_url=issuer_url,
        ca_url=ca_url,
    )
    setup.initialise(
        directory,
        found,
        certificate=tls_cert,
        key=tls_key,
        credential_definitions=definitions,
        roots=roots,
        clock=SystemClock(),
        root_ca=root_ca,
    )
    pin = thumbprint(KeyStore(directory / "keys", found.did, passphrase(found.passphrase_file)).open("trust").public_jwk())
    result = {"did": found.did, "key": pin, "url": found.url, "management": management_url(found), "directory": str(directory)}
    show(result, SAY("initialised", data_space=data_space, dir=directory, did=found.did, pin=pin), as_json=as_json)


def split(
    *,
    directory: Directory,
    to: Annotated[Path, typer.Option(help=SAY("split_to_option"))],
    role: Annotated[Role, typer.Option(help=SAY("split_role_option"))],
    port: Annotated[int, typer.Option(min=1, max=65535, help=SAY("split_port_option"))],
    management_port: Annotated[int, typer.Option(min=0, max=65535, help=SAY("management_port_option"))] = 0,
    tls_cert: Annotated[Path | None, typer.Option(help=SAY("tls_cert_option"))] = None,
    tls_key: Annotated[Path | None, typer.Option(help=SAY("tls_key_option"))] = None,
    as_json: Json = False,
) -> None:
    found = setup.split(
        directory,
        to,
        role,
        port=port,
        management_port=management_port or port + 1,
        certificate=tls_cert or directory / setup.SERVER,
        key=tls_key or directory / setup.SERVER_KEY,
    )
    result = {"role": role, "did": found.did, "url": found.address(role), "management": management_url(found), "directory": str(to)}
    show(result, SAY("split_done", role=role, dir=to), as_json=as_json)


def run(directory: Directory, role: Annotated[list[str] | None, typer.Option(help=SAY("run_role_option"))] = None) -> None:
    command = [sys.executable, "-P", "-m", "identity.service", "--dir", str(directory)]
    command += [text for each in role or () for text in ("--role", each)]
    os.execv(sys.executable, command)  # noqa: S606  # our own interpreter; -P keeps the working directory out of the path
