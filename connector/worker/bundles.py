"""Keeping the CA bundles: that of our consortium, and those of other consortia whose member certificates a trust bridge recognises (`identity.trustlist`; ADR 23).

Rules
- Which bundle is the right one is said by its digest, in the trust list that its authority has signed. Another one is never stored.
- Ours is fetched anew when the list names another digest than the bundle on disk has: a new issuing CA is taken over without a restart, and before our next renewal.
- The revocation lists of a recognised consortium are fetched when its bundle comes and every minute from then on. Its CAs speak of their own certificates only
  (`identity.tls.revoked`), and their certificates count with credentials that the same bridge recognises (`identity.verify`).
- A consortium that is not recognised any more, or whose list or bridge has ended, is dropped: the next request of its members is refused, also on a connection that is
  kept alive.

Files: `consortium.pem`, and `bridges/<SHA-256 of the authority's DID>.pem` in the TLS directory. Not done here: our own revocation lists (`connector.worker.feed`).
"""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from connector.channel import BRIDGES
from connector.worker import crls
from connector.worker.trust import Trust
from identity import trustlist
from identity.resolve import Resolving
from identity.tls import enrol
from identity.tls.revoked import RevocationLists
from kernel import telemetry, wire
from kernel.errors import BadInput, KizunaError, UnavailableError
from kernel.http import GuardedClient
from kernel.waiting import until

EVERY: Final = 60.0
_LARGEST: Final = 262_144
log = telemetry.get(__name__)


class Bundles:
    """The bundles of one connector; `changed` is awaited when contexts must take another one into use."""

    def __init__(
        self,
        *,
        own: str,
        trust: Trust,
        lists: RevocationLists,
        resolver: Resolving,
        client: GuardedClient,
        tls: Path,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        """`own` is the DID of our authority."""
        self._own, self._trust, self._lists, self._resolver, self._client = own, trust, lists, resolver, client
        self._tls, self._changed = tls, changed
        self._recognised: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._trust.applied.clear()
            await self.keep()
            await until(self._trust.applied, EVERY)

    async def keep(self) -> None:
        """One pass: drop what is not recognised any more, bring what is missing, refresh revocation lists. What fails is logged and tried again."""
        wanted = self._trust.bundles()
        changed = self._drop(set(wanted) - {self._own})
        for did, digest in wanted.items():
            try:
                changed |= await self._bring(did, digest)
                if did != self._own:
                    await self._refresh(did)
            except (KizunaError, OSError) as error:
                detail = error.detail if isinstance(error, KizunaError) else str(error)
                log.warning("CA of a consortium not taken", authority=did, detail=detail)
        if changed:
            await self._changed()

    def _drop(self, recognised: set[str]) -> bool:
        """Forget consortia that are not recognised; whether there was any."""
        for did in self._recognised - recognised:
            self._lists.drop(did)
            log.info("consortium is not recognised any more", authority=did)
        self._recognised = recognised
        kept = {self._file(did) for did in recognised}
        gone = [each for each in (self._tls / BRIDGES).glob("*.pem") if each not in kept]
        for each in gone:
            each.unlink(missing_ok=True)
        return bool(gone)

    async def _bring(self, did: str, digest: str) -> bool:
        """Have the bundle of this digest; whether it is a new one."""
        file = self._file(did)
        if did == self._own and not file.exists():
            return False  # enrolment brings it
        if file.exists() and trustlist.ca_digest(file.read_text(encoding="ascii")) == digest:
            return False
        reply = await self._client.request("GET", f"{await self._base(did)}/bundle", max_bytes=_LARGEST)
        if reply.status != 200:
            raise UnavailableError(f"the CA bundle is answered with {reply.status}")
        bundle = _read(reply.body)
        if trustlist.ca_digest(bundle) != digest:
            raise BadInput("the CA bundle is not the one that the trust list names")
        file.parent.mkdir(mode=0o700, exist_ok=True)
        enrol.replace(file, bundle.encode("ascii"), 0o644)
        log.info("CA bundle taken", authority=did, digest=digest)
        return True

    async def _refresh(self, did: str) -> None:
        """The revocation lists of a recognised consortium's CAs."""
        bundle = self._file(did).read_bytes()
        async for _, body in crls.fetched(self._client, await self._base(did), bundle):
            self._lists.load(body, bundle, did)

    async def _base(self, did: str) -> str:
        endpoint = (await self._resolver.resolve(did)).endpoint(enrol.SERVICE)
        if endpoint is None:
            raise UnavailableError(f"{did} names no {enrol.SERVICE} in its DID document")
        return endpoint

    def _file(self, did: str) -> Path:
        if did == self._own:
            return self._tls / enrol.CONSORTIUM
        return self._tls / BRIDGES / f"{hashlib.sha256(did.encode()).hexdigest()}.pem"


def _read(body: bytes) -> str:
    value: Any = wire.loads(body, limit=_LARGEST)
    bundle = value.get("bundle") if isinstance(value, dict) else None
    if not isinstance(bundle, str) or not bundle.isascii():
        raise BadInput("the CA bundle is no text of certificates")
    return bundle
