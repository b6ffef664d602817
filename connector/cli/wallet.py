"""`kizuna connector keys | key-rotate | key-retire | encrypt-keys | credentials | sts-client`: keys and credentials of a node."""

from pathlib import Path
from typing import Annotated, Any

import typer

from connector.cli.local import HERE, SAY, Directory, Json, client, rows
from kernel.cli import print_result
from kernel.errors import Conflict


def register(group: typer.Typer) -> None:
    """Add the commands to `kizuna connector`."""
    group.command("keys", help=SAY("keys"))(keys)
    group.command("key-rotate", help=SAY("key_rotate"))(rotate)
    group.command("key-retire", help=SAY("key_retire"))(retire)
    group.command("encrypt-keys", help=SAY("encrypt_keys"))(encrypt)
    group.command("credentials", help=SAY("credentials"))(credentials)
    group.command("sts-client", help=SAY("sts_client"))(sts_client)


def keys(directory: Directory = HERE, as_json: Json = False) -> None:
    print_result(client(directory).get("/v1/signing-keys"), as_json=as_json)


def rotate(
    purpose: Annotated[str, typer.Argument(help="si, vp, data")],
    alg: Annotated[str, typer.Option(help="ES256, ES384, EdDSA")] = "ES256",
    directory: Directory = HERE,
    as_json: Json = False,
) -> None:
    print_result(client(directory).post("/v1/signing-keys", {"purpose": purpose, "alg": alg}), as_json=as_json)


def retire(
    kid: Annotated[str, typer.Argument(help=SAY("kid"))],
    revoke: Annotated[bool, typer.Option("--revoke", help=SAY("key_revoke"))] = False,
    directory: Directory = HERE,
    as_json: Json = False,
) -> None:
    print_result(client(directory).post("/v1/signing-keys/retire", {"kid": kid, "revoke": revoke}), as_json=as_json)


def encrypt(directory: Directory = HERE, as_json: Json = False) -> None:
    from connector import settings  # noqa: PLC0415  not needed to print a help text
    from identity.keys import KeyStore, passphrase  # noqa: PLC0415

    found = settings.load(directory)
    sealed = KeyStore(directory / "keys", found.did, passphrase(found.passphrase_file)).encrypt()
    print_result({"encrypted": sealed, "next": SAY("encrypt_keys_next")}, as_json=as_json)


def credentials(
    renew: Annotated[bool, typer.Option("--renew", help=SAY("credentials_renew"))] = False,
    directory: Directory = HERE,
    as_json: Json = False,
) -> None:
    if renew:
        print_result(client(directory).post("/v1/credentials/renew", {}), as_json=as_json)
        return
    found: Any = client(directory).get("/v1/credentials")
    print_result(found if as_json else rows(found, "type", "issuer", "until", "renewal"), as_json=as_json)


def sts_client(
    name: Annotated[str, typer.Argument(help=SAY("sts_name"))],
    audience: Annotated[list[str] | None, typer.Option(help="DID")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="org.eclipse.dspace.dcp.vc.type:...")] = None,
    directory: Directory = HERE,
    as_json: Json = False,
) -> None:
    from connector import settings  # noqa: PLC0415  not needed to print a help text
    from connector.install import entry  # noqa: PLC0415
    from identity.wallet.clients import Client, new_secret  # noqa: PLC0415

    if name in {each.id for each in settings.load(directory).sts_clients}:
        raise Conflict(SAY("sts_client_exists", name=name), next_step=SAY("sts_client_exists_next"))
    secret, kept = new_secret()
    made = Client(name, kept, tuple(audience or ()), tuple(scope or ()))
    with Path(directory / settings.FILE).open("a", encoding="utf-8") as file:
        file.write("\n".join(["", *entry("sts_clients", made), ""]))
    print_result({"client_id": name, "client_secret": secret, "next": SAY("sts_client_next")}, as_json=as_json)
