"""Data Integrity proofs (VC Data Integrity 1.0; Data Integrity EdDSA and ECDSA Cryptosuites 1.0; identity.md 2.3, 6.44).

| cryptosuite | key | form that is hashed | here |
|---|---|---|---|
| `eddsa-jcs-2022` | Ed25519 | RFC 8785 | made and verified |
| `ecdsa-jcs-2019` | P-256, P-384 | RFC 8785 | made and verified |
| `eddsa-rdfc-2022` | Ed25519 | RDFC-1.0 (`identity.vc.rdfc`) | verified |
| `ecdsa-rdfc-2019` | P-256, P-384 | RDFC-1.0 | verified |

Rules
- What is signed is hash(proof without `proofValue`) followed by hash(document without `proof`); SHA-384 for P-384, else SHA-256. The
  key decides the curve, the suite must fit it.
- A proof has type, suite, absolute `verificationMethod`, purpose and value; the verifier says which purpose, domain and challenge.
- JCS: the document's `@context` begins with the proof's, and the proof's is what was signed.
- A chain: every `previousProof` is there, and is part of what the later proof signs. A set: each proof stands alone. `verify_all`
  verifies every one.

Not done here: whose key it may be, time windows of proofs (`identity.vc.credential` takes them into the credential's own).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from identity.did.errors import BadDid
from identity.did.multibase import base58, unbase58
from identity.jose import ALGORITHMS, PublicKey, Signer
from identity.vc.contexts import BUNDLED, Contexts
from identity.vc.errors import BadCredential
from identity.vc.model import moment, texts
from identity.vc.rdfc import canonical_rdf
from kernel import wire
from kernel.clock import iso
from kernel.errors import BadInput

TYPE: Final = "DataIntegrityProof"
EDDSA_JCS: Final = "eddsa-jcs-2022"
ECDSA_JCS: Final = "ecdsa-jcs-2019"
EDDSA_RDFC: Final = "eddsa-rdfc-2022"
ECDSA_RDFC: Final = "ecdsa-rdfc-2019"
SUITES: Final[Mapping[str, frozenset[str]]] = {
    EDDSA_JCS: frozenset({"EdDSA"}),
    ECDSA_JCS: frozenset({"ES256", "ES384"}),
    EDDSA_RDFC: frozenset({"EdDSA"}),
    ECDSA_RDFC: frozenset({"ES256", "ES384"}),
}
MAX_PROOFS: Final = 8
_RDFC: Final = frozenset({EDDSA_RDFC, ECDSA_RDFC})
_HASHES: Final = {"EdDSA": "sha256", "ES256": "sha256", "ES384": "sha384"}
_MAX_VALUE: Final = 160


class IntegrityProof(Struct, frozen=True, kw_only=True):
    """One proof of a document, parsed and proven by nobody. `kid` is its verification method; `document` has no `proof`."""

    kid: str
    suite: str
    purpose: str
    value: bytes
    created: datetime | None
    expires: datetime | None
    domain: tuple[str, ...]
    challenge: str | None
    id: str | None
    previous: tuple[str, ...]
    options: dict[str, Any]
    document: dict[str, Any]


def parse_proofs(document: Mapping[str, Any]) -> tuple[IntegrityProof, ...]:
    """The proofs of a document; raises `BadCredential` (`proof-form`, `proof-suite`, `proof-count`, `proof-value`, `previous-proof`)."""
    given = document.get("proof")
    entries = given if isinstance(given, list) else [given]
    if not 0 < len(entries) <= MAX_PROOFS:
        raise BadCredential(f"not one to {MAX_PROOFS} proofs", reason="proof-count")
    unsecured = {name: value for name, value in document.items() if name != "proof"}
    proofs = tuple(_proof(each, unsecured) for each in entries)
    _check_chain(proofs)
    return proofs


def verify(
    proof: IntegrityProof,
    key: PublicKey,
    *,
    purpose: str,
    previous: Sequence[IntegrityProof] = (),
    contexts: Contexts = BUNDLED,
) -> None:
    """Check one proof with this key; raises `BadCredential` (`proof-purpose`, `proof-key`, `proof-context`, `signature`).

    `previous` are the proofs that it follows in a chain; `contexts` are for the RDFC suites.
    """
    if proof.purpose != purpose:
        raise BadCredential(f"the proof is for {proof.purpose[:50]}, not {purpose}", reason="proof-purpose")
    if {each.id for each in previous} != set(proof.previous):
        raise BadCredential("a proof that this one follows is missing", reason="previous-proof")
    alg = next(iter(key.algorithms & SUITES[proof.suite]), None)
    if alg is None:
        raise BadCredential("the key is not one for the suite", reason="proof-key")
    document = proof.document
    if previous:
        document = {**document, "proof": [{**each.options, "proofValue": _written(each.value)} for each in previous]}
    if not ALGORITHMS[alg].verify(_hashed(document, proof.options, proof.suite, alg, contexts), key.key, proof.value):
        raise BadCredential("the signature does not verify", reason="signature")


def verify_all(
    document: Mapping[str, Any], keys: Callable[[IntegrityProof], PublicKey], *, purpose: str, contexts: Contexts = BUNDLED
) -> dict[str, Any]:
    """Check every proof of a set or chain; the document without proofs, which is what has been verified. Raises as `verify`."""
    proofs = parse_proofs(document)
    for each in proofs:
        before = [one for one in proofs if one.id is not None and one.id in each.previous]
        verify(each, keys(each), purpose=purpose, previous=before, contexts=contexts)
    return proofs[0].document


def add_proof(
    document: Mapping[str, Any],
    signer: Signer,
    *,
    purpose: str,
    created: datetime,
    expires: datetime | None = None,
    domain: str | None = None,
    challenge: str | None = None,
) -> dict[str, Any]:
    """The document with a JCS proof by this signer (`eddsa-jcs-2022` or `ecdsa-jcs-2019`); raises `BadCredential` (`proof-key`)."""
    suite = next((each for each in (EDDSA_JCS, ECDSA_JCS) if signer.alg in SUITES[each]), None)
    if suite is None:
        raise BadCredential(f"no suite for keys of {signer.alg}", reason="proof-key")
    unsecured = {name: value for name, value in document.items() if name != "proof"}
    options: dict[str, Any] = {
        "type": TYPE,
        "cryptosuite": suite,
        "created": iso(created.replace(microsecond=0)),
        "verificationMethod": signer.kid,
        "proofPurpose": purpose,
    }
    given = {"expires": None if expires is None else iso(expires.replace(microsecond=0)), "domain": domain, "challenge": challenge}
    options |= {name: value for name, value in given.items() if value is not None}
    if "@context" in unsecured:
        options["@context"] = unsecured["@context"]
    value = signer.sign(_hashed(unsecured, options, suite, signer.alg, BUNDLED))
    return {**unsecured, "proof": {**options, "proofValue": _written(value)}}


def _hashed(document: Mapping[str, Any], options: Mapping[str, Any], suite: str, alg: str, contexts: Contexts) -> bytes:
    name = _HASHES[alg]
    if suite in _RDFC:
        config = {**{each: value for each, value in options.items() if each != "@context"}, "@context": document.get("@context")}
        forms = [canonical_rdf(config, contexts, name), canonical_rdf(document, contexts, name)]
    else:
        forms = [_canonical(options), _canonical(_under(document, options))]
    return b"".join(hashlib.new(name, each).digest() for each in forms)


def _under(document: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """JCS: the document under the proof's `@context`, which its own must begin with."""
    if "@context" not in options:
        return dict(document)
    given, own = (each if isinstance(each, list) else [each] for each in (options["@context"], document.get("@context")))
    if own[: len(given)] != given:
        raise BadCredential("the document's @context does not begin with the proof's", reason="proof-context")
    return {**document, "@context": options["@context"]}


