"""`kizuna identity keys | key-rotate | key-retire | encrypt-keys`: the keys in a data directory (`identity.keys.ring`; docs/trust.md).

They are files: the commands work on the directory, as the owner of the service, and tell the service to take over what has changed, if it runs. Where roles run apart each has
its own keys; the public half of a new one goes to the authority's directory, which serves the DID document.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from identity.jose import thumbprint
from identity.keys import KeyRing, KeyStore, passphrase
from identity.keys.ring import KeyState
from identity.service import settings
from identity.service.cli.local import SAY, Directory, Json, client, show
from kernel.clock import SystemClock
from kernel.errors import UnavailableError


def register(group: typer.Typer) -> None:
    """Add the commands to `kizuna identity`."""
    group.command("keys", help=SAY("keys_help"))(keys)
    group.command("key-rotate", help=SAY("key_rotate_help"))(rotate)
    group.command("key-retire", help=SAY("key_retire_help"))(retire)
    group.command("encrypt-keys", help=SAY("encrypt_keys_help"))(encrypt)


def keys(
    directory: Directory,
    public: Annotated[Path | None, typer.Option("--public", file_okay=False, exists=True, help=SAY("keys_public_option"))] = None,
    *,
    as_json: Json = False,
) -> None:
    store, ring = _opened(directory)
    if public is not None:
        store.show(public, sorted({each.purpose for each in ring.states()}))
    found = [_row(store, each) for each in ring.states()]
    lines = [
        f"{each['kid'].partition('#')[2]:10} {each['state']:7} {each['alg']:6} {each['created']}  {each['thumbprint']}"
        for each in found
    ]
    show({"keys": found}, "\n".join(lines), as_json=as_json)


def rotate(
    purpose: Annotated[str, typer.Argument(help=SAY("key_purpose_argument"))],
    directory: Directory,
    alg: Annotated[str, typer.Option(help="ES256, ES384, EdDSA")] = "ES256",
    *,
    as_json: Json = False,
) -> None:
    store, ring = _opened(directory)
    made = _row(store, ring.rotate(purpose, alg))
    taken = told(directory)
    show(
        made | {"taken": taken}, SAY("key_rotated", kid=made["kid"], pin=made["thumbprint"]) + "\n" + _next(taken), as_json=as_json
    )


def retire(
    kid: Annotated[str, typer.Argument(help=SAY("kid_argument"))],
    directory: Directory,
    revoke: Annotated[bool, typer.Option("--revoke", help=SAY("key_revoke_option"))] = False,
    *,
    as_json: Json = False,
) -> None:
    store, ring = _opened(directory)
    ring.retire(kid if "#" in kid else f"{store.did}#{kid}", revoke=revoke)
    taken = told(directory)
    show({"retired": kid, "taken": taken}, SAY("key_retired", kid=kid) + "\n" + _next(taken), as_json=as_json)


def encrypt(directory: Directory, *, as_json: Json = False) -> None:
    sealed = _store(directory).encrypt()
    show({"encrypted": sealed}, SAY("keys_encrypted", count=sealed), as_json=as_json)


def told(directory: Path) -> bool:
    """Whether a running service has taken over what the directory holds now; False when none answers."""
    try:
        client(directory, "", None).post("/v1/reload", {})
    except UnavailableError:
        return False
    return True


def _opened(directory: Path) -> tuple[KeyStore, KeyRing]:
    store = _store(directory)
    return store, KeyRing(store, SystemClock())


def _store(directory: Path) -> KeyStore:
    found = settings.load(directory)
    return KeyStore(directory / "keys", found.did, passphrase(found.passphrase_file))


def _row(store: KeyStore, state: KeyState) -> dict[str, Any]:
    """A key for people; its thumbprint is what connectors pin of a `trust` key."""
    key = next(each for each in store.all(state.purpose) if each.kid == state.kid)
    return {**msgspec.to_builtins(state), "thumbprint": thumbprint(key.public_jwk())}


def _next(taken: bool) -> str:
    return SAY("reloaded") if taken else SAY("not_running")
