"""Delivery of credentials to the holder's credential service, from the durable outbox (DCP 1.0, 6.5; identity.md 1.4).

Stages of one delivery, each safe to repeat after a crash
1. allocate: ids, subjects, validity and status positions are written in one transaction, once per process;
2. sign: signatures are stored where there is none yet, so a credential has one form and one position for ever;
3. send: to the `CredentialService` of the holder's DID document, with a new Self-Issued ID token for every attempt, which
   carries the holder's write right back to it. The receiver drops a repeat by (issuerPid, content);
4. close: state, write right and outbox row in one transaction.

A failure of any kind in stage 3 postpones: 1 s, doubled up to an hour, with jitter. After `give_up` the process is ERRORED. A
suspended member's deliveries wait; one whose membership was revoked before the allocation is REJECTED.
"""

import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import uuid4

from identity.jose import token_for
from identity.keys import Signer
from identity.resolve import Resolver
from identity.service.issuer import messages, signing
from identity.service.issuer.definitions import Definition, subject
from identity.service.issuer.requests import record
from identity.service.issuer.statuslists import StatusLists
from identity.service.store.issuance import Due, Issuance, Issued
from identity.service.store.ledger import Ledger
from identity.service.store.port import Connection
from identity.service.store.status import Entry
from identity.service.transitions import ISSUANCE, OFFER, Table, step
from identity.vc import as_jwt
from kernel import wire
from kernel.clock import iso, parse_iso
from kernel.errors import KizunaError, UnavailableError
from kernel.faults import crashpoint
from kernel.http import GuardedClient
from kernel.telemetry import get

_FIRST: Final = 1.0
_CAP: Final = 3600.0
_log = get(__name__)


