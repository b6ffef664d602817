"""Private keys encrypted at rest: AES-256-GCM under a key that scrypt makes of a passphrase (RFC 7914; NIST SP 800-38D).

    DIR/seal.json      {"kdf": "scrypt", "n", "r", "p", "salt", "check"}: how the key is made, and a sealed word that tells a wrong passphrase
    DIR/si-1.sealed    12 bytes of nonce, then the ciphertext; bound to the DID and the key's name, so that files cannot change places

The passphrase comes from a file: the one in the settings, else the systemd credential `kizuna-passphrase`. A file that others can read is refused, and so is a
short passphrase. It is never an argument of a command and never a variable of the environment, which other processes can see.
"""

import base64
import hashlib
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kernel.errors import Misconfigured

FILE: Final = "seal.json"
CREDENTIAL: Final = "kizuna-passphrase"
SHORTEST: Final = 16
_COST, _BLOCK, _LANES = 2**15, 8, 1
_LARGEST: Final = 2**20
_NONCE: Final = 12
_CHECK: Final = b"kizuna"


@dataclass(frozen=True, slots=True)
class Seal:
    """The key over the keys of one directory."""

    _cipher: AESGCM = field(repr=False, compare=False)

    @classmethod
    def create(cls, directory: Path, passphrase: str) -> "Seal":
        """A new seal for a directory that has none."""
        salt = secrets.token_bytes(16)
        made = cls(AESGCM(_key(passphrase, salt, _COST, _BLOCK, _LANES)))
        value = {
            "kdf": "scrypt",
            "n": _COST,
            "r": _BLOCK,
            "p": _LANES,
            "salt": _text(salt),
            "check": _text(made.close("check", _CHECK)),
        }
        write_private(directory / FILE, json.dumps(value).encode())
        return made

    @classmethod
    def open(cls, directory: Path, passphrase: str | None) -> "Seal":
        """The seal of a directory; raises `Misconfigured` without a passphrase, for a wrong one, and for a damaged file."""
        path = directory / FILE
        if passphrase is None:
            raise Misconfigured(f"the keys in {directory} are encrypted, and there is no passphrase", next_step=f"set passphrase_file, or the credential {CREDENTIAL}")  # fmt: skip
        try:
            value = json.loads(path.read_bytes())
            cost, block, lanes = int(value["n"]), int(value["r"]), int(value["p"])
            salt, check = base64.b64decode(value["salt"]), base64.b64decode(value["check"])
            if value["kdf"] != "scrypt" or not 0 < cost * block * lanes <= _LARGEST:
                raise ValueError("parameters")
            made = cls(AESGCM(_key(passphrase, salt, cost, block, lanes)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Misconfigured(f"{path} cannot be read or is damaged", next_step="restore it from the backup") from error
        try:
            made.unseal("check", check)
        except InvalidTag as error:
            raise Misconfigured(f"the passphrase does not open the keys in {directory}", next_step="give the one they were encrypted with") from error  # fmt: skip
        return made

    def close(self, name: str, data: bytes) -> bytes:
        """The sealed form of a key's file."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data, name.encode())

    def unseal(self, name: str, data: bytes) -> bytes:
        """What was sealed under this name; raises `InvalidTag` for anything else."""
        if len(data) < _NONCE:
            raise InvalidTag
        return self._cipher.decrypt(data[:_NONCE], data[_NONCE:], name.encode())


def passphrase(path: str | Path = "") -> str | None:
    """The passphrase in the file, or in the systemd credential; None when neither is given. Raises `Misconfigured`."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY", "")
    place = Path(path) if path else Path(credentials, CREDENTIAL)
    if not path and (not credentials or not place.exists()):
        return None
    try:
        if place.stat().st_mode & (0o077 if path else 0o007):
            raise Misconfigured(f"{place} is readable by others", next_step=f"chmod 600 {place}")
        found = place.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{place}: the passphrase cannot be read", next_step="check the path and who owns the file") from error
    if len(found) < SHORTEST:
        raise Misconfigured(
            f"{place} holds a passphrase of less than {SHORTEST} characters", next_step="for example: openssl rand -base64 32"
        )
    return found


def write_private(path: Path, data: bytes) -> None:
    """A new file for its owner only, on the disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _key(secret: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(
        secret.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=256 * block * (cost + lanes) + 2**20, dklen=32
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
