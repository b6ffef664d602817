"""How a company becomes a member: invitation, application, approval (identity.md 8.6).

Rules
- The operator invites one DID, with a verified corporate number. The code is shown once and stored as its SHA-256.
- An application is a Self-Issued ID token of that DID together with the code. The token is verified through the DID document
  that the company serves, so the application proves control of the DID and that the company was invited. Unknown,
  expired and foreign codes are the same 404.
- Host names: only the DID's own host is accepted in this version. Certificates name the accepted hosts and no others.
- Sending the same application again gives the same application.
- Approval sets member number and date. Only then are credentials and certificates given.

Not done here: look-up of the number in the tax agency's register (an adapter's work), rejection (revoke the member).
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import unquote
from uuid import uuid4

import msgspec
from msgspec import Meta, Struct

from identity import did as dids
from identity.service.authority.corporate_number import verified
from identity.service.store.admission import Application, Invitation
from identity.service.store.ledger import Ledger
from identity.service.store.members import Member
from identity.service.store.port import Connection
from identity.service.transitions import MEMBERSHIP, step
from kernel.clock import iso
from kernel.errors import BadInput, NotFound

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Role = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$")]


class Invite(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What the operator knows of a company before it applies."""

    did: Annotated[str, Meta(min_length=1, max_length=2048)]
    name: Name
    corporate_number: str
    roles: Annotated[tuple[Role, ...], Meta(max_length=32)] = ()


class Invited(Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer: the code goes to the company over a channel that the operator trusts."""

    member: str
    did: str
    invitation: str
    expires: str


class Apply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An application; without hosts the DID's own host is meant."""

    invitation: Annotated[str, Meta(min_length=1, max_length=256)]
    hosts: Annotated[tuple[str, ...], Meta(max_length=16)] = ()


class Attest(Struct, frozen=True, forbid_unknown_fields=True):
    """A fact about a member that the operator answers for; without a value it is taken back."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
    value: str | float | bool | None = None


class Applied(Struct, frozen=True, kw_only=True):
    """What the applicant may know: the state is the membership's."""

    id: str
    state: str


@dataclass(frozen=True, slots=True)
class Admission:
    """Invitations, applications and approvals of one data space."""

    ledger: Ledger
    invitation_days: int

    async def invite(self, wanted: Invite) -> Invited:
        """Invite a company, or replace the code of one that has not applied yet.

        Raises `BadInput` (DID, corporate number) and `Conflict` (it has applied, is a member, or was revoked).
        """
        host_of(wanted.did)
        number = verified(wanted.corporate_number)
        # Hexadecimal: the applicant types it behind `connector join`, where a first hyphen would begin an option.
        code = secrets.token_hex(16)
        expires = iso(self.ledger.clock.now() + timedelta(days=self.invitation_days))

        def work(connection: Connection) -> Invited:
            now = self.ledger.now()
            known = self.ledger.members.find(connection, wanted.did)
            member = Member(
                id=known.id if known else str(uuid4()),
                did=wanted.did,
                name=wanted.name,
                corporate_number=number,
                roles=tuple(dict.fromkeys(wanted.roles)),
                state=step(MEMBERSHIP, known.state if known else MEMBERSHIP.initial, "invite"),
                changed=now,
            )
            self.ledger.members.save(connection, member)
            self.ledger.admissions.invite(
                connection,
                Invitation(id=str(uuid4()), member=member.id, code_digest=digest_of(code), created=now, expires=expires),
            )
            self.ledger.journal.record(connection, "invited", member.id, member.did, now)
            return Invited(member=member.id, did=member.did, invitation=code, expires=expires)

        return await self.ledger.database.write(work)

    def apply(self, connection: Connection, applicant: str, wanted: Apply) -> Applied:
        """Take an application of a proven DID; runs inside the transaction that spends its token.

        Raises `BadInput` (hosts) and `NotFound` (no such invitation, alike for expired and foreign ones).
        """
        hosts = _own_hosts(applicant, wanted.hosts)
        now = self.ledger.now()
        invitation = self.ledger.admissions.by_code(connection, digest_of(wanted.invitation))
        member = self.ledger.members.find(connection, applicant)
        if invitation is None or member is None or invitation.member != member.id or member.did != applicant:
            raise _no_invitation()
        if invitation.application is not None:
            return Applied(id=invitation.application, state=member.state)
        if invitation.expires <= now:
            raise _no_invitation()
        application = Application(id=str(uuid4()), member=member.id, did=applicant, hosts=hosts, submitted=now)
        state = step(MEMBERSHIP, member.state, "apply")
        self.ledger.members.save(connection, msgspec.structs.replace(member, state=state, hosts=hosts, changed=now))
        self.ledger.admissions.apply(connection, application, invitation)
        self.ledger.journal.record(connection, "applied", member.id, member.did, now)
        return Applied(id=application.id, state=state)

    def application(self, connection: Connection, applicant: str, key: str) -> Applied:
        """The applicant's own application; raises the same `NotFound` for unknown ids and for those of others."""
        found = self.ledger.admissions.application(connection, key)
        if found is None or found.did != applicant:
            raise NotFound("no such application")
        return Applied(id=found.id, state=self.ledger.members.get(connection, found.member).state)

    async def attest(self, reference: str, wanted: Attest) -> dict[str, Any]:
        """Keep what the operator attests of a member, as a source of claims; returns all of it. Raises `NotFound`."""

        def work(connection: Connection) -> dict[str, Any]:
            member = self.ledger.members.get(connection, reference)
            self.ledger.members.attest(connection, member.id, wanted.name, wanted.value, self.ledger.now())
            return self.ledger.members.attested(connection, member.id)

        return await self.ledger.database.write(work)

    async def approve(self, reference: str) -> Member:
        """Make an applicant an active member; raises `NotFound` and `Conflict` (it has not applied, or is one already)."""

        def work(connection: Connection) -> Member:
            now = self.ledger.now()
            member = self.ledger.members.get(connection, reference)
            approved = msgspec.structs.replace(
                member,
                state=step(MEMBERSHIP, member.state, "approve"),
                number=self.ledger.members.next_number(connection),
                since=now[:10],
                changed=now,
            )
            self.ledger.members.save(connection, approved)
            self.ledger.journal.record(connection, "approved", member.id, member.did, now)
            return approved

        return await self.ledger.database.write(work)


def host_of(did: str) -> str:
    """Host name of a did:web; raises `BadInput` for every other DID and for names that did:web forbids."""
    dids.web_url(dids.parse(did))
    identifier = did.removeprefix("did:web:").split(":")[0]
    return unquote(identifier).partition(":")[0]


def digest_of(code: str) -> str:
    """SHA-256 of an invitation code, hexadecimal. Codes are random and long, so the digest needs no salt."""
    return hashlib.sha256(code.encode()).hexdigest()


def _own_hosts(applicant: str, hosts: Sequence[str]) -> tuple[str, ...]:
    own = host_of(applicant)
    for host in hosts:
        if host.lower() != own:
            raise BadInput(
                f"host {host} is not the host of {applicant}",
                next_step=f"apply with the host {own} only",
                path="hosts",
                reason="foreign host",
            )
    return (own,)


def _no_invitation() -> NotFound:
    return NotFound("no such invitation for this DID", next_step="ask the operator for a new invitation")
