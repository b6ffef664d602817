"""Signing credentials and presentations, in the two DCP profiles and with Data Integrity (identity.md 1.7, 2.1-2.3).

1.1: `vc` and `vp` claims in a `JWT`. 2.0: the payload is the document, `typ` `vc+jwt` and `vp+jwt`, credentials enveloped as
`data:` URLs. Data Integrity: a document with a JCS proof, as JSON text; domain and challenge stand for audience and `jti`. A
presentation always names its audience, ends after minutes and has a `jti`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from identity import jose
from identity.jose import Signer
from identity.vc.credential import TYPE
from identity.vc.integrity import add_proof
from identity.vc.model import CONTEXT_11, CONTEXT_20, DOCUMENTS, VC11, VC20, StatusEntry, is_11
from identity.vc.presentation import VC_MEDIA, VP_MEDIA
from kernel import wire
from kernel.clock import iso, parse_iso

LIFETIME: Final = timedelta(minutes=5)


def issue(
    signer: Signer,
    *,
    id: str,
    types: Sequence[str],
    subject: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    valid_from: datetime,
    valid_until: datetime | None,
    status: Sequence[StatusEntry] = (),
    schemas: Sequence[Mapping[str, Any]] = (),
    format: str = VC20,
    contexts: Sequence[str] = (),
    issuer: str | None = None,
) -> str:
    """A signed credential: a JWT, or JSON text for the formats with Data Integrity.

    `types` may leave `VerifiableCredential` out. `issuer` is the DID of the signer's key unless given. `contexts` follow the one of
    the data model. Times are cut to the second, so that claims and properties agree.
    """
    old = is_11(format)
    start, end = valid_from.replace(microsecond=0), None if valid_until is None else valid_until.replace(microsecond=0)
    body: dict[str, Any] = {
        "@context": [CONTEXT_11 if old else CONTEXT_20, *contexts],
        "id": id,
        "type": [TYPE, *(each for each in types if each != TYPE)],
        "issuer": issuer or signer.kid.partition("#")[0],
        "issuanceDate" if old else "validFrom": iso(start),
    }
    if end is not None:
        body["expirationDate" if old else "validUntil"] = iso(end)
    body["credentialSubject"] = dict(subject) if isinstance(subject, Mapping) else [dict(each) for each in subject]
    if status:
        entries = [_entry(each) for each in status]
        body["credentialStatus"] = entries[0] if len(entries) == 1 else entries  # some readers of 1.1 know one entry only
    if schemas:
        body["credentialSchema"] = [dict(each) for each in schemas]
    if format in DOCUMENTS:
        return wire.dumps(add_proof(body, signer, purpose="assertionMethod", created=start)).decode()
    if format != VC11:
        return jose.sign(body, signer, typ="vc+jwt", header={"cty": "vc"})
    claims = {"iss": body["issuer"], "jti": id, "iat": _seconds(start), "nbf": _seconds(start), "vc": body}
    if isinstance(subject, Mapping) and "id" in subject:
        claims["sub"] = subject["id"]
    return jose.sign(claims if end is None else {**claims, "exp": _seconds(end)}, signer)


def as_document(token: str, signer: Signer, *, limit: int) -> str:
    """The credential in a JWT of ours as JSON text with a Data Integrity proof, for readers that take no JWT."""
    claims = jose.parse(token, limit=limit).claims
    body = claims.get("vc", claims)
    start = body.get("issuanceDate") or body["validFrom"]
    return wire.dumps(add_proof(body, signer, purpose="assertionMethod", created=parse_iso(start))).decode()


def present(
    signer: Signer,
    credentials: Sequence[str],
    *,
    audience: str,
    now: datetime,
    jti: str,
    format: str = VC20,
    lifetime: timedelta = LIFETIME,
    wrapped: bool = False,
) -> str:
    """A signed presentation of credentials that are all of `format`: a JWT, or JSON text for the formats with Data Integrity.

    The holder is the DID of the signer's key. `wrapped` puts a 2.0 presentation into the EnvelopedVerifiablePresentation that
    some peers expect.
    """
    holder, issued = signer.kid.partition("#")[0], _seconds(now)
    registered = {
        "iss": holder,
        "sub": holder,
        "aud": audience,
        "jti": jti,
        "iat": issued,
        "nbf": issued,
        "exp": issued + int(lifetime.total_seconds()),
    }
    if format in DOCUMENTS:
        return _secured(signer, credentials, audience, now, jti, format, lifetime)
    if format == VC11:
        body = {"@context": [CONTEXT_11], "type": ["VerifiablePresentation"], "holder": holder}
        return jose.sign({**registered, "vp": {**body, "verifiableCredential": list(credentials)}}, signer)
    document = {
        **registered,
        "@context": [CONTEXT_20],
        "type": ["VerifiablePresentation"],
        "holder": holder,
        "verifiableCredential": [_enveloped(each) for each in credentials],
    }
    token = jose.sign(document, signer, typ="vp+jwt", header={"cty": "vp"})
    if not wrapped:
        return token
    envelope = {"@context": [CONTEXT_20], "type": "EnvelopedVerifiablePresentation", "id": VP_MEDIA + token}
    return jose.sign({**registered, **envelope}, signer, typ="vp+jwt", header={"cty": "vp"})


def _secured(
    signer: Signer, credentials: Sequence[str], audience: str, now: datetime, jti: str, format: str, lifetime: timedelta
) -> str:
    document = {
        "@context": [CONTEXT_11 if is_11(format) else CONTEXT_20],
        "type": ["VerifiablePresentation"],
        "holder": signer.kid.partition("#")[0],
        "verifiableCredential": [wire.loads(each) for each in credentials],
    }
    secured = add_proof(
        document, signer, purpose="authentication", created=now, expires=now + lifetime, domain=audience, challenge=jti
    )
    return wire.dumps(secured).decode()


def _enveloped(credential: str) -> dict[str, Any]:
    return {"@context": [CONTEXT_20], "id": VC_MEDIA + credential, "type": "EnvelopedVerifiableCredential"}


def _entry(entry: StatusEntry) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": entry.id or f"{entry.url}#{entry.index}",
        "type": entry.type,
        "statusPurpose": entry.purpose,
        "statusListIndex": str(entry.index),
        "statusListCredential": entry.url,
    }
    if entry.size > 1:
        found["statusSize"] = entry.size
    if entry.messages:
        found["statusMessage"] = [{"status": hex(value), "message": text} for value, text in enumerate(entry.messages)]
    if entry.references:
        found["statusReference"] = list(entry.references)
    return found


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
