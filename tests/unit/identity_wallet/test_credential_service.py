"""identity.wallet.credentials over HTTP: what a query shows and to whom, and what is taken from an issuer (DCP 1.0 sections 5 and 6)."""

import secrets
from datetime import timedelta

import pytest
from aiohttp.test_utils import TestClient
from msgspec.structs import replace

from identity import jose, vc
from identity.vc.scope import ID_ALIAS, TYPE_ALIAS
from identity.verify import TokenDoor
from identity.wallet.credentials import CredentialService, held
from identity.wallet.port import CredentialRequest
from identity.wallet.sts import LIFE, Sts
from kernel.errors import Unauthorized
from kernel.web import application
from tests.support.web import TestServer
from tests.unit.identity_core.world import World

QUERY, DELIVER, OFFER = "/cs/presentations/query", "/cs/credentials", "/cs/offers"
MEMBERSHIP, ROLE = f"{TYPE_ALIAS}:MembershipCredential", f"{TYPE_ALIAS}:RoleCredential"
BOTH = [f"{MEMBERSHIP}:read", f"{ROLE}:read"]


class Store:
    """A wallet's store in memory, by the rules of its port."""

    def __init__(self, world):
        self.world, self.credentials, self.requests = world, [], {}

    async def held(self):
        return list(reversed(self.credentials))

    async def request(self, key):
        return self.requests.get(key)

    async def save_request(self, request, token=None):
        if token is not None:
            await self.spend(token)
        self.requests[request.id] = request

    async def save_offered(self, requests, token):
        await self.spend(token)
        self.requests |= {each.id: each for each in requests}

    async def store(self, request, credentials, token):
        await self.spend(token)
        for each in credentials:
            self.credentials = [one for one in self.credentials if (one.type, one.issuer) != (each.type, each.issuer)] + [each]
        self.requests[request.id] = request

    async def spend(self, token):
        if (token.issuer, token.jti) in self.world.used:
            raise Unauthorized("authentication failed")
        self.world.used.add((token.issuer, token.jti))


class Wallet:
    """The member's credential service, and those who call it."""

    def __init__(self):
        self.world = world = World()
        self.owner, self.verifier, self.issuer = world.member, world.verifier, world.issuer
        self.thief = world.party("did:web:thief.example")
        self.store = Store(world)
        self.sts = Sts(self.owner.did, self.owner.key, world.clock)
        door = TokenDoor(did=self.owner.did, resolver=world.resolver, clock=world.clock, seen=world.seen)
        self.woken = 0
        self.trusted = {self.issuer.did: {"MembershipCredential", "RoleCredential"}}
        self.service = CredentialService(
            door, self.sts, self.owner.key, self.store, trusts=lambda did: self.trusted.get(did, ()), woken=self.wake
        )

    def wake(self):
        self.woken += 1

    def holds(self, *kinds, **changes):
        """Put a credential into the store, past all checks."""
        found = held(vc.parse_vc(self.issuer.issue(self.owner.did, *kinds, **changes)))
        self.store.credentials.append(found)
        return found

    def requested(self, state="REQUESTED", issuer=None):
        found = CredentialRequest(id="urn:uuid:1", issuer=issuer or self.issuer.did, definitions=("membership",), state=state)
        self.store.requests[found.id] = found
        return found

    def bearer(self, party, access=None, **changes):
        now = self.world.clock.now()
        given = {"now": now, "jti": secrets.token_hex(8), "token": access} | changes
        return {"Authorization": f"Bearer {jose.token_for(party.key, given.pop('audience', self.owner.did), **given)}"}

    async def query(self, message, granted=BOTH, *, access=None, party=None, headers=None):
        party = party or self.verifier
        given = access if access is not None else self.sts.access_token(party.did, granted)
        return await self.client.post(QUERY, json=message, headers=headers if headers is not None else self.bearer(party, given))

    async def shown(self, scope, granted=BOTH):
        """The ids of the credentials that a query of the verifier is given."""
        reply = await self.query(asking(scope), granted)
        assert reply.status == 200, await reply.text()
        return sorted(one.id for each in vc.parse_presentations((await reply.json())["presentation"]) for one in each.credentials)

    async def deliver(self, *jwts, party=None, headers=None, **changes):
        message = {
            "@context": [vc.DCP_CONTEXT],
            "type": "CredentialMessage",
            "issuerPid": "issuer-1",
            "holderPid": "urn:uuid:1",
            "status": "ISSUED",
            "credentials": [{"credentialType": "MembershipCredential", "payload": each, "format": vc.VC20} for each in jwts],
        } | changes
        return await self.client.post(DELIVER, json=message, headers=headers or self.bearer(party or self.issuer))


