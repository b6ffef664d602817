"""The one door for callers: `authenticate` turns a request into a `VerifiedParticipant`, or refuses it.

The steps, in this order (identity.md 1.1, 1.2; DESIGN 5). Nothing of a later step is done before an earlier one has passed.

    1  header       one `Authorization`, scheme exactly `Bearer`, one token, size
    2  parse        compact JWS, allowed `alg`, no key or extension in the header, no duplicate members, no other `typ` than JWT
    3  identity     `iss` = `sub`, a DID; the DID of `kid` is the same text
    4  audience     `aud` is our DID and nothing else
    5  time         `exp`, `iat`, `nbf` within 10 s of leeway; life of at most 600 s
    6  document     the DID document of `iss`
    7  key          the `kid`'s key is in `capabilityInvocation`, controlled by the DID
    8  signature    by that key, with its own algorithm
    9  jti          not used before; the receiver commits the use (`TokenUse`) with what it authorises; the authority does not bar the participant
    10 channel      the TLS leaf is not revoked, its DID = `iss`; `cnf.x5t#S256` = its hash; as the rule for this peer demands
    11 to 13        presentation, VPs, VCs (`identity.presented`, `identity.prove`)
    14 made         `VerifiedParticipant`, which nothing else can make

Every step belongs to a stage (`identity.stages`). Every refusal is the same `Unauthorized`; stage, subject, reason and the
explanation of all stages before it are in its `facts`, for our own side alone; a success carries them as `findings`. A caller's
failure to be reached, an unreadable status list and a forged token look alike from outside.

Not done here: spending the token (commit `participant.token`), entitlement (policies), HTTP.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from identity import jose
from identity.did import INVOCATION, DidDocument, did_of_url, parse
from identity.door import Caller, Door, Mtls, PeerRule, Presentations, Refused, Shown, TokenDoor, TokenUse
from identity.jose import Unverified
from identity.leaf import Leaf, read_leaf
from identity.presented import presented
from identity.profiles import PROFILES, STRICT, VerifierProfile, strictly
from identity.prove import check_credential
from identity.resolve import with_document
from identity.stages import Finding, Trail
from identity.status import StatusValue
from identity.vc import BadCredential, Credential
from identity.vc.credential import numeric_date

__all__ = [
    "PROFILES",
    "STRICT",
    "Caller",
    "Door",
    "Finding",
    "Mtls",
    "PeerRule",
    "Presentations",
    "TokenDoor",
    "TokenUse",
    "VerifiedParticipant",
    "VerifiedToken",
    "VerifierProfile",
    "authenticate",
    "check_credential",
    "verify_token",
]

LEEWAY: Final = timedelta(seconds=10)
MAX_LIFE: Final = timedelta(seconds=600)
_MAX_TEXT: Final = 256
_MAX_ACCESS_TOKEN: Final = 8_192
_LEAVES: Final = 1_024
_TYPES: Final = frozenset({None, "JWT", "jwt"})
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]+")
_SEAL: Final = object()


class VerifiedToken(Struct, frozen=True):
    """A caller proven by its token: steps 1 to 10. `thumbprint` and `member_channel` speak of the TLS leaf that came with it."""

    did: str
    use: TokenUse
    access_token: str | None = None
    thumbprint: str | None = None
    member_channel: bool = False
    claims: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedParticipant:
    """A caller proven by token, channel and credentials. Only `authenticate` can make one.

    `claims` holds the subjects by credential type. `thumbprint` is the base64url SHA-256 of the member certificate that the call
    came with (`member_channel`). `token` is to be committed with what it authorises. `noticed` names claims that no table knows.
    `statuses` are what status entries tell beside revocation and suspension, `trail` the stages that were passed.
    """

    did: str
    credentials: tuple[Credential, ...]
    claims: Mapping[str, tuple[dict[str, Any], ...]]
    thumbprint: str | None
    member_channel: bool
    token: TokenUse
    noticed: tuple[str, ...] = ()
    statuses: tuple[StatusValue, ...] = ()
    trail: Trail = field(default_factory=Trail, repr=False, compare=False)
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("a VerifiedParticipant is made by identity.verify.authenticate and by nothing else")

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The stages that were passed, told from the trail when somebody asks."""
        return self.trail.findings()


