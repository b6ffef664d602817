"""Data tokens: short-lived, for one transfer, bound to the certificate of its consumer (RFC 8705; HTTP profile of Data Plane Signaling 1.0-RC3).

Rules
- An access token lives five minutes and carries `cnf.x5t#S256` of the consumer's current member certificate. It works only on a connection with that
  certificate. A peer without mTLS gets an unbound one that lives one minute.
- The same token is the refresh token: for thirty days, also when it opens nothing any more, it is taken for a new one when it is shown together with a Self-Issued ID token
  of the same participant. The new one is bound to the certificate of that very connection, so a rotated certificate never cuts a transfer. A second token would cost a
  second signature at every start, and prove nothing more: it is the ID token that says who asks.
- A token opens nothing by itself: at every request the transfer must be STARTED and no step of ours may be about to end it (`transfer.open_now`).
- Push tokens open one inbox entry of the consumer for its provider.
"""

import uuid
from collections.abc import Callable
from typing import Any, Final, Literal

from connector.plane import addresses
from connector.plane.addresses import Form
from connector.processes import transfer
from connector.processes.model import Process
from identity.jose import BadToken, Signer, parse, sign, verify
from kernel.clock import Clock
from kernel.errors import Unauthorized

LIFE: Final = 300
UNBOUND_LIFE: Final = 60
PUSH_LIFE: Final = 30 * 24 * 3600
REFRESH_LIFE: Final = PUSH_LIFE
Use = Literal["access", "push"]


class DataTokens:
    """Mints and checks the data tokens of one participant."""

    def __init__(
        self, did: str, signer: Signer, clock: Clock, base_url: Callable[[str], str], form: Callable[[str], Form] = lambda _: "dsp"
    ) -> None:
        """By the peer's DID: `base_url` gives the listener, a URL without a trailing slash; `form` that of its data addresses."""
        self._did, self._signer, self._clock, self._base_url, self._form = did, signer, clock, base_url, form

    def mint(self, use: Use, process: Process, *, thumbprint: str | None, life: int) -> str:
        """A token of one use for the counterparty of a transfer."""
        now = int(self._clock.now().timestamp())
        claims: dict[str, Any] = {
            "iss": self._did,
            "aud": self._did,
            "sub": process.peer,
            "use": use,
            "tid": process.id,
            "iat": now,
            "exp": now + life,
            "jti": str(uuid.uuid4()),
        }
        return sign(claims | ({"cnf": {"x5t#S256": thumbprint}} if thumbprint else {}), self._signer, typ="data+jwt")

    def access(self, process: Process, thumbprint: str | None) -> tuple[str, int]:
        """(access token, seconds of life)."""
        life = LIFE if thumbprint else UNBOUND_LIFE
        return self.mint("access", process, thumbprint=thumbprint, life=life), life

    def check(self, token: str, use: Use, key: str, thumbprint: str | None) -> str:
        """The participant that the token was made for; raises `Unauthorized` with the reason as a fact."""
        claims = self._claims(token, use, key)
        if claims["exp"] <= self._clock.now().timestamp():
            raise _refused("the token has expired")
        bound = (claims.get("cnf") or {}).get("x5t#S256")
        if bound is not None and bound != thumbprint:
            raise _refused("the token is bound to another certificate")
        return str(claims["sub"])

    def refreshes(self, token: str, key: str) -> str:
        """The participant that may have a new access token for this one, once it has proven that it is that; raises `Unauthorized`."""
        claims = self._claims(token, "access", key)
        if claims["iat"] + REFRESH_LIFE <= self._clock.now().timestamp():
            raise _refused("the token is too old to be refreshed")
        return str(claims["sub"])

    def _claims(self, token: str, use: Use, key: str) -> dict[str, Any]:
        """What a token of ours for this use says; whether it counts still is not looked at. Raises `Unauthorized`."""
        try:
            parsed = parse(token)
            verify(parsed, self._signer.own_jwk(parsed.kid))
        except BadToken as error:
            raise _refused(error.detail) from error
        claims = parsed.claims
        if parsed.typ != "data+jwt" or claims.get("use") != use or claims.get("tid") != key or claims.get("iss") != self._did:
            raise _refused("the token is for something else")
        return claims

    def address(self, process: Process) -> dict[str, Any]:
        """The data address of a pull transfer, with its first token."""
        thumbprint = process.data.get("thumbprint") or None
        token, life = self.access(process, thumbprint)
        url = f"{self._base_url(process.peer)}/data/{process.id}"
        further = {"refreshToken": token, "refreshEndpoint": f"{url}/token", "expiresIn": str(life)}
        return addresses.source(self._form(process.peer), url, token, further)

    def inbox(self, process: Process) -> dict[str, Any]:
        """The data address to which the provider may push."""
        token = self.mint("push", process, thumbprint=None, life=PUSH_LIFE)
        return addresses.inbox(self._form(process.peer), f"{self._base_url(process.peer)}/inbox/{process.id}", token)


def check_open(process: Process | None, participant: str) -> Process:
    """The transfer, when its data may flow to this participant now; raises `Unauthorized`."""
    if process is None or process.kind != "transfer" or process.peer != participant:
        raise _refused("no such transfer of this participant")
    if not transfer.open_now(process):
        raise _refused(f"the transfer is {process.state}")
    return process


def _refused(reason: str) -> Unauthorized:
    return Unauthorized("invalid token", step="data token", reason=reason)
