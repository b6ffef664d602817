"""A node whose store, policies and authentication are in memory: the wire alone is under test."""

import itertools

from connector.dsp import outbound
from connector.dsp.node import Node
from connector.processes import negotiation, transfer
from connector.processes.decisions import AutoDecisions
from connector.processes.errors import AgreementUnknown, VersionConflict
from connector.processes.model import Agreement, Ledger
from connector.processes.negotiation import Judgement
from kernel.errors import Unauthorized
from policies.odrl import same_terms
from tests.support.participant import participant

ME = "did:web:me.example"
BASE = "https://me.example/dsp/2025-1"
NOW = "2026-11-24T09:00:00.000Z"


class Memory:
    """The store port."""

    looks_ahead = False

    def __init__(self):
        self.found, self.journal, self.spent, self.outbox, self.agreements = {}, {}, set(), {}, {}
        self.lookups = 0

    async def process(self, key):
        self.lookups += 1
        return self.found.get(key)

    async def process_of_peer(self, peer, kind, peer_pid):
        self.lookups += 1
        return next((p for p in self.found.values() if (p.peer, p.kind, p.peer_pid) == (peer, kind, peer_pid) and peer_pid), None)

    async def replay(self, process, message_id, sender):
        rows = self.journal.get(process, ())
        return next((row.after for row in rows if (row.message_id, row.sender) == (message_id, sender)), None)

    async def commit(self, commit):
        known = self.found.get(commit.process.id)
        if (known.version if known else 0) != commit.expected:
            raise VersionConflict("moved")
        if commit.token is not None:
            await self.spend(commit.token)
        self.found[commit.process.id] = commit.process
        self.journal.setdefault(commit.process.id, []).extend(commit.journal)
        for row in commit.outbox:
            self.outbox[row.id] = row
        for key in (*commit.confirmed, *commit.withdrawn):
            self.outbox.pop(key, None)
        if commit.agreement is not None:
            self.agreements[commit.agreement.id] = commit.agreement

    async def spend(self, token):
        if (token.issuer, token.jti) in self.spent:
            raise Unauthorized("authentication failed")
        self.spent.add((token.issuer, token.jti))


class Shelf:
    """The catalog port: datasets by id, the same for everybody."""

    def __init__(self, *datasets):
        self.datasets = sorted(datasets, key=lambda each: each["@id"])

    async def page(self, who, after, limit):
        rest = [each for each in self.datasets if each["@id"] > after]
        return rest[:limit], rest[limit - 1]["@id"] if len(rest) > limit else ""

    async def page_before(self, who, before, limit):
        rest = [each for each in self.datasets if each["@id"] < before]
        found = rest[-limit:]
        return found, found[0]["@id"] if len(rest) > limit else "", found[-1]["@id"] if found else ""

    async def slice(self, who, offset, limit):
        return self.datasets[offset : offset + limit]

    async def dataset(self, who, key):
        return next((each for each in self.datasets if each["@id"] == key), None)

    def envelope(self, who, datasets):
        found = {"@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@id": "c", "@type": "Catalog", "participantId": ME}
        return found | ({"dataset": datasets} if datasets else {})


class Book:
    """Every offer is known and permitted; agreements are those of the memory."""

    def __init__(self, memory, who):
        self.memory, self.who = memory, who

    def judge(self, offer_id, dataset, requested):
        if dataset.startswith("hidden"):
            return Judgement(None, False, ("hidden",))
        return Judgement(requested, not dataset.startswith("forbidden"), ("forbidden",))

    def refusals(self, offer_id, dataset, terms):
        return ()

    def consent(self, process):
        return negotiation.Consent()

    def differences(self, asked, given):
        return same_terms(asked, given)

    def opened(self, agreement):
        return Ledger()

    def grant(self, key, *, again):
        found = self.memory.agreements.get(key)
        if found is None or found.peer != self.who.did:
            raise AgreementUnknown("no such agreement")
        return transfer.Grant(agreement=found)


def node(memory, *, catalog=None, authenticate=None, page_size=50, callback=None, passes_over=frozenset()):
    """A node; by default the caller is whoever the header `Authorization: Bearer <did> <jti>` names."""
    numbers = itertools.count(1)

    def new_id():
        return f"urn:uuid:{next(numbers):08d}"

    async def by_header(caller, fresh):
        if len(caller.authorization) != 1 or not caller.authorization[0].startswith("Bearer did:"):
            raise Unauthorized("authentication failed", reason="test")
        did, _, jti = caller.authorization[0].removeprefix("Bearer ").partition(" ")
        if (did, jti) in memory.spent:
            raise Unauthorized("authentication failed", reason="jti")
        return participant(did, jti=jti) if jti else participant(did)

    async def any_callback(who, url):
        return None

    common = {"participant": ME, "now": NOW, "new_id": new_id, "decisions": AutoDecisions()}

    async def negotiating(who, offer):
        return negotiation.Context(**common, render=outbound.renderer(lambda _: BASE), rulebook=Book(memory, who))

    async def transferring(who, agreement):
        address = {"@type": "DataAddress", "endpointType": "https://w3id.org/idsa/v4.1/HTTP", "endpoint": "https://me"}
        return transfer.Context(
            **common,
            render=outbound.renderer(lambda _: BASE),
            agreements=Book(memory, who),
            address=lambda process: address,
        )

    return Node(
        participant=ME,
        base_url=lambda _: BASE,
        authenticate=authenticate or by_header,
        processes=memory,
        catalog=catalog or Shelf(),
        negotiation=negotiating,
        transfer=transferring,
        check_callback=callback or any_callback,
        now=lambda: 1_800_000_000.0,
        page_size=page_size,
        page_key=b"k" * 32,
        passes_over=passes_over.__contains__,
    )


def agreement(key, peer, role="provider", dataset="d"):
    return Agreement(
        id=key, participant=ME, role=role, peer=peer, negotiation="n", dataset=dataset, policy={"@id": key}, hash="h", at=NOW
    )