async def authenticate(door: Door, caller: Caller, *, fresh: bool) -> VerifiedParticipant:
    """Verify a caller in all steps; raises `Unauthorized`.

    `fresh` is for decisions (negotiation, transfer, data): status lists are read as they are now. Otherwise they are at most 15
    minutes old.
    """
    with Trail() as trail:
        token, use = _claimed(door, caller, trail)
        rule = door.rules(use.issuer)
        doubtful = await _proven(door, token, use, rule.profile, trail, door.doubtful)
        trail.step = 10
        leaf = _channel(door, caller, token, rule.mtls)
        access_token = _access_token(token.claims, required=rule.profile.access_token)
        shown, told = await presented(door, use.issuer, rule, access_token, trail, fresh=fresh or doubtful)
        if doubtful and not door.readmits(use.issuer, {each.issuer for each in shown.credentials}):
            raise Refused("the authority keeps this participant out", reason="suspension")
        if leaf is not None:
            _bridged(door, caller.certificate or b"", shown, trail)
        return VerifiedParticipant(
            did=use.issuer,
            credentials=shown.credentials,
            claims=shown.claims,
            thumbprint=leaf.thumbprint if leaf else None,
            member_channel=leaf is not None,
            token=use,
            noticed=shown.noticed,
            statuses=told,
            trail=trail,
            seal=_SEAL,
        )


async def verify_token(
    door: TokenDoor,
    caller: Caller,
    *,
    mtls: Mtls = "preferred",
    profiles: Callable[[str], VerifierProfile] = strictly,
) -> VerifiedToken:
    """Verify the token and the channel alone (steps 1 to 10); raises `Unauthorized`. For credential service, issuer and CA."""
    with Trail() as trail:
        token, use = _claimed(door, caller, trail)
        await _proven(door, token, use, profiles(use.issuer), trail)
        trail.step = 10
        leaf = _channel(door, caller, token, mtls)
        return VerifiedToken(
            did=use.issuer,
            use=use,
            access_token=_access_token(token.claims, required=False),
            thumbprint=leaf.thumbprint if leaf else None,
            member_channel=leaf is not None,
            claims=token.claims,
        )


def _claimed(door: TokenDoor, caller: Caller, trail: Trail) -> tuple[Unverified, TokenUse]:
    """Steps 1 to 5: the token, and whose it claims to be."""
    text = _header(caller.authorization)
    trail.step = 2
    token = jose.parse(text)
    if token.typ not in _TYPES:
        raise Refused("the token is of another kind", reason="typ")
    trail.step = 3
    trail.peer = issuer = _identity(token)
    trail.step = 4
    if _audience(token.claims.get("aud")) != door.did:
        raise Refused("the token is for somebody else", reason="aud")
    trail.step = 5
    expires = _times(token.claims, door.clock.now())
    return token, TokenUse(issuer, _jti(token.claims), expires)


async def _proven(
    door: TokenDoor,
    token: Unverified,
    use: TokenUse,
    profile: VerifierProfile,
    trail: Trail,
    doubtful: Callable[[str], bool] = lambda _: False,
) -> bool:
    """Steps 6 to 9: signed by its issuer, and not used before. Whether fresh status has to say if the issuer is still kept out."""
    trail.step = 6  # a key that the cached document does not hold is looked for in a fresh one, once

    def signed(document: DidDocument) -> None:
        trail.step = 7
        key = document.key(token.kid, INVOCATION, strict=profile.relationships)
        trail.step = 8
        jose.verify(token, key)

    await with_document(door.resolver, use.issuer, signed)
    trail.step = 9
    if await door.seen(use):
        raise Refused("the token has been used before", reason="jti")
    why = door.standing.barred(use.issuer)
    if why is not None and not doubtful(use.issuer):
        raise Refused("the authority keeps this participant out", reason=why)
    return why is not None


def _header(values: tuple[str, ...]) -> str:
    """Step 1: the token of the one header."""
    if len(values) != 1:
        raise Refused("no Authorization header, or several", reason="header")
    scheme, blank, token = values[0].partition(" ")
    if scheme != "Bearer" or not blank or not _TOKEN.fullmatch(token):
        raise Refused("not one Bearer token", reason="header")
    return token