def asking(scope=None, **changes):
    found = {"@context": [vc.DCP_CONTEXT], "type": "PresentationQueryMessage"} | ({} if scope is None else {"scope": scope})
    return found | changes


@pytest.fixture
async def wallet():
    found = Wallet()
    async with TestClient(TestServer(application(found.service.routes()))) as found.client:
        yield found


# The query


async def test_a_query_is_given_what_was_granted_and_asked_for(wallet):
    membership, role = wallet.holds("MembershipCredential"), wallet.holds("RoleCredential")
    assert await wallet.shown(BOTH) == sorted([membership.id, role.id])
    assert await wallet.shown([BOTH[0]]) == [membership.id]


async def test_an_ungranted_scope_is_left_out_without_a_word(wallet):
    membership, _ = wallet.holds("MembershipCredential"), wallet.holds("RoleCredential")
    assert await wallet.shown(BOTH, granted=[BOTH[0]]) == [membership.id]
    assert await wallet.shown([BOTH[1]], granted=[BOTH[0]]) == []


async def test_a_granted_scope_that_is_not_asked_for_is_left_out(wallet):
    wallet.holds("MembershipCredential")
    assert await wallet.shown([BOTH[1]], granted=BOTH) == []


@pytest.mark.parametrize(
    "scope", [MEMBERSHIP, f"{MEMBERSHIP}:read", f"{TYPE_ALIAS}:https://example.org/v1#MembershipCredential:read"]
)
async def test_a_scope_may_come_with_and_without_operation_and_with_a_context(wallet, scope):
    found = wallet.holds("MembershipCredential")
    assert await wallet.shown([scope]) == [found.id]


async def test_a_credential_may_be_asked_for_by_its_id(wallet):
    first, _ = wallet.holds("MembershipCredential"), wallet.holds("MembershipCredential")
    scope = f"{ID_ALIAS}:{first.id}:read"
    assert await wallet.shown([scope], granted=[scope]) == [first.id]


@pytest.mark.parametrize(
    "scope",
    [
        f"{TYPE_ALIAS}:Membership:read",
        f"{TYPE_ALIAS}:M:read",
        f"{TYPE_ALIAS}:*:read",
        f"{TYPE_ALIAS}:MembershipCredential2:read",
        f"{TYPE_ALIAS}:membershipcredential:read",
        f"{TYPE_ALIAS}:Credential:read",
        f"{TYPE_ALIAS}:.*:read",
        f"{TYPE_ALIAS}:VerifiableCredential:read",
        f"{ID_ALIAS}:urn:uuid::read",
        f"{ID_ALIAS}:MembershipCredential:read",
        "other.alias:MembershipCredential:read",
    ],
)
async def test_a_prefix_a_pattern_or_another_alias_matches_nothing(wallet, scope):
    wallet.holds("MembershipCredential")
    assert await wallet.shown([scope], granted=[*BOTH, scope]) == []


async def test_an_expired_credential_and_one_of_tomorrow_are_not_shown(wallet):
    now = wallet.world.clock.now()
    wallet.holds("MembershipCredential", valid_from=now - timedelta(days=2), valid_until=now)
    wallet.holds("MembershipCredential", valid_from=now + timedelta(seconds=1))
    good = wallet.holds("MembershipCredential", valid_from=now, valid_until=now + timedelta(seconds=1))
    assert await wallet.shown(BOTH) == [good.id]
    wallet.world.clock.forward(1)
    assert good.id not in await wallet.shown(BOTH)


