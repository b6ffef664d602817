"""The event feed at the authority's side: who may follow, what is told, and when an answer comes. Real tokens, real signatures."""

import asyncio

import pytest
from aiohttp.test_utils import TestClient

from identity import feed
from identity.feed import Question
from identity.jose import public_key
from identity.service.authority.feed import PATH, Feed
from identity.service.callers import Callers
from identity.service.store.ledger import ledger, open_file
from identity.service.store.members import Member
from identity.verify import TokenDoor
from kernel.web import application
from tests.support.web import TestServer
from tests.unit.identity_core.world import World, signer

NONCE = "n" * 22


class Served:
    """A feed over a real ledger, called by the members of the world."""

    def __init__(self, world, database):
        self.world, self.did = world, world.verifier.did
        self.books = ledger(self.did, database, world.clock)
        self.key = signer(self.did, "trust-1")

        async def seen(token):
            return database.file.read(lambda c: self.books.journal.spent(c, token.issuer, token.jti))

        door = TokenDoor(did=self.did, resolver=world.resolver, clock=world.clock, seen=seen)
        self.feed = Feed(ledger=self.books, callers=Callers(door, self.books), signer=self.key)
        database.on_commit(self.feed.committed)

    async def save(self, did, state):
        member = Member(id=did, did=did, name="x", corporate_number="7123456789012", state=state, changed="")
        await self.books.database.write(lambda c: self.books.members.save(c, member))

    async def record(self, kind, did="did:web:bad.example", subject=""):
        await self.books.database.write(lambda c: self.books.journal.record(c, kind, "m", did, "2026-11-24T09:00:00.000Z", subject))

    async def ask(self, party, after=0, wait=0, nonce=NONCE, **changes):
        headers = {"Authorization": f"Bearer {party.token(cnf=None, **changes)}"}
        return await self.client.get(f"{PATH}?after={after}&nonce={nonce}&wait={wait}", headers=headers)

    async def page(self, party, after=0, wait=0):
        answer = await self.ask(party, after, wait)
        assert answer.status == 200, await answer.text()
        asked = Question(party.did, after, NONCE)
        token = feed.parse(await answer.text())
        return feed.read(token, public_key(self.key.public_jwk()), self.did, asked, self.world.clock.now())


@pytest.fixture
async def served(tmp_path):
    world = World()
    database = open_file(tmp_path, world.verifier.did)
    found = Served(world, database)
    async with TestClient(TestServer(application(found.feed.routes()))) as found.client:
        watching = asyncio.create_task(found.feed.watch())
        yield found
        watching.cancel()
    database.file.close()


async def test_a_member_hears_what_happened_and_not_who_applied(served):
    await served.save(served.world.member.did, "ACTIVE")
    await served.record("invited", "did:web:secret.example")
    await served.record("suspended")
    found = await served.page(served.world.member)
    assert [(e.seq, e.kind, e.did) for e in found.events] == [(1, "invited", ""), (2, "suspended", "did:web:bad.example")]
    assert found.head == 2
    assert [e.seq for e in (await served.page(served.world.member, after=1)).events] == [2]


async def test_a_question_waits_for_the_next_event_and_is_answered_at_once_then(served):
    await served.save(served.world.member.did, "ACTIVE")
    waiting = asyncio.create_task(served.page(served.world.member, wait=20))
    async with asyncio.timeout(10):
        while not served.feed._waiting:
            await asyncio.sleep(0)
        await served.record("revoked")
        assert [e.kind for e in (await waiting).events] == ["revoked"]


async def test_a_closing_service_answers_who_waits(served):
    await served.save(served.world.member.did, "ACTIVE")
    waiting = asyncio.create_task(served.page(served.world.member, wait=20))
    async with asyncio.timeout(10):
        while not served.feed._waiting:
            await asyncio.sleep(0)
        served.feed.close()
        assert (await waiting).events == ()


@pytest.mark.parametrize(("state", "status"), [("ACTIVE", 200), ("SUSPENDED", 200), ("REVOKED", 403), ("APPLIED", 403)])
async def test_members_may_follow_also_suspended_ones_and_nobody_else(served, state, status):
    await served.save(served.world.member.did, state)
    assert (await served.ask(served.world.member)).status == status


async def test_a_stranger_a_used_token_and_a_bad_question(served):
    member = served.world.member
    assert (await served.ask(member)).status == 403
    await served.save(member.did, "ACTIVE")
    assert (await served.client.get(f"{PATH}?after=0&nonce={NONCE}")).status == 401
    assert (await served.ask(member, jti="once")).status == 200
    assert (await served.ask(member, jti="once")).status == 401
    assert (await served.ask(member, after="-1")).status == 400
    assert (await served.ask(member, nonce="short")).status == 400
