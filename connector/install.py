"""Making the data directory of a new connector.

    DIR/connector.toml    settings            DIR/keys/       keys of the DID document, of data tokens and pages (0600)
    DIR/data.sqlite       the database (SQLite)  DIR/tls/        server.pem, server.key (0600), roots.pem; later the member certificate
    DIR/management.key    API key (0600)      DIR/payloads/   published data      DIR/inbox/   received data

All or nothing: everything is made in a directory beside it, which is renamed at the end. Nothing is ever overwritten.
"""

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any, Final

import msgspec

from connector.settings import FILE, Settings
from connector.store.opening import DATABASE
from connector.store.sqlite import open_database
from identity.keys import KeyStore, passphrase
from identity.tls import contexts
from kernel.errors import Misconfigured

MANAGEMENT_KEY: Final = "management.key"
PAGE_KEY: Final = "keys/page.key"
PURPOSES: Final = ("si", "vp", "contract", "data")


def install(directory: Path, settings: Settings, *, certificate: Path, key: Path, roots: Path) -> None:
    """Make the directory; raises `Misconfigured` when it holds something, or a certificate cannot be used."""
    if directory.exists() and any(directory.iterdir()):
        raise Misconfigured(f"{directory} is not empty", next_step="choose another directory; nothing is ever overwritten")
    contexts.server_context(certificate, key)
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    work.mkdir(mode=0o700)
    try:
        _fill(work, settings, certificate=certificate, key=key, roots=roots)
        if directory.exists():
            directory.rmdir()
        work.rename(directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fill(work: Path, settings: Settings, *, certificate: Path, key: Path, roots: Path) -> None:
    for folder in ("keys", "tls", "payloads", "inbox"):
        (work / folder).mkdir(mode=0o700)
    _write(work / "tls/server.pem", certificate.read_bytes())
    _write(work / "tls/server.key", key.read_bytes(), secret=True)
    _write(work / "tls/roots.pem", roots.read_bytes())
    _write(work / FILE, toml(settings).encode(), secret=bool(settings.database))
    _write(work / MANAGEMENT_KEY, secrets.token_urlsafe(32).encode() + b"\n", secret=True)
    _write(work / PAGE_KEY, secrets.token_bytes(32), secret=True)
    store = KeyStore(work / "keys", settings.did, passphrase(settings.passphrase_file))
    for purpose in PURPOSES:
        store.generate(purpose)
    if not settings.database:  # a server's tables are made at the first start
        open_database(work / DATABASE).close()


def toml(settings: Settings) -> str:
    """The settings as TOML, without fields that have their default value."""
    lines, tables = ["# Settings of this connector; all of them: docs/reference/settings.md"], []
    for each in msgspec.structs.fields(Settings):
        value = getattr(settings, each.name)
        if each.name in ("issuers", "peers", "sts_clients"):
            for one in value:
                tables += ["", *entry(each.name, one)]
        elif value != each.default:
            lines.append(f"{each.name} = {_literal(value)}")
    return "\n".join([*lines, *tables, ""])


def entry(table: str, value: msgspec.Struct) -> list[str]:
    """One entry of a table, as lines of TOML."""
    return [f"[[{table}]]", *(f"{name} = {_literal(found)}" for name, found in msgspec.structs.asdict(value).items())]


def _literal(value: Any) -> str:
    """JSON texts, numbers and lists of texts are TOML, too."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _write(path: Path, data: bytes, *, secret: bool = False) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
