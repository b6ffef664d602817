"""What proves a credential or presentation: a JWS or a Data Integrity proof, by a key of the signer's document for the purpose."""

from identity import jose
from identity.did import DidDocument
from identity.vc import integrity
from identity.vc.credential import Proof
from identity.vc.integrity import IntegrityProof


def check_proof(proof: Proof, document: DidDocument, purpose: str, *, strict: bool = True) -> None:
    """Check the signature with the key that the proof names; raises `BadDid`, `BadToken` or `BadCredential` with the reason.

    `purpose` is the verification relationship; not `strict`, the document may list no key for it at all (`DidDocument.key`).
    """
    key = document.key(proof.kid, purpose, strict=strict)
    if isinstance(proof, IntegrityProof):
        integrity.verify(proof, key, purpose=purpose)
    else:
        jose.verify(proof, key)
