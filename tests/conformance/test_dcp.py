"""The 85 active cases of the official DCP kit under their own method names, played over HTTP by a peer of our own (tests/peer/dcp.py).

Upstream a refusal counts whatever its reason, and several of its bad tokens are wrong in two ways. Here each is wrong in one way, and the reason is checked.
"""

import asyncio
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.conformance.dcp_under_test import CLIENT, HOLDER_PID, properties, under_test
from tests.peer.dcp import FORMAT, MEMBERSHIP, SENSITIVE, DcpPeer, message, scope
from tests.support.dcp_schemas import checked
from tests.support.ports import free_port

CASES = {}


def case(role, *names):
    """Register a case under its method name in the kit."""

    def register(function):
        for name in names or (function.__name__,):
            assert name not in CASES
            CASES[name] = (role, function)
        return function

    return register


class Bench:
    """The part under test and the peer, with the requests that the kit makes of it."""

    def __init__(self, role, found, peer):
        self.role, self.found, self.peer = role, found, peer

    @property
    def did(self):
        return self.found.did

    def reason(self):
        """Why the last request was refused: the fixed word in the log, else the error's text."""
        error = self.found.refusals[-1]
        return error.facts.get("reason", error.detail)

    async def endpoint(self, kind):
        return self.peer.endpoint(await self.peer.document(self.did), kind)

    async def send(self, *, token=None, authorization=None, body=None):
        """The request of this kind of case; (status, headers, body)."""
        method, url, usual = await self.request()
        return await self.peer.send(method, url, token=token, authorization=authorization, body=body or usual)

    async def accepted(self, token=None, body=None):
        status, headers, answer = await self.send(token=token or self.token(), body=body)
        assert 200 <= status < 300, (status, self.found.refusals)
        return headers, answer

    async def refused(self, reason, status=401, **sent):
        before = len(self.found.refusals)
        found, _, body = await self.send(**sent)
        assert found == status, body
        assert len(self.found.refusals) == before + 1
        assert reason in self.reason(), self.reason()
        if status == 401:
            assert body["detail"] in ("the caller is not authenticated", "authentication failed"), (
                "the caller learns nothing of the reason"
            )


class Deliver(Bench):
    """Issuer -> credential service: CredentialMessage."""

    sender = "issuer"

    def token(self, **changes):
        return self.peer.token(self.sender, self.did, **changes)

    def body(self, **changes):
        held = [
            {"credentialType": kind, "payload": self.peer.credential(kind, holder=self.did), "format": FORMAT}
            for kind in (MEMBERSHIP, SENSITIVE)
        ]
        return (
            message("CredentialMessage", issuerPid="issuer-pid", holderPid=HOLDER_PID, status="ISSUED", credentials=held) | changes
        )

    async def request(self):
        return "POST", await self.endpoint("CredentialService") + "/credentials", self.body()


class Offer(Deliver):
    """Issuer -> credential service: CredentialOfferMessage."""

    def body(self, **changes):
        offered = {
            "id": "membership-1", "type": "CredentialObject", "credentialType": MEMBERSHIP, "offerReason": "reissue", "bindingMethods": ["did:web"],
            "profile": FORMAT, "issuancePolicy": {},
        }  # fmt: skip
        return message("CredentialOfferMessage", issuer=self.peer.did("issuer"), credentials=[offered]) | changes

    async def request(self):
        return "POST", await self.endpoint("CredentialService") + "/offers", self.body()


class Query(Deliver):
    """Verifier -> credential service: PresentationQueryMessage, with an access token of the holder's token service."""

    sender = "verifier"

    async def access(self, *kinds, audience="verifier"):
        sts = self.found.properties
        scopes = [scope(each) for each in kinds or (MEMBERSHIP,)]
        return await self.peer.drawn(
            sts["sts.url"], sts["sts.client.id"], sts["sts.client.secret"], self.peer.did(audience), *scopes
        )

    def body(self, *kinds):
        return message("PresentationQueryMessage", scope=[scope(each) for each in kinds or (MEMBERSHIP,)])

    async def request(self):
        return "POST", await self.endpoint("CredentialService") + "/presentations/query", self.body()

    async def issue(self):
        """As before every case of the kit: both credentials are delivered."""
        deliver = Deliver(self.role, self.found, self.peer)
        await deliver.accepted()

    async def shown(self, body, **access):
        token = self.token(token=await self.access(*access.get("granted", ())))
        _, answer = await self.accepted(token, body)
        checked(answer, "presentation/presentation-response-message")
        return self.peer.presented(answer, await self.peer.document(self.did))


