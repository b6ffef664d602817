"""What every command shares: the options, the management API of the service meant by them, and how results are shown.

`--dir` reads address and key from the service's data directory, `--management URL --key-file FILE` reaches one elsewhere.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from identity.service import settings, setup
from identity.service.settings import Settings
from kernel.cli import ManagementClient, print_result
from kernel.errors import Misconfigured
from kernel.texts import texts

SAY = texts("identity.service")

Directory = Annotated[Path, typer.Option("--dir", help=SAY("dir_option"))]
MaybeDirectory = Annotated[Path | None, typer.Option("--dir", help=SAY("dir_option"))]
Address = Annotated[str, typer.Option("--management", help=SAY("management_option"))]
KeyFile = Annotated[Path | None, typer.Option("--key-file", help=SAY("key_option"))]
Json = Annotated[bool, typer.Option("--json", help=SAY("json_option"))]


def client(directory: Path | None, management: str, key_file: Path | None) -> ManagementClient:
    """The management API of the service meant by the options; raises `Misconfigured` with the next step."""
    if directory is not None:
        found = settings.load(directory)
        key = setup.management_key(key_file or directory / setup.MANAGEMENT_KEY)
        return ManagementClient(management or management_url(found), key)
    if not management or key_file is None:
        raise Misconfigured(SAY("no_address"), next_step=SAY("no_address_next"))
    return ManagementClient(management, setup.management_key(key_file))


def management_url(found: Settings) -> str:
    """Base URL of the management API."""
    host = f"[{found.management_bind}]" if ":" in found.management_bind else found.management_bind
    return f"http{'s' if found.management_certificate else ''}://{host}:{found.management_port}"


def show(value: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_result(value, as_json=True)
    else:
        typer.echo(text)


def cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value or "")
