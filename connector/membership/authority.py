"""Our authority as this connector knows it: where its services are, and which keys it is believed by (`identity.pinned`).

The key of the settings is pinned for good. Without one the first key that is seen is taken and pinned. A trust list that a believed key has signed may name
other keys for what follows: that is how the authority changes its key.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from connector.membership.standing import Standing
from connector.store.port import Store
from identity.jose import PublicKey, Unverified
from identity.pinned import pinned_signer
from identity.resolve import Resolving
from identity.tls import enrol
from kernel import telemetry
from kernel.errors import UnavailableError

log = telemetry.get(__name__)


class Authority:
    """One authority; `did` and `pin` are those of the settings, what was learned is in `standing.followed`."""

    def __init__(self, did: str, pin: str, *, resolver: Resolving, store: Store, standing: Standing) -> None:
        self.did, self._pin, self._resolver, self._store, self._standing = did, pin, resolver, store, standing

    @property
    def keys(self) -> tuple[str, ...]:
        """Thumbprints of the keys that are believed; none before the first one was seen."""
        followed = self._standing.followed
        if followed.keys and followed.pinned == self._pin:
            return followed.keys
        return (self._pin,) if self._pin else ()

    @property
    def pinned(self) -> bool:
        """Whether a key was pinned at installation."""
        return bool(self._pin)

    async def endpoint(self, service: str) -> str | None:
        """Where the authority offers a service; None when its DID document does not name it."""
        return (await self._resolver.resolve(self.did)).endpoint(service)

    async def certificates(self) -> str:
        """Base URL of its CA; raises `UnavailableError`."""
        found = await self.endpoint(enrol.SERVICE)
        if found is None:
            raise UnavailableError(f"{self.did} names no {enrol.SERVICE} in its DID document")
        return found

    async def key(self, token: Unverified) -> tuple[PublicKey, str]:
        """The key that has signed, if it is believed, and its thumbprint; raises `NotPinned`, `BadDid`. Call `believe` once the signature holds."""
        return await pinned_signer(self._resolver, self.did, token, self.keys)

    async def believe(self, keys: Iterable[str]) -> None:
        """Believe these keys from now on: the first one that was seen, or those that a trust list names."""
        wanted, followed = tuple(keys), self._standing.followed
        if wanted and (wanted != followed.keys or followed.pinned != self._pin):
            self._standing.followed = replace(followed, pinned=self._pin, keys=wanted)
            await self._store.save_followed(self._standing.followed)
            log.info("keys of the authority pinned", thumbprints=wanted)
