"""identity.wallet.renewal: credentials outlive an issuer's outage, its rotated and its revoked keys (identity.md 1.4, 5.2)."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from identity import did as dids
from identity import vc
from identity.wallet import renewal as module
from identity.wallet.credentials import held
from identity.wallet.renewal import FIRST_PAUSE, GIVEN_UP, LONGEST_PAUSE, LOOK_AFTER, Renewal, offered
from identity.wallet.sts import Sts
from kernel import wire
from kernel.clock import iso
from kernel.errors import UnavailableError
from kernel.http import Reply
from tests.unit.identity_core.world import ALL, World, json_reply, signer

IS = "https://issuer.example/is"


class Store:
    """A wallet's store in memory, by the rules of its port."""

    def __init__(self):
        self.credentials, self.requests = [], {}

    async def held(self):
        return list(self.credentials)

    async def request(self, key):
        return self.requests.get(key)

    async def open_requests(self):
        return [each for each in self.requests.values() if each.state in ("CREATED", "REQUESTED")]

    async def save_request(self, request, token=None):
        self.requests[request.id] = request


class Bench:
    """A holder with one credential of 30 days, and its issuer's service, which may be down."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr(module.random, "uniform", lambda _low, high: high)
        world = self.world = World()
        self.clock, self.issuer = world.clock, world.issuer
        self.issuer.document["service"] = [{"id": "#is", "type": "IssuerService", "serviceEndpoint": IS}]
        self.status, self.state, self.asked = 201, "RECEIVED", []
        self.definitions = [{"id": "membership-1", "credentialType": "MembershipCredential"}]
        world.web.answers[f"{IS}/metadata"] = lambda *_: json_reply({"credentialsSupported": self.definitions})
        world.web.answers[f"{IS}/credentials"] = self.take
        world.web.answers[f"{IS}/requests/1"] = lambda *_: self.known()
        self.store, self.member = Store(), True
        self.held = held(vc.parse_vc(self.issuer.issue(world.member.did, "MembershipCredential")))
        self.store.credentials.append(self.held)
        self.renewal = self.restarted()

    def restarted(self):
        async def ready():
            return self.member

        sts = Sts(self.world.member.did, self.world.member.key, self.clock)
        return Renewal(self.store, self.world.resolver, self.world.web, sts, self.clock, ready=ready)

    def take(self, _method, _headers, body):
        self.asked.append(wire.loads(body))
        return Reply(self.status, {"Location": f"{IS}/requests/1"} if self.status == 201 else {}, b"")

    def known(self):
        return json_reply({"type": "CredentialStatus", "status": self.state}) if self.state else json_reply({}, code=404)

    def deliver(self):
        """The issuer delivers: a new credential in the place of the old one."""
        (request,) = [each for each in self.store.requests.values() if each.state == "REQUESTED"]
        now = self.clock.now()
        new = self.issuer.issue(self.world.member.did, "MembershipCredential", valid_from=now, valid_until=now + timedelta(days=30))
        self.store.credentials[:] = [held(vc.parse_vc(new))]
        self.store.requests[request.id] = replace(request, state="ISSUED")

    async def step(self, **forward):
        self.clock.forward(timedelta(**forward).total_seconds())
        await self.renewal.step()
        return [each.state for each in self.store.requests.values()]


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


async def test_a_fresh_credential_is_left_alone(bench):
    assert await bench.step(days=19) == []
    assert bench.asked == []


async def test_a_third_before_its_end_it_is_asked_for_anew_once(bench):
    assert await bench.step(days=21) == ["REQUESTED"]
    assert await bench.step(minutes=15) == ["REQUESTED"]
    assert [each["credentials"] for each in bench.asked] == [[{"id": "membership-1"}]]
    bench.deliver()
    assert await bench.step(minutes=15) == ["ISSUED"]
    assert await bench.step(days=21) == ["ISSUED", "REQUESTED"], "and the new one again, in its time"


async def test_an_outage_of_the_issuer_is_survived_with_bounded_pauses(bench):
    bench.status = 503
    await bench.step(days=21)
    attempts = [1]
    for _ in range(24 * 12):
        await bench.step(minutes=5)
        attempts.append(len(bench.asked))
    assert 24 <= attempts[-1] <= 24 + 12, "about once an hour after the first ones"
    bench.status = 201
    bench.renewal = bench.restarted()
    assert await bench.step() == ["REQUESTED"]
    assert len({each["holderPid"] for each in bench.asked}) == 1, "one request all the time, over a restart too"


async def test_the_pauses_grow_and_end_growing(bench):
    bench.status, bench.clock_before = 503, bench.clock.now()
    await bench.step(days=21)
    pauses = []
    for _ in range(10):
        (due, _) = next(iter(bench.renewal._pauses.values()))
        pauses.append(due - bench.clock.now())
        bench.clock.forward((due - bench.clock.now()).total_seconds())
        await bench.renewal.step()
    assert pauses[:3] == [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]
    assert pauses[-1] == LONGEST_PAUSE


async def test_a_request_that_is_never_answered_does_not_hang_for_ever(bench):
    await bench.step(days=21)
    assert await bench.step(hours=2) == ["REQUESTED"], "the issuer says RECEIVED: wait"
    bench.state = ""
    assert await bench.step(minutes=1) == ["REJECTED"], "the issuer has forgotten it"
    assert await bench.step(minutes=1) == ["REJECTED", "REQUESTED"], "so it is asked again, under another id"
    bench.state = "RECEIVED"
    assert await bench.step(seconds=GIVEN_UP.total_seconds()) == ["REJECTED", "REJECTED"]
    assert (await bench.step(minutes=1))[-1] == "REQUESTED"


async def test_an_issuer_that_refuses_is_asked_again_after_a_day(bench):
    bench.status = 403
    assert await bench.step(days=21) == ["REJECTED"]
    for _ in range(23):
        assert await bench.step(hours=1) == ["REJECTED"]
    bench.status = 201
    assert await bench.step(hours=1) == ["REJECTED", "REQUESTED"]
    assert len(bench.asked) == 2


async def test_a_revoked_key_of_the_issuer_makes_it_ask_anew(bench):
    newer = signer(bench.issuer.did, "k2")
    bench.issuer.document |= dids.document(bench.issuer.did, [dids.Key(newer.kid, newer.public_jwk(), ALL)], [])
    bench.issuer.document["service"] = [{"id": "#is", "type": "IssuerService", "serviceEndpoint": IS}]
    assert (await bench.renewal.states())[0].renewal == "key"
    assert await bench.step(minutes=10) == ["REQUESTED"]
    bench.issuer.key = newer
    bench.deliver()
    assert (await bench.renewal.states())[0].renewal == ""


async def test_an_unreadable_document_of_the_issuer_says_nothing_about_its_key(bench):
    bench.world.web.answers.pop(dids.web_url(bench.issuer.did))
    assert await bench.step(minutes=10) == []


async def test_the_operator_may_ask_for_all_of_them(bench):
    assert await bench.renewal.ask_again() == ["MembershipCredential"]
    assert await bench.step() == ["REQUESTED"]
    assert await bench.step(minutes=1) == ["REQUESTED"], "once"
    assert (await bench.renewal.states())[0].renewal == "REQUESTED"


async def test_an_offer_is_sent_as_a_request(bench):
    request = offered(bench.issuer.did, "membership-1", "jti")
    await bench.store.save_request(request)
    assert await bench.step() == ["REQUESTED"]
    assert bench.asked[0]["holderPid"] == request.id
    assert offered(bench.issuer.did, "membership-1", "other").id != request.id


async def test_until_membership_nothing_is_asked(bench):
    bench.member = False
    assert await bench.step(days=29) == []


async def test_a_type_that_the_issuer_no_longer_offers_is_put_off_and_not_forgotten(bench):
    bench.definitions = []
    assert await bench.step(days=21) == []
    assert (await bench.renewal.states())[0].renewal == "expiring"
    bench.definitions = [{"id": "m2", "credentialType": "MembershipCredential"}]
    assert await bench.step(hours=1) == ["REQUESTED"]


async def test_looking_after_a_request_happens_after_an_hour(bench):
    await bench.step(days=21)
    bench.state = "REJECTED"
    assert await bench.step(seconds=LOOK_AFTER.total_seconds() - 1) == ["REQUESTED"]
    assert await bench.step(seconds=1) == ["REJECTED"]
    assert "REJECTED" in next(iter(bench.store.requests.values())).note
    assert iso(bench.clock.now())


@pytest.mark.parametrize("ticks", range(4))
async def test_the_loop_survives_a_store_that_is_away_and_ends_when_it_is_told(bench, ticks):
    away = [2]
    reads = bench.store.held

    async def held_again():
        if away[0]:
            away[0] -= 1
            bench.renewal.wake()
            raise UnavailableError("the database is away")
        return await reads()

    bench.store.held = held_again
    bench.clock.forward(timedelta(days=21).total_seconds())
    task = asyncio.create_task(bench.renewal.run())
    async with asyncio.timeout(5):
        while not bench.asked:
            await asyncio.sleep(0)
    bench.renewal.wake()
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=2)
    assert done
    assert away == [0]
