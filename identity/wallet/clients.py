"""Programs that may draw tokens from the secure token service: who they are, and how their secrets are kept and compared.

Rules
- A secret is made here, shown once, and kept as its scrypt digest. Comparison takes the same time for a wrong secret and for a client that does not exist.
- A client draws tokens for its audiences and scopes alone; an empty list means any.
- Failures and tokens are counted per client and minute (`Quota`). A client with too many wrong secrets waits, whatever it sends next.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta, Struct

from kernel.clock import Clock
from kernel.errors import Misconfigured, TooMany

_COST, _BLOCK, _LANES = 2**14, 8, 1
_FORM: Final = "scrypt"
MISSES: Final = 10
PER_MINUTE: Final = 1_200


class Client(Struct, frozen=True, forbid_unknown_fields=True):
    """One program of the participant, or of somebody whom the participant lets act for it."""

    id: Annotated[str, Meta(description="Name that the client shows.", min_length=1, max_length=256)]
    secret: Annotated[str, Meta(description="scrypt digest of its secret, as `kizuna connector sts-client` writes it.")]
    audiences: Annotated[tuple[str, ...], Meta(description="DIDs that it may draw tokens for; empty = any.")] = ()
    scopes: Annotated[tuple[str, ...], Meta(description="DCP scopes that it may grant; empty = any.")] = ()


def new_secret() -> tuple[str, str]:
    """A new secret and its digest."""
    secret = secrets.token_urlsafe(32)
    return secret, digest(secret)


def digest(secret: str) -> str:
    """What is kept of a secret: form, salt and scrypt digest."""
    salt = secrets.token_bytes(16)
    return f"{_FORM}:{_text(salt)}:{_text(_scrypt(secret, salt))}"


class Clients:
    """The known clients; immutable but for the counters."""

    def __init__(self, clients: Iterable[Client], clock: Clock) -> None:
        self._known = {each.id: (each, *_parsed(each)) for each in clients}
        self._decoy = (None, secrets.token_bytes(16), secrets.token_bytes(32))
        self._misses, self._tokens = Quota(MISSES, clock), Quota(PER_MINUTE, clock)
        self._proven: dict[str, bytes] = {}
        self._pepper = secrets.token_bytes(32)

    def __bool__(self) -> bool:
        return bool(self._known)

    async def authenticated(self, key: str, secret: str) -> Client | None:
        """The client, or None for a wrong secret and for an unknown one; raises `TooMany`."""
        self._misses.check(key)
        client, salt, wanted = self._known.get(key, self._decoy)
        quick = hmac.digest(self._pepper, secret.encode(), "sha256")
        if client is not None and hmac.compare_digest(self._proven.get(key, b""), quick):
            self._tokens.take(key)
            return client
        given = await asyncio.to_thread(_scrypt, secret, salt)
        if not hmac.compare_digest(given, wanted) or client is None:
            self._misses.take(key if client is not None else "")
            return None
        self._proven[key] = quick
        self._tokens.take(key)
        return client


class Quota:
    """At most so many within a minute, for each key; what nobody asks for any more is forgotten."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit, self._clock = limit, clock
        self._minute, self._used = -1, dict[str, int]()

    def check(self, key: str) -> None:
        """Raises `TooMany` when the key has used its share up."""
        minute = int(self._clock.now().timestamp()) // 60
        if minute != self._minute:
            self._minute, self._used = minute, {}
        if self._used.get(key, 0) >= self._limit:
            raise TooMany("too many requests of this client", next_step="wait a minute")

    def take(self, key: str) -> None:
        """Count one; raises `TooMany` instead when there is none left."""
        self.check(key)
        self._used[key] = self._used.get(key, 0) + 1


def _parsed(client: Client) -> tuple[bytes, bytes]:
    form, _, rest = client.secret.partition(":")
    salt, _, wanted = rest.partition(":")
    try:
        found = base64.urlsafe_b64decode(salt + "=="), base64.urlsafe_b64decode(wanted + "==")
    except ValueError:
        found = b"", b""
    if form != _FORM or len(found[0]) != 16 or len(found[1]) != 32:
        raise Misconfigured(
            f"the secret of the STS client {client.id} is no digest", next_step="make one: kizuna connector sts-client"
        )
    return found


def _scrypt(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=_COST, r=_BLOCK, p=_LANES, dklen=32)


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
