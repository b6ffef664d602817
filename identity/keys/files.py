"""The key store in a directory: PKCS #8 PEM files of mode 0600, named `<purpose>-<number>.pem` (identity.md 8.2).

Rules
- Purposes are apart: `si` (Self-Issued ID tokens, capabilityInvocation), `vp` (presentations, authentication), `vc` (credentials
  and status lists, assertionMethod), `trust` (event feed and trust list of an authority, assertionMethod), `contract` (contract agreements, assertionMethod), `data` (data-plane tokens, never published). TLS and CA keys are not kept here.
- The highest number of a purpose signs; all numbers stay published until `retire`, so a rotation overlaps. A number is never reused
  while a newer key exists, and the newest key cannot be retired.
- A file that others can read is refused, and so is a directory that others can write.

Not done here: encryption at rest, hardware (other `Signer`s take this one's place).
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from identity.did.document import ASSERTION, AUTHENTICATION, INVOCATION, Key
from identity.jose.keys import ALGORITHMS
from kernel.errors import Misconfigured

USES: Final[Mapping[str, tuple[str, ...]]] = {
    "si": (INVOCATION,),
    "vp": (AUTHENTICATION,),
    "vc": (ASSERTION,),
    "trust": (ASSERTION,),
    "contract": (ASSERTION,),
    "data": (),
}
PURPOSES: Final = tuple(USES)
_NAME: Final = re.compile(r"(si|vp|vc|trust|contract|data)-([1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True)
class FileSigner:
    """A signer whose key lies in a file. The key is neither shown nor compared."""

    kid: str
    alg: str
    _key: Any = field(repr=False, compare=False)

    def sign(self, data: bytes) -> bytes:
        return ALGORITHMS[self.alg].sign(data, self._key)

    def public_jwk(self) -> dict[str, Any]:
        """The public half, with `kid` = the fragment and `alg`."""
        writer = OKPAlgorithm if self.alg == "EdDSA" else ECAlgorithm
        jwk = dict(writer.to_jwk(self._key.public_key(), as_dict=True))
        return jwk | {"kid": self.kid.partition("#")[2], "alg": self.alg, "use": "sig"}


@dataclass(frozen=True, slots=True)
class KeyStore:
    """The keys of one DID. The directory is made with mode 0700 when it is not there."""

    directory: Path
    did: str

    def open(self, purpose: str) -> FileSigner:
        """The signer of the newest key of a purpose; raises `Misconfigured` when there is none or others can read it."""
        numbers = self._numbers(purpose)
        if not numbers:
            raise Misconfigured(f"{self.directory} holds no key for {purpose}", next_step="restore it from the backup")
        return self._load(f"{purpose}-{numbers[-1]}")

    def generate(self, purpose: str, *, alg: str = "ES256") -> FileSigner:
        """A new key, which signs from now on; the older ones stay published. `alg` is ES256, ES384 or EdDSA."""
        self._prepare()
        name = f"{purpose}-{[0, *self._numbers(purpose)][-1] + 1}"
        data = _new(alg).private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        descriptor = os.open(self._path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return self._load(name)

    def ensure(self, purpose: str) -> FileSigner:
        """The newest key of a purpose, made when there is none."""
        return self.open(purpose) if self._numbers(purpose) else self.generate(purpose)

    def all(self, purpose: str) -> tuple[FileSigner, ...]:
        """Every key of a purpose, oldest first."""
        return tuple(self._load(f"{purpose}-{number}") for number in self._numbers(purpose))

    def published(self) -> tuple[Key, ...]:
        """The keys of the DID document with their relationships."""
        return tuple(
            Key(signer.kid, signer.public_jwk(), uses) for purpose, uses in USES.items() if uses for signer in self.all(purpose)
        )

    def retire(self, kid: str) -> None:
        """Delete an older key; raises `Misconfigured` for the newest of its purpose and for one that is not there."""
        did, _, name = kid.partition("#")
        found = _NAME.fullmatch(name)
        if did != self.did or found is None or int(found[2]) not in self._numbers(found[1])[:-1]:
            raise Misconfigured(f"{kid} is no older key", next_step="generate a newer key of its purpose first")
        self._path(name).unlink()

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.pem"

    def _numbers(self, purpose: str) -> list[int]:
        if purpose not in USES:
            raise Misconfigured(f"{purpose} is no purpose of a key", next_step=f"one of {', '.join(PURPOSES)}")
        names = (_NAME.fullmatch(path.stem) for path in self.directory.glob(f"{purpose}-*.pem"))
        return sorted(int(name[2]) for name in names if name)

    def _prepare(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.directory.stat().st_mode & 0o022:
            raise Misconfigured(f"{self.directory} is writable by others", next_step=f"chmod 700 {self.directory}")

    def _load(self, name: str) -> FileSigner:
        path = self._path(name)
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise Misconfigured(f"{path} is readable by others", next_step=f"chmod 600 {path}")
                key = serialization.load_pem_private_key(file.read(), None)
        except OSError as error:
            raise Misconfigured(f"{path}: {error.strerror}", next_step="run as the owner of the directory") from error
        except (ValueError, TypeError) as error:
            raise Misconfigured(f"{path} holds no private key", next_step="restore it from the backup") from error
        return FileSigner(f"{self.did}#{name}", _algorithm(key, path), key)


def _new(alg: str) -> ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    curves = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}
    if alg not in curves:
        raise Misconfigured(f"keys for {alg} are not made", next_step="use ES256, ES384 or EdDSA")
    return ec.generate_private_key(curves[alg]())


def _algorithm(key: Any, path: Path) -> str:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        found = {"secp256r1": "ES256", "secp384r1": "ES384"}.get(key.curve.name)
        if found:
            return found
    raise Misconfigured(f"{path} holds a kind of key that is not used here", next_step="generate a new key")