async def test_one_presentation_for_each_format_signed_by_the_holder_for_the_verifier_alone(wallet):
    ids = {form: wallet.holds("MembershipCredential", format=form).id for form in (vc.VC20, vc.VC11)}
    reply = await wallet.query(asking(BOTH))
    body = await reply.json()
    assert (body["type"], body["@context"]) == ("PresentationResponseMessage", [vc.DCP_CONTEXT])
    found = vc.parse_presentations(body["presentation"])
    assert {tuple(one.id for one in each.credentials) for each in found} == {(each,) for each in ids.values()}
    for each in found:
        assert (each.holder, each.audience) == (wallet.owner.did, wallet.verifier.did)
        assert each.expires <= wallet.world.clock.now() + timedelta(minutes=5)
        jose.verify(each.proof, wallet.owner.key.public_jwk())


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (asking(BOTH, presentationDefinition={"id": "x"}), 400),
        (asking(BOTH, presentationDefinition={}), 400),
        (asking(BOTH, presentationDefinition=None), 400),
        (asking([], presentationDefinition={"id": "x"}), 400),
        (asking(presentationDefinition={}), 400),
        (asking(presentationDefinition="x"), 400),
        (asking(presentationDefinition=[{"id": "x"}]), 400),
        (asking(presentationDefinition={"id": "x", "input_descriptors": []}), 501),
        (asking(), 400),
        (asking([]), 400),
        (asking(BOTH[0]), 400),
        (asking({"a": 1}), 400),
        (asking([1]), 400),
        (asking([BOTH[0], None]), 400),
        (asking([""]), 400),
        (asking(["MembershipCredential"]), 400),
        (asking([f"{TYPE_ALIAS}:"]), 400),
        (asking([f"{TYPE_ALIAS}:a b"]), 400),
        (asking([BOTH[0]] * 101), 400),
        (asking(BOTH, type="CredentialMessage"), 400),
        (asking(BOTH, type=["PresentationQueryMessage"]), 400),
        (asking(BOTH) | {"@context": []}, 400),
        (asking(BOTH) | {"@context": 5}, 400),
        (asking(BOTH) | {"@context": True}, 400),
        (asking(BOTH) | {"@context": None}, 400),
        (asking(BOTH) | {"@context": f"x{vc.DCP_CONTEXT}"}, 400),
        (asking(BOTH) | {"@context": ["https://www.w3.org/2018/credentials/v1"]}, 400),
        ([], 400),
        ("text", 400),
        (None, 400),
    ],
)
async def test_exactly_one_of_scope_and_definition_and_the_right_message(wallet, message, status):
    wallet.holds("MembershipCredential")
    reply = await wallet.query(message)
    assert reply.status == status
    assert "presentation" not in await reply.json(content_type=None)


@pytest.mark.parametrize("route", [QUERY, DELIVER, OFFER])
async def test_without_a_token_it_is_401_and_says_no_more(wallet, route):
    reply = await wallet.client.post(route, json=asking(BOTH))
    assert reply.status == 401
    assert set(await reply.json(content_type=None)) <= {"type", "title", "status", "code", "detail"}


@pytest.mark.parametrize("route", [QUERY, DELIVER, OFFER])
async def test_a_token_for_somebody_else_is_401(wallet, route):
    headers = wallet.bearer(wallet.verifier, "x", audience=wallet.issuer.did)
    assert (await wallet.client.post(route, json=asking(BOTH), headers=headers)).status == 401


async def test_a_query_without_an_access_token_is_401(wallet):
    reply = await wallet.query(asking(BOTH), headers=wallet.bearer(wallet.verifier))
    assert reply.status == 401


async def test_an_access_token_of_another_verifier_is_401(wallet):
    wallet.holds("MembershipCredential")
    stolen = wallet.sts.access_token(wallet.verifier.did, BOTH)
    assert (await wallet.query(asking(BOTH), access=stolen, party=wallet.thief)).status == 401


