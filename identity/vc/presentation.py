"""Reading presentations from the `presentation` array of a DCP answer (identity.md 1.2, 1.7, 2.2).

Rules
- An entry is a JWT: a VP 1.1 (`vp` claim), a VP 2.0 (the payload is the presentation), or an EnvelopedVerifiablePresentation, as
  an object or as the payload of a JWT, around one such JWT. Envelopes do not nest any further.
- Or it is a document with one Data Integrity proof, whose `domain` is the audience and `expires` the end.
- An enveloped object has the right type and a `data:` URL of exactly the right media type, with one JWT in it.
- One data model and one way of proof per presentation: a VP 1.1 holds JWTs of VCs 1.1, a VP 2.0 enveloped VCs 2.0, a document
  documents (DCP 1.0, homogeneity).
- Counts are capped before anything is decoded.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from identity import jose
from identity.jose import BadToken, Unverified
from identity.vc import integrity
from identity.vc.credential import STRICTLY, Credential, Proof, Reading, numeric_date, parse_secured, parse_vc
from identity.vc.errors import BadCredential
from identity.vc.model import (
    CONTEXT_11,
    CONTEXT_20,
    VC11,
    VC11_DI,
    VC20,
    VC20_DI,
    first_context,
    first_is,
    inner_contexts,
    objects,
    texts,
)
from kernel import wire

LIMIT: Final = 524_288
MAX_PRESENTATIONS: Final = 16
MAX_CREDENTIALS: Final = 64
VP_MEDIA: Final = "data:application/vp+jwt,"
VC_MEDIA: Final = "data:application/vc+jwt,"


class Presentation(Struct, frozen=True, kw_only=True):
    """A presentation as its holder wrote it; proven by nobody yet. `audience` and `expires` are None where it names none."""

    holder: str | None
    audience: str | None
    not_before: datetime | None
    expires: datetime | None
    jti: str | None
    credentials: tuple[Credential, ...]
    format: str
    proof: Proof


def parse_presentations(entries: Any, reading: Reading = STRICTLY) -> tuple[Presentation, ...]:
    """All presentations of an answer; raises `BadCredential` (`presentation-count`, `credential-count` and those of one)."""
    if not isinstance(entries, list) or len(entries) > MAX_PRESENTATIONS:
        raise BadCredential(f"more than {MAX_PRESENTATIONS} presentations", reason="presentation-count")
    found = tuple(parse_vp(each, reading) for each in entries)
    if sum(len(each.credentials) for each in found) > MAX_CREDENTIALS:
        raise BadCredential(f"more than {MAX_CREDENTIALS} credentials", reason="credential-count")
    return found


def parse_vp(entry: str | Mapping[str, Any], reading: Reading = STRICTLY) -> Presentation:
    """One presentation; raises `BadCredential` with the reason."""
    if isinstance(entry, Mapping) and "proof" in entry:
        return _secured(entry)
    token = _token(entry if isinstance(entry, str) else _opened(entry, "EnvelopedVerifiablePresentation", VP_MEDIA))
    if _is(token.claims, "EnvelopedVerifiablePresentation"):
        token = _token(_opened(token.claims, "EnvelopedVerifiablePresentation", VP_MEDIA))
    if "vp" in token.claims:
        return _version_11(token, reading)
    return _version_20(token, reading)


def _token(text: str) -> Unverified:
    try:
        return jose.parse(text, limit=LIMIT)
    except BadToken as error:
        raise BadCredential(error.detail, reason=str(error.facts["reason"])) from error


def _version_11(token: Unverified, reading: Reading) -> Presentation:
    body = token.claims["vp"]
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict) or "vc" in token.claims or token.typ not in {None, "JWT"}:
        raise BadCredential("the vp claim is no presentation", reason="form")
    if "@context" in body:
        first_context(body["@context"], CONTEXT_11, strict=reading.contexts)
    _typed(body)
    raws = body.get("verifiableCredential", [])
    raws = raws if isinstance(raws, list) else [raws]
    return _presentation(token, _text(body, "holder"), raws, VC11, reading)


def _version_20(token: Unverified, reading: Reading) -> Presentation:
    body = token.claims
    signed = token.typ in {None, "JWT"} or (token.typ in reading.types and str(token.typ).startswith("vp"))
    if "vc" in body or not signed or not _is(body, "VerifiablePresentation"):
        raise BadCredential("not a presentation", reason="form")
    first_context(body.get("@context"), CONTEXT_20, strict=reading.contexts)
    found = body.get("verifiableCredential", [])
    entries = found if isinstance(found, list) else [found]
    _count(entries)
    raws = [_opened(each, "EnvelopedVerifiableCredential", VC_MEDIA) for each in entries]
    return _presentation(token, _holder(body), raws, VC20, reading)


def _secured(document: Mapping[str, Any]) -> Presentation:
    """A presentation with a Data Integrity proof."""
    if len(wire.dumps(document)) > LIMIT:
        raise BadCredential(f"a presentation of more than {LIMIT} bytes", reason="size")
    proofs = integrity.parse_proofs(document)
    if len(proofs) != 1 or len(proofs[0].domain) > 1:
        raise BadCredential("a presentation has one proof, for one domain", reason="proof-count")
    proof = proofs[0]
    body = proof.document
    _typed(body)
    held = objects(body.get("verifiableCredential"), "verifiableCredential")
    credentials = tuple(parse_secured(each) for each in held)
    version = VC11_DI if first_is(body.get("@context"), CONTEXT_11) else VC20_DI
    first_context(body.get("@context"), CONTEXT_11 if version == VC11_DI else CONTEXT_20)
    inner_contexts({name: value for name, value in body.items() if name not in ("@context", "verifiableCredential")})
    if any(each.format != version for each in credentials):
        raise BadCredential("a credential of another data model than its presentation", reason="mixed")
    return Presentation(
        holder=_holder(body),
        audience=next(iter(proof.domain), None),
        not_before=proof.created,
        expires=proof.expires,
        jti=proof.challenge,
        credentials=credentials,
        format=version,
        proof=proof,
    )


def _presentation(
    token: Unverified, holder: str | None, raws: list[Any], version: str, reading: Reading = STRICTLY
) -> Presentation:
    _count(raws)
    credentials = tuple(_credential(each, version, reading) for each in raws)
    claims = token.claims
    issuer, subject = _text(claims, "iss"), _text(claims, "sub")
    holders = {each for each in (issuer, subject, holder) if each is not None}
    if len(holders) > 1:
        raise BadCredential("iss, sub and holder of the presentation differ", reason="disagreement")
    return Presentation(
        holder=next(iter(holders), None),
        audience=_audience(claims.get("aud")),
        not_before=None if "nbf" not in claims else numeric_date(claims["nbf"], "nbf"),
        expires=None if "exp" not in claims else numeric_date(claims["exp"], "exp"),
        jti=_text(claims, "jti"),
        credentials=credentials,
        format=version,
        proof=token,
    )


def _credential(raw: Any, version: str, reading: Reading) -> Credential:
    if not isinstance(raw, str):
        raise BadCredential("a credential in another form than its presentation", reason="mixed")
    found = parse_vc(raw, reading=reading)
    if found.format != version:
        raise BadCredential("a credential of another data model than its presentation", reason="mixed")
    return found


def _opened(entry: Any, kind: str, media: str) -> str:
    """The JWT in an enveloped object."""
    if not isinstance(entry, Mapping) or not _is(entry, kind):
        raise BadCredential(f"not an {kind}", reason="envelope")
    first_context(entry.get("@context", CONTEXT_20), CONTEXT_20)
    url = entry.get("id")
    if not isinstance(url, str) or not url.startswith(media) or ";" in url or "," in url[len(media) :]:
        raise BadCredential(f"the id of an {kind} is not one {media}...", reason="envelope")
    return url[len(media) :]


def _is(body: Mapping[str, Any], kind: str) -> bool:
    value = body.get("type")
    return value == kind or (isinstance(value, list) and kind in value)


def _holder(body: Mapping[str, Any]) -> str | None:
    holder = body.get("holder")
    return _text(holder, "id") if isinstance(holder, dict) else _text(body, "holder")


def _typed(body: Mapping[str, Any]) -> None:
    if "VerifiablePresentation" not in texts(body.get("type"), "type"):
        raise BadCredential("the type does not hold VerifiablePresentation", reason="type")


def _count(entries: list[Any]) -> None:
    if len(entries) > MAX_CREDENTIALS:
        raise BadCredential(f"more than {MAX_CREDENTIALS} credentials", reason="credential-count")


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise BadCredential(f"{name} is no text", reason="form")
    return value


def _audience(value: Any) -> str | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is not None and (not isinstance(value, str) or not value):
        raise BadCredential("the presentation has not one audience", reason="presentation-aud")
    return value