def _identity(token: Unverified) -> str:
    """Step 3: the DID that the token claims to be of."""
    issuer = token.claims.get("iss")
    if not isinstance(issuer, str) or issuer != token.claims.get("sub"):
        raise Refused("iss and sub are not the same DID", reason="iss-sub")
    parse(issuer)
    if token.kid is not None and not token.kid.startswith("#") and did_of_url(token.kid) != issuer:
        raise Refused("the kid is of another DID", reason="kid")
    return issuer


def _audience(value: Any) -> str | None:
    found = value[0] if isinstance(value, list) and len(value) == 1 else value
    return found if isinstance(found, str) else None


def _times(claims: Mapping[str, Any], now: datetime) -> datetime:
    """Step 5: when the token ends."""
    expires, issued = _date(claims, "exp"), _date(claims, "iat")
    if expires + LEEWAY <= now:
        raise Refused("the token has expired", reason="exp")
    if issued > now + LEEWAY:
        raise Refused("the token is from the future", reason="iat")
    if "nbf" in claims and _date(claims, "nbf") > now + LEEWAY:
        raise Refused("the token is not valid yet", reason="nbf")
    if expires - issued > MAX_LIFE:
        raise Refused(f"the token lives longer than {MAX_LIFE}", reason="life")
    return expires


def _date(claims: Mapping[str, Any], name: str) -> datetime:
    try:
        return numeric_date(claims.get(name), name)
    except BadCredential as error:
        raise Refused(error.detail, reason=name) from error


def _jti(claims: Mapping[str, Any]) -> str:
    found = claims.get("jti")
    if not isinstance(found, str) or not 0 < len(found) <= _MAX_TEXT:
        raise Refused("the token has no jti", reason="jti-form")
    return found


def _channel(door: TokenDoor, caller: Caller, token: Unverified, mtls: Mtls) -> Leaf | None:
    """Step 10: the member certificate that this call came with and that binds it, or None.

    A certificate of another DID, or a token bound to another certificate, is refused whatever the rule: it has been stolen or
    mixed up.
    """
    leaf = None if caller.certificate is None else door.leaves.get(caller.certificate) or _leaf(door, caller.certificate)
    if leaf is not None and leaf.did is not None and door.standing.revoked(caller.certificate or b""):
        raise Refused("the certificate is revoked, or no revocation list is there", reason="tls-revoked")
    if leaf is not None and leaf.did != token.claims["iss"] and (leaf.did is not None or mtls == "required"):
        raise Refused("the certificate is of another DID than the token", reason="tls-did")
    bound = _confirmation(token.claims)
    if bound is not None and (leaf is None or bound != leaf.thumbprint):
        raise Refused("the token is bound to another certificate", reason="cnf")
    if mtls == "required":
        if leaf is None:
            raise Refused("a member certificate is required", reason="tls-missing")
        if bound is None:
            raise Refused("the token is not bound to the certificate", reason="cnf-missing")
    return leaf if leaf is not None and leaf.did is not None else None


def _bridged(door: Door, certificate: bytes, shown: Shown, trail: Trail) -> None:
    """A member certificate of a recognised consortium counts with credentials that the same bridge recognises: its CA does not speak for members of others."""
    bridge = door.consortium(certificate)
    if bridge == "":
        return
    trail.at(10, "binding")
    now = door.clock.now()
    if bridge is None or not shown.credentials or not all(door.trust.believes(each, now, bridge) for each in shown.credentials):
        raise Refused("the member certificate is of another consortium than the credentials", reason="bridge")


def _confirmation(claims: Mapping[str, Any]) -> str | None:
    found = claims.get("cnf")
    if found is None and "cnf" not in claims:
        return None
    value = found.get("x5t#S256") if isinstance(found, dict) else None
    if not isinstance(value, str) or not value:
        raise Refused("a confirmation of a kind that is not read", reason="cnf")
    return value


def _leaf(door: TokenDoor, certificate: bytes) -> Leaf:
    """What binds this certificate, kept for the next time: a connection is used again and again."""
    found = door.leaves[certificate] = read_leaf(certificate)
    if len(door.leaves) > _LEAVES:
        door.leaves.popitem(last=False)
    return found


def _access_token(claims: Mapping[str, Any], *, required: bool) -> str | None:
    found = claims.get("token")
    if found is None and not required:
        return None
    if not isinstance(found, str) or not 0 < len(found) <= _MAX_ACCESS_TOKEN:
        raise Refused("the token carries no access token for the credential service", reason="access-token")
    return found
