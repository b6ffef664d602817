"""What the wire needs of the rest of the connector: ports, put together in `connector.app`."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from connector.dsp import contexts
from connector.processes import negotiation, transfer
from connector.processes.evidence import Proof
from connector.processes.model import Commit, Document, Kind, Process, Role, TokenUse
from identity.verify import Caller, VerifiedParticipant
from identity.verify import TokenUse as VerifiedUse


class Processes(Protocol):
    """Processes of the participant, durable."""

    @property
    def looks_ahead(self) -> bool:
        """Whether what is decided under an agreement may build on commits that are under way."""

    async def process(self, key: str) -> Process | None: ...

    async def process_of_peer(self, peer: str, kind: Kind, peer_pid: str) -> Process | None: ...

    async def replay(self, process: str, message_id: str, sender: Role) -> str | None: ...

    async def commit(self, commit: Commit) -> None:
        """Store all or nothing; raises `VersionConflict`, `Unauthorized` (used token), `StorageFull`."""

    async def spend(self, token: TokenUse) -> None:
        """Use a token up; raises `Unauthorized` when it was used before."""


class Witness(Protocol):
    """Collects evidence of what callers show."""

    async def of(self, who: VerifiedParticipant, signature: str) -> Proof: ...

    def stored(self, documents: Iterable[Document]) -> None:
        """These are durable."""


class Catalog(Protocol):
    """What a participant may see."""

    async def page(self, who: VerifiedParticipant, after: str, limit: int) -> tuple[list[Any], str]:
        """Datasets whose id follows `after`, and the id to go on with (empty at the end)."""

    async def page_before(self, who: VerifiedParticipant, before: str, limit: int) -> tuple[list[Any], str, str]:
        """Datasets in front of an id, in their order, the id to go back from (empty at the beginning), and the one to go on with."""

    async def slice(self, who: VerifiedParticipant, offset: int, limit: int) -> list[Any]:
        """Datasets by position."""

    async def dataset(self, who: VerifiedParticipant, key: str) -> dict[str, Any] | None:
        """One dataset, or None when it is not there or hidden."""

    def envelope(self, who: VerifiedParticipant, datasets: list[Any]) -> dict[str, Any]:
        """The catalog around datasets, as this participant is to see it."""


class Settled(Protocol):
    """Commits what is known of a delivery to the peer of a process."""

    async def __call__(self, process: str, by: str = "", pids: tuple[str, ...] = ()) -> None:
        """Now, unless the peer's message `by`, which names the process by `pids`, proves it."""


async def _settled(process: str, by: str = "", pids: tuple[str, ...] = ()) -> None:
    """Nothing is known that is not committed."""


@dataclass(frozen=True, slots=True)
class Node:
    """Collaborators of the protocol routes."""

    participant: str
    base_url: Callable[[str], str]  # where a peer, by its DID, reaches our DSP endpoints
    authenticate: Callable[[Caller, bool], Awaitable[VerifiedParticipant]]
    processes: Processes
    catalog: Catalog
    # the second argument is the id of the offer, or of the agreement, that the message asks about; empty for none
    negotiation: Callable[[VerifiedParticipant, str], Awaitable[negotiation.Context]]
    transfer: Callable[[VerifiedParticipant, str], Awaitable[transfer.Context]]
    check_callback: Callable[[VerifiedParticipant, str], Awaitable[None]]
    now: Callable[[], float]
    page_size: int
    page_key: bytes
    passes_over: Callable[[str], bool] = lambda _peer: False  # whether unknown contexts of a peer, by its DID, are passed over
    stated: Callable[[Process, str, Any], Awaitable[Any]] | None = None  # takes what a peer says about a duty
    settled: Settled = _settled
    witness: Witness | None = None  # without one no evidence is kept, and signatures of peers are passed over

    def check_contexts(self, peer: str, unknown: tuple[str, ...]) -> None:
        """Refuse a message with contexts that are unknown, unless its sender's rule passes over them; raises `BadInput`."""
        if unknown and not self.passes_over(peer):
            contexts.refuse(unknown)


def spent(use: VerifiedUse) -> TokenUse:
    """A verified token as stores keep it."""
    return TokenUse(use.issuer, use.jti, use.remembered)
