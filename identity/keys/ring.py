"""The keys of a running participant: which one signs now, which are published, and their rotation with overlap (DCP 1.0 section 3; identity.md 8.2).

    rotate    a new key is made and published at once; it signs after `LEAD`, when nobody's cached document lacks it any more
    retire    an older key leaves the document: what it signed counts no longer, when caches are over

Rules
- Until its lead is over, a new key signs only when its purpose has no other one.
- What we ourselves signed with an older key (access tokens, data tokens) is honoured as long as the key is published.
- A `trust` key signs after all older ones are gone: whoever follows the authority learns a new key from lists that an older one has signed (`identity.pinned`). It may be
  retired `ANNOUNCED` after its successor was made, the life of a list; sooner only when it is to be revoked. Several may wait, as a reserve.
- Tokens and presentations live for minutes, so an older `si`, `vp` or `data` key may be retired `OVERLAP` after its successor began; sooner only when it
  is to be revoked. What a `vc` or `contract` key signed outlives it: such a key goes by revocation alone, and what it signed with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from identity.did.document import Key
from identity.jose.errors import BadToken
from identity.keys.files import PURPOSES, FileSigner, KeyStore
from kernel.clock import Clock, iso
from kernel.errors import Conflict, NotFound

LEAD: Final = timedelta(minutes=5)
ANNOUNCED: Final = timedelta(days=7)
_SHORT: Final = frozenset({"si", "vp", "data"})
_TRUST: Final = "trust"
OVERLAP: Final = timedelta(minutes=15)


class KeyState(Struct, frozen=True):
    """A key as its operator sees it; `state` is NEXT (published, does not sign yet), ACTIVE or OLDER."""

    kid: str
    purpose: str
    alg: str
    state: str
    created: str
    signs: str  # from when on; empty for a key that signs when the older ones are gone


class KeyRing:
    """The loaded keys of one store."""

    def __init__(self, store: KeyStore, clock: Clock, purposes: tuple[str, ...] = PURPOSES) -> None:
        self._store, self._clock, self._purposes = store, clock, purposes
        self._keys: dict[str, tuple[FileSigner, ...]] = {}
        self._load()

    def signer(self, purpose: str) -> "CurrentSigner":
        """A signer that always signs with the purpose's key of the moment; raises `Misconfigured` when there is none."""
        self._store.open(purpose)
        return CurrentSigner(self, purpose)

    def current(self, purpose: str) -> FileSigner:
        """The key that signs now."""
        keys = self._keys[purpose]
        if len(keys) == 1 or purpose == _TRUST:
            return keys[0]
        now = self._clock.now()
        ready = [each for each in keys[1:] if self._begins(each) <= now]
        return ready[-1] if ready else keys[0]

    def all(self, purpose: str) -> Sequence[FileSigner]:
        """All keys of a purpose as they are at any moment, oldest first; raises `Misconfigured` when there is none."""
        self._store.open(purpose)
        return _Live(self, purpose)

    def known(self, purpose: str, kid: str | None) -> FileSigner:
        """A key of the purpose that is not retired; raises `BadToken`."""
        for each in self._keys[purpose]:
            if each.kid == kid:
                return each
        raise BadToken("signed with no key of ours", reason="kid")

    def published(self) -> tuple[Key, ...]:
        return self._store.published()

    def states(self) -> list[KeyState]:
        """All keys, by purpose, oldest first."""
        return [self._state(purpose, each) for purpose in self._purposes for each in self._keys.get(purpose, ())]

    def rotate(self, purpose: str, alg: str = "ES256") -> KeyState:
        """A new key for a purpose; raises `Conflict` while another one waits to begin."""
        if purpose not in self._purposes or purpose not in self._keys:
            raise NotFound(f"no keys for {purpose} here", next_step=f"one of {', '.join(self._keys)}")
        if purpose != _TRUST and any(each.state == "NEXT" for each in self.states() if each.purpose == purpose):
            raise Conflict("a new key of this purpose waits to begin", next_step="rotate again when it signs")
        made = self._store.generate(purpose, alg=alg)
        self._load()
        return self._state(purpose, made)

    def retire(self, kid: str, *, revoke: bool = False) -> None:
        """Take an older key out of the document. `revoke` does not wait for the overlap. Raises `NotFound`, `Conflict`."""
        state = next((each for each in self.states() if each.kid == kid), None)
        if state is None:
            raise NotFound(f"no key {kid}", next_step="`kizuna connector keys`, or `kizuna identity keys`, lists them")
        if state.purpose == _TRUST:
            self._retire_trust(state, revoke=revoke)
            return
        if state.state != "OLDER":
            raise Conflict(f"{kid} is {state.state}", next_step="rotate its purpose first; it can go when the new key signs")
        if not revoke and state.purpose not in _SHORT:
            raise Conflict(f"what {kid} signed is good for long", next_step="keep it published until that is over, or revoke it")
        successor = self._begins(self.current(state.purpose))
        if not revoke and self._clock.now() < successor + OVERLAP:
            raise Conflict(
                f"what {kid} signed is still under way", next_step=f"wait until {iso(successor + OVERLAP)}, or revoke it"
            )
        self._store.retire(kid)
        self._load()

    def _retire_trust(self, state: KeyState, *, revoke: bool) -> None:
        keys = self._keys[_TRUST]
        if state.state == "NEXT" and not revoke:
            raise Conflict(f"{state.kid} waits to sign", next_step="retire the keys before it, or revoke it")
        if keys[-1].kid == state.kid:
            raise Conflict(
                f"{state.kid} is the newest", next_step="rotate its purpose first, so that there is one to take its place"
            )
        if not revoke and self._clock.now() < (learned := self._created(keys[1]) + ANNOUNCED):
            raise Conflict(
                "followers may not have learned the next key yet", next_step=f"wait until {iso(learned)}, or revoke this one"
            )
        self._store.retire(state.kid)
        self._load()

    def _state(self, purpose: str, key: FileSigner) -> KeyState:
        current, keys = self.current(purpose), [each.kid for each in self._keys[purpose]]
        older = keys.index(key.kid) < keys.index(current.kid)
        word = "ACTIVE" if key.kid == current.kid else "OLDER" if older else "NEXT"
        created = self._created(key)
        return KeyState(
            key.kid,
            purpose,
            key.alg,
            word,
            iso(created),
            ""
            if word == "NEXT" and purpose == _TRUST
            else iso(created if word == "ACTIVE" and len(keys) == 1 else self._begins(key)),
        )

    def _created(self, key: FileSigner) -> datetime:
        return datetime.fromtimestamp(self._store.created(key.kid), UTC)

    def _begins(self, key: FileSigner) -> datetime:
        return self._created(key) + LEAD

    def reload(self) -> None:
        """Read the keys again: another process that shares the folder has changed them."""
        self._load()

    def of(self, purpose: str) -> tuple[FileSigner, ...]:
        """The keys of a purpose at this moment, oldest first."""
        return self._keys[purpose]

    def _load(self) -> None:
        self._keys = {purpose: found for purpose in self._purposes if (found := self._store.all(purpose))}


class _Live(Sequence[FileSigner]):
    """The keys of a purpose, whichever they are by now."""

    def __init__(self, ring: KeyRing, purpose: str) -> None:
        self._ring, self._purpose = ring, purpose

    def __len__(self) -> int:
        return len(self._ring.of(self._purpose))

    def __getitem__(self, index: Any) -> Any:
        return self._ring.of(self._purpose)[index]


@dataclass(frozen=True, slots=True)
class CurrentSigner:
    """The `Signer` of a purpose, whichever key it is by now."""

    ring: KeyRing
    purpose: str

    @property
    def kid(self) -> str:
        return self.ring.current(self.purpose).kid

    @property
    def alg(self) -> str:
        return self.ring.current(self.purpose).alg

    def sign(self, data: bytes) -> bytes:
        return self.ring.current(self.purpose).sign(data)

    def public_jwk(self) -> dict[str, Any]:
        return self.ring.current(self.purpose).public_jwk()

    def pinned(self) -> FileSigner:
        return self.ring.current(self.purpose)

    def own_jwk(self, kid: str | None) -> dict[str, Any]:
        return self.ring.known(self.purpose, kid).public_jwk()
