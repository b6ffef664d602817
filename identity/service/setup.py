"""Making the data directory of a new identity service.

    DIR/identity.toml       settings            DIR/keys/   keys of the DID document (0600)
    DIR/definitions.toml    credentials         DIR/trust.toml  draft of the trust list
                                                DIR/ca/     root and issuing CA (keys 0600)
    DIR/management.key      API key (0600)      DIR/tls/    server.pem, server.key (0600), roots.pem
    DIR/data.sqlite         the database (SQLite)

Rules
- Nothing is ever overwritten: a directory with any content is refused.
- All or nothing: everything is made in a new directory beside it, which is renamed at the end.
- `split` makes the directory of a process with one role from that of the whole: the keys of that role, and of the others what is public (`roles`).
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from identity.keys import KeyStore, passphrase
from identity.service.authority import trust
from identity.service.issuer import definitions
from identity.service.settings import FILE, KEYS, ROLES, Role, Settings, check, load
from identity.service.store.ledger import open_file
from identity.tls import ca
from kernel.clock import Clock
from kernel.errors import Conflict, Misconfigured

MANAGEMENT_KEY: Final = "management.key"
SERVER: Final = Path("tls/server.pem")
SERVER_KEY: Final = Path("tls/server.key")
ROOTS: Final = Path("tls/roots.pem")
PURPOSES: Final = tuple(purpose for role in ROLES for purpose in KEYS[role])


def initialise(
    directory: Path,
    settings: Settings,
    *,
    certificate: Path,
    key: Path,
    credential_definitions: Path,
    roots: Path | None,
    clock: Clock,
    root_ca: Path | None = None,
) -> None:
    """Make the directory; `root_ca` holds an offline root, whose key stays there. Raises `Conflict` when it is not empty, `Misconfigured` for what cannot be read or is wrong."""
    check(settings)
    definitions.load(credential_definitions)
    with _making(directory) as work:
        _fill(work, settings, certificate=certificate, key=key, roots=roots, root_ca=root_ca, clock=clock)
        _write(work / definitions.FILE, credential_definitions.read_bytes())


@contextmanager
def _making(directory: Path) -> Iterator[Path]:
    """A new directory beside it, which takes its name at the end; raises `Conflict` when it is not empty."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Conflict(f"{directory} is not empty", next_step="choose another directory; nothing is ever overwritten")
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    work.mkdir(mode=0o700)
    try:
        yield work
        work.rename(directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def split(directory: Path, to: Path, role: Role, *, port: int, management_port: int, certificate: Path, key: Path) -> Settings:
    """Make the directory of a process that has one role, from that of the whole, which is left as it is. Raises `Conflict`, `Misconfigured`."""
    whole = load(directory)
    if whole.roles != ROLES or not whole.database:
        raise Misconfigured(
            f"{directory} is not a whole service with a PostgreSQL database",
            next_step="kizuna identity init --database URL makes one",
        )
    found = msgspec.structs.replace(
        whole, roles=(role,), listen_port=port if port != whole.port else 0, management_port=management_port
    )
    check(found)
    with _making(to) as work:
        _lay_out(work, found, certificate, key)
        for name in (definitions.FILE, *((trust.FILE,) if role == "authority" else ()), *((str(ROOTS),) if whole.roots else ())):
            _write(work / name, _read(directory / name))
        _share_keys(directory, work, role, KeyStore(directory / "keys", whole.did, passphrase(whole.passphrase_file)))
    return found


def _share_keys(directory: Path, work: Path, role: Role, store: KeyStore) -> None:
    """The role's own keys, as they lie; the public halves of the others where they are published; the CA's certificates."""
    for path in sorted((directory / "keys").iterdir()):
        purpose = path.name.partition("-")[0]
        if purpose in KEYS[role] or (KEYS[role] and purpose not in PURPOSES):  # the latter: what sealed keys are opened with
            _write(work / "keys" / path.name, _read(path), secret=True)
    if role == "authority":
        store.show(work / "keys", (each for each in PURPOSES if each not in KEYS[role]))
    names = ["root.pem", "issuing.pem", "previous.pem"]
    names += ["crl-url", "issuing.key", "previous.key", "next.key"] if role == "ca" else []
    for name in names:
        if (directory / "ca" / name).exists():
            _write(work / "ca" / name, _read(directory / "ca" / name), secret=name.endswith(".key"))


def _fill(
    work: Path, settings: Settings, *, certificate: Path, key: Path, roots: Path | None, root_ca: Path | None, clock: Clock
) -> None:
    if roots is not None:
        settings = msgspec.structs.replace(settings, roots=str(ROOTS))
    _lay_out(work, settings, certificate, key)
    if roots is not None:
        _write(work / ROOTS, _read(roots))
    _write(work / trust.FILE, trust.TEMPLATE.encode())
    store = KeyStore(work / "keys", settings.did, passphrase(settings.passphrase_file))
    for purpose in PURPOSES:
        store.generate(purpose)
    ca.create(
        work / "ca",
        name=settings.data_space,
        crl_url=f"{settings.address('ca')}/ca/v1/crl/issuing.crl",
        now=clock.now(),
        root=root_ca,
    )
    if not settings.database:  # a server's tables are made at the first start
        open_file(work, settings.did).file.close()


def _lay_out(work: Path, settings: Settings, certificate: Path, key: Path) -> None:
    """Folders, server certificate, settings and a management key of its own."""
    for folder in ("keys", "ca", "tls"):
        (work / folder).mkdir(mode=0o700)
    _write(work / SERVER, _read(certificate))
    _write(work / SERVER_KEY, _read(key), secret=True)
    _write(work / FILE, toml(settings).encode(), secret=bool(settings.database))
    _write(work / MANAGEMENT_KEY, secrets.token_urlsafe(32).encode() + b"\n", secret=True)


def toml(settings: Settings) -> str:
    """The settings as TOML, without the fields that have their default value."""
    fields = msgspec.structs.fields(Settings)
    values = [(field.name, getattr(settings, field.name), field.default) for field in fields]
    lines = [f"{name} = {_literal(value)}" for name, value, default in values if value != default]
    return "\n".join(["# Settings of this identity service; all of them: docs/reference/settings.md", *lines, ""])


def _literal(value: Any) -> str:
    """A TOML literal: JSON's strings, numbers and booleans are TOML too; tables are written inline."""
    value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_literal(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def check_private(paths: Iterable[Path]) -> None:
    """Every file is there, readable by us and by nobody else; raises `Misconfigured` naming the file and the command."""
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise Misconfigured(f"{path}: {error.strerror}", next_step="restore it from the backup") from error
        if mode & 0o077:
            raise Misconfigured(f"{path} is readable by others", next_step=f"chmod 600 {path}")
        if not os.access(path, os.R_OK):
            raise Misconfigured(f"{path} cannot be read", next_step="run the service as the owner of its directory")


def management_key(path: Path) -> str:
    """The API key in a file; raises `Misconfigured` when others can read it or it is too short to be one."""
    check_private([path])
    found = path.read_text(encoding="ascii").strip()
    if len(found) < 32:
        raise Misconfigured(f"{path} holds no management key", next_step="put at least 32 random characters in it")
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}", next_step="check the path and its permissions") from error


def _write(path: Path, data: bytes, *, secret: bool = False) -> None:
    """A new file, private from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
