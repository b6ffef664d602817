"""Reading a credential: a JWT (VC-DM 1.1 section 6.3.1, VC-JOSE-COSE), or a document with a Data Integrity proof (identity.md 2.1-2.3).

Rules
- 1.1 as JWT: the credential lies in the `vc` claim. `iss`, `sub`, `jti`, `nbf`, `exp` stand for issuer, subject id, id, issuance and
  expiration; where both forms exist they must agree (times to the second).
- 2.0 as JWT: the payload is the credential; `vc` and `vp` claims are refused. Registered claims may be there and must not contradict.
- With Data Integrity: one proof. Its `created` and `expires` narrow the window of the credential.
- `type` holds `VerifiableCredential`; the first `@context` fixes the model, all are addresses; no inner `@context`; every subject is a
  non-empty object.
- The signer's DID (`kid`) equals `issuer`: `check_signature_of` refuses anything else before a key is looked up.

Not done here: signature (`proof`), trust, window, status (`identity.verify`); `credentialSchema` is handed up, never fetched.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from identity import jose
from identity.did.errors import BadDid
from identity.did.syntax import did_of_url, parse
from identity.jose import BadToken, Unverified
from identity.vc import integrity
from identity.vc.errors import BadCredential
from identity.vc.integrity import IntegrityProof
from identity.vc.model import (
    CONTEXT_11,
    CONTEXT_20,
    VC11,
    VC11_DI,
    VC20,
    VC20_DI,
    StatusEntry,
    first_context,
    first_is,
    inner_contexts,
    moment,
    objects,
    status_entries,
    texts,
)
from kernel import wire
from kernel.errors import BadInput

Proof = Unverified | IntegrityProof
Window = tuple[datetime | None, datetime | None]
LIMIT: Final = 65_536
TYPE: Final = "VerifiableCredential"
TYPES_20: Final = frozenset({"vc+jwt", "vp+jwt"})
_TYPES_11: Final = frozenset({None, "JWT"})
_MAX_TIME: Final = 253_402_300_799
_TYPED: Final = ("credentialSchema", "evidence", "termsOfUse", "refreshService")


class Reading(Struct, frozen=True, kw_only=True):
    """How a document is read: `types` are the JOSE `typ` of VC-DM 2.0.

    `agree`: JWT claims that repeat id and times must repeat them exactly. Without it the property is the id, and the narrower window counts.
    `contexts`: the context of the data model comes first, and all contexts of a JWT are addresses.
    """

    types: frozenset[str] = TYPES_20
    agree: bool = True
    contexts: bool = True


STRICTLY: Final = Reading()


class Credential(Struct, frozen=True, kw_only=True):
    """A credential as its issuer wrote it; proven by nobody yet.

    `issuer` is a DID; `types` includes `VerifiableCredential`; `raw` is the JWT or the JSON text, `proof` what would prove it. `body`
    is the document without what the JWT claims add.
    """

    id: str | None
    types: tuple[str, ...]
    issuer: str
    subjects: tuple[dict[str, Any], ...]
    valid_from: datetime | None
    valid_until: datetime | None
    status: tuple[StatusEntry, ...]
    schemas: tuple[dict[str, Any], ...]
    format: str
    raw: str
    proof: Proof
    body: Mapping[str, Any]

    @property
    def subject(self) -> dict[str, Any]:
        """The first subject; most credentials have one."""
        return self.subjects[0]

    @property
    def kinds(self) -> frozenset[str]:
        """The types without `VerifiableCredential`: what trust and scopes speak of."""
        return frozenset(self.types) - {TYPE}


def parse_vc(token: str, *, limit: int = LIMIT, reading: Reading = STRICTLY) -> Credential:
    """Read a credential of either model; raises `BadCredential` with the reason."""
    try:
        found = jose.parse(token, limit=limit)
    except BadToken as error:
        raise BadCredential(error.detail, reason=str(error.facts["reason"])) from error
    return _version_11(found, reading) if "vc" in found.claims else _version_20(found, reading)


def parse_secured(document: Mapping[str, Any], *, limit: int = LIMIT) -> Credential:
    """Read a credential of either model with a Data Integrity proof; raises `BadCredential` with the reason."""
    raw = wire.dumps(document)
    if len(raw) > limit:
        raise BadCredential(f"a credential of {len(raw)} bytes, at most {limit} are read", reason="size")
    proofs = integrity.parse_proofs(document)
    if len(proofs) != 1:
        raise BadCredential("a credential has one proof, its issuer's", reason="proof-count")
    proof = proofs[0]
    body = proof.document
    old = first_is(body.get("@context"), CONTEXT_11)
    if old:
        first_context(body["@context"], CONTEXT_11)
    else:
        _check_20(body, STRICTLY)
    window = _window({}, body, STRICTLY, old=old)
    return _credential(proof, raw.decode(), {}, body, VC11_DI if old else VC20_DI, _narrowed(proof, window))


def read_vc(payload: str | Mapping[str, Any], *, limit: int = LIMIT, reading: Reading = STRICTLY) -> Credential:
    """Read a credential as it is sent and stored: a JWT, a document, or the JSON text of one; raises `BadCredential`."""
    if isinstance(payload, Mapping):
        return parse_secured(payload, limit=limit)
    if not payload.startswith("{"):
        return parse_vc(payload, limit=limit, reading=reading)
    try:
        document = wire.loads(payload, limit=limit)
    except BadInput as error:
        raise BadCredential(error.detail, reason="json") from error
    return parse_secured(document, limit=limit)


def check_signature_of(proof: Proof, signer: str) -> None:
    """The kid is absolute and of this DID, text for text; raises `BadCredential` (reason `kid`)."""
    try:
        same = proof.kid is not None and did_of_url(proof.kid) == signer
    except BadDid:
        same = False
    if not same:
        raise BadCredential("the kid is not of the DID that signs", reason="kid")


def _version_11(found: Unverified, reading: Reading) -> Credential:
    body, claims = found.claims["vc"], found.claims
    if not isinstance(body, dict) or "vp" in claims or found.typ not in _TYPES_11:
        raise BadCredential("the vc claim is no credential", reason="form")
    first_context(body.get("@context"), CONTEXT_11, strict=reading.contexts)
    return _credential(found, found.raw, _named(claims, body, reading), body, VC11, _window(claims, body, reading, old=True))


def _version_20(found: Unverified, reading: Reading) -> Credential:
    body, types = found.claims, reading.types
    if "vp" in body or found.typ not in types or not str(found.typ).startswith("vc"):
        raise BadCredential("neither a vc claim nor the type of a credential", reason="typ")
    if found.header.get("cty", "vc") not in ("application/vc", *(each.removesuffix("+jwt") for each in types)):
        raise BadCredential("the content is not a credential", reason="cty")
    _check_20(body, reading)
    return _credential(found, found.raw, _named(body, body, reading), body, VC20, _window(body, body, reading, old=False))


def _named(claims: Mapping[str, Any], body: Mapping[str, Any], reading: Reading) -> Mapping[str, Any]:
    """The claims; where they need not agree, without a `jti` beside an id."""
    return claims if reading.agree or body.get("id") is None else {name: value for name, value in claims.items() if name != "jti"}


def _window(claims: Mapping[str, Any], body: Mapping[str, Any], reading: Reading, *, old: bool) -> Window:
    start, end = ("issuanceDate", "expirationDate") if old else ("validFrom", "validUntil")
    valid_from = _agreed(claims.get("nbf"), body.get(start), start, max, reading)
    if old and valid_from is None:
        raise BadCredential("a credential without issuance date", reason="time")
    return valid_from, _agreed(claims.get("exp"), body.get(end), end, min, reading)


def _check_20(body: Mapping[str, Any], reading: Reading) -> None:
    first_context(body.get("@context"), CONTEXT_20, strict=reading.contexts)
    for name in _TYPED:
        if not all(isinstance(each.get("type"), str | list) for each in objects(body.get(name), name)):
            raise BadCredential(f"{name} has no type", reason="form")


def _narrowed(proof: IntegrityProof, times: Window) -> Window:
    """The window in which credential and proof both count."""
    starts, ends = ([each for each in pair if each is not None] for pair in ((times[0], proof.created), (times[1], proof.expires)))
    return max(starts, default=None), min(ends, default=None)


def _credential(
    proof: Proof, raw: str, claims: Mapping[str, Any], body: Mapping[str, Any], version: str, window: Window
) -> Credential:
    types = texts(body.get("type"), "type")
    if TYPE not in types:
        raise BadCredential(f"the type does not hold {TYPE}", reason="type")
    valid_from, valid_until = window
    if valid_from is not None and valid_until is not None and valid_from > valid_until:
        raise BadCredential("the credential ends before it begins", reason="time")
    inner_contexts({name: value for name, value in body.items() if name != "@context"})
    return Credential(
        id=_same(claims.get("jti"), body.get("id"), "id"),
        types=types,
        issuer=_issuer(claims.get("iss"), body.get("issuer")),
        subjects=_subjects(claims.get("sub"), body.get("credentialSubject")),
        valid_from=valid_from,
        valid_until=valid_until,
        status=status_entries(body.get("credentialStatus")),
        schemas=objects(body.get("credentialSchema"), "credentialSchema"),
        format=version,
        raw=raw,
        proof=proof,
        body=body,
    )


def _issuer(claim: Any, value: Any) -> str:
    issuer = _same(claim, value.get("id") if isinstance(value, dict) else value, "issuer")
    try:
        return parse(issuer or "").text
    except BadDid as error:
        raise BadCredential("the issuer is no DID that we read", reason="issuer") from error


def _subjects(claim: Any, value: Any) -> tuple[dict[str, Any], ...]:
    subjects = objects(value, "credentialSubject")
    if not subjects:
        raise BadCredential("a credential without a subject", reason="subject")
    if claim is not None and any(each.get("id", claim) != claim for each in subjects):
        raise BadCredential("sub and credentialSubject.id differ", reason="disagreement")
    if claim is None:
        return subjects
    return tuple(each if "id" in each else {"id": _same(claim, None, "sub"), **each} for each in subjects)


def _same(claim: Any, value: Any, name: str) -> str | None:
    """The text of a claim or a property; both must be the same where both exist."""
    for each in (claim, value):
        if each is not None and (not isinstance(each, str) or not 0 < len(each) <= 2_048):
            raise BadCredential(f"{name} is no text", reason="form")
    if claim is not None and value is not None and claim != value:
        raise BadCredential(f"claim and property differ: {name}", reason="disagreement")
    return str(value if claim is None else claim) if (claim is not None or value is not None) else None


def _agreed(claim: Any, value: Any, name: str, narrower: Callable[..., datetime], reading: Reading) -> datetime | None:
    """The time of a NumericDate, a dateTimeStamp, or both when they mean the same second; else the narrower, or an error."""
    numeric = None if claim is None else numeric_date(claim, name)
    written = None if value is None else moment(value, name)
    if numeric is not None and written is not None and abs((numeric - written).total_seconds()) >= 1:
        if reading.agree:
            raise BadCredential(f"claim and property differ: {name}", reason="disagreement")
        return narrower(numeric, written)
    return written if written is not None else numeric


def numeric_date(value: Any, name: str) -> datetime:
    """The time of a NumericDate; raises `BadCredential` (reason `time`)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_TIME:
        raise BadCredential(f"{name} is no NumericDate", reason="time")
    return datetime.fromtimestamp(value, UTC)