class _Suspended(UnavailableError):
    """The member was suspended between the look into the outbox and the allocation."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Carries out one outbox row at a time; several rows may be under way at once."""

    ledger: Ledger
    definitions: Mapping[str, Definition]
    data_space: str
    lists: StatusLists
    credential_signer: Signer
    token_signer: Signer
    resolver: Resolver
    client: GuardedClient
    give_up: timedelta
    issuer_url: str = ""

    async def deliver(self, row: Due) -> None:
        """Bring one delivery as far as it goes; a failure is written into the outbox row, not raised."""
        try:
            issuance = await self._prepare(row.issuance)
        except _Suspended as failure:  # its outbox row waits for the reinstatement
            _log.info("delivery waits", pid=row.issuance, reason=failure.detail)
            await self.release(row)
            return
        try:
            await self._send(issuance)
        except KizunaError as failure:
            await self._postpone(row, issuance, failure)
            return
        crashpoint("issuer.sent")
        await self.ledger.database.write(lambda c: self._close(c, issuance, "deliver"))
        _log.info("credentials delivered", peer=issuance.holder, pid=issuance.id, state=issuance.state)

    async def release(self, row: Due) -> None:
        """Let whoever comes next take the row."""
        books = self.ledger
        await books.database.write(lambda c: books.issuances.release(c, row.issuance, books.database.replica))

    async def _prepare(self, key: str) -> Issuance:
        issuance = await self.ledger.database.write(lambda c: self._allocate(c, key))
        crashpoint("issuer.allocated")
        if issuance.state == "APPROVED":
            signed = await self.ledger.database.read(lambda c: self._signatures(c, key))
            if signed:
                await self.ledger.database.write(lambda c: self.ledger.issuances.sign(c, signed))
            await self.lists.publish()
        crashpoint("issuer.signed")
        return issuance

    def _allocate(self, connection: Connection, key: str) -> Issuance:
        """Ids and status positions, unless they are there; rejects when the membership ended meanwhile."""
        issuance = self._process(connection, key)
        if issuance.state not in ("APPROVED", OFFER.initial) or self.ledger.issuances.credentials(connection, key):
            return issuance
        member = self.ledger.members.get(connection, issuance.member)
        if member.state == "REVOKED":
            return self._reject(connection, issuance, "the membership has ended")
        if member.state != "ACTIVE":
            raise _Suspended("the member was suspended a moment ago")
        if not self.definitions.keys() >= set(issuance.definitions):
            return self._reject(connection, issuance, "a credential of this request is no longer issued")
        if issuance.state == OFFER.initial:
            return issuance
        facts = record(self.ledger, connection, member, self.data_space)
        now = self.ledger.clock.now()
        for name in issuance.definitions:
            definition = self.definitions[name]
            credential = Issued(
                id=f"urn:uuid:{uuid4()}",
                issuance=key,
                member=member.id,
                holder=member.did,
                definition=name,
                type=definition.type,
                format=definition.format,
                subject=subject(definition, facts),
                valid_from=iso(now),
                valid_until=iso(now + timedelta(days=definition.days)),
            )
            self.ledger.issuances.allocate(connection, credential)
            for purpose in definition.statuses:
                self.ledger.statuses.allocate(connection, credential.id, as_jwt(definition.format), purpose)
        return issuance

    def _reject(self, connection: Connection, issuance: Issuance, reason: str) -> Issuance:
        state = step(_table(issuance), issuance.state, "reject")
        self.ledger.issuances.move(connection, issuance.id, state, self.ledger.now(), reason)
        return self._process(connection, issuance.id)

    def _signatures(self, connection: Connection, key: str) -> list[tuple[str, str]]:
        return [
            (one.id, self._sign(one, self.ledger.statuses.entries(connection, one.id)))
            for one in self.ledger.issuances.credentials(connection, key)
            if one.jwt is None
        ]

    def _sign(self, credential: Issued, entries: list[Entry]) -> str:
        return signing.credential(
            credential,
            [(entry, self.lists.url(entry.list)) for entry in entries],
            contexts=definition.contexts if (definition := self.definitions.get(credential.definition)) else (),
            signer=self.credential_signer,
            issuer=self.ledger.participant,
        )

    async def _send(self, issuance: Issuance) -> None:
        credentials = await self.ledger.database.read(lambda c: self.ledger.issuances.credentials(c, issuance.id))
        document = await self.resolver.resolve(issuance.holder)
        endpoint = document.endpoint("CredentialService")
        if endpoint is None:
            raise UnavailableError(f"{issuance.holder} names no CredentialService in its DID document")
        token = token_for(
            self.token_signer,
            issuance.holder,
            now=self.ledger.clock.now(),
            jti=secrets.token_urlsafe(16),
            token=issuance.grant_token,
        )
        if issuance.state == OFFER.initial:
            path, message = "offers", messages.credential_offer(self.ledger.participant, self._offered(issuance), self.issuer_url)
        else:
            path, message = "credentials", messages.credential_message(issuance, credentials)
        reply = await self.client.request(
            "POST",
            f"{endpoint.removesuffix('/')}/{path}",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            body=wire.dumps(message),
        )
        if not 200 <= reply.status < 300:
            raise UnavailableError(f"the credential service answered {reply.status}")

    def _offered(self, issuance: Issuance) -> list[Definition]:
        return [self.definitions[name] for name in issuance.definitions]

    async def _postpone(self, row: Due, issuance: Issuance, failure: KizunaError) -> None:
        now = self.ledger.clock.now()
        overdue = now - parse_iso(row.created) >= self.give_up
        _log.warning("credentials not delivered", peer=issuance.holder, pid=issuance.id, reason=failure.detail, given_up=overdue)
        if overdue:
            await self.ledger.database.write(lambda c: self._close(c, issuance, "fail"))
            return
        due = iso(now + timedelta(seconds=back_off(row.attempts)))
        await self.ledger.database.write(
            lambda c: self.ledger.issuances.postpone(c, row.issuance, due, failure.detail[:500], self.ledger.database.replica)
        )

    def _close(self, connection: Connection, issuance: Issuance, event: str) -> None:
        now = self.ledger.now()
        state = self._process(connection, issuance.id).state
        if state in ("APPROVED", OFFER.initial):
            self.ledger.issuances.move(connection, issuance.id, step(_table(issuance), state, event), now)
        self.ledger.issuances.forget_grant(connection, issuance.id)
        self.ledger.issuances.arrived(connection, issuance.id)

    def _process(self, connection: Connection, key: str) -> Issuance:
        found = self.ledger.issuances.get(connection, key)
        if found is None:
            raise LookupError(key)  # an outbox row without its process: the foreign key of one transaction was broken
        return found


def _table(issuance: Issuance) -> Table:
    return OFFER if issuance.state == OFFER.initial else ISSUANCE


def back_off(attempts: int) -> float:
    """Seconds until the next attempt: doubled from one second up to an hour, up to a quarter less at random."""
    full = min(_CAP, _FIRST * 2.0 ** min(attempts, 20))
    return full * random.uniform(0.75, 1.0)  # noqa: S311  # spreads load, decides nothing
