"""Enrolment, the holder's side: a new key, a request, a member certificate (the CA's side: `identity.service.ca`).

Files in the TLS directory: `member.pem` (leaf and chain), `member.key` (0600), `consortium.pem` (what members trust). They are written
as `.new` and renamed, key first; `finish` completes that after a crash in between, so there is always a pair that fits together.
"""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from kernel import wire
from kernel.clock import parse_iso
from kernel.errors import KizunaError, UnavailableError
from kernel.faults import crashpoint
from kernel.http import GuardedClient

MEMBER: Final = "member.pem"
MEMBER_KEY: Final = "member.key"
CONSORTIUM: Final = "consortium.pem"
_LARGEST: Final = 262_144


SERVICE: Final = "CertificateAuthority"  # type of the service entry in the authority's DID document


class Enrolled(Struct, frozen=True, rename="camel"):
    """The CA's answer: all PEM, and when to renew."""

    certificate: str
    chain: str
    bundle: str
    renew_after: str


class EnrolmentRefused(KizunaError):
    """The CA said no."""

    code, status = "enrolment-refused", 403


async def enrol(
    client: GuardedClient,
    ca_url: str,
    token: Callable[[], str],
    directory: Path,
    *,
    check: Callable[[str], None],
    renew: bool = False,
) -> datetime:
    """Get and store a new member certificate; returns when to renew it.

    `check` raises for a bundle of CA certificates (PEM) that is not to be trusted; nothing is stored then. Raises `EnrolmentRefused` or `UnavailableError`.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    body = wire.dumps({"csr": csr.public_bytes(serialization.Encoding.PEM).decode("ascii")})
    path = "/certificates/renew" if renew else "/certificates"
    headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
    reply = await client.request("POST", ca_url + path, headers=headers, body=body, max_bytes=_LARGEST)
    if reply.status >= 500 or reply.status == 429:
        raise UnavailableError(f"the CA answers {reply.status}", next_step="it is tried again")
    if not 200 <= reply.status < 300:
        raise EnrolmentRefused(f"the CA refuses ({reply.status})", next_step="ask the consortium's operator", body=reply.body[:500])
    found = msgspec.convert(wire.loads(reply.body, limit=_LARGEST), Enrolled)
    check(found.bundle)
    _store(directory, key, found)
    return parse_iso(found.renew_after)


def _store(directory: Path, key: ec.EllipticCurvePrivateKey, found: Enrolled) -> None:
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    replace(directory / CONSORTIUM, found.bundle.encode("ascii"), 0o644)
    replace(directory / (MEMBER_KEY + ".new"), secret, 0o600)
    replace(directory / (MEMBER + ".new"), (found.certificate + found.chain).encode("ascii"), 0o644)
    crashpoint("enrol:stored")
    finish(directory)


def finish(directory: Path) -> None:
    """Put a complete new pair in place; also after a crash between its two files."""
    new_key, new = directory / (MEMBER_KEY + ".new"), directory / (MEMBER + ".new")
    if new.exists():
        if new_key.exists():
            new_key.replace(directory / MEMBER_KEY)
            crashpoint("enrol:key-replaced")
        new.replace(directory / MEMBER)
    else:
        new_key.unlink(missing_ok=True)


def replace(path: Path, data: bytes, mode: int) -> None:
    """Write a file whole, in place of what it was."""
    work = path.with_name(f".{path.name}.{os.getpid()}")
    work.unlink(missing_ok=True)
    handle = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    work.replace(path)
