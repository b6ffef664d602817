"""`kizuna identity ca root | request | sign | install`: an issuing CA from a root that may stay offline.

    on the root's machine    kizuna identity ca root --root DIR --name "Example space"
    at the service           kizuna identity ca request --dir DIR --out request.pem
    on the root's machine    kizuna identity ca sign request.pem --root DIR --out issuing.pem
    at the service           kizuna identity ca install issuing.pem --dir DIR

The files are carried by hand. A running service is told to take over what `install` has put there; connectors follow with the trust list.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from identity.service import settings
from identity.service.cli.keys import told
from identity.service.cli.local import SAY, Directory
from identity.tls import ca
from kernel.clock import SystemClock
from kernel.errors import Conflict

Root = Annotated[Path, typer.Option("--root", help=SAY("ca_root_option"))]
Out = Annotated[Path, typer.Option("--out", help=SAY("ca_out_option"))]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=SAY("ca_file_argument"))]


def commands() -> typer.Typer:
    """The group `ca`."""
    group = typer.Typer(no_args_is_help=True, help=SAY("ca_help"))
    group.command("root", help=SAY("ca_root_help"))(root)
    group.command("request", help=SAY("ca_request_help"))(request)
    group.command("sign", help=SAY("ca_sign_help"))(sign)
    group.command("install", help=SAY("ca_install_help"))(install)
    return group


def root(root: Root, name: Annotated[str, typer.Option(help=SAY("data_space_option"))]) -> None:
    ca.create_root(root, name=name, now=SystemClock().now())
    typer.echo(SAY("ca_root_made", dir=root))


def request(directory: Directory, out: Out) -> None:
    found = settings.load(directory)
    _write(out, ca.request(directory / "ca", name=found.data_space))
    typer.echo(SAY("ca_requested", file=out))


def sign(
    file: File,
    root: Root,
    out: Out,
    days: Annotated[int, typer.Option(min=8, max=1825, help=SAY("ca_days_option"))] = ca.ISSUING_LIFE.days,
) -> None:
    _write(out, ca.certify(root, file.read_bytes(), now=SystemClock().now(), life=timedelta(days=days)))
    typer.echo(SAY("ca_signed", file=out))


def install(file: File, directory: Directory) -> None:
    ca.install(directory / "ca", file.read_bytes(), now=SystemClock().now())
    typer.echo(SAY("ca_installed", dir=directory) + "\n" + SAY("reloaded" if told(directory) else "not_running"))


def _write(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise Conflict(f"{path} is there already", next_step="choose another file; nothing is ever overwritten") from error
