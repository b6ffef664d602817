"""Following the authority: its event feed by long poll, and the consortium's revocation list (`identity.feed`, `identity.tls.revoked`; ADR 0008).

    ask (after N, nonce) -> page, verified by the pinned key -> bar or let in, at once -> measures in running processes -> N is stored -> ask again

Rules
- An event counts from the moment it is read. Its number is stored after its measures; they are repeated after a crash in between.
- A page that is forged, replayed, older or has a gap is refused and not an answer: our word goes stale, and decisions read status lists (`connector.membership.standing`).
- Asked again at once after an answer, and after growing pauses of up to eight seconds while there is none.
- The revocation list is fetched at the start, after enrolment, after every event about members or certificates, every half hour, and while the feed is silent. The
  last one is kept beside the certificates.
- Every replica follows for itself: a measure is a commit on a version, so the second one finds it done.

Not done here: authorities whose DID document names no event feed. Nothing is followed then, and every decision reads status lists.
"""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from connector.membership.authority import Authority
from connector.membership.standing import Standing
from connector.store.port import Store
from connector.worker import crls
from connector.worker.measures import Measures
from identity import feed
from identity.feed import Event, Page, Question
from identity.tls import enrol
from identity.tls.revoked import BadList
from identity.wallet.sts import Sts
from kernel import telemetry
from kernel.clock import Clock
from kernel.errors import KizunaError, UnavailableError
from kernel.http import GuardedClient

WAIT: Final = 20  # seconds that the authority may hold a question
WAIT_RESTORING: Final = 3  # while something is still to be restored
CRL_FILE: Final = "consortium.crl"
CRL_EVERY: Final = 1800.0
CRL_SILENT: Final = 30.0
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 8.0
TRUST_LIST: Final = "trust-list"
_JOINED: Final = ("REQUESTED", "ACTIVE")
_LOST: Final = ("credential-suspended", "credential-revoked")
_STATUS_CHANGES: Final = frozenset(
    {
        feed.SUSPENDED,
        feed.REINSTATED,
        feed.REVOKED,
        *("credential-suspended", "credential-reinstated", "credential-revoked"),
    }
)
log = telemetry.get(__name__)