class Trigger(Bench):
    """Holder -> verifier: whatever makes it ask for a presentation."""

    def token(self, **changes):
        return self.peer.token("holder", self.did, **({"token": self.peer.grant(self.did)} | changes))

    async def request(self):
        return "POST", self.found.properties["vpp.trigger.endpoint"], {}

    def shows(self, *credentials):
        self.peer.shown = lambda asker: [self.peer.vp(*credentials, audience=asker)]


class Request(Bench):
    """Holder -> issuer: CredentialRequestMessage."""

    def token(self, **changes):
        return self.peer.token("holder", self.did, **changes)

    async def request(self):
        base = await self.endpoint("IssuerService")
        _, _, metadata = await self.peer.send("GET", f"{base}/metadata")
        wanted = [{"id": each["id"]} for each in metadata["credentialsSupported"] if each["profile"] == FORMAT]
        assert len(wanted) == 2
        return "POST", f"{base}/credentials", message("CredentialRequestMessage", holderPid=HOLDER_PID, credentials=wanted)


class Status(Request):
    """Holder -> issuer: the state of a request."""

    key = ""

    async def request(self):
        if not self.key:
            asked = Request(self.role, self.found, self.peer)
            headers, _ = await asked.accepted()
            self.key = headers["Location"].rpartition("/")[2]
        return "GET", f"{await self.endpoint('IssuerService')}/requests/{self.key}", None


# What is wrong with a token, and the word for it

SOON, PAST = 60, -60  # the kit's own distances: a leeway of a minute would let them through


def faults(bench):
    now, third = int(time.time()), bench.peer.did("thirdparty")
    return {
        "expired": (lambda: {"token": bench.token(exp=now + PAST, iat=now - 600)}, "exp"),
        "iat": (lambda: {"token": bench.token(iat=now + SOON)}, "iat"),
        "nbf": (lambda: {"token": bench.token(nbf=now + SOON)}, "nbf"),
        "aud": (lambda: {"token": bench.token(aud=third)}, "aud"),
        "iss": (lambda: {"token": bench.token(iss=third)}, "iss-sub"),
        "sub": (lambda: {"token": bench.token(sub=third)}, "iss-sub"),
        "key": (lambda: {"token": bench.token(key=ec.generate_private_key(ec.SECP256R1()))}, "signature"),
        "none": (dict, "header"),
        "bare": (lambda: {"authorization": bench.token()}, "header"),
    }


