"""Keeping credentials alive: renewal before they end, re-issue after a key of their issuer is gone, and what an issuer offers (DCP 1.0 sections 6.4, 6.6).

A credential is asked for anew, of its own issuer, when
    expiring   a third of its life is left, at most 30 days
    key        the issuer's DID document no longer proves its signature
    asked      the operator or an offer of the issuer wants it

Rules
- How valid a credential is and how far its renewal has come are two things: the old one is shown until it ends or is replaced.
- Each attempt is a stored request of its own, so a restart goes on where it stopped and never asks twice at once. Its id follows from the credential and
  the number of the attempt.
- What an unreachable issuer leaves open is tried again after 30 s, doubled up to an hour, for as long as it takes. One that refuses or rejects is asked again
  after a day. A request that was taken and not answered within an hour is looked after at its status resource, and given up after a day.
- An offer is stored as requests with the use of its token. Only issuers that are trusted may offer (`CredentialService`).

Not done here: the first credentials of a member (`connector.membership`).
"""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from identity.profiles import STRICT
from identity.prove import signed
from identity.resolve import Resolver
from identity.vc import read_vc
from identity.wallet import request as requests
from identity.wallet.port import CredentialRequest, CredentialStore, Held
from identity.wallet.sts import Sts
from kernel import telemetry
from kernel.clock import Clock, iso, parse_iso
from kernel.errors import BadInput, KizunaError, Unauthorized, UnavailableError
from kernel.http import GuardedClient
from kernel.waiting import until

LONGEST_LEFT: Final = timedelta(days=30)
FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(hours=1)
LOOK_AFTER: Final = timedelta(hours=1)
GIVEN_UP: Final = timedelta(days=1)
PASS: Final = 900.0  # seconds between two looks at everything
_ATTEMPTS: Final = 10_000
log = telemetry.get(__name__)


class HeldState(Struct, frozen=True, rename="camel"):
    """A credential as its operator sees it; `renewal` is empty, or why and how far."""

    id: str
    type: str
    issuer: str
    since: str
    until: str
    renewal: str