class Follower:
    """Follows one authority; `run` ends when it is cancelled."""

    def __init__(
        self,
        *,
        authority: Authority,
        store: Store,
        client: GuardedClient,
        sts: Sts,
        clock: Clock,
        standing: Standing,
        measures: Measures,
        tls: Path,
        status_changed: Callable[[str], None],
        trust_changed: Callable[[], None],
    ) -> None:
        """`status_changed` is told the DID of an issuer whose status lists are other than before, `trust_changed` of a new trust list."""
        self._authority, self._store, self._trust_changed = authority, store, trust_changed
        self._client, self._sts, self._clock = client, sts, clock
        self._standing, self._measures, self._tls, self._status_changed = standing, measures, tls, status_changed
        self._restoring: set[str] = set()
        self._crl_due = 0.0
        self._lost = False
        self._moved = asyncio.Event()
        store.on_membership(self._moved.set)
        standing.readmitted = self._readmitted

    async def load(self) -> None:
        """What an earlier run has learned; before the first request is taken."""
        self._standing.followed = await self._store.followed()
        for file in self._tls.glob(f"*-{CRL_FILE}"):
            try:
                self._take_crl(file.read_bytes())
            except KizunaError as error:
                log.warning("kept revocation list not used", detail=error.detail)

    async def run(self) -> None:
        """Until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            self._moved.clear()
            try:
                if (await self._store.membership()).state not in _JOINED:
                    await self._moved.wait()
                    continue
                await self._once()
            except (KizunaError, OSError) as error:
                self._silent(error)
                pause = min(_LONGEST_PAUSE, pause * 2)
                await asyncio.sleep(pause)
            else:
                pause = _FIRST_PAUSE

    async def _once(self) -> None:
        """One question and what its answer asks for."""
        await self._refresh_crl()
        await self._restore()
        page = await self._ask()
        self._standing.heard()
        if self._lost:
            self._lost = False
            log.info("event feed heard again", after=page.after)
        for event in page.events:
            self._standing.learn(event)
            if event.kind in _STATUS_CHANGES:
                self._status_changed(self._authority.did)
        for event in page.events:
            await self._meet(event)
        if page.events:
            await self._store.save_followed(self._standing.followed)
        await self._restore()

    async def _ask(self) -> Page:
        endpoint = await self._authority.endpoint(feed.SERVICE)
        if endpoint is None:
            raise UnavailableError(f"{self._authority.did} names no event feed")
        asked = Question(self._sts.did, self._standing.followed.after, secrets.token_urlsafe(16))
        wait = 0 if self._lost or not self._standing.live else WAIT_RESTORING if self._restoring else WAIT
        url = f"{endpoint}?{urlencode({'after': asked.after, 'nonce': asked.nonce, 'wait': wait})}"
        headers = {"Authorization": f"Bearer {self._sts.token(self._authority.did)}"}
        reply = await self._client.request("GET", url, headers=headers, max_bytes=feed.LIMIT, timeout=WAIT + 10)
        if reply.status != 200:
            raise UnavailableError(f"the event feed answers {reply.status}")
        token = feed.parse(reply.body.decode("ascii", "replace"))
        key, found = await self._authority.key(token)
        page = feed.read(token, key, self._authority.did, asked, self._clock.now())
        await self._authority.believe(self._authority.keys or (found,))
        return page

    async def _meet(self, event: Event) -> None:
        """What an event means for certificates and running processes."""
        measure = {
            feed.SUSPENDED: self._measures.suspended,
            feed.REVOKED: self._measures.revoked,
        }.get(event.kind)
        if event.kind in ("certificate-revoked", feed.REINSTATED) or measure is not None:
            await self.renew_crl()
        if event.kind == TRUST_LIST:
            self._trust_changed()
        if event.did == self._sts.did:
            log.warning("the authority tells of ourselves", kind=event.kind)
            return
        if event.kind in _LOST and event.did:
            await self._measures.credential(event.did)
        if measure is not None and self._standing.barred(event.did) is None:
            log.info("member was kept out while we did not hear", peer=event.did, kind=event.kind, seq=event.seq)
        elif measure is not None:
            self._restoring.discard(event.did)
            log.info("member is kept out", peer=event.did, kind=event.kind, seq=event.seq)
            await measure(event.did)
        elif event.kind == feed.REINSTATED:
            log.info("member is let in again", peer=event.did, seq=event.seq)
            self._restoring.add(event.did)

    def _readmitted(self, did: str) -> None:
        log.info("member is let in again by fresh status", peer=did)
        self._restoring.add(did)

    async def _restore(self) -> None:
        """Go on with what was suspended for those who are let in again."""
        for did in tuple(self._restoring):
            if await self._measures.reinstated(did):
                self._restoring.discard(did)

    def _silent(self, error: Exception) -> None:
        if not self._lost:
            detail = error.detail if isinstance(error, KizunaError) else str(error)
            log.warning("event feed not heard", detail=detail)
        self._lost = True
        self._crl_due = min(self._crl_due, asyncio.get_running_loop().time() + CRL_SILENT)

    # the revocation list ---------------------------------------------------------------------------------------------

    async def renew_crl(self) -> None:
        """Fetch the list now: there is a new bundle, or a reason."""
        self._crl_due = 0.0
        await self._refresh_crl()

    async def _refresh_crl(self) -> None:
        """Fetch the list when it is due; a failure is logged and tried again soon, the last list counts until it expires."""
        now = asyncio.get_running_loop().time()
        if now < self._crl_due or not (self._tls / enrol.CONSORTIUM).exists():
            return
        self._crl_due = now + CRL_EVERY
        try:
            await self.fetch_crl()
        except KizunaError as error:
            self._crl_due = now + CRL_SILENT
            log.warning("revocation list not refreshed", detail=error.detail)

    async def fetch_crl(self) -> None:
        """Fetch, verify and keep the revocation lists of the consortium's issuing CAs; raises `BadList`, `UnavailableError`."""
        base = await self._authority.certificates()
        async for name, body in crls.fetched(self._client, base, (self._tls / enrol.CONSORTIUM).read_bytes()):
            self._take_crl(body)
            work = self._tls / f".{name}-{CRL_FILE}"
            work.write_bytes(body)
            work.replace(self._tls / f"{name}-{CRL_FILE}")

    def _take_crl(self, der: bytes) -> None:
        try:
            bundle = (self._tls / enrol.CONSORTIUM).read_bytes()
        except OSError as error:
            raise BadList("the consortium's CA is not known yet", reason="foreign") from error
        self._standing.lists.load(der, bundle)
