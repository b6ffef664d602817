"""Evidence of contracts, collected while they are made: who showed what, with which keys, and what the status lists said (`bundle` is its form for others).

Rules
- With every message that commits a party (request, agreement, verification) the process keeps the digest of a record of what that party showed: its DID document,
  its credentials, and the status lists that its authentication relied on. The record and what it names are documents, stored once, by digest.
- The DID document is kept as it was read: methods, relationships, services; what else stood in it is not.
- Our own document is kept with the record, so that our signature can be verified after our keys have gone.
- A bundle holds the policies that the terms were written from, where our profile has had them (`rules.Rules.fill`).

Not done here: signing and checking (`processes.evidence`).
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

from connector.contracts.bundle import KIND, LARGEST, digest, sealed
from connector.processes.evidence import Proof, Sign
from connector.processes.model import Agreement, Document, JournalRow
from connector.store.port import Store
from identity.did.document import RELATIONSHIPS, DidDocument
from identity.jose import BadToken, Signer, kid, parse, sign
from identity.resolve import Resolving
from identity.vc import Credential, StatusEntry
from identity.verify import VerifiedParticipant
from kernel import wire
from kernel.clock import Clock, iso
from kernel.errors import KizunaError

_CAPACITY: Final = 1_024


class Lists(Protocol):
    """What is known of status lists."""

    @property
    def version(self) -> int:
        """Another number whenever one was read or invalidated."""

    def relied_on(self, credential: Credential) -> Iterable[tuple[StatusEntry, str, Any]]:
        """Entry, list as it came, and when it was asked for, for each entry whose list is held."""


class _Shown(Struct, frozen=True):
    version: int  # of the lists
    credentials: tuple[Credential, ...]
    document: DidDocument
    record: str
    documents: tuple[Document, ...]


class Witness:
    """Collects what callers show. What was collected lately is used again while nothing of it has changed."""

    def __init__(self, resolver: Resolving, lists: Lists, own: Callable[[], Mapping[str, Any]]) -> None:
        """`own` gives our published DID document."""
        self._resolver, self._lists, self._own = resolver, lists, own
        self._known: OrderedDict[str, _Shown] = OrderedDict()
        self._stored: set[str] = set()

    async def of(self, who: VerifiedParticipant, signature: str) -> Proof:
        """What this caller has shown; with a signature, its document as it is now if the one that is held lacks the key."""
        document = await self._resolver.resolve(who.did)
        if signature and _kid(signature) not in document.methods:
            document = await self._resolver.refresh(who.did)
        known = self._known.get(who.did)
        if (
            known is None
            or known.document is not document
            or known.credentials is not who.credentials
            or known.version != self._lists.version
        ):
            known = await self._collect(who, document)
            self._keep(who.did, known)
        missing = tuple(each for each in known.documents if each.digest not in self._stored)
        return Proof(document, known.record, missing)

    def stored(self, documents: Iterable[Document]) -> None:
        """These are durable: they need not be written again."""
        if len(self._stored) > 64 * _CAPACITY:
            self._stored.clear()
        self._stored.update(each.digest for each in documents)

    async def _collect(self, who: VerifiedParticipant, document: DidDocument) -> _Shown:
        version, kept = self._lists.version, dict[str, Document]()
        lists = [(each, tuple(self._lists.relied_on(each))) for each in who.credentials]

        def keep(text: str) -> str:
            made = Document(digest(text.encode()), text.encode())
            kept[made.digest] = made
            return made.digest

        identities = {who.did: keep(wire.dumps(published(document)).decode())}
        own = self._own()
        identities[str(own["id"])] = keep(wire.dumps(dict(own)).decode())
        for issuer in {each.issuer for each, _ in lists} - identities.keys():
            try:
                identities[issuer] = keep(wire.dumps(published(await self._resolver.resolve(issuer))).decode())
            except (
                KizunaError
            ):  # it has answered during authentication; without it the credential cannot be verified later, and the bundle says so
                continue
        credentials = [
            {
                "credential": keep(each.raw),
                "status": [
                    {"url": entry.url, "index": entry.index, "purpose": entry.purpose, "list": keep(text), "at": iso(at)}
                    for entry, text, at in found
                ],
            }
            for each, found in lists
        ]
        record = keep(wire.dumps({"holder": who.did, "identities": identities, "credentials": credentials}).decode())
        return _Shown(version, who.credentials, document, record, tuple(kept.values()))

    def _keep(self, did: str, shown: _Shown) -> None:
        self._known[did] = shown
        self._known.move_to_end(did)
        if len(self._known) > _CAPACITY:
            self._known.popitem(last=False)


def signs(signer: Signer, type_: str) -> Sign:
    """A signature of ours over claims, as a compact JWS of this type."""
    return lambda claims: sign(claims, signer, typ=type_)


def published(document: DidDocument) -> dict[str, Any]:
    """A DID document as it was read, in its JSON form."""
    related = {
        "capabilityInvocation": document.capability_invocation,
        "authentication": document.authentication,
        "assertionMethod": document.assertion_method,
    }
    return {
        "id": document.id,
        "verificationMethod": [
            {"id": each.id, "type": "JsonWebKey2020", "controller": each.controller, "publicKeyJwk": each.jwk}
            for each in document.methods.values()
            if each.jwk is not None
        ],
        **{name: sorted(related[name]) for name in RELATIONSHIPS},
        "service": [{"id": each.id, "type": list(each.types), "serviceEndpoint": each.endpoint} for each in document.services],
    }


class Exporter:
    """Makes bundles of what a participant's store holds."""

    def __init__(self, store: Store, participant: str, signer: Sign, own: Callable[[], Mapping[str, Any]], clock: Clock) -> None:
        """`signer` makes the seal."""
        self._store, self._me, self._sign, self._own, self._clock = store, participant, signer, own, clock

    async def bundle(self, agreement: Agreement) -> dict[str, Any]:
        """Everything that proves the agreement, sealed."""
        process = await self._store.process(agreement.negotiation)
        data = process.data if process is not None else {}
        shown = await self._shown(data)
        own = wire.dumps(dict(self._own())).decode()
        identities = {self._me: digest(own.encode()), **shown.get("identities", {})}
        texts = {digest(own.encode()): own}
        mine, theirs = agreement.role, "consumer" if agreement.role == "provider" else "provider"
        signatures = {mine: data.get("ownSignature"), theirs: data.get("peerSignature")}
        inherited = {mine: agreement.inherited} | {role: _stated(token) for role, token in signatures.items() if token}
        policies = {each for found in inherited.values() for each in found.values()}
        for name in _digests(shown) | set(identities.values()) | policies:
            if (text := await self._store.document(name)) is not None:
                texts[name] = text.decode()
        parties = {"provider": agreement.provider, "consumer": agreement.consumer}
        now = iso(self._clock.now())
        found = {
            "kind": KIND,
            "exporter": self._me,
            "at": now,
            "agreement": agreement.policy,
            "hash": agreement.hash,
            "parties": parties,
            "signatures": signatures,
            "inherited": inherited,
            "identities": identities,
            "shown": {name: each for name, each in shown.items() if name != "identities"},
            "journal": [_row(each) for each in await self._store.journal(agreement.negotiation)],
            "documents": texts,
        }
        return sealed(found, self._sign, party=self._me, at=now)

    async def _shown(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """What the peer showed last when it committed itself; empty where nothing was kept."""
        kept = data.get("shown")
        text = await self._store.document(kept["record"]) if kept else None
        return {**wire.loads(text, limit=LARGEST), "at": kept["at"]} if kept and text is not None else {}


def _stated(signature: str) -> dict[str, str]:
    """What a signature that was checked when it came states as inherited."""
    found: dict[str, str] = parse(signature).claims.get("inherited", {})
    return found


def _digests(shown: Mapping[str, Any]) -> set[str]:
    entries = shown.get("credentials", ())
    return {each["credential"] for each in entries} | {one["list"] for each in entries for one in each["status"]}


def _row(row: JournalRow) -> dict[str, str]:
    return {
        "before": row.before,
        "after": row.after,
        "message": row.message,
        "sender": row.sender,
        "id": row.message_id,
        "at": row.at,
        "person": row.person,
    }


def _kid(signature: str) -> str:
    try:
        return kid(signature) or ""
    except BadToken:
        return ""