FAULTY = {
    "cs_06_05_01_credentialMessage_noAuthHeader": (Deliver, "none"),
    "cs_06_05_01_credentialMessage_missingBearerPrefix": (Deliver, "bare"),
    "cs_06_05_01_credentialMessage_tokenSignedWithWrongKey": (Deliver, "key"),
    "cs_06_05_01_credentialMessage_tokenExpired": (Deliver, "expired"),
    "cs_06_05_01_credentialMessage_iatInFuture": (Deliver, "iat"),
    "cs_06_05_01_credentialMessage_nbfViolated": (Deliver, "nbf"),
    "cs_06_05_01_credentialMessage_incorrectAudience": (Deliver, "aud"),
    "cs_06_05_01_credentialMessage_issNotEqualToSub": (Deliver, "iss"),
    "cs_06_06_01_credentialOfferMessage_noAuthHeader": (Offer, "none"),
    "cs_06_06_01_credentialOfferMessage_missingBearerPrefix": (Offer, "bare"),
    "cs_06_06_01_credentialOfferMessage_tokenSignedWithWrongKey": (Offer, "key"),
    "cs_06_06_01_credentialOfferMessage_tokenExpired": (Offer, "expired"),
    "cs_06_06_01_credentialOfferMessage_iatInFuture": (Offer, "iat"),
    "cs_06_06_01_credentialOfferMessage_nbfViolated": (Offer, "nbf"),
    "cs_06_06_01_credentialOfferMessage_incorrectAudience": (Offer, "aud"),
    "cs_06_06_01_credentialOfferMessage_issNotEqualToSub": (Offer, "sub"),
    "is_6_8_2_credentialStatusRequest_noAuthHeader": (Status, "none"),
    "is_6_8_3_credentialStatusRequest_noBearerPrefix": (Status, "bare"),
    "is_6_8_5_credentialStatusRequest_tokenSignedWithWrongKey": (Status, "key"),
    "is_6_8_6_credentialStatusRequest_tokenExpired": (Status, "expired"),
    "is_6_8_7_credentialStatusRequest_iatInFuture": (Status, "iat"),
    "is_6_8_8_credentialStatusRequest_nbfViolated": (Status, "nbf"),
    "is_6_8_8_credentialStatusRequest_invalidAud": (Status, "aud"),
    "is_6_8_10_credentialStatusRequest_issNotEqualSub": (Status, "iss"),
    "is_6_4_2_credentialRequest_noAuthHeader": (Request, "none"),
    "is_6_4_3_credentialRequest_noBearerPrefix": (Request, "bare"),
    "is_6_4_5_credentialRequest_tokenSignedWithWrongKey": (Request, "key"),
    "is_6_4_6_credentialRequest_tokenExpired": (Request, "expired"),
    "is_6_4_7_credentialRequest_iatInFuture": (Request, "iat"),
    "is_6_4_8_credentialRequest_nbfViolated": (Request, "nbf"),
    "is_6_4_8_credentialRequest_invalidAud": (Request, "aud"),
    "is_6_4_10_credentialRequest_issNotEqualSub": (Request, "iss"),
    "cs_04_03_03_idTokenInvalidSub": (Query, "sub"),
    "cs_04_03_03_idtokenIncorrectAud": (Query, "aud"),
    "cs_04_03_03_idtokenNbfInFuture": (Query, "nbf"),
    "cs_04_03_03_idtokenExpired": (Query, "expired"),
    "cs_05_03_01_accessTokenInvalidHeader": (Query, "bare"),
    "presentationResponse_rejectMissingBearerPrefix": (Trigger, "bare"),
    "verifier_04_03_03_idTokenInvalidSub": (Trigger, "sub"),
    "verifier_04_03_03_idTokenIncorrectAud": (Trigger, "aud"),
    "verifier_04_03_03_idTokenIncorrectSub": (Trigger, "iss"),
    "verifier_04_03_03_idTokenNbfInFuture": (Trigger, "nbf"),
    "verifier_04_03_03_idTokenExpired": (Trigger, "expired"),
}


def faulty(fault):
    async def play(bench):
        sent, reason = faults(bench)[fault]
        changes = sent()
        if isinstance(bench, Query):  # the access token is good: nothing else is wrong
            access = await bench.access()
            usual, bench.token = bench.token, lambda **more: usual(**{"token": access} | more)
            changes = faults(bench)[fault][0]()
        await bench.refused(reason, **changes)
        await bench.accepted()  # and without the fault it is taken

    return play


for _name, (_bench, _fault) in FAULTY.items():
    case(_bench, _name)(faulty(_fault))


@case(Deliver, "cs_06_05_01_credentialMessage_jtiAlreadyUsed")
@case(Offer, "cs_06_06_01_credentialOfferMessage_jtiAlreadyUsed")
@case(Request, "is_6_4_11_credentialRequest_jtiAlreadyUsed")
@case(Status, "is_6_8_11_credentialStatusRequest_jtiAlreadyUsed")
@case(Trigger, "verifier_04_03_03_idTokenJtiUsedTwice")
async def twice(bench):
    token = bench.token()
    await bench.accepted(token)
    if isinstance(bench, Trigger):  # another access token, the same jti
        used = jwt.decode(token, options={"verify_signature": False})["jti"]
        token = bench.token(jti=used)
    await bench.refused("jti", token=token)


