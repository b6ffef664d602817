"""The key store in a directory: one file of mode 0600 for each key, named `<purpose>-<number>` (identity.md 8.2).

Rules
- Purposes are apart: `si` (Self-Issued ID tokens, capabilityInvocation), `vp` (presentations, authentication), `vc` (credentials
  and status lists, assertionMethod), `trust` (event feed and trust list of an authority, assertionMethod), `contract` (contract agreements, assertionMethod), `data` (data-plane tokens, never published). TLS and CA keys are not kept here.
- The highest number of a purpose signs; all numbers stay published until `retire`, so a rotation overlaps. A number is never reused
  while a newer key exists, and the newest key cannot be retired.
- A file that others can read is refused, and so is a directory that others can write.
- A `.jwk` file is the public half of a key that is kept elsewhere: it is published, and signs nothing (`show` writes them).
- With a passphrase the files are sealed (`seal`, `.sealed`); without one they are PKCS #8 PEM (`.pem`). A directory is either or: a PEM file in a sealed
  one is refused.

Not done here: which of several keys signs in a running process (`ring`); hardware (other `Signer`s take this one's place).
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from identity.did.document import ASSERTION, AUTHENTICATION, INVOCATION, Key
from identity.jose.errors import BadToken
from identity.jose.keys import ALGORITHMS, public_key
from identity.keys.seal import FILE as SEAL
from identity.keys.seal import Seal, write_private
from kernel import wire
from kernel.errors import KizunaError, Misconfigured

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

    def own_jwk(self, kid: str | None) -> dict[str, Any]:
        if kid != self.kid:
            raise BadToken("signed with no key of ours", reason="kid")
        return self.public_jwk()

    def pinned(self) -> "FileSigner":
        return self

    def public_jwk(self) -> dict[str, Any]:
        """The public half, with `kid` = the fragment and `alg`."""
        writer = OKPAlgorithm if self.alg == "EdDSA" else ECAlgorithm
        jwk = dict(writer.to_jwk(self._key.public_key(), as_dict=True))
        return jwk | {"kid": self.kid.partition("#")[2], "alg": self.alg, "use": "sig"}


@dataclass(frozen=True, slots=True)
class KeyStore:
    """The keys of one DID. The directory is made with mode 0700 when it is not there; new keys are sealed when there is a passphrase."""

    directory: Path
    did: str
    passphrase: str | None = field(default=None, repr=False, compare=False)
    _seals: list[Seal] = field(default_factory=list, repr=False, compare=False)

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
        self._write(name, data)
        return self._load(name)

    def encrypt(self) -> int:
        """Seal what is not sealed yet, under the passphrase; returns how many keys that were. Stopped half-way, it is done again."""
        seal, plain = self._seal(make=True), sorted(self.directory.glob("*.pem"))
        for path in plain:
            if _NAME.fullmatch(path.stem) is None:
                continue
            self._load_plain(path)  # readable by others, or no key: nothing is sealed that would not be opened
            sealed = path.with_suffix(".sealed")
            sealed.unlink(missing_ok=True)
            write_private(sealed, seal.close(self._bound(path.stem), path.read_bytes()))
            os.utime(sealed, (path.stat().st_atime, path.stat().st_mtime))
            path.unlink()
        return len(plain)

    def created(self, kid: str) -> float:
        """When a key was made, in seconds since the epoch."""
        return self._path(kid.partition("#")[2]).stat().st_mtime

    def ensure(self, purpose: str) -> FileSigner:
        """The newest key of a purpose, made when there is none."""
        return self.open(purpose) if self._numbers(purpose) else self.generate(purpose)

    def all(self, purpose: str) -> tuple[FileSigner, ...]:
        """Every key of a purpose, oldest first."""
        return tuple(self._load(f"{purpose}-{number}") for number in self._numbers(purpose))

    def published(self) -> tuple[Key, ...]:
        """The keys of the DID document with their relationships."""
        own = [Key(signer.kid, signer.public_jwk(), uses) for purpose, uses in USES.items() if uses for signer in self.all(purpose)]
        known = {each.kid for each in own}
        return (*own, *(each for each in map(self._shown, sorted(self.directory.glob("*.jwk"))) if each.kid not in known))

    def show(self, directory: Path, purposes: Iterable[str]) -> None:
        """Write the public halves of these purposes into another store's directory."""
        for signer in (each for purpose in purposes for each in self.all(purpose)):
            name = signer.kid.partition("#")[2]
            (directory / f"{name}.jwk").write_bytes(wire.dumps(signer.public_jwk()))

    def _shown(self, path: Path) -> Key:
        name = _NAME.fullmatch(path.stem)
        try:
            jwk = wire.loads(path.read_bytes())
            public_key(jwk)
        except (OSError, KizunaError, AttributeError) as error:
            raise Misconfigured(f"{path} holds no public key: {error}", next_step="copy it again from where the key is") from error
        if name is None or jwk.get("kid") != path.stem:
            raise Misconfigured(f"{path} is the public half of another key", next_step="give it the name of its `kid`")
        return Key(f"{self.did}#{path.stem}", jwk, USES[name[1]])

    def retire(self, kid: str) -> None:
        """Delete an older key; raises `Misconfigured` for the newest of its purpose and for one that is not there."""
        did, _, name = kid.partition("#")
        found = _NAME.fullmatch(name)
        if did != self.did or found is None or int(found[2]) not in self._numbers(found[1])[:-1]:
            raise Misconfigured(f"{kid} is no older key", next_step="generate a newer key of its purpose first")
        self._path(name).unlink()

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return ".sealed" if self._sealed else ".pem"

    @property
    def _sealed(self) -> bool:
        return (self.directory / SEAL).exists()

    def _seal(self, *, make: bool = False) -> Seal:
        if not self._seals:
            if make and not self._sealed:
                if self.passphrase is None:
                    raise Misconfigured("there is no passphrase to encrypt with", next_step="set passphrase_file")
                self._seals.append(Seal.create(self.directory, self.passphrase))
            else:
                self._seals.append(Seal.open(self.directory, self.passphrase))
        return self._seals[0]

    def _bound(self, name: str) -> str:
        return f"{self.did}#{name}"

    def _write(self, name: str, data: bytes) -> None:
        fresh = not any(_NAME.fullmatch(path.stem) for path in self.directory.iterdir())
        if self._sealed or (fresh and self.passphrase is not None):
            data = self._seal(make=True).close(self._bound(name), data)
        write_private(self._path(name), data)

    def _numbers(self, purpose: str) -> list[int]:
        if purpose not in USES:
            raise Misconfigured(f"{purpose} is no purpose of a key", next_step=f"one of {', '.join(PURPOSES)}")
        if self._sealed and any(_NAME.fullmatch(path.stem) for path in self.directory.glob("*.pem")):
            raise Misconfigured(f"{self.directory} holds a key that is not encrypted beside encrypted ones", next_step="kizuna connector encrypt-keys, or remove it")  # fmt: skip
        names = (_NAME.fullmatch(path.stem) for path in self.directory.glob(f"{purpose}-*{self._suffix}"))
        return sorted(int(name[2]) for name in names if name)

    def _prepare(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.directory.stat().st_mode & 0o022:
            raise Misconfigured(f"{self.directory} is writable by others", next_step=f"chmod 700 {self.directory}")

    def _load(self, name: str) -> FileSigner:
        path = self._path(name)
        key = self._load_sealed(path) if self._sealed else self._load_plain(path)
        return FileSigner(f"{self.did}#{name}", _algorithm(key, path), key)

    def _load_sealed(self, path: Path) -> Any:
        seal = self._seal()
        try:
            return _parsed(seal.unseal(self._bound(path.stem), _private(path)), path)
        except InvalidTag as error:
            raise Misconfigured(
                f"{path} was changed, or is the key of something else", next_step="restore it from the backup"
            ) from error

    def _load_plain(self, path: Path) -> Any:
        return _parsed(_private(path), path)


def _private(path: Path) -> bytes:
    """A file that only its owner can read."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise Misconfigured(f"{path} is readable by others", next_step=f"chmod 600 {path}")
            return file.read()
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}", next_step="run as the owner of the directory") from error


def _parsed(data: bytes, path: Path) -> Any:
    try:
        return serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise Misconfigured(f"{path} holds no private key", next_step="restore it from the backup") from error


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
