"""Private keys of a participant: one file per key, by purpose (`files`). `Signer` is the port that everything signs through."""

from identity.jose.keys import Signer
from identity.keys.files import PURPOSES, USES, FileSigner, KeyStore
from identity.keys.ring import KeyRing
from identity.keys.seal import passphrase

__all__ = ["PURPOSES", "USES", "FileSigner", "KeyRing", "KeyStore", "Signer", "passphrase"]