@case(Query)
async def cs_04_03_03_idtokenJtiUsedTwice(bench):  # noqa: N802  the kit's names
    await bench.issue()
    await bench.accepted(bench.token(jti="the-same", token=await bench.access()))
    await bench.refused("jti", token=bench.token(jti="the-same", token=await bench.access()))


# Credential service: storage and offers


@case(Deliver)
async def cs_06_05_01_credentialMessage(bench):  # noqa: N802
    for _ in range(3):  # the kit delivers before every case, always under the same holderPid
        await bench.accepted()
    assert {each.type for each in await bench.found.store.held()} == {MEMBERSHIP, SENSITIVE}


@case(Deliver)
async def cs_06_05_01_credentialMessage_invalidBody(bench):  # noqa: N802
    body = bench.body()
    del body["holderPid"]
    await bench.refused("holderPid", 400, token=bench.token(), body=body)
    assert await bench.found.store.held() == []


@case(Deliver)
async def cs_06_05_01_credentialMessage_invalidStatus(bench):  # noqa: N802
    await bench.refused("status", 400, token=bench.token(), body=bench.body(status="INVALID"))
    assert await bench.found.store.held() == []


@case(Offer)
async def cs_06_06_01_credentialOfferMessage(bench):  # noqa: N802
    await bench.accepted()


@case(Offer)
async def cs_06_06_01_credentialOfferMessage_onlyIds(bench):  # noqa: N802
    await bench.accepted(body=bench.body(credentials=[{"id": "a"}, {"id": "b"}]))


@case(Offer)
async def cs_06_06_01_credentialOfferMessage_invalidBody(bench):  # noqa: N802
    body = bench.body()
    del body["issuer"]
    await bench.refused("issuer", 400, token=bench.token(), body=body)


# Credential service: presentation queries


@case(Query)
async def cs_04_03_03_idTokenInvalidIssuerSub(bench):  # noqa: N802
    """A good token of a third party with an access token that the verifier was given."""
    await bench.issue()
    token = bench.peer.token("thirdparty", bench.did, token=await bench.access())
    await bench.refused("made for somebody else", token=token)


@case(Query)
async def cs_04_03_03_idtokenIncorrectSub(bench):  # noqa: N802
    """The third party's token, for another audience than us."""
    await bench.issue()
    third = bench.peer.did("thirdparty")
    await bench.refused(
        "aud", token=bench.peer.token("thirdparty", bench.peer.did("verifier"), sub=third, token=await bench.access())
    )


@case(Query)
async def cs_05_02_endpointDiscovery(bench):  # noqa: N802
    assert (await bench.endpoint("CredentialService")).startswith(bench.found.url)


@case(Query)
async def cs_05_04_invalidTokenNotAuthorized(bench):  # noqa: N802
    await bench.issue()
    await bench.refused("compact", token=bench.token(token="faketoken"))


@case(Query)
async def cs_05_04_01_invalidScopeAndPresentationRequest(bench):  # noqa: N802
    await bench.issue()
    both = bench.body() | {"presentationDefinition": {"id": "1", "input_descriptors": [{"id": "credential"}]}}
    await bench.refused("exactly one", 400, token=bench.token(token=await bench.access()), body=both)


@case(Query)
async def cs_05_04_01_emptyPresentationDefinition(bench):  # noqa: N802
    await bench.issue()
    for empty in ({}, None):
        body = message("PresentationQueryMessage", presentationDefinition=empty)
        await bench.refused("exactly one", 400, token=bench.token(token=await bench.access()), body=body)


@case(Query)
async def cs_05_04_02_emptyScopeExpect4xx(bench):  # noqa: N802
    await bench.issue()
    for members in ({"scope": []}, {}):
        body = message("PresentationQueryMessage", **members)
        await bench.refused("scope", 400, token=bench.token(token=await bench.access()), body=body)


@case(Query)
async def cs_05_04_01_02_scopeByTypeRequest(bench):  # noqa: N802
    await bench.issue()
    assert await bench.shown(bench.body()) == {MEMBERSHIP}


@case(Query)
async def cs_05_04_01_02_lessScopesThanAuthorizedByTypeRequest(bench):  # noqa: N802
    await bench.issue()
    assert await bench.shown(bench.body(SENSITIVE), granted=(MEMBERSHIP, SENSITIVE)) == {SENSITIVE}


