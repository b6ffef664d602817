"""Keeping the trust list: whom this connector believes what, as its authority has published it (`identity.trustlist`; ADR 0009).

Rules
- Trusted are the issuers of our authority's list, those of recognised consortia as far as the bridges go, and those of the settings (peers outside). A list counts
  inside its window: once it has ended, its issuers are not believed any more.
- An older list, one signed by a key that is not pinned, one of another authority are refused; the list before stays as long as it lasts.
- Fetched at the start, when an event tells of a new one, every hour, and every minute while there is none that counts. Kept in the store for the next start.
- Where no key was pinned at installation and the authority names no trust list, its own credentials of the profile's types are believed, as the settings say.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from msgspec.structs import replace

from connector.membership.authority import Authority
from connector.membership.standing import Standing
from connector.store.port import Store
from identity import trustlist
from identity.door import Door
from identity.jose import parse as parse_token
from identity.pinned import pinned_signer
from identity.resolve import Resolving
from identity.trust import ClaimTable, IssuerRule, TrustPolicy
from identity.trustlist import BadTrustList, Bridge, Content, TrustList
from kernel import telemetry
from kernel.clock import Clock, iso, parse_iso
from kernel.errors import KizunaError, NotFound, UnavailableError
from kernel.http import GuardedClient
from kernel.waiting import until

EVERY: Final = 3600.0
AGAIN: Final = 60.0
SOON: Final = 1.0
PATIENCE: Final = 3.0
_ACCEPT: Final = "application/vc+jwt, application/jwt;q=0.5"
log = telemetry.get(__name__)


class Trust:
    """The trust of one connector: the policy of its door."""

    def __init__(
        self,
        *,
        authority: Authority,
        own: Sequence[IssuerRule],
        fallback: IssuerRule,
        tables: Sequence[ClaimTable],
        store: Store,
        standing: Standing,
        resolver: Resolving,
        client: GuardedClient,
        clock: Clock,
        door: Door,
    ) -> None:
        """`own` are issuers of the settings, `fallback` speaks for an authority that publishes no list."""
        self._authority, self._own, self._fallback, self._tables = authority, own, fallback, tables
        self._store, self._standing, self._resolver = store, standing, resolver
        self._client, self._clock, self._door = client, clock, door
        self._lists: dict[str, TrustList] = {}
        self._used: list[IssuerRule] | None = None
        self._unlisted = False
        self._wake = asyncio.Event()
        self._named: dict[str, str] = {}
        self.applied = asyncio.Event()  # set when other CA bundles count than before

    def changed(self) -> None:
        """There is a new list: look now."""
        self._wake.set()

    async def load(self) -> None:
        """The lists of an earlier run, as far as they still count; before the first request is taken, and not for long."""
        kept = self._standing.followed.trust
        try:
            async with asyncio.timeout(PATIENCE):
                for did in sorted(kept, key=lambda each: each != self._authority.did):  # ours first: it names the bridges
                    keys = self._authority.keys if did == self._authority.did else self._bridge_keys(did)
                    self._lists[did] = await self._read(kept[did], did, keys)
        except (KizunaError, TimeoutError) as error:
            log.warning("kept trust list not used", detail=str(error) or "the authority does not answer")
        self._apply()

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            self._wake.clear()
            try:
                await self.refresh()
                failures = 0
            except KizunaError as error:
                failures += 1
                log.warning("trust list not refreshed", detail=error.detail, reason=error.facts.get("reason"))
            self._apply()
            await until(self._wake, self._pause(failures))

    async def refresh(self) -> None:
        """Fetch our authority's list and those of its bridges; raises what the first one that fails is refused with."""
        own = await self._fetch(self._authority.did, self._authority.keys)
        if own is None:
            return
        await self._authority.believe(own.content.keys or self._authority.keys)
        for bridge in own.content.bridges:
            try:
                await self._fetch(bridge.authority, (bridge.key,))
            except KizunaError as error:
                log.warning("trust list of a recognised consortium not used", authority=bridge.authority, detail=error.detail)

    def check_bundle(self, bundle: str) -> None:
        """Refuse a CA bundle that is not the one of the trust list; raises `BadTrustList`."""
        current = self._current(self._authority.did)
        wanted = current.content.ca_digest if current is not None else ""
        if wanted and trustlist.ca_digest(bundle) != wanted:
            raise BadTrustList("the CA bundle is not the one of the trust list", reason="ca-bundle")

    def bundles(self) -> dict[str, str]:
        """Digests of the CA bundles that count now, by authority: ours, and those of consortia whose member certificates a bridge recognises."""
        current = self._current(self._authority.did)
        if current is None:
            return {}
        ours = {self._authority.did: current.content.ca_digest}
        others = {each.authority: theirs.ca_digest for each, theirs in self._bridged(current.content) if each.certificates}
        return {did: digest for did, digest in (others | ours).items() if digest}

    def described(self) -> dict[str, Any]:
        """The list in use, for people."""
        current = self._current(self._authority.did)
        return {"trustList": {"sequence": current.sequence, "until": iso(current.until)} if current is not None else None}

    async def _fetch(self, did: str, keys: Sequence[str]) -> TrustList | None:
        """The list of an authority, kept when it is newer; None when it publishes none."""
        document = await self._resolver.resolve(did)
        endpoint = document.endpoint(trustlist.SERVICE)
        if endpoint is None:
            if did == self._authority.did and not self._authority.pinned:
                self._unlisted = not self._lists
                return None
            raise NotFound(f"{did} names no trust list in its DID document")
        reply = await self._client.request("GET", endpoint, headers={"Accept": _ACCEPT}, max_bytes=trustlist.LIMIT)
        if reply.status != 200:
            raise UnavailableError(f"the trust list is answered with {reply.status}")
        text = reply.body.decode("ascii", "replace").strip()
        found = await self._read(text, did, keys)
        if trustlist.follows(found, self._lists.get(did)):
            self._lists[did], self._unlisted = found, False
            followed = self._standing.followed
            self._standing.followed = replace(followed, trust={**followed.trust, did: text})
            await self._store.save_followed(self._standing.followed)
            log.info("trust list taken", authority=did, sequence=found.sequence, until=iso(found.until))
        return self._lists[did]

    async def _read(self, text: str, did: str, keys: Sequence[str]) -> TrustList:
        credential = trustlist.parse(text)
        key, thumbprint = await pinned_signer(self._resolver, did, parse_token(text, limit=trustlist.LIMIT), keys)
        found = trustlist.read(credential, key, did, self._clock.now())
        if did == self._authority.did and not keys:
            await self._authority.believe((thumbprint,))
        return found

    def _bridge_keys(self, did: str) -> tuple[str, ...]:
        own = self._lists.get(self._authority.did)
        found = tuple(each.key for each in own.content.bridges if each.authority == did) if own is not None else ()
        if not found:
            raise BadTrustList("no bridge leads to that authority", reason="foreign")
        return found

    def _current(self, did: str) -> TrustList | None:
        found = self._lists.get(did)
        return found if found is not None and self._clock.now() < found.until else None

    def _apply(self) -> None:
        """Make the policy of what counts now, and use it when it is another one."""
        current = self._current(self._authority.did)
        if (named := self.bundles()) != self._named:
            self._named = named
            self.applied.set()
        rules = list(self._own)
        if current is not None:
            rules += trustlist.rules(current.content, self._bridged(current.content))
        elif self._unlisted:
            rules.append(self._fallback)
        if rules == self._used:
            return
        if current is None and not self._unlisted:
            log.warning("no trust list counts: issuers of the consortium are not believed")
        self._used = rules
        self._door.trust = TrustPolicy(rules, self._tables)

    def _bridged(self, content: Content) -> list[tuple[Bridge, Content]]:
        now = self._clock.now()
        found = (
            (each, self._current(each.authority))
            for each in content.bridges
            if not each.valid_until or now < parse_iso(each.valid_until)
        )
        return [(bridge, theirs.content) for bridge, theirs in found if theirs is not None]

    def _pause(self, failures: int) -> float:
        current = self._current(self._authority.did)
        if current is None and not self._unlisted:
            return min(AGAIN, SOON * 2.0 ** min(failures, 10))
        ends = [self._lists[did].until for did in self._lists if self._current(did) is not None]
        left = min((each - self._clock.now() for each in ends), default=timedelta(seconds=EVERY)).total_seconds()
        return max(SOON, min(AGAIN if failures else EVERY, left))