async def test_an_expired_access_token_is_401(wallet):
    access = wallet.sts.access_token(wallet.verifier.did, BOTH)
    wallet.world.clock.forward(LIFE - 1)
    assert (await wallet.query(asking(BOTH), access=access)).status == 200
    wallet.world.clock.forward(1)
    assert (await wallet.query(asking(BOTH), access=access)).status == 401


@pytest.mark.parametrize("maker", ["thief", "verifier", "issuer"])
async def test_an_access_token_that_we_did_not_sign_is_401(wallet, maker):
    foreign = Sts(wallet.owner.did, getattr(wallet, maker).key, wallet.world.clock).access_token(wallet.verifier.did, BOTH)
    assert (await wallet.query(asking(BOTH), access=foreign)).status == 401


async def test_our_own_identity_token_is_no_access_token(wallet):
    ours = wallet.sts.token(wallet.verifier.did)
    assert (await wallet.query(asking(BOTH), access=ours)).status == 401


@pytest.mark.parametrize("access", ["x", "a.b.c", "...", "e30.e30.AA"])
async def test_an_access_token_that_is_none_is_401(wallet, access):
    assert (await wallet.query(asking(BOTH), access=access)).status == 401


async def test_the_same_identity_token_works_once_and_a_new_one_repeats_the_query(wallet):
    wallet.holds("MembershipCredential")
    access = wallet.sts.access_token(wallet.verifier.did, BOTH)
    headers = wallet.bearer(wallet.verifier, access)
    assert (await wallet.query(asking(BOTH), headers=headers)).status == 200
    assert (await wallet.query(asking(BOTH), headers=headers)).status == 401
    assert (await wallet.query(asking(BOTH), access=access)).status == 200


# Storage


async def test_a_delivery_of_the_asked_issuer_is_stored_and_can_be_shown(wallet):
    wallet.requested()
    jwt = wallet.issuer.issue(wallet.owner.did)
    assert (await wallet.deliver(jwt)).status == 200
    assert [each.jwt for each in wallet.store.credentials] == [jwt]
    assert (await wallet.store.request("urn:uuid:1")).state == "ISSUED"
    assert len(await wallet.shown(BOTH)) == 1


async def test_the_same_delivery_again_is_acknowledged_again_and_stored_once(wallet):
    wallet.requested()
    jwt = wallet.issuer.issue(wallet.owner.did)
    for _ in range(2):
        assert (await wallet.deliver(jwt)).status == 200
    assert [each.jwt for each in wallet.store.credentials] == [jwt]


async def test_an_unknown_holder_pid_is_404(wallet):
    assert (await wallet.deliver(wallet.issuer.issue(wallet.owner.did))).status == 404
    assert wallet.store.credentials == []


async def test_a_delivery_of_another_issuer_than_asked_is_404_as_if_there_were_no_request(wallet):
    wallet.requested()
    reply = await wallet.deliver(wallet.thief.issue(wallet.owner.did), party=wallet.thief)
    wallet.store.requests.clear()
    other = await wallet.deliver(wallet.thief.issue(wallet.owner.did), party=wallet.thief)
    assert (reply.status, await reply.json(content_type=None)) == (other.status, await other.json(content_type=None))
    assert reply.status == 404
    assert wallet.store.credentials == []


async def refused(wallet, *jwts, **changes):
    wallet.requested()
    reply = await wallet.deliver(*jwts, **changes)
    assert reply.status == 400, await reply.text()
    assert wallet.store.credentials == []
    assert (await wallet.store.request("urn:uuid:1")).state == "REQUESTED"


async def test_a_credential_of_another_issuer_is_refused(wallet):
    await refused(wallet, wallet.thief.issue(wallet.owner.did))


async def test_a_credential_in_the_name_of_the_issuer_signed_by_another_is_refused(wallet):
    await refused(wallet, wallet.thief.issue(wallet.owner.did, issuer=wallet.issuer.did))