@case(Query)
async def cs_05_04_01_02_invalidScopeEscalationRequest(bench):  # noqa: N802
    await bench.issue()
    assert await bench.shown(bench.body(MEMBERSHIP, SENSITIVE), granted=(MEMBERSHIP,)) == {MEMBERSHIP}


# Verifier


@case(Trigger)
async def verifier_04_03_03_idTokenInvalidIssuerSub(bench):  # noqa: N802
    """A good token of a third party with an access token that the holder gave: the credential service does not honour it."""
    token = bench.peer.token("thirdparty", bench.did, token=bench.peer.grant("somebody else"))
    await bench.refused("query-status", token=token)


@case(Trigger)
async def verifier_04_03_01_presentationResponse_idTokenNoTokenClaim(bench):  # noqa: N802
    await bench.refused("access-token", token=bench.token(token=None))
    assert bench.peer.queries == []


@case(Trigger)
async def presentationResponse_endpointDiscovery(bench):  # noqa: N802
    assert (await bench.endpoint("CredentialService")).startswith(bench.found.url)


@case(Trigger)
async def verifier_05_01_presentationResponse_success(bench):  # noqa: N802
    _, answer = await bench.accepted()
    assert answer["did"] == bench.peer.did("holder")
    claims, asked = bench.peer.queries[0]
    assert asked["scope"] == [scope(MEMBERSHIP)]
    assert (claims["iss"], claims["sub"], claims["aud"]) == (bench.did, bench.did, bench.peer.did("holder"))
    checked(asked, "presentation/presentation-query-message")


@case(Trigger)
async def verifier_05_04_02_01_presentationResponse_tooFewCredentials(bench):  # noqa: N802
    bench.shows(bench.peer.credential(SENSITIVE))
    await bench.refused("missing-credential", token=bench.token())


@case(Trigger)
async def verifier_05_04_02_02_presentationResponse_tooManyCredentials(bench):  # noqa: N802
    bench.shows(bench.peer.credential(), bench.peer.credential(SENSITIVE))
    _, answer = await bench.accepted()
    assert set(answer["claims"]) == {MEMBERSHIP}


@case(Trigger)
async def verifier_05_04_02_03_presentationResponse_emptyPresentations(bench):  # noqa: N802
    bench.peer.shown = lambda asker: []
    await bench.refused("presentation-empty", token=bench.token())


@case(Trigger)
async def verifier_05_04_02_04_presentationResponse_emptyCredentials(bench):  # noqa: N802
    bench.shows()
    await bench.refused("missing-credential", token=bench.token())


@case(Trigger)
async def verifier_05_04_03_presentationResponse_holderNotEqualSubjectId(bench):  # noqa: N802
    bench.shows(bench.peer.credential(subject={"id": bench.peer.did("thirdparty"), "foo": "bar"}))
    await bench.refused("subject", token=bench.token())


@case(Trigger)
async def verifier_05_04_03_07_presentationResponse_expiredCredential(bench):  # noqa: N802
    bench.shows(bench.peer.credential(since=-600, until=-100))
    await bench.refused("expired-credential", token=bench.token())


@case(Trigger)
async def verifier_05_04_03_06_presentationResponse_credentialRevoked(bench):  # noqa: N802
    bench.shows(bench.peer.credential(credentialStatus=bench.peer.status(1)))
    await bench.accepted()
    bench.peer.revoked.add(1)
    await bench.refused("revocation", token=bench.token())


@case(Trigger)
async def verifier_05_04_03_06_presentationResponse_notYetValidCredential(bench):  # noqa: N802
    bench.shows(bench.peer.credential(since=3600, until=7200))
    await bench.refused("not-yet-valid", token=bench.token())


