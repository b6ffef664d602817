"""A consortium's books without a network: a real database, real keys, real lists and a CA, on a clock that the test moves."""

import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from identity.keys import KeyStore
from identity.service.authority.standing import Standing
from identity.service.ca.crl import RevocationList
from identity.service.issuer.revocation import Revocation
from identity.service.issuer.statuslists import StatusLists
from identity.service.store.certificates import Issued as Certificate
from identity.service.store.issuance import Issued
from identity.service.store.ledger import Ledger, ledger, open_file
from identity.service.store.members import Member
from identity.tls import ca
from kernel.clock import Clock, iso

DID = "did:web:authority.example"
URL = "https://authority.example"
VC20 = "vc20-bssl/jwt"


@dataclass
class Consortium:
    """Members are added by `add`; nothing is signed before `publish`."""

    ledger: Ledger
    lists: StatusLists
    crl: RevocationList
    standing: Standing
    revocation: Revocation

    async def publish(self) -> None:
        await self.lists.publish()
        await self.crl.publish()

    async def add(self, count: int, *, credentials: int = 1, first: int = 0) -> list[str]:
        """Active members with credentials (each with both status entries) and a certificate; returns their DIDs."""

        def fill(connection):
            return [self._member(connection, number, credentials) for number in range(first, first + count)]

        return await self.ledger.database.write(fill)

    def _member(self, connection, number, credentials):
        now, books = self.ledger.clock.now(), self.ledger
        did, key = f"did:web:m{number}.example", f"member-{number}"
        until = iso(now + timedelta(days=90))
        books.members.save(
            connection,
            Member(id=key, did=did, name=f"Member {number}", corporate_number="7123456789012", hosts=(f"m{number}.example",),
                   state="ACTIVE", number=f"M{number:06d}", since=iso(now)[:10], changed=iso(now)),
        )  # fmt: skip
        for each in range(credentials):
            credential = Issued(
                id=f"urn:uuid:{number}-{each}", issuance=f"i-{number}-{each}", member=key, holder=did, definition=f"d{each}",
                type=f"Type{each}", format=VC20, subject={}, valid_from=iso(now), valid_until=until,
            )  # fmt: skip
            books.issuances.allocate(connection, credential)
            for purpose in ("revocation", "suspension"):
                books.statuses.allocate(connection, credential.id, VC20, purpose)
        books.certificates.add(
            connection,
            Certificate(serial=f"{number + 1:x}", member=key, did=did, thumbprint=f"t{number}", key_digest=f"k{number}",
                        issued=iso(now), expires=until),
        )  # fmt: skip
        return did


def consortium(directory: Path, clock: Clock) -> Consortium:
    """A new one in an empty directory, or the one that a directory holds; its database is `found.ledger.database`."""
    books = ledger(DID, open_file(directory, DID), clock)
    signer = KeyStore(directory / "keys", DID).ensure("vc")
    place = directory / "ca"
    authority = ca.Authority.open(place) if place.exists() else ca.create(place, name="Test", crl_url=f"{URL}/crl", now=clock.now())
    lists, crl = StatusLists(books, signer, URL), RevocationList(books, authority)

    async def publish() -> None:
        await lists.publish()
        await crl.publish()

    return Consortium(books, lists, crl, Standing(books, publish), Revocation(books, publish))


def copied(directory: Path, to: Path) -> Path:
    """The directory as a crash would leave it."""
    shutil.copytree(directory, to)
    return to
