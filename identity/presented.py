"""Steps 11 to 13 of `identity.verify`: what a proven caller shows for itself (DCP 1.0, 5; identity.md 1.2).

    11  the presentation: cached for this holder and these scopes, else asked of the credential service in the holder's DID
        document, with a token of our own that carries the caller's access token back
    12  each VP: signed by the holder with a key for authentication, for us, inside its window
    13  each VC that was asked for, in the stages of `identity.prove`

Rules
- One failure refuses the whole presentation. Credentials that nobody asked for are left alone, their links never followed.
- A cached presentation counts until its earliest expiry and at most five minutes, so an issuer's withdrawn key is dead by then;
  its status is read again every time, unless nothing could come out otherwise (`statusread.Basis`).
- A holder without an optional credential is asked again by every decision (`fresh`), so that a new one counts at once.
- A denied status drops the cached presentation, and the holder is asked once more: it may have a new credential.
"""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from identity import jose, prove
from identity.did import AUTHENTICATION, DidDocument
from identity.door import Asked, Door, PeerRule, Refused, Shown
from identity.profiles import VerifierProfile
from identity.prove import LEEWAY, Proof
from identity.resolve import with_document
from identity.stages import Trail
from identity.status import DENYING, StatusValue
from identity.vc import (
    DCP_CONTEXT,
    Credential,
    Presentation,
    Scope,
    check_proof,
    check_signature_of,
    parse_presentations,
    parse_scope,
)
from identity.vc.scope import ID_ALIAS, TYPE_ALIAS
from kernel import wire

KEPT: Final = timedelta(minutes=5)
_MAX_ANSWER: Final = 1_048_576
SHOWN: Final = "presentation"


async def presented(
    door: Door, holder: str, rule: PeerRule, access_token: str | None, trail: Trail, *, fresh: bool
) -> tuple[Shown, tuple[StatusValue, ...]]:
    """The verified presentation of this holder, and what its status entries tell; raises the error of the step that failed."""
    trail.at(11, "parse", SHOWN)
    if not rule.asked:
        raise Refused("no scope is configured for this peer", reason="no-scopes")
    key: Asked = (holder, rule.scopes, rule.optional, rule.profile.name)
    shown = _cached(door, key, fresh=fresh)
    if shown is not None and _rests(door, shown, trail, fresh=fresh):
        return shown, shown.told
    proof = Proof(door, rule.profile, holder, fresh, [])
    if shown is not None and await _stands(proof, key, shown, trail):
        return shown, tuple(proof.told)
    async with door.presentations.turn(key):
        newer = _cached(door, key, fresh=fresh)
        if newer is None or newer is shown or not await _stands(proof, key, newer, trail):
            door.presentations.drop(key)
            proof.told.clear()
            newer = await _exchange(proof, rule, access_token, trail)
            door.presentations.keep(key, newer)
    return newer, tuple(proof.told)


def _cached(door: Door, key: Asked, *, fresh: bool) -> Shown | None:
    found = door.presentations.get(key, door.clock.now(), door.trust)
    return None if found is None or (fresh and not found.complete) else found


def _rests(door: Door, shown: Shown, trail: Trail, *, fresh: bool) -> bool:
    """Whether nothing could come out otherwise than it did when the status of a cached presentation was read."""
    basis = shown.basis
    if basis is None or not door.status.holds(basis, prove.limit(door, basis.issuers, fresh=fresh)):
        return False
    trail.at(prove.STEP, "status", *shown.names)
    return True


async def _stands(proof: Proof, key: Asked, shown: Shown, trail: Trail) -> bool:
    """Whether no credential of a cached presentation is denied by now; raises what makes its status unreadable."""
    if _rests(proof.door, shown, trail, fresh=proof.fresh):
        proof.told.extend(shown.told)
        return True
    reader = proof.door.status
    version, before = reader.version, len(proof.told)
    for credential, name in zip(shown.credentials, shown.names, strict=True):
        trail.at(prove.STEP, "status", name)
        try:
            await prove.status(proof, credential)
        except Refused as error:
            if error.facts["reason"] in DENYING:
                return False
            raise
    if reader.version == version:  # or what is held now is not what was asked
        basis = reader.basis(shown.credentials, strict=proof.profile.relationships)
        proof.door.presentations.stood(key, shown, basis, tuple(proof.told[before:]))
    return True


