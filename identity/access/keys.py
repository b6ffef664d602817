"""Management keys: `kzk_<id>_<secret>`, kept as a hash, with role, scopes and expiry.

Rules
- The secret is 256 random bits and is shown once. What is stored is its SHA-256: a guess at 256 bits is hopeless at any speed of hashing, so that
  the slow hash that a password needs would add cost to every call and nothing to its safety.
- The id finds the row; the hash is compared in constant time, also when there is no such row.
- A key that is revoked or has expired is refused like an unknown one; only the log says why. Rows are never deleted: the audit log names them.
- When a key was last used is kept to the hour, so that reading stays reading.
- The key in the data directory (`management.key`, 0600) is the administrator of last resort: it is no row and cannot be revoked by an API.
"""

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from identity.access.principal import Grant, Principal
from identity.access.trail import about
from kernel import telemetry
from kernel.clock import Clock, iso, parse_iso
from kernel.errors import BadInput, Conflict, NotFound, Unauthorized, UnavailableError

PREFIX: Final = "kzk_"
COARSE: Final = timedelta(hours=1)
_FORM: Final = re.compile(r"kzk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
_NO_ROW: Final = "0" * 64
_LONGEST_NAME: Final = 100
log = telemetry.get(__name__)


class AccessKey(Struct, frozen=True, kw_only=True):
    """A management key without its secret. Times are ISO 8601; empty: never."""

    id: str
    name: str
    digest: str
    grant: Grant
    made: str
    made_by: str
    expires: str = ""
    revoked: str = ""
    used: str = ""


class KeyStore(Protocol):
    """Where keys are kept."""

    async def key(self, key: str) -> AccessKey | None: ...
    async def keys(self, after: str, limit: int) -> list[AccessKey]:
        """By id, those after `after`."""

    async def add_key(self, key: AccessKey) -> None: ...
    async def revoke_key(self, key: str, at: str) -> bool:
        """Whether it was good until now."""

    async def note_use(self, key: str, at: str) -> None:
        """Nothing else of the row is written: a revocation meanwhile stands."""


class Keys:
    """The management keys of one service."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def add(self, name: str, grant: Grant, expires: str, maker: Principal) -> tuple[AccessKey, str]:
        """A new key and its text, which nobody can get again. `expires` is ISO 8601; empty: never."""
        maker.check_giving(grant)
        label, now = name.strip(), self._clock.now()
        if not label or len(label) > _LONGEST_NAME or not label.isprintable():
            raise BadInput(f"a name of 1 to {_LONGEST_NAME} printable characters is needed", next_step="say what the key is for")
        until = parse_iso(expires) if expires else None
        if until is not None and until <= now:
            raise BadInput(f"{expires} has passed", next_step="give a time to come")
        key, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        made = AccessKey(
            id=key,
            name=label,
            digest=_digest(secret),
            grant=grant,
            made=iso(now),
            made_by=maker.who,
            expires=iso(until) if until else "",
        )
        about(key)
        await self._store.add_key(made)
        return made, f"{PREFIX}{key}_{secret}"

    async def page(self, after: str, limit: int) -> list[AccessKey]:
        """Keys by id, revoked and expired ones too."""
        return await self._store.keys(after, limit)

    async def revoke(self, key: str, caller: Principal) -> AccessKey:
        """From now on it opens nothing; raises `NotFound`, `Conflict`, and `Forbidden` for a key that has more than the caller."""
        found = await self._store.key(key)
        if found is None:
            raise NotFound("no such key", next_step="see `kizuna key list`")
        caller.check_giving(found.grant)
        revoked = msgspec.structs.replace(found, revoked=iso(self._clock.now()))
        if not await self._store.revoke_key(key, revoked.revoked):
            raise Conflict("the key is revoked already", next_step="see `kizuna key list`")
        return revoked

    async def principal(self, text: str) -> Principal:
        """The caller with this key; raises `Unauthorized`, with the reason as a fact for the log."""
        form = _FORM.fullmatch(text)
        if form is None:
            raise Unauthorized(reason="not a key")
        key, secret = form.groups()
        found = await self._store.key(key)
        same = hmac.compare_digest(_digest(secret), found.digest if found else _NO_ROW)
        if found is None or not same:
            raise Unauthorized(reason="unknown key")
        now, who = self._clock.now(), f"key:{found.id}"
        if found.revoked:
            raise Unauthorized(reason="revoked", who=who)
        if found.expires and parse_iso(found.expires) <= now:
            raise Unauthorized(reason="expired", who=who)
        await self._note_use(found, now)
        return Principal(who, found.name, (found.grant,))

    async def _note_use(self, key: AccessKey, now: datetime) -> None:
        if key.used and now - parse_iso(key.used) < COARSE:
            return
        try:
            await self._store.note_use(key.id, iso(now))
        except UnavailableError as error:  # a full disk must not lock out who comes to look
            log.warning("last use of a management key is not noted", key_id=key.id, detail=error.detail)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("ascii")).hexdigest()
