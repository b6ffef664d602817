"""The secure token service of one participant, in process (DCP 1.0 section 4.3; identity.md 1.2, 1.3).

- SI tokens: fresh `jti` for every call, five minutes, bound by `cnf` to the member certificate of the moment when there is one.
- An access token goes with all calls to one verifier for a minute.
- Access tokens for our own credential service: signed by us for us (`iss` = `aud` = own DID), for one verifier (`sub`), for named scopes,
  usable until they expire after five minutes, so that a verifier may repeat a query that timed out.

Not done here: the OAuth2 interface for other programs.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from identity.ids import new_id
from identity.jose import BadToken, Signer, parse, sign, token_for, verify
from kernel.clock import Clock
from kernel.errors import Unauthorized

_TYPE: Final = "at+jwt"
LIFE: Final = 300  # seconds
RENEWED: Final = 60  # seconds after which a caller gets a new access token
_CAPACITY: Final = 1_024


class Sts:
    """Mints and checks the participant's own tokens."""

    def __init__(self, did: str, signer: Signer, clock: Clock, thumbprint: Callable[[], str | None] = lambda: None) -> None:
        self.did, self._signer, self._clock, self._thumbprint = did, signer, clock, thumbprint
        self._access: OrderedDict[tuple[str, tuple[str, ...]], tuple[str, float]] = OrderedDict()

    def token(self, audience: str, *, scopes: Sequence[str] = (), inner: str | None = None) -> str:
        """An SI token for one call; `scopes` lets the receiver query our credentials, `inner` hands a received token back."""
        now = self._clock.now()
        given = self._given(audience, tuple(scopes), now.timestamp()) if scopes and inner is None else inner
        return token_for(self._signer, audience, now=now, jti=new_id(), token=given, thumbprint=self._thumbprint())

    def _given(self, verifier: str, scopes: tuple[str, ...], now: float) -> str:
        """An access token with most of its life before it: it may be used until it ends, so the next calls carry it too."""
        known = self._access.get((verifier, scopes))
        if known is not None and known[1] <= now < known[1] + RENEWED:
            return known[0]
        made = self.access_token(verifier, scopes)
        self._access[verifier, scopes] = (made, now)
        if len(self._access) > _CAPACITY:
            self._access.popitem(last=False)
        return made

    def access_token(self, verifier: str, scopes: Sequence[str]) -> str:
        """A token with which `verifier` may query credentials of these scopes."""
        issued = int(self._clock.now().timestamp())
        claims = {
            "iss": self.did,
            "aud": self.did,
            "sub": verifier,
            "scope": " ".join(scopes),
            "iat": issued,
            "exp": issued + LIFE,
            "jti": secrets.token_urlsafe(16),
        }
        return sign(claims, self._signer, typ=_TYPE)

    def granted(self, access_token: object, verifier: str) -> tuple[str, ...]:
        """The scopes of an access token of ours, shown by its verifier; raises `Unauthorized`."""
        if not isinstance(access_token, str):
            raise Unauthorized("authentication failed", step="access token", reason="none")
        try:
            token = parse(access_token)
            verify(token, self._signer.own_jwk(token.kid))
        except BadToken as error:
            raise Unauthorized("authentication failed", step="access token", reason=error.detail) from error
        claims, now = token.claims, self._clock.now().timestamp()
        wanted = {"iss": self.did, "aud": self.did, "sub": verifier}
        if token.typ != _TYPE or any(claims.get(name) != value for name, value in wanted.items()) or claims["exp"] <= now:
            raise Unauthorized("authentication failed", step="access token", reason="expired, or made for somebody else")
        return tuple(str(claims["scope"]).split())
