"""A party's signature over a contract agreement: a statement of its own, carried beside the protocol's members.

Rules
- A party signs the agreement's canonical hash, its id, its own role and DID, with a key that its DID document lists for assertions. The provider's signature
  goes with the agreement, the consumer's with the verification.
- It travels in a member named by a full IRI (`SIGNATURE`): the schemas of DSP 2025-1 allow further members, and a peer that does not know it passes it over.
- A signature that is there and wrong refuses the message. A peer that gives none is no reason to refuse.
- It also names the policies that the terms were written from (`inheritFrom`, written out before), by digest: the provider those of its terms, the consumer what the
  provider has said, or, where that was nothing, those of terms of its own. The agreement itself has no place for them in the protocol.

Pure: keys and documents come from outside. Not done here: keeping and exporting (`connector.contracts.evidence`), verifying an export (`connector.contracts.bundle`).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct, field

from connector.processes.errors import ProcessError
from connector.processes.model import Document, Role
from identity import jose
from identity.did import ASSERTION, BadDid
from identity.did.document import DidDocument
from identity.jose import BadToken
from policies.odrl.inherit import MAX_PARENTS

SIGNATURE: Final = "https://w3id.org/kizuna/agreement/1#signature"
TYPE: Final = "agreement+jwt"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
Sign = Callable[[Mapping[str, Any]], str]


class SignatureWrong(ProcessError):
    """The signature over the agreement is not the peer's, or is over something else."""

    code, status = "wrong-signature", 400


class Proof(Struct, frozen=True):
    """What a peer showed with a message: its DID document, the digest of the record of it, and the documents to keep: the record, and those that it names."""

    document: DidDocument
    record: str
    documents: tuple[Document, ...]


class Stated(Struct, frozen=True):
    """What a party states beside its consent: when it signed, and by name the digest of each policy that the terms were written from."""

    at: str
    inherited: dict[str, str] = field(default_factory=dict)


def statement(
    agreement: Mapping[str, Any], hash_: str, *, party: str, role: Role, at: str, inherited: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What a party signs."""
    origin = {"inherited": dict(inherited)} if inherited else {}
    return {"iss": party, "role": role, "agreement": agreement["@id"], "hash": hash_, "at": at, **origin}


def check(token: str, document: DidDocument, agreement: Mapping[str, Any], hash_: str, *, party: str, role: Role) -> Stated:
    """Check a party's signature and tell what it states; raises `SignatureWrong` with the reason."""
    try:
        found = jose.parse(token)
        if found.typ != TYPE:
            raise SignatureWrong(f"the signature is of type {found.typ}, not {TYPE}")
        if found.kid is None:
            raise SignatureWrong("the signature names no key")
        jose.verify(found, document.key(found.kid, ASSERTION))
    except (BadToken, BadDid) as error:
        raise SignatureWrong(f"the signature over the agreement does not hold: {error.detail}") from error
    wanted = {"iss": party, "role": role, "agreement": agreement["@id"], "hash": hash_}
    wrong = [name for name, value in wanted.items() if found.claims.get(name) != value]
    if document.id != party or wrong:
        raise SignatureWrong(f"the signature is about something else: {', '.join(wrong) or 'DID'}")
    return Stated(str(found.claims.get("at", "")), _origin(found.claims.get("inherited", {})))


def _origin(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_PARENTS:
        raise SignatureWrong("the signature names what was inherited in a form that is not known")
    if not all(isinstance(each, str) and _DIGEST.fullmatch(each) for each in value.values()):
        raise SignatureWrong("what was inherited is not named by digest")
    return value
