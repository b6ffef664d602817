"""What `identity.verify` is given: the caller's raw facts, the rule for each peer, and the collaborators behind the door.

Values and ports only. Deciding is `identity.verify` (token, channel) and `identity.presented` (credentials).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final, Literal
from weakref import WeakValueDictionary

from msgspec import Struct
from msgspec.structs import replace

from identity.jose import Signer
from identity.leaf import Leaf
from identity.profiles import STRICT, VerifierProfile
from identity.resolve import Resolving
from identity.schemas import ChecksSchemas
from identity.standing import Standing, Unfollowed
from identity.status import StatusValue
from identity.statusread import Basis, ReadsStatus
from identity.trust import TrustPolicy
from identity.vc import Credential
from kernel.clock import Clock
from kernel.errors import BadInput
from kernel.http import GuardedClient

Mtls = Literal["required", "preferred", "off"]
_CAPACITY: Final = 4_096


class Refused(BadInput):
    """A step of the verification said no. `facts["reason"]` is a fixed word; it never leaves the process."""

    code: ClassVar[str] = "refused-caller"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail, reason=reason)


class Caller(Struct, frozen=True):
    """What came with a request: every value of the header `Authorization`, and the TLS client certificate (DER), if any.

    The certificate has been verified against the consortium's CA by the TLS layer.
    """

    authorization: tuple[str, ...]
    certificate: bytes | None = None


class TokenUse(Struct, frozen=True):
    """What the receiver commits so that a token works once: until `expires` and the leeway after it."""

    issuer: str
    jti: str
    expires: datetime

    @property
    def remembered(self) -> int:
        """Until when the receiver knows it, in seconds since the epoch: a minute longer than it counts."""
        return int(self.expires.timestamp()) + 60


class PeerRule(Struct, frozen=True):
    """What one peer has to show.

    `scopes` are asked for and must be answered; `optional` are asked for too, and what is missing is a missing fact for the
    policies.
    """

    did: str
    mtls: Mtls = "required"
    scopes: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    profile: VerifierProfile = STRICT

    @property
    def asked(self) -> tuple[str, ...]:
        return self.scopes + self.optional


class Shown(Struct, frozen=True):
    """A verified presentation: its credentials, their claims by type, until when it counts, and the policy that judged it.

    `names` are the credentials' in a trail. `basis` is what their status rested on when none of them was denied, with what it told (`told`); while that does not hold, status is
    read again for every call.
    """

    credentials: tuple[Credential, ...]
    claims: dict[str, tuple[dict[str, object], ...]]
    noticed: tuple[str, ...]
    complete: bool
    until: datetime
    trust: TrustPolicy
    names: tuple[str, ...] = ()
    basis: Basis | None = None
    told: tuple[StatusValue, ...] = ()


Asked = tuple[str, tuple[str, ...], tuple[str, ...], str]


class Presentations:
    """Verified presentations by (holder, scopes, profile), until the earliest expiry; one exchange at a time for each.

    What a holder showed last is remembered beyond that, so that its status can be read without asking it again.
    """

    __slots__ = ("_held", "_last", "_turns")

    def __init__(self) -> None:
        self._held: OrderedDict[Asked, Shown] = OrderedDict()
        self._last: OrderedDict[str, tuple[Credential, ...]] = OrderedDict()
        self._turns: WeakValueDictionary[Asked, asyncio.Lock] = WeakValueDictionary()

    def get(self, key: Asked, now: datetime, trust: TrustPolicy) -> Shown | None:
        """What is held and still counts under this policy."""
        found = self._held.get(key)
        if found is None or found.until <= now or found.trust is not trust:
            return None
        return found

    def keep(self, key: Asked, shown: Shown) -> None:
        self._held[key] = shown
        self._held.move_to_end(key)
        if len(self._held) > _CAPACITY:
            self._held.popitem(last=False)
        self._last[key[0]] = shown.credentials
        self._last.move_to_end(key[0])
        if len(self._last) > _CAPACITY:
            self._last.popitem(last=False)

    def stood(self, key: Asked, shown: Shown, basis: Basis | None, told: tuple[StatusValue, ...]) -> None:
        """Note that no credential of what is held was denied; nothing where it is not held any more."""
        if self._held.get(key) is shown:
            self._held[key] = replace(shown, basis=basis, told=told)

    def last(self, holder: str) -> tuple[Credential, ...]:
        """The credentials that this holder was let in with last; none when it never was, or long ago."""
        return self._last.get(holder, ())

    def drop(self, key: Asked) -> None:
        self._held.pop(key, None)

    def forget(self, holder: str) -> None:
        """Drop everything that is held of a holder: something about it has changed."""
        for key in [each for each in self._held if each[0] == holder]:
            del self._held[key]

    def turn(self, key: Asked) -> asyncio.Lock:
        """The lock of this key, for as long as somebody holds it."""
        found = self._turns.get(key)
        if found is None:
            found = self._turns[key] = asyncio.Lock()
        return found


def _nobody(_issuer: str) -> bool:
    return False


def _never(_did: str, _issuers: Collection[str]) -> bool:
    return False


def _ours(_certificate: bytes) -> str | None:
    return ""


@dataclass(slots=True, kw_only=True)
class TokenDoor:
    """Enough to verify Self-Issued ID tokens. `seen` tells whether a token has been used up, `standing` who is kept out."""

    did: str
    resolver: Resolving
    clock: Clock
    seen: Callable[[TokenUse], Awaitable[bool]]
    leaves: OrderedDict[bytes, Leaf] = field(default_factory=OrderedDict, repr=False)
    standing: Standing = field(default_factory=Unfollowed, repr=False)


@dataclass(slots=True, kw_only=True)
class Door(TokenDoor):
    """All collaborators of `authenticate`. `trust` may be replaced while running: cached presentations are judged anew then.

    `signer` makes our own tokens for credential services (purpose `si`); `rules` gives the rule for any DID. `followed` tells
    whether an issuer's feed of changes has been heard lately, so that its lists need not be read anew for every decision. `consortium` tells
    whose CA has signed a member certificate (DER): empty for our consortium, the authority of a recognised one, None for nobody's.

    `doubtful` tells whether the news that keeps a participant out may be old, so that fresh status has to decide; `readmits` is told the issuers of the credentials
    that this found good, and says whether that is enough.
    """

    trust: TrustPolicy
    status: ReadsStatus
    schemas: ChecksSchemas
    client: GuardedClient
    signer: Signer
    rules: Callable[[str], PeerRule]
    followed: Callable[[str], bool] = _nobody
    consortium: Callable[[bytes], str | None] = _ours
    doubtful: Callable[[str], bool] = _nobody
    readmits: Callable[[str, Collection[str]], bool] = _never
    presentations: Presentations = field(default_factory=Presentations, repr=False)