def _canonical(value: Mapping[str, Any]) -> bytes:
    try:
        return wire.canonical(dict(value))
    except BadInput as error:
        raise BadCredential(error.detail, reason="proof-form") from error


def _proof(entry: Any, unsecured: dict[str, Any]) -> IntegrityProof:
    if not isinstance(entry, Mapping) or entry.get("type") != TYPE:
        raise BadCredential(f"not a {TYPE}", reason="proof-form")
    suite, kid, purpose, value = (entry.get(name) for name in ("cryptosuite", "verificationMethod", "proofPurpose", "proofValue"))
    if not isinstance(suite, str) or suite not in SUITES:
        raise BadCredential("a cryptosuite that is not read", reason="proof-suite")
    if not (isinstance(kid, str) and 0 < len(kid) <= 2_560 and isinstance(purpose, str) and purpose and isinstance(value, str)):
        raise BadCredential("the proof lacks its method, purpose or value", reason="proof-form")
    challenge, name = entry.get("challenge"), entry.get("id")
    if not all(each is None or (isinstance(each, str) and 0 < len(each) <= 2_048) for each in (challenge, name)):
        raise BadCredential("challenge or id of the proof is no text", reason="proof-form")
    return IntegrityProof(
        kid=kid,
        suite=suite,
        purpose=purpose,
        value=_read(value),
        created=None if "created" not in entry else moment(entry["created"], "created"),
        expires=None if "expires" not in entry else moment(entry["expires"], "expires"),
        domain=texts(entry.get("domain", []), "domain"),
        challenge=challenge,
        id=name,
        previous=texts(entry.get("previousProof", []), "previousProof"),
        options={name: value for name, value in entry.items() if name != "proofValue"},
        document=unsecured,
    )


def _check_chain(proofs: Sequence[IntegrityProof]) -> None:
    """Ids are unique; every proof that is named is there and comes before the one that names it."""
    known: set[str] = set()
    for each in proofs:
        if not known.issuperset(each.previous) or each.id in known:
            raise BadCredential("a proof follows one that is not there, or two have one id", reason="previous-proof")
        known |= {each.id} if each.id is not None else set()


def _read(value: str) -> bytes:
    try:
        if not value.startswith("z"):
            raise BadDid("not base58btc multibase", reason="multikey")
        return unbase58(value[1:], limit=_MAX_VALUE)
    except BadDid as error:
        raise BadCredential("proofValue is no base58btc multibase", reason="proof-value") from error


def _written(value: bytes) -> str:
    return "z" + base58(value)