async def _exchange(proof: Proof, rule: PeerRule, access_token: str | None, trail: Trail) -> Shown:
    door = proof.door
    document = await door.resolver.resolve(proof.holder)
    answer = await _query(door, document, rule, access_token)  # 11
    presentations = parse_presentations(answer, rule.profile.reading)
    for each in presentations:
        await _check_presentation(door, each, proof.holder, rule.profile, trail)  # 12
    trail.at(12, "holder", SHOWN)
    wanted = [parse_scope(each) for each in rule.asked]
    credentials = tuple(_wanted((one for each in presentations for one in each.credentials), wanted))
    missing = [each for each in wanted if not any(_answers(one, each) for one in credentials)]
    if any(each in missing for each in wanted[: len(rule.scopes)]):
        raise Refused("a credential that was asked for is not there", reason="missing-credential")
    for credential in credentials:
        await prove.prove(proof, credential, trail)  # 13
    return _shown(door, presentations, credentials, complete=not missing)


async def _query(door: Door, document: DidDocument, rule: PeerRule, access_token: str | None) -> list[Any]:
    endpoint = document.endpoint("CredentialService")
    if endpoint is None:
        raise Refused("the DID document names no CredentialService", reason="no-credential-service")
    now = door.clock.now()
    token = jose.token_for(door.signer, document.id, now=now, jti=secrets.token_urlsafe(16), token=access_token)
    message = {"@context": [DCP_CONTEXT], "type": "PresentationQueryMessage", "scope": list(rule.asked)}
    reply = await door.client.request(
        "POST",
        f"{endpoint}/presentations/query",
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"},
        body=wire.dumps(message),
        max_bytes=_MAX_ANSWER,
    )
    if not 200 <= reply.status < 300:
        raise Refused(f"the credential service answered {reply.status}", reason="query-status")
    answer = wire.loads(reply.body, limit=_MAX_ANSWER)
    if not isinstance(answer, dict) or answer.get("type") != "PresentationResponseMessage":
        raise Refused("the credential service sent something else than a presentation", reason="query-form")
    found = answer.get("presentation")
    if not isinstance(found, list) or not found:
        raise Refused("the presentation is empty", reason="presentation-empty")
    return found


async def _check_presentation(door: Door, shown: Presentation, holder: str, profile: VerifierProfile, trail: Trail) -> None:
    now = door.clock.now()
    trail.at(12, "holder", SHOWN)
    if shown.holder is not None and shown.holder != holder:
        raise Refused("the presentation is of another holder", reason="presentation-holder")
    check_signature_of(shown.proof, holder)
    if shown.audience != door.did and (shown.audience is not None or profile.audience):
        raise Refused("the presentation is for somebody else", reason="presentation-aud")
    trail.at(12, "window", SHOWN)
    if (shown.expires is None and profile.audience) or (shown.expires is not None and shown.expires + LEEWAY <= now):
        raise Refused("the presentation has expired or never ends", reason="presentation-expired")
    if shown.not_before is not None and shown.not_before > now + LEEWAY:
        raise Refused("the presentation is not valid yet", reason="presentation-window")
    trail.at(12, "signature", SHOWN)
    strict = profile.relationships
    await with_document(door.resolver, holder, lambda found: check_proof(shown.proof, found, AUTHENTICATION, strict=strict))


def _shown(door: Door, presentations: Iterable[Presentation], credentials: tuple[Credential, ...], *, complete: bool) -> Shown:
    claims: dict[str, tuple[dict[str, object], ...]] = {}
    for credential in credentials:
        for kind in sorted(credential.kinds):
            claims[kind] = claims.get(kind, ()) + credential.subjects
    noticed = tuple(each for credential in credentials for each in door.trust.unknown_claims(credential))
    ends: list[datetime | None] = [each.expires for each in presentations]
    ends += [each.valid_until for each in credentials]
    until = min([door.clock.now() + KEPT, *(each for each in ends if each is not None)])
    return Shown(credentials, claims, noticed, complete, until, door.trust, tuple(prove.named(each) for each in credentials))


def _wanted(credentials: Iterable[Credential], scopes: list[Scope]) -> Iterable[Credential]:
    return (one for one in credentials if any(_answers(one, each) for each in scopes))


def _answers(credential: Credential, scope: Scope) -> bool:
    if scope.alias == TYPE_ALIAS:
        return scope.discriminator in credential.kinds
    return scope.alias == ID_ALIAS and scope.discriminator == credential.id