async def test_a_credential_about_another_subject_is_refused(wallet):
    await refused(wallet, wallet.issuer.issue(wallet.thief.did))
    await refused(wallet, wallet.issuer.issue(wallet.owner.did, subject=[{"id": wallet.owner.did}, {"id": wallet.thief.did}]))
    await refused(wallet, wallet.issuer.issue(wallet.owner.did, subject={"memberOf": "nobody"}))


async def test_a_credential_of_a_type_that_was_not_announced_is_refused(wallet):
    await refused(wallet, wallet.issuer.issue(wallet.owner.did, "RoleCredential"))


async def test_a_credential_without_a_type_of_its_own_is_refused(wallet):
    jwt = wallet.issuer.issue(wallet.owner.did, "VerifiableCredential")
    container = {"credentialType": "VerifiableCredential", "payload": jwt, "format": vc.VC20}
    await refused(wallet, credentials=[container])


async def test_an_expired_credential_and_one_of_tomorrow_are_refused(wallet):
    now = wallet.world.clock.now()
    await refused(wallet, wallet.issuer.issue(wallet.owner.did, valid_from=now - timedelta(days=2), valid_until=now))
    await refused(wallet, wallet.issuer.issue(wallet.owner.did, valid_from=now + timedelta(minutes=1)))


async def test_one_bad_credential_refuses_the_whole_delivery(wallet):
    await refused(wallet, wallet.issuer.issue(wallet.owner.did), wallet.issuer.issue(wallet.thief.did))


async def test_a_changed_signature_is_refused(wallet):
    head, body, signature = wallet.issuer.issue(wallet.owner.did).split(".")
    await refused(wallet, f"{head}.{body}.{'A' * len(signature)}")


@pytest.mark.parametrize(
    "changes",
    [
        {"credentials": []},
        {"credentials": None},
        {"credentials": {}},
        {"credentials": [{}]},
        {"credentials": [{"credentialType": "MembershipCredential", "payload": "x", "format": "jwt"}]},
        {"credentials": [{"credentialType": "MembershipCredential", "payload": 5, "format": "jwt"}]},
        {"credentials": [{"credentialType": "MembershipCredential", "payload": "x", "format": "ldp_vc"}]},
        {"status": "issued"},
        {"status": "PENDING"},
        {"status": None},
        {"holderPid": 5},
        {"issuerPid": None},
        {"type": "CredentialOfferMessage"},
        {"@context": 5},
    ],
    ids=str,
)
async def test_a_message_of_another_form_is_refused(wallet, changes):
    await refused(wallet, **changes)


async def test_a_rejection_is_noted_and_what_comes_after_it_is_refused(wallet):
    wallet.requested()
    assert (await wallet.deliver(status="REJECTED", credentials=[], rejectionReason="no member")).status == 200
    found = await wallet.store.request("urn:uuid:1")
    assert (found.state, found.note) == ("REJECTED", "no member")
    assert (await wallet.deliver(wallet.issuer.issue(wallet.owner.did))).status == 400
    assert wallet.store.credentials == []
    assert (await wallet.store.request("urn:uuid:1")).state == "REJECTED"


async def test_a_rejection_after_the_delivery_is_refused_and_takes_nothing_away(wallet):
    wallet.requested()
    await wallet.deliver(wallet.issuer.issue(wallet.owner.did))
    assert (await wallet.deliver(status="REJECTED", credentials=[])).status == 400
    assert len(wallet.store.credentials) == 1
    assert (await wallet.store.request("urn:uuid:1")).state == "ISSUED"


async def test_a_long_reason_of_a_rejection_is_cut(wallet):
    wallet.requested()
    await wallet.deliver(status="REJECTED", credentials=[], rejectionReason="x" * 10_000)
    assert len((await wallet.store.request("urn:uuid:1")).note) == 500


async def test_a_delivery_with_a_spent_token_is_401_and_stores_nothing(wallet):
    wallet.requested()
    headers = wallet.bearer(wallet.issuer)
    await wallet.deliver(status="REJECTED", credentials=[], headers=headers)
    wallet.store.requests["urn:uuid:1"] = replace(await wallet.store.request("urn:uuid:1"), state="REQUESTED")
    assert (await wallet.deliver(wallet.issuer.issue(wallet.owner.did), headers=headers)).status == 401
    assert wallet.store.credentials == []


