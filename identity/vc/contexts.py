"""The JSON-LD contexts under which an RDFC proof may be verified: bundled, and no others (identity.md 2.3, 6.42; VC-DM 2.0, B.1).

Written from the vocabulary: the terms of credentials (VC-DM 2.0 and 1.1), presentations, status lists (BitstringStatusList, StatusList2021) and Data Integrity proofs, each
where its type or property scopes it. The terms for JOSE claims, SD-JWT, `_sd` and the older proof types of VC-DM 1.1 are left out: a document that uses them is refused as
undefined.

A document's list is one of `BUNDLED.lists`, in this order and with nothing else: VC-DM 2.0 alone or with Data Integrity, VC-DM 1.1 with Data Integrity, which it does not
define itself, and StatusList2021 before or behind that.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from identity.vc.model import CONTEXT_11, CONTEXT_20

_CRED: Final = "https://www.w3.org/2018/credentials#"
_STATUS: Final = "https://www.w3.org/ns/credentials/status#"
_SEC: Final = "https://w3id.org/security#"
_XSD: Final = "http://www.w3.org/2001/XMLSchema#"
_SCHEMA: Final = "https://schema.org/"
_STATUS_2021: Final = "https://w3id.org/vc/status-list#"
DATA_INTEGRITY: Final = "https://w3id.org/security/data-integrity/v2"
STATUS_LIST_2021: Final = "https://w3id.org/vc/status-list/2021/v1"
_ALIASES: Final = {"@protected": True, "id": "@id", "type": "@type"}


class Contexts(Struct, frozen=True):
    """Context documents by address, and the lists of addresses that a document may have as its `@context`, in order."""

    documents: Mapping[str, Mapping[str, Any]]
    lists: frozenset[tuple[str, ...]]


def _links(base: str, *names: str) -> dict[str, Any]:
    return {name: {"@id": base + name, "@type": "@id"} for name in names}


def _typed(iri: str, kind: str) -> dict[str, str]:
    return {"@id": iri, "@type": kind}


def _scoped(iri: str, terms: Mapping[str, Any]) -> dict[str, Any]:
    return {"@id": iri, "@context": {**_ALIASES, **terms}}


_NAMED: Final = {"name": _SCHEMA + "name", "description": _SCHEMA + "description"}
_PROOF: Final = {"proof": {"@id": _SEC + "proof", "@type": "@id", "@container": "@graph"}}
_INSTANT: Final = _XSD + "dateTime"

_CREDENTIAL: Final = {
    **_links(
        _CRED, "confidenceMethod", "credentialSchema", "credentialStatus", "credentialSubject", "evidence", "issuer",
        "refreshService", "relatedResource", "renderMethod", "termsOfUse",
    ),
    **_NAMED,
    **_PROOF,
    "validFrom": _typed(_CRED + "validFrom", _INSTANT),
    "validUntil": _typed(_CRED + "validUntil", _INSTANT),
}  # fmt: skip
_PRESENTATION: Final = {
    **_links(_CRED, "holder", "termsOfUse"),
    **_PROOF,
    "verifiableCredential": {"@id": _CRED + "verifiableCredential", "@type": "@id", "@container": "@graph", "@context": None},
}
_ENTRY: Final = {
    **_links(_STATUS, "statusListCredential", "statusReference"),
    "statusListIndex": _STATUS + "statusListIndex",
    "statusPurpose": _STATUS + "statusPurpose",
    "statusMessage": _scoped(_STATUS + "statusMessage", {"message": _STATUS + "message", "status": _STATUS + "status"}),
    "statusSize": _typed(_STATUS + "statusSize", "https://www.w3.org/2001/XMLSchema#integer"),
}
_LIST: Final = {
    "encodedList": _typed(_STATUS + "encodedList", _SEC + "multibase"),
    "statusPurpose": _STATUS + "statusPurpose",
    "ttl": _STATUS + "ttl",
}
_PURPOSES: Final = {
    name: {"@id": _SEC + iri, "@type": "@id", "@container": "@set"}
    for name, iri in (
        ("assertionMethod", "assertionMethod"),
        ("authentication", "authenticationMethod"),
        ("capabilityDelegation", "capabilityDelegationMethod"),
        ("capabilityInvocation", "capabilityInvocationMethod"),
        ("keyAgreement", "keyAgreementMethod"),
    )
}
_INTEGRITY: Final = {
    **{name: _SEC + name for name in ("challenge", "domain", "nonce")},
    **_links(_SEC, "previousProof", "verificationMethod"),
    "created": _typed("http://purl.org/dc/terms/created", _INSTANT),
    "cryptosuite": _typed(_SEC + "cryptosuite", _SEC + "cryptosuiteString"),
    "expires": _typed(_SEC + "expiration", _INSTANT),
    "proofPurpose": {"@id": _SEC + "proofPurpose", "@type": "@vocab", "@context": {**_ALIASES, **_PURPOSES}},
    "proofValue": _typed(_SEC + "proofValue", _SEC + "multibase"),
}
CREDENTIALS_V2: Final[Mapping[str, Any]] = {
    "@context": {
        **_ALIASES,
        **_NAMED,
        "digestMultibase": _typed(_SEC + "digestMultibase", _SEC + "multibase"),
        "digestSRI": _typed(_CRED + "digestSRI", _CRED + "sriString"),
        "mediaType": _SCHEMA + "encodingFormat",
        "VerifiableCredential": _scoped(_CRED + "VerifiableCredential", _CREDENTIAL),
        "VerifiablePresentation": _scoped(_CRED + "VerifiablePresentation", _PRESENTATION),
        "EnvelopedVerifiableCredential": _CRED + "EnvelopedVerifiableCredential",
        "EnvelopedVerifiablePresentation": _CRED + "EnvelopedVerifiablePresentation",
        "JsonSchemaCredential": _CRED + "JsonSchemaCredential",
        "JsonSchema": _scoped(_CRED + "JsonSchema", {"jsonSchema": _typed(_CRED + "jsonSchema", "@json")}),
        "BitstringStatusListCredential": _STATUS + "BitstringStatusListCredential",
        "BitstringStatusList": _scoped(_STATUS + "BitstringStatusList", _LIST),
        "BitstringStatusListEntry": _scoped(_STATUS + "BitstringStatusListEntry", _ENTRY),
        "DataIntegrityProof": _scoped(_SEC + "DataIntegrityProof", _INTEGRITY),
    }
}
_DATED: Final = {
    name: _typed(_CRED + name, _INSTANT) for name in ("expirationDate", "issuanceDate", "issued", "validFrom", "validUntil")
}
_KINDS_11: Final = {"credentialSchema": "JsonSchemaValidator2018", "refreshService": "ManualRefreshService2018"}
_CREDENTIAL_11: Final = {
    **_links(_CRED, "credentialStatus", "credentialSubject", "evidence", "holder", "issuer", "termsOfUse"),
    **{name: _scoped(_CRED + name, {kind: _CRED + kind}) | {"@type": "@id"} for name, kind in _KINDS_11.items()},
    **_DATED,
    **_PROOF,
}
_PRESENTATION_11: Final = {
    **_links(_CRED, "holder"),
    **_PROOF,
    "verifiableCredential": {"@id": _CRED + "verifiableCredential", "@type": "@id", "@container": "@graph"},
}
CREDENTIALS_V1: Final[Mapping[str, Any]] = {
    "@context": {
        **_ALIASES,
        **_PROOF,
        "VerifiableCredential": _scoped(_CRED + "VerifiableCredential", _CREDENTIAL_11),
        "VerifiablePresentation": _scoped(_CRED + "VerifiablePresentation", _PRESENTATION_11),
    }
}
_ENTRY_2021: Final = {
    **_links(_STATUS_2021, "statusListCredential"),
    **{name: _STATUS_2021 + name for name in ("statusPurpose", "statusListIndex")},
}
_NAMED_2021: Final = {"name": "http://schema.org/name", "description": "http://schema.org/description"}
STATUS_V2021: Final[Mapping[str, Any]] = {
    "@context": {
        "@protected": True,
        "StatusList2021Credential": _scoped(_STATUS_2021 + "StatusList2021Credential", _NAMED_2021),
        "StatusList2021": _scoped(
            _STATUS_2021 + "StatusList2021", {name: _STATUS_2021 + name for name in ("statusPurpose", "encodedList")}
        ),
        "StatusList2021Entry": _scoped(_STATUS_2021 + "StatusList2021Entry", _ENTRY_2021),
    }
}
INTEGRITY_V2: Final[Mapping[str, Any]] = {
    "@context": {**_ALIASES, **_PROOF, "DataIntegrityProof": _scoped(_SEC + "DataIntegrityProof", _INTEGRITY)}
}
BUNDLED: Final = Contexts(
    {
        CONTEXT_20: CREDENTIALS_V2,
        CONTEXT_11: CREDENTIALS_V1,
        DATA_INTEGRITY: INTEGRITY_V2,
        STATUS_LIST_2021: STATUS_V2021,
    },
    frozenset(
        {
            (CONTEXT_20,),
            (CONTEXT_20, DATA_INTEGRITY),
            (CONTEXT_11, DATA_INTEGRITY),
            (CONTEXT_11, STATUS_LIST_2021, DATA_INTEGRITY),
            (CONTEXT_11, DATA_INTEGRITY, STATUS_LIST_2021),
        }
    ),
)
