"""Joining a data space, and staying in it: application, credentials, member certificate, renewal (identity.md 8.6).

    NONE -> APPLIED -> REQUESTED -> ACTIVE (renewed at two thirds of the certificate's life)        any -> REFUSED, with the reason

Rules
- Every step is stored before the next one begins, and can be repeated: a restart goes on where it stopped.
- While the operator has not decided, the application is looked at again after growing pauses of up to a minute. An authority that cannot be
  reached is tried again in the same way.
- One credential request per definition, so that a credential that the member's record does not support spoils no other. With at least one credential
  and no open request, a certificate is enrolled for.
- Of several replicas one at a time takes a step; they share the folder of the certificate, and hear when it has changed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from connector.store.port import Membership, Store
from identity.feed import REGISTER
from identity.resolve import Resolver
from identity.tls import enrol
from identity.wallet import request as requests
from identity.wallet.port import CredentialStore
from identity.wallet.sts import Sts
from kernel import telemetry, wire
from kernel.clock import Clock, iso, parse_iso
from kernel.errors import Conflict, KizunaError
from kernel.http import GuardedClient
from kernel.waiting import until

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 60.0
TURN: Final = "membership"
log = telemetry.get(__name__)


class Refused(KizunaError):
    """The authority says no."""

    code, status = "membership-refused", 403


class Joining:
    """Drives one participant's membership; `run` ends when it is cancelled."""

    def __init__(
        self,
        *,
        authority: str,
        store: Store,
        wallet: CredentialStore,
        resolver: Resolver,
        client: GuardedClient,
        sts: Sts,
        clock: Clock,
        tls: Path,
        enrolled: Callable[[], Awaitable[None]],
        check_bundle: Callable[[str], None],
    ) -> None:
        self._authority, self._store, self._wallet = authority, store, wallet
        self._resolver, self._client, self._sts, self._clock = resolver, client, sts, clock
        self._tls, self._enrolled, self._check_bundle = tls, enrolled, check_bundle
        self._moved, self._received = asyncio.Event(), asyncio.Event()  # our membership; maybe credentials that we have asked for
        store.on_membership(self._moved.set)
        store.on_commit(self._received.set)

    async def state(self) -> Membership:
        """How far we have come."""
        return await self._store.membership()

    async def apply(self, invitation: str) -> Membership:
        """Send the application; raises `Refused`, `Conflict`, `UnavailableError`."""
        async with self._store.turn(TURN):
            known = await self.state()
            if known.state not in ("NONE", "REFUSED"):
                raise Conflict(f"the membership is {known.state} already", next_step="see `kizuna connector status`")
            found = await self._call("POST", "/applications", {"invitation": invitation})
            await self._save(Membership(state="APPLIED", application=str(found["id"])))
        return await self.state()

    async def renew(self) -> None:
        """A new member certificate now."""
        async with self._store.turn(TURN):
            known = await self.state()
            if known.state != "ACTIVE":
                raise Conflict(f"the membership is {known.state}", next_step="join the data space first")
            await self._enrol(known, renew=True)

    async def run(self) -> None:
        """Until cancelled: the next step, whenever there is one."""
        pause = FIRST_PAUSE
        while True:
            self._moved.clear()
            self._received.clear()
            known, waiting = Membership(state="APPLIED"), False  # a store that fails is asked again after the pause
            try:
                known = await self.state()
                pause = FIRST_PAUSE if await self._step(known) else min(LONGEST_PAUSE, pause * 1.5)
                known = await self.state()
                waiting = known.state == "REQUESTED" and await self._open_requests(known)
            except KizunaError as error:
                pause = min(LONGEST_PAUSE, pause * 2)
                log.warning("membership step failed", step=known.state, detail=error.detail, again_in=pause)
            await self._rest(known, LONGEST_PAUSE if waiting else pause)

    async def _step(self, known: Membership) -> bool:
        """Do what comes next; whether that has changed anything."""
        if not self._has_work(known):
            return False
        async with self._store.turn(TURN):
            before = await self.state()
            try:
                await self._next(before)
            except Refused as error:
                await self._save(msgspec.structs.replace(before, state="REFUSED", note=error.detail))
                log.warning("membership refused", reason=error.detail)
            return await self.state() != before

    def _has_work(self, known: Membership) -> bool:
        if known.state == "ACTIVE":
            return bool(known.renew_after) and parse_iso(known.renew_after) <= self._clock.now()
        return known.state in ("APPLIED", "REQUESTED")

    async def _rest(self, known: Membership, pause: float) -> None:
        if known.state in ("NONE", "REFUSED"):
            await self._moved.wait()
            return
        if known.state == "ACTIVE":
            pause = max(pause, (parse_iso(known.renew_after) - self._clock.now()).total_seconds()) if known.renew_after else pause
        await until(self._received if known.state == "REQUESTED" else asyncio.Event(), pause)

    async def _next(self, known: Membership) -> None:
        if known.state == "APPLIED":
            await self._look(known)
        elif known.state == "REQUESTED":
            await self._collect(known)
        elif self._has_work(known):
            await self._enrol(known, renew=True)

    async def _look(self, known: Membership) -> None:
        found = await self._call("GET", f"/applications/{known.application}", None)
        if found["state"] == "REVOKED":
            raise Refused("the operator has refused the application")
        if found["state"] != "ACTIVE":
            return
        offered = await requests.definitions_of(self._authority, self._resolver, self._client)
        made = [await requests.create(self._wallet, self._authority, [definition]) for definition in offered]
        await self._save(msgspec.structs.replace(known, state="REQUESTED", requests=tuple(each.id for each in made)))
        await self._collect(await self.state())

    async def _collect(self, known: Membership) -> None:
        for key in known.requests:
            request = await self._wallet.request(key)
            if request is not None and request.state == "CREATED":
                await requests.send(request, self._wallet, self._resolver, self._client, self._sts)
        if await self._open_requests(known):
            return
        if not await self._store.held():
            raise Refused("the issuer has rejected all credentials")
        await self._enrol(known, renew=False)

    async def _open_requests(self, known: Membership) -> bool:
        found = [await self._wallet.request(key) for key in known.requests]
        return any(each is not None and each.state in ("CREATED", "REQUESTED") for each in found)

    async def _enrol(self, known: Membership, *, renew: bool) -> None:
        base = await self._endpoint(enrol.SERVICE)
        after = await enrol.enrol(
            self._client, base, lambda: self._sts.token(self._authority), self._tls, check=self._check_bundle, renew=renew
        )
        await self._enrolled()
        await self._save(msgspec.structs.replace(known, state="ACTIVE", renew_after=iso(after), note=""))
        log.info("member certificate", renew_after=iso(after))

    async def _call(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._sts.token(self._authority)}", "Content-Type": "application/json"}
        url = await self._endpoint(REGISTER) + path
        reply = await self._client.request(method, url, headers=headers, body=wire.dumps(body) if body is not None else None)
        found = wire.loads(reply.body) if reply.body else {}
        if reply.status >= 500 or reply.status == 429:
            raise KizunaError(f"the authority answers {reply.status}", next_step="it is tried again")
        if reply.status >= 400:
            raise Refused(
                str(found.get("detail") or f"the authority answers {reply.status}"),
                next_step="ask the operator for a new invitation",
            )
        return dict(found)

    async def _endpoint(self, service: str) -> str:
        """Where the authority's DID document says that a service answers."""
        endpoint = (await self._resolver.resolve(self._authority)).endpoint(service)
        if endpoint is None:
            raise KizunaError(f"{self._authority} names no {service} in its DID document")
        return endpoint

    async def _save(self, membership: Membership) -> None:
        await self._store.save_membership(membership)
