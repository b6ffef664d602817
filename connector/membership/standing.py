"""Who is kept out, as our authority has told us, and how fresh its word is (`identity.standing` for the door; filled by `worker.feed`).

Rules
- A member that was suspended or revoked is barred from the moment the event is read: from requests, negotiations and data. A reinstatement takes that back.
- Our word is *live* while the feed was heard within `silence` seconds. Otherwise every decision reads status lists anew, and what cannot be read means no agreement
  and no data.
- A suspension that was told before the feed went silent may have been lifted since: the member proves it with a credential of our authority whose status is read anew,
  and a certificate that is not on the list any more. A revocation is final.
- A member certificate is refused when it is on the revocation list of its CA, or when there is no current list.

Kept in the store (`Followed`), so a restart forgets nobody; times are the machine's monotonic clock, which nobody sets back.
"""

import time
from collections.abc import Callable, Collection

from msgspec.structs import replace

from connector.store.port import Followed
from identity import feed
from identity.feed import Event
from identity.tls.revoked import RevocationLists

_WORDS = {feed.SUSPENDED: "suspension", feed.REVOKED: "revocation"}


class Standing:
    """In memory, asked at every request."""

    def __init__(
        self, authority: str, lists: RevocationLists, *, silence: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._authority, self.lists, self._silence, self._monotonic = authority, lists, silence, monotonic
        self._heard: float | None = None
        self.followed = Followed()
        self.readmitted: Callable[[str], None] = lambda _did: None

    def barred(self, did: str) -> str | None:
        return self.followed.barred.get(did)

    def revoked(self, certificate: bytes) -> bool:
        return self.lists.revoked(certificate)

    @property
    def live(self) -> bool:
        """Whether the feed was heard lately."""
        return self._heard is not None and self._monotonic() - self._heard <= self._silence

    def doubtful(self, did: str) -> bool:
        """Whether a suspension of this participant may have been lifted without our hearing of it."""
        return not self.live and self.followed.barred.get(did) == _WORDS[feed.SUSPENDED]

    def readmits(self, did: str, issuers: Collection[str]) -> bool:
        """Let a participant in again whose credentials, of these issuers, were found good just now; whether our authority's are among them."""
        if self._authority not in issuers:
            return False
        self.followed = replace(self.followed, barred={each: why for each, why in self.followed.barred.items() if each != did})
        self.readmitted(did)
        return True

    def told_of(self, certificate: bytes) -> bool:
        """Whether a change of the member with this certificate (DER) would be known here by now: the feed is heard, and it is our consortium's."""
        return self.live and self.lists.consortium(certificate) == ""

    def speaks_for(self, issuer: str) -> bool:
        """Whether a change of what this issuer has issued would be known here by now."""
        return issuer == self._authority and self.live

    def heard(self) -> None:
        """The authority has answered: what is known here is what it knows now."""
        self._heard = self._monotonic()

    def learn(self, event: Event) -> None:
        """Take an event into account, at once."""
        barred = dict(self.followed.barred)
        if event.kind in _WORDS:
            barred[event.did] = _WORDS[event.kind]
        elif event.kind == feed.REINSTATED:
            barred.pop(event.did, None)
        self.followed = replace(self.followed, after=event.seq, barred=barred)
