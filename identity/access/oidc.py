"""Tokens of the company's own identity provider (OpenID Connect Core 1.0, Discovery 1.0, RFC 9068, RFC 8725).

Steps
1. The token is a compact JWS with an asymmetric algorithm of the allow-list; a header that brings a key is refused (`identity.jose`).
2. `iss` is the configured issuer, character by character. Nothing is fetched because of what a token says: addresses come from the issuer's own metadata.
3. The key is the one of the issuer's key set with the token's `kid`, and fits the algorithm. Without a `kid` there must be exactly one key.
4. The signature verifies.
5. `aud` contains the configured audience; `exp` has not passed, `nbf` and `iat` are not to come (a minute of leeway); `sub` is a text.
6. The values of the configured claim are looked up in the configured grants. A subject without any is known, and may do nothing (403).

The key set is kept for ten minutes. A `kid` that is not in it has it read anew, at most every 30 seconds whatever comes in: keys may be rotated at any time, and
a flood of invented ones costs the provider nothing. When the provider does not answer, the last set counts for an hour from its reading, then tokens are
refused (503); the management keys go on working.

Not done here: logging people in, sessions, token introspection. A token that the provider has withdrawn counts until it expires.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from identity import jose
from identity.access.principal import Grant, Principal
from identity.access.settings import Oidc
from identity.flight import SingleFlight
from identity.jose import BadToken, Unverified
from kernel import telemetry, wire
from kernel.clock import Clock
from kernel.errors import BadInput, Unauthorized, UnavailableError
from kernel.http import GuardedClient, Outbound

METADATA: Final = "/.well-known/openid-configuration"
FRESH: Final = timedelta(minutes=10)
USABLE: Final = timedelta(hours=1)
PAUSE: Final = timedelta(seconds=30)
LEEWAY: Final = 60.0
_MAX_BYTES: Final = 262_144
_MAX_KEYS: Final = 100
_TYPES: Final = frozenset({None, "jwt", "at+jwt", "application/at+jwt"})
log = telemetry.get(__name__)


class _KeySet(Struct, frozen=True):
    """The provider's public keys; `keys` holds JWKs by `kid` (those without one under None, when it is the only key)."""

    keys: Mapping[str | None, Mapping[str, Any]]
    read: datetime


def provider(settings: Oidc | None, client: Callable[[Outbound], GuardedClient], clock: Clock) -> "Provider | None":
    """The provider of the settings, if there is one. Its host may be a private one: the company itself has named it."""
    if settings is None:
        return None
    return Provider(settings, client(Outbound(allow=frozenset({str(urlsplit(settings.issuer).hostname)}))), clock)


class Provider:
    """Verifies tokens of one provider."""

    def __init__(self, settings: Oidc, client: GuardedClient, clock: Clock) -> None:
        self._settings, self._client, self._clock = settings, client, clock
        self._known: _KeySet | None = None
        self._tried: datetime | None = None
        self._flights: SingleFlight[str, None] = SingleFlight()

    def scopes(self) -> frozenset[str]:
        """Those that the grants of the settings name."""
        return frozenset(scope for each in self._settings.grants for scope in each.scopes)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def principal(self, token: str) -> Principal:
        """The subject of a token; raises `Unauthorized` with the reason as a fact, `UnavailableError` without keys to check it."""
        try:
            parsed = jose.parse(token)
            if parsed.alg not in self._settings.algorithms:
                raise BadToken("the algorithm is not allowed", reason="alg")
            if parsed.typ is not None and parsed.typ.lower() not in _TYPES:
                raise BadToken("not an access or identity token", reason="typ")
            if parsed.claims.get("iss") != self._settings.issuer:
                raise BadToken("another issuer", reason="iss")
            jose.verify(parsed, await self._key(parsed.kid))
            self._check_claims(parsed)
        except BadToken as error:
            raise Unauthorized(reason=f"token: {error.facts['reason']}", detail=error.detail) from error
        return self._principal(parsed.claims)

    def _check_claims(self, token: Unverified) -> None:
        claims, now = token.claims, self._clock.now().timestamp()
        audience = claims.get("aud")
        if self._settings.audience not in (audience if isinstance(audience, list) else [audience]):
            raise BadToken("for another audience", reason="aud")
        if not _number(claims.get("exp")) or claims["exp"] + LEEWAY <= now:
            raise BadToken("expired, or without an end", reason="exp")
        for name in ("nbf", "iat"):
            if name in claims and not (_number(claims[name]) and claims[name] - LEEWAY <= now):
                raise BadToken("not valid yet", reason=name)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
            raise BadToken("no subject", reason="sub")

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        value: Any = claims
        for part in self._settings.claim:
            value = value.get(part) if isinstance(value, dict) else None
        held = {each for each in (value if isinstance(value, list) else str(value or "").split()) if isinstance(each, str)}
        name = claims.get(self._settings.name)
        shown = name if isinstance(name, str) and name.isprintable() and name else claims["sub"]
        grants = tuple(Grant(each.role, each.scopes) for each in self._settings.grants if each.value in held)
        return Principal(f"oidc:{claims['sub']}", str(shown)[:100], grants)

    async def _key(self, kid: str | None) -> Mapping[str, Any]:
        now = self._clock.now()
        known = self._usable(now)
        if known is None or now - known.read >= FRESH or kid not in known.keys:
            await self._flights.run("keys", lambda: self._read(now))
            known = self._usable(now)
        if known is None:
            raise UnavailableError("the identity provider does not answer", next_step="use a management key, or try again")
        if kid not in known.keys:
            raise BadToken("no such key at the provider", reason="kid")
        return known.keys[kid]

    def _usable(self, now: datetime) -> _KeySet | None:
        known = self._known
        return known if known is not None and timedelta(0) <= now - known.read < USABLE else None

    async def _read(self, now: datetime) -> None:
        """Read the key set anew, unless that was tried a moment ago; a failure leaves the old one."""
        if self._tried is not None and timedelta(0) <= now - self._tried < PAUSE:
            return
        self._tried = now
        try:
            metadata = await self._fetched(self._settings.issuer.rstrip("/") + METADATA)
            if metadata.get("issuer") != self._settings.issuer:
                raise BadInput("the metadata are of another issuer")  # Discovery 4.3
            found = await self._fetched(str(metadata.get("jwks_uri", "")))
            self._known = _KeySet(_by_kid(found.get("keys")), now)
        except (BadInput, UnavailableError) as error:
            log.warning("the keys of the identity provider cannot be read", issuer=self._settings.issuer, detail=error.detail)

    async def _fetched(self, url: str) -> dict[str, Any]:
        reply = await self._client.request("GET", url, headers={"Accept": "application/json"}, max_bytes=_MAX_BYTES)
        if reply.status != 200:
            raise BadInput(f"{url} was answered with {reply.status}")
        found = wire.loads(reply.body)
        if not isinstance(found, dict):
            raise BadInput(f"{url} is no JSON object")
        return found


def _by_kid(found: Any) -> dict[str | None, Mapping[str, Any]]:
    """Signature keys that we can use, by `kid`; others are left out, since a set may hold keys for other purposes."""
    if not isinstance(found, list) or len(found) > _MAX_KEYS:
        raise BadInput("no key set")
    usable: list[Mapping[str, Any]] = []
    for each in found:
        try:
            jose.public_key(each if isinstance(each, dict) else {})
        except BadInput:
            continue
        usable.append(each)
    keys: dict[str | None, Mapping[str, Any]] = {each["kid"]: each for each in usable if isinstance(each.get("kid"), str)}
    return keys | ({None: usable[0]} if len(usable) == 1 else {})


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