@case(Trigger)
async def verifier_x_x_presentationResponse_invalidCredentialSchema(bench):  # noqa: N802
    subject = {"type": "object", "required": ["id", "foo"], "properties": {"id": {"type": "string"}, "foo": {"type": "string"}}}
    bench.peer.schema = {"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"credentialSubject": subject}}
    schema = {"id": f"{bench.peer.url}/schema/membership-schema.json", "type": "JsonSchemaValidator2018"}
    bench.shows(bench.peer.credential(credentialSchema=schema, subject={"id": bench.peer.did("holder"), "baz": "quazz"}))
    await bench.refused("schema", token=bench.token())


# Issuer


@case(Request)
async def is_6_2_endpointDiscovery(bench):  # noqa: N802
    assert (await bench.endpoint("IssuerService")).startswith(bench.found.url)


@case(Request)
async def is_6_7_issuerMetadata(bench):  # noqa: N802
    """Without a token, and complete."""
    status, _, found = await bench.peer.send("GET", f"{await bench.endpoint('IssuerService')}/metadata")
    assert status == 200
    assert (found["type"], found["issuer"]) == ("IssuerMetadata", bench.did)
    checked(found, "issuance/issuer-metadata")


@case(Request)
async def is_6_4_1_credentialRequest(bench):  # noqa: N802
    headers, _ = await bench.accepted()
    assert headers["Location"].startswith(bench.found.url)
    for _ in range(200):
        if bench.peer.delivered:
            break
        await asyncio.sleep(0.05)
    (claims, delivered) = bench.peer.delivered[0]
    assert (claims["iss"], claims["sub"], claims["aud"]) == (bench.did, bench.did, bench.peer.did("holder"))
    assert (delivered["holderPid"], delivered["status"], len(delivered["credentials"])) == (HOLDER_PID, "ISSUED", 2)
    document = await bench.peer.document(bench.did)
    for each in delivered["credentials"]:
        found = bench.peer.proven(each["payload"], document, "assertionMethod", audience=None)
        assert (found["iss"], found["sub"], each["format"]) == (bench.did, bench.peer.did("holder"), FORMAT)


@case(Request)
async def is_6_4_4_credentialRequest_invalidBody(bench):  # noqa: N802
    _, _, body = await bench.request()
    del body["credentials"]
    await bench.refused("credentials", 400, token=bench.token(), body=body)


@case(Request)
async def is_6_4_12_credentialRequest_missingHolderPid(bench):  # noqa: N802
    _, _, body = await bench.request()
    del body["holderPid"]
    await bench.refused("holderPid", 400, token=bench.token(), body=body)


@case(Status)
async def is_6_8_1_credentialStatusRequest(bench):  # noqa: N802
    _, found = await bench.accepted()
    assert (found["type"], found["holderPid"]) == ("CredentialStatus", HOLDER_PID)
    assert found["status"] in ("RECEIVED", "ISSUED", "REJECTED")


@case(Status)
async def is_6_8_12_credentialStatusRequest_requestIdNotFound(bench):  # noqa: N802
    bench.key = "not-there"
    await bench.refused("no such request", 404, token=bench.token())


# All of them

ROLES = {
    Deliver: "credential-service",
    Offer: "credential-service",
    Query: "credential-service",
    Trigger: "verifier",
    Request: "issuer",
    Status: "issuer",
}


@pytest.mark.parametrize("name", CASES)
async def test_dcp(name, tmp_path):
    kind, play = CASES[name]
    async with DcpPeer() as peer, under_test(ROLES[kind], tmp_path, free_port(), peer.url).serving() as found:
        await play(kind(ROLES[kind], found, peer))


def test_dcp_all_active_cases_are_here(figure):
    counted = {role: sum(ROLES[kind] == role for kind, _ in CASES.values()) for role in set(ROLES.values())}
    figure(f"conformance: {len(CASES)} active DCP cases: {counted}")
    assert counted == {"credential-service": 40, "verifier": 20, "issuer": 25}


@pytest.mark.parametrize("role", ["credential-service", "verifier", "issuer"])
async def test_dcp_properties_name_what_the_kit_needs(role, tmp_path):
    port = free_port()
    async with under_test(role, tmp_path, port, "http://localhost:8083").serving() as found:
        text = properties(found)
    assert f"dataspacetck.did.{'holder' if role == 'credential-service' else role}=did:web:localhost%3A{port}\n" in text
    assert "dataspacetck.callback.address=http://localhost:8083\ndataspacetck" in text
    assert (f"sts.client.id={CLIENT}" in text) == (role == "credential-service")