# Offers


def offering(wallet, **changes):
    found = {
        "@context": [vc.DCP_CONTEXT],
        "type": "CredentialOfferMessage",
        "issuer": wallet.issuer.did,
        "credentials": [{"id": "membership"}],
    }
    return found | changes


async def test_an_offer_becomes_requests_and_wakes_who_sends_them(wallet):
    message = offering(wallet, credentials=[{"id": "a"}, {"id": "b", "type": "CredentialObject"}, {"id": "a"}])
    reply = await wallet.client.post(OFFER, json=message, headers=wallet.bearer(wallet.issuer))
    assert reply.status == 200
    assert wallet.store.credentials == []
    assert [(each.issuer, each.definitions, each.state) for each in wallet.store.requests.values()] == [
        (wallet.issuer.did, ("a",), "CREATED"),
        (wallet.issuer.did, ("b",), "CREATED"),
    ]
    assert wallet.woken == 1


async def test_an_offer_of_an_issuer_that_is_not_trusted_is_refused(wallet):
    message = offering(wallet, issuer=wallet.thief.did)
    headers = wallet.bearer(wallet.thief)
    assert (await wallet.client.post(OFFER, json=message, headers=headers)).status == 403
    assert wallet.store.requests == {}
    assert (await wallet.client.post(OFFER, json=message, headers=headers)).status == 401, "its token is used up"


async def test_an_offer_of_types_that_the_issuer_is_not_trusted_for_is_refused(wallet):
    wallet.trusted[wallet.issuer.did] = {"RoleCredential"}
    message = offering(wallet, credentials=[{"id": "a", "credentialType": "MembershipCredential"}])
    reply = await wallet.client.post(OFFER, json=message, headers=wallet.bearer(wallet.issuer))
    assert reply.status == 403
    assert not wallet.store.requests
    message = offering(wallet, credentials=[{"id": "a", "credentialType": "RoleCredential"}, {"id": "b"}])
    assert (await wallet.client.post(OFFER, json=message, headers=wallet.bearer(wallet.issuer))).status == 200
    assert len(wallet.store.requests) == 2


async def test_what_the_issuer_is_not_trusted_for_any_more_is_not_taken(wallet):
    """A trust list may change between offer and delivery."""
    wallet.requested()
    wallet.trusted.clear()
    reply = await wallet.deliver(wallet.issuer.issue(wallet.owner.did))
    assert reply.status == 403
    assert not wallet.store.credentials
    wallet.trusted[wallet.issuer.did] = {"MembershipCredential"}
    assert (await wallet.deliver(wallet.issuer.issue(wallet.owner.did))).status == 200


@pytest.mark.parametrize(
    "entries", [[{"id": "x"}] * 21, [{"type": "x"}], ["x"], [{"id": ""}], [{"id": 5}], [{"id": "x" * 257}]], ids=str
)
async def test_an_offer_with_entries_that_nobody_can_ask_for_is_refused(wallet, entries):
    message = offering(wallet, credentials=entries)
    assert (await wallet.client.post(OFFER, json=message, headers=wallet.bearer(wallet.issuer))).status == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "did:web:thief.example"},
        {"issuer": None},
        {"credentials": []},
        {"credentials": 5},
        {"credentials": "all"},
        {"type": "x"},
    ],
    ids=str,
)
async def test_an_offer_of_another_form_or_in_another_name_is_refused(wallet, changes):
    message = offering(wallet, **changes)
    assert (await wallet.client.post(OFFER, json=message, headers=wallet.bearer(wallet.issuer))).status == 400


async def test_a_credential_of_several_types_is_kept_under_the_announced_one(wallet):
    wallet.requested()
    wallet.trusted[wallet.issuer.did] = {"*"}
    jwt = wallet.issuer.issue(wallet.owner.did, "MembershipCredential", "AaaCredential")
    assert (await wallet.deliver(jwt)).status == 200
    assert len(await wallet.shown(BOTH)) == 1
