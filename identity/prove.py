"""Proving one credential: the stages from issuer to claims, in a table (DCP 1.0, 5.4.3; identity.md 1.2, 8.4).

    issuer     trusted for all its types, before anything that the credential names is fetched
    signature  kid of the issuer, key in its assertionMethod, the signature itself
    binding    every subject is the holder
    window     valid now
    status     not revoked, not suspended, as new as the decision needs it
    schema     what its `credentialSchema` demands
    claims     what our claim table of its types demands

Rules
- A stage that says no ends it; the trail of the verification tells which, of which credential, and why.
- Status for a decision is read anew, unless the issuer's feed of changes is being heard (then at most five minutes old). For what
  decides nothing (catalog) it is read again after a minute, and while the list cannot be reached the last one counts for at most
  15 minutes.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from identity.did import ASSERTION
from identity.door import Door, Refused
from identity.jose import Unverified
from identity.profiles import STRICT, VerifierProfile
from identity.resolve import Resolving, with_document
from identity.stages import Stage, Trail
from identity.status import StatusValue
from identity.vc import Credential, check_proof, check_signature_of

LEEWAY: Final = timedelta(seconds=10)
NOW: Final = 0.0  # seconds: status as it is now (an unchanged list answers 304)
FOLLOWED: Final = 300.0
SOON: Final = 60.0
GRACE: Final = 840.0  # with SOON: 15 minutes
STEP: Final = 13
_MILLISECONDS: Final = 100_000_000_000  # as seconds: the year 5138


class Proof(Struct, frozen=True):
    """What the stages of a credential look at. `told` gathers what status entries say beside yes and no (messages, refresh)."""

    door: Door
    profile: VerifierProfile
    holder: str
    fresh: bool
    told: list[StatusValue] = []


Check = Callable[[Proof, Credential], Awaitable[None]]


async def prove(proof: Proof, credential: Credential, trail: Trail) -> None:
    """All stages; raises the error of the one that says no, and the trail stands at it."""
    subject = named(credential)
    for stage, check in TABLE:
        trail.at(STEP, stage, subject)
        await check(proof, credential)


def named(credential: Credential) -> str:
    """The credential in a trail: its types, and its id where it has one."""
    return " ".join((*sorted(credential.kinds), credential.id or ""))[:200].strip()


async def status(proof: Proof, credential: Credential) -> None:
    """The status stage; raises `Refused` (`revocation`, `suspension`) or the reader's errors."""
    found = await _values(proof, credential, fresh=proof.fresh)
    if not proof.fresh and any(each.denies for each in found):  # it may have been lifted since: a denial is never an old one
        found = await _values(proof, credential, fresh=True)
    if denied := min((each.purpose for each in found if each.denies), default=None):
        raise Refused(f"the credential is under {denied}", reason=denied)
    proof.told.extend(each for each in found if each.value)


async def check_credential(
    resolver: Resolving, credential: Credential, *, holder: str, now: datetime, profile: VerifierProfile = STRICT
) -> None:
    """Prove a credential without trust and status: signature, binding, window.

    Raises `Refused`, `BadCredential`, `BadDid`, `BadToken` or the client's errors. The wallet checks with it what it is given to
    store.
    """
    await signed(resolver, credential, profile)
    bound(credential, holder)
    valid(credential, now)


async def signed(resolver: Resolving, credential: Credential, profile: VerifierProfile) -> None:
    """The signature stage."""
    check_signature_of(credential.proof, credential.issuer)
    strict = profile.relationships
    await with_document(resolver, credential.issuer, lambda found: check_proof(credential.proof, found, ASSERTION, strict=strict))


def bound(credential: Credential, holder: str) -> None:
    """The binding stage."""
    if any(subject.get("id") != holder for subject in credential.subjects):
        raise Refused("a credential is about somebody else", reason="subject")


def valid(credential: Credential, now: datetime) -> None:
    """The window stage."""
    if credential.valid_from is not None and credential.valid_from > now + LEEWAY:
        raise Refused("a credential is not valid yet", reason="not-yet-valid")
    if credential.valid_until is not None and credential.valid_until <= now:
        raise Refused("a credential has expired", reason="expired-credential")


async def _issuer(proof: Proof, credential: Credential) -> None:
    if not proof.door.trust.believes(credential, proof.door.clock.now()):
        raise Refused(f"{credential.issuer} is not trusted for {sorted(credential.kinds)}", reason="untrusted-issuer")


async def _signature(proof: Proof, credential: Credential) -> None:
    await signed(proof.door.resolver, credential, proof.profile)


async def _binding(proof: Proof, credential: Credential) -> None:
    bound(credential, proof.holder)


async def _window(proof: Proof, credential: Credential) -> None:
    now = proof.door.clock.now()
    valid(credential, now)
    if proof.profile.header_claims:
        _header_claims(credential, now)


def _header_claims(credential: Credential, now: datetime) -> None:
    """`iss`, `iat` and `exp` in the JOSE header (Gaia-X ICAM; some write milliseconds) must not contradict the credential."""
    header = credential.proof.header if isinstance(credential.proof, Unverified) else {}
    moments = {name: _seconds(header[name]) for name in ("iat", "exp") if name in header}
    wrong = header.get("iss", credential.issuer) != credential.issuer or None in moments.values()
    early = (moments.get("iat") or 0) > (now + LEEWAY).timestamp()
    if wrong or early or (moments.get("exp") or now.timestamp() + 1) <= now.timestamp():
        raise Refused("iss or times in the header contradict the credential", reason="header-claims")


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return value / 1000 if value > _MILLISECONDS else value


async def _schema(proof: Proof, credential: Credential) -> None:
    await proof.door.schemas.check(credential)


async def _claims(proof: Proof, credential: Credential) -> None:
    if wrong := proof.door.trust.wrong_claims(credential):
        raise Refused(f"claims missing or of the wrong form: {', '.join(wrong)}", reason="claims")


async def _values(proof: Proof, credential: Credential, *, fresh: bool) -> tuple[StatusValue, ...]:
    profile, age, grace = proof.profile, limit(proof.door, (credential.issuer,), fresh=fresh), 0.0 if fresh else GRACE
    return await proof.door.status.values(
        credential, max_age=age, grace=grace, minimum_bits=profile.minimum_bits, strict=profile.relationships
    )


def limit(door: Door, issuers: Iterable[str], *, fresh: bool) -> float:
    """The age in seconds at which status lists of these issuers are asked for again; `fresh`: for a decision."""
    if not fresh:
        return SOON
    return FOLLOWED if all(map(door.followed, issuers)) else NOW


TABLE: Final[tuple[tuple[Stage, Check], ...]] = (
    ("issuer", _issuer),
    ("signature", _signature),
    ("binding", _binding),
    ("window", _window),
    ("status", status),
    ("schema", _schema),
    ("claims", _claims),
)