class Renewal:
    """Drives the renewal of one participant's credentials; `run` ends when it is cancelled."""

    def __init__(
        self,
        store: CredentialStore,
        resolver: Resolver,
        client: GuardedClient,
        sts: Sts,
        clock: Clock,
        *,
        ready: Callable[[], Awaitable[bool]],
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        """`ready` tells whether the participant is a member by now: until then `connector.membership` drives its requests.

        `turn` is a block that one replica at a time is in.
        """
        self._ready, self._turn = ready, turn
        self._store, self._resolver, self._client, self._sts, self._clock = store, resolver, client, sts, clock
        self._wanted: set[str] = set()
        self._pauses: dict[str, tuple[datetime, int]] = {}
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at once: an offer has come."""
        self._wake.set()

    async def ask_again(self) -> list[str]:
        """Ask for every credential anew; returns their types."""
        held = await self._store.held()
        self._wanted |= {each.id for each in held}
        self._pauses.clear()
        self._wake.set()
        return sorted({each.type for each in held})

    async def states(self) -> list[HeldState]:
        """All credentials held, newest first."""
        return [await self._state(each) for each in await self._store.held()]

    async def run(self) -> None:
        """Until cancelled: a pass, then rest until the next."""
        while True:
            self._wake.clear()
            try:
                async with self._turn():
                    await self.step()
            except KizunaError as error:  # the store may be away for a while, too
                log.warning("renewal put off", what="everything", detail=error.detail)
            await until(self._wake, self._rest())

    async def step(self) -> None:
        """One look at everything; what fails is put off and logged, never raised."""
        if not await self._ready():
            return
        for each in await self._store.held():
            await self._guarded(each.issuer, each.id, self._keep, each)
        for request in await self._store.open_requests():
            await self._guarded(request.issuer, request.id, self._carry, request)

    def _rest(self) -> float:
        soonest = min((due for due, _ in self._pauses.values()), default=None)
        left = PASS if soonest is None else (soonest - self._clock.now()).total_seconds()
        return min(PASS, max(1.0, left))

    async def _guarded(self, issuer: str, key: str, work: Callable[[Any], Awaitable[None]], item: Held | CredentialRequest) -> None:
        due, failures = self._pauses.get(key, (self._clock.now(), 0))
        if due > self._clock.now():
            return
        try:
            await work(item)
        except KizunaError as error:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10)) * random.uniform(0.75, 1.0)  # noqa: S311  # spreads load
            self._pauses[key] = (self._clock.now() + pause, failures + 1)
            log.warning("renewal put off", issuer=issuer, what=key, detail=error.detail, again_in=pause.total_seconds())
        else:
            self._pauses.pop(key, None)

    async def _keep(self, held: Held) -> None:
        reason = await self._reason(held)
        if not reason:
            return
        number, known = await self._attempt(held.id)
        if known is not None and known.state in ("CREATED", "REQUESTED"):
            return
        if (
            known is not None
            and known.state == "REJECTED"
            and self._clock.now() < parse_iso(known.asked or iso(self._clock.now())) + GIVEN_UP
        ):
            return
        definitions = await requests.definitions_of(held.issuer, self._resolver, self._client)
        definition = next((key for key, kind in definitions.items() if kind == held.type), None)
        if definition is None:
            raise UnavailableError(f"the issuer offers no {held.type} any more", next_step="ask the consortium's operator")
        key = _key(held.id, number + (known is not None))
        await self._store.save_request(CredentialRequest(id=key, issuer=held.issuer, definitions=(definition,), state="CREATED"))
        self._wanted.discard(held.id)
        log.info("credential asked for anew", issuer=held.issuer, type=held.type, reason=reason, pid=key)

    async def _reason(self, held: Held) -> str:
        if held.id in self._wanted:
            return "asked"
        if _expiring(held, self._clock.now()):
            return "expiring"
        try:
            await signed(self._resolver, read_vc(held.jwt), STRICT)
        except UnavailableError:
            return ""  # the issuer's document cannot be read: that says nothing about its key
        except (BadInput, Unauthorized):
            return "key"
        return ""

    async def _attempt(self, credential: str) -> tuple[int, CredentialRequest | None]:
        """The latest attempt to renew a credential, and its number."""
        found: tuple[int, CredentialRequest | None] = (0, None)
        for number in range(_ATTEMPTS):
            request = await self._store.request(_key(credential, number))
            if request is None:
                break
            found = (number, request)
        return found

    async def _carry(self, request: CredentialRequest) -> None:
        now = self._clock.now()
        if request.state == "CREATED":
            try:
                await requests.send(request, self._store, self._resolver, self._client, self._sts, now=now)
            except requests.IssuerRefused as error:
                await self._store.save_request(
                    msgspec.structs.replace(request, state="REJECTED", note=error.detail, asked=iso(now))
                )
                log.warning("credential request refused", issuer=request.issuer, pid=request.id, detail=error.detail)
            return
        asked = parse_iso(request.asked) if request.asked else now
        if not request.asked:
            await self._store.save_request(msgspec.structs.replace(request, asked=iso(now)))
        elif now >= asked + GIVEN_UP:
            await self._given_up(request, "no delivery within a day", now)
        elif now >= asked + LOOK_AFTER:
            status = await requests.status_of(request, self._client, self._sts)
            if status == "REJECTED" or status is None:
                await self._given_up(request, f"the issuer says {status or 'that it does not know the request'}", now)

    async def _given_up(self, request: CredentialRequest, note: str, now: datetime) -> None:
        await self._store.save_request(msgspec.structs.replace(request, state="REJECTED", note=note, asked=iso(now - GIVEN_UP)))
        log.warning("credential request given up", issuer=request.issuer, pid=request.id, note=note)

    async def _state(self, held: Held) -> HeldState:
        reason = await self._reason(held)
        _, known = await self._attempt(held.id)
        progress = "" if known is None else f"{known.state}{': ' + known.note if known.note else ''}"
        renewal = ", ".join(each for each in (reason, progress) if each)
        return HeldState(
            held.id, held.type, held.issuer, iso(held.since) if held.since else "", iso(held.until) if held.until else "", renewal
        )


def _expiring(held: Held, now: datetime) -> bool:
    if held.until is None:
        return False
    life = held.until - held.since if held.since is not None else LONGEST_LEFT * 3
    return now >= held.until - min(life / 3, LONGEST_LEFT)


def _key(credential: str, number: int) -> str:
    """The holderPid of an attempt."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{credential} {number}')}"


def offered(issuer: str, definition: str, token: str) -> CredentialRequest:
    """The request that an offer becomes; the offer's own token makes its id, so that a repeated offer is a new one."""
    key = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{issuer} {definition} {token}')}"
    return CredentialRequest(id=key, issuer=issuer, definitions=(definition,), state="CREATED")
