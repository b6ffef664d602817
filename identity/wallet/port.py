"""What the wallet needs of a store. The connector's database holds credentials and requests beside everything else of the participant."""

from datetime import datetime
from typing import Literal, Protocol

from msgspec import Struct

from identity.verify import TokenUse

RequestState = Literal["CREATED", "REQUESTED", "ISSUED", "REJECTED"]


class Held(Struct, frozen=True, kw_only=True):
    """A credential that we hold, verified before it was stored. Times are those of the credential."""

    id: str
    type: str
    issuer: str
    format: str
    since: datetime | None
    until: datetime | None
    jwt: str


class CredentialRequest(Struct, frozen=True, kw_only=True):
    """Our request to an issuer; `id` is our `holderPid`, `location` the status resource, once the issuer has told."""

    id: str
    issuer: str
    definitions: tuple[str, ...]
    state: RequestState
    location: str = ""
    note: str = ""
    asked: str = ""  # when it was sent, or ended


class CredentialStore(Protocol):
    """Credentials and requests of one participant."""

    async def held(self) -> list[Held]:
        """All credentials, newest first."""

    async def request(self, key: str) -> CredentialRequest | None:
        """One request by its holderPid."""

    async def open_requests(self) -> list[CredentialRequest]:
        """Those that are CREATED or REQUESTED, oldest first."""

    async def save_request(self, request: CredentialRequest, token: TokenUse | None = None) -> None:
        """Insert or replace; spends the token in the same transaction."""

    async def store(self, request: CredentialRequest, credentials: list[Held], token: TokenUse) -> None:
        """Store credentials (replacing those of the same type and issuer) with the request's new state, all or nothing."""

    async def save_offered(self, requests: list[CredentialRequest], token: TokenUse) -> None:
        """Insert what an offer asks us to ask for, and spend its token, in one transaction."""

    async def spend(self, token: TokenUse) -> None:
        """Use a token up; raises `Unauthorized` for one that was used before."""
