"""The endpoints over a store in memory: who learns what, repeats, illegal steps, pages (ADR 0001, 0003, 0006)."""

import json

import pytest
from aiohttp.test_utils import TestClient

from connector import errors
from connector.dsp import messages, routes
from connector.reading import next_page
from kernel.web import application
from tests.support.node import Memory, Shelf, agreement, node
from tests.support.web import TestServer

PEER, OTHER = "did:web:peer.example", "did:web:other.example"
CONTEXT = [messages.CONTEXT]


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
async def client(memory):
    async with TestClient(TestServer(application(routes.routes(node(memory)), errors=errors.response))) as found:
        yield found


def request(pid="c1", target="d", **more):
    offer = {"@id": "o", "@type": "Offer", "target": target, "permission": [{"action": "use"}]}
    return {
        "@context": CONTEXT,
        "@type": "ContractRequestMessage",
        "@id": f"m-{pid}",
        "consumerPid": pid,
        "callbackAddress": "https://p",
        "offer": offer,
    } | more


def within(kind, own, theirs="c1", **more):
    return {"@context": CONTEXT, "@type": kind, "providerPid": own, "consumerPid": theirs} | more


async def post(client, path, value, who=PEER, jti=""):
    headers = {"Authorization": f"Bearer {who} {jti}".rstrip()} if who else {}
    answer = await client.post(f"/dsp/2025-1{path}", data=value if isinstance(value, bytes) else json.dumps(value), headers=headers)
    return answer.status, await answer.read()


async def begun(client, memory):
    status, body = await post(client, "/negotiations/request", request())
    assert status == 201
    return json.loads(body)["providerPid"]


async def test_a_request_makes_a_negotiation_and_proposes_the_agreement(client, memory):
    own = await begun(client, memory)
    process = memory.found[own]
    assert (process.state, process.pending.message) == ("REQUESTED", "ContractAgreementMessage")
    (row,) = memory.outbox.values()
    assert row.path == "/negotiations/c1/agreement"
    assert json.loads(row.body)["agreement"]["assignee"] == PEER


UNKNOWN = [messages.CONTEXT, "https://unknown.example/context.jsonld"]


async def test_a_context_that_nobody_knows_is_refused_with_the_next_step_after_the_caller_is_known(client, memory):
    status, body = await post(client, "/negotiations/request", request(**{"@context": UNKNOWN}))
    (reason,) = json.loads(body)["reason"]
    assert (status, json.loads(body)["code"]) == (400, "bad-input")
    assert "unknown @context 'https://unknown.example/context.jsonld'" in reason
    assert "send the DSP context, and further names in an inline context" in reason
    assert (await post(client, "/negotiations/request", request(**{"@context": UNKNOWN}), who=""))[0] == 401
    said = {"@context": UNKNOWN, "@type": "CatalogRequestMessage"}
    status, body = await post(client, "/catalog/request", said)
    assert (status, json.loads(body)["@type"]) == (400, "CatalogError")
    assert (await post(client, "/catalog/request", said, who=""))[0] == 401
    assert not memory.found


async def test_a_peer_whose_unknown_contexts_are_passed_over_is_read_without_them(memory):
    served = application(routes.routes(node(memory, passes_over={PEER})), errors=errors.response)
    async with TestClient(TestServer(served)) as client:
        offer = {**request()["offer"], "permission": [{"action": "theirs:weld"}]}
        status, body = await post(client, "/negotiations/request", request(offer=offer, **{"@context": UNKNOWN}))
        assert status == 201
        assert memory.found[json.loads(body)["providerPid"]].data["asked"]["permission"] == [{"action": "theirs:weld"}]
        assert (await post(client, "/catalog/request", {"@context": UNKNOWN, "@type": "CatalogRequestMessage"}))[0] == 200
        assert (await post(client, "/negotiations/request", request("c2", **{"@context": UNKNOWN}), who=OTHER))[0] == 400


async def test_names_of_an_inline_context_are_written_out_before_anything_is_decided_and_a_repeat_is_a_repeat(client, memory):
    offer = {**request()["offer"], "permission": [{"action": "x:weld"}]}
    said = request(offer=offer, **{"@context": [messages.CONTEXT, {"x": "https://x.example/#"}]})
    first = await post(client, "/negotiations/request", said, jti="1")
    process = memory.found[json.loads(first[1])["providerPid"]]
    assert process.data["asked"]["permission"] == [{"action": "https://x.example/#weld"}]
    assert await post(client, "/negotiations/request", said, jti="2") == first
    inner = request("c3", offer=offer | {"@context": {"permission": "odrl:prohibition"}})
    status, body = await post(client, "/negotiations/request", inner)
    assert (status, json.loads(body)["reason"]) == (400, ["offer: an object within a message has no @context of its own"])


async def test_authentication_comes_before_every_look_up(client, memory):
    for path, value in (
        ("/negotiations/request", request()),
        ("/negotiations/urn:uuid:1/termination", within("ContractNegotiationTerminationMessage", "urn:uuid:1")),
        ("/transfers/urn:uuid:1/start", within("TransferStartMessage", "urn:uuid:1")),
    ):
        assert (await post(client, path, value, who=""))[0] == 401
    assert memory.lookups == 0


async def test_401_is_the_same_for_known_and_unknown(client, memory):
    own = await begun(client, memory)
    bodies = {
        (await post(client, f"/negotiations/{pid}/termination", within("ContractNegotiationTerminationMessage", "x"), who=""))
        for pid in (own, "urn:uuid:nothing")
    }
    assert len(bodies) == 1


async def test_404_is_the_same_for_unknown_foreign_and_other_role(client, memory):
    own = await begun(client, memory)
    said = within("ContractAgreementVerificationMessage", "x")
    unknown = await post(client, "/negotiations/urn:uuid:nothing/agreement/verification", said)
    foreign = await post(client, f"/negotiations/{own}/agreement/verification", said, who=OTHER)
    other_kind = await post(client, f"/transfers/{own}/completion", within("TransferCompletionMessage", "x"))
    other_role = await post(client, f"/negotiations/{own}/agreement", within("ContractAgreementMessage", "x", agreement={
        "@id": "a", "@type": "Agreement", "target": "d", "assigner": "x", "assignee": "y", "permission": [{"action": "use"}]}))  # fmt: skip
    assert unknown == foreign == other_role
    assert unknown[0] == other_kind[0] == 404
    assert json.loads(unknown[1])["@type"] == "ContractNegotiationError"


async def test_a_hidden_offer_is_answered_like_an_unknown_process(client, memory):
    status, body = await post(client, "/negotiations/request", request(target="hidden-1"))
    assert status == 404
    assert json.loads(body)["reason"] == ["not found"]
    assert not memory.found


async def test_a_contract_that_is_not_permitted_ends_with_a_minimal_reason(client, memory):
    status, body = await post(client, "/negotiations/request", request(target="forbidden-1"))
    assert status == 201
    process = memory.found[json.loads(body)["providerPid"]]
    assert process.pending.message == "ContractNegotiationTerminationMessage"
    (row,) = memory.outbox.values()
    assert json.loads(row.body)["reason"] == ["not permitted"]


async def test_an_illegal_transition_is_400_with_the_error_type(client, memory):
    own = await begun(client, memory)
    status, body = await post(
        client, f"/negotiations/{own}/events", within("ContractNegotiationEventMessage", own, eventType="ACCEPTED")
    )
    assert (status, json.loads(body)["@type"], json.loads(body)["code"]) == (400, "ContractNegotiationError", "illegal-transition")


async def test_a_finalisation_by_the_consumer_is_illegal(client, memory):
    own = await begun(client, memory)
    status, _ = await post(
        client, f"/negotiations/{own}/events", within("ContractNegotiationEventMessage", own, eventType="FINALIZED")
    )
    assert status == 400


async def test_a_repeat_under_a_new_token_gets_the_same_answer_and_has_one_effect(client, memory):
    first = await post(client, "/negotiations/request", request())
    again = await post(client, "/negotiations/request", request())
    assert first == again
    assert len(memory.found) == 1
    assert len(memory.journal[json.loads(first[1])["providerPid"]]) == 1


async def test_a_repeat_without_id_is_known_by_its_digest(client, memory):
    value = {name: each for name, each in request().items() if name != "@id"}
    assert await post(client, "/negotiations/request", value) == await post(client, "/negotiations/request", value)
    assert len(memory.found) == 1


async def test_another_request_under_a_used_pid_is_refused(client, memory):
    await begun(client, memory)
    status, body = await post(client, "/negotiations/request", request(target="e") | {"@id": "another"})
    assert status == 409
    assert json.loads(body)["code"] == "pid-reused"


async def test_a_used_token_is_401_even_with_a_message_that_was_accepted(client, memory):
    await post(client, "/negotiations/request", request(), jti="once")
    assert (await post(client, "/negotiations/request", request(), jti="once"))[0] == 401


async def test_a_token_is_spent_even_when_its_message_is_refused(client, memory):
    await post(
        client, "/negotiations/urn:uuid:no/termination", within("ContractNegotiationTerminationMessage", "urn:uuid:no"), jti="j"
    )
    assert (PEER, "j") in memory.spent


async def test_pids_in_the_body_are_checked(client, memory):
    own = await begun(client, memory)
    said = within("ContractNegotiationTerminationMessage", "urn:uuid:somebody")
    status, body = await post(client, f"/negotiations/{own}/termination", said)
    assert status == 400
    assert "pid" in json.loads(body)["reason"][0]


async def test_a_message_that_proves_our_pending_step_takes_both(client, memory):
    own = await begun(client, memory)
    status, _ = await post(
        client, f"/negotiations/{own}/agreement/verification", within("ContractAgreementVerificationMessage", own)
    )
    assert status == 200
    assert [row.after for row in memory.journal[own]] == ["REQUESTED", "AGREED", "VERIFIED"]
    assert memory.found[own].pending.message.endswith("FINALIZED")


async def test_get_shows_a_process_to_its_peer_only(client, memory):
    own = await begun(client, memory)
    for who, status in ((PEER, 200), (OTHER, 404)):
        answer = await client.get(f"/dsp/2025-1/negotiations/{own}", headers={"Authorization": f"Bearer {who}"})
        assert answer.status == status


async def test_a_transfer_under_an_agreement(client, memory):
    memory.agreements["a"] = agreement("a", PEER)
    ask = {
        "@context": CONTEXT,
        "@type": "TransferRequestMessage",
        "consumerPid": "t1",
        "agreementId": "a",
        "format": "HttpData-PULL",
        "callbackAddress": "https://p",
    }
    status, body = await post(client, "/transfers/request", ask)
    assert status == 201
    assert memory.found[json.loads(body)["providerPid"]].pending.message == "TransferStartMessage"
    assert (await post(client, "/transfers/request", ask | {"consumerPid": "t2"}, who=OTHER))[0] == 404
    assert (await post(client, "/transfers/request", ask | {"consumerPid": "t3", "format": "Pigeon"}))[0] == 400
    assert (await post(client, "/transfers/request", ask | {"consumerPid": "t4", "format": "HttpData-PUSH"}))[0] == 400


async def test_an_unexpected_fault_shows_nothing(memory):
    class Broken(Memory):
        def process_of_peer(self, peer, kind, peer_pid):
            raise ZeroDivisionError("secret inside")

    async with TestClient(TestServer(application(routes.routes(node(Broken())), errors=errors.response))) as client:
        status, body = await post(client, "/negotiations/request", request())
    assert status == 500
    assert b"secret" not in body
    assert json.loads(body)["@type"] == "ContractNegotiationError"


async def test_a_callback_that_is_not_the_peers_is_refused(memory):
    from kernel.errors import BadInput

    async def refuse(who, url):
        raise BadInput("callbackAddress is not one of the services in your DID document")

    async with TestClient(TestServer(application(routes.routes(node(memory, callback=refuse)), errors=errors.response))) as client:
        assert (await post(client, "/negotiations/request", request()))[0] == 400
    assert not memory.found


async def test_versions(client):
    found = await (await client.get("/.well-known/dspace-version")).json()
    assert found["protocolVersions"][0]["version"] == "2025-1"


# catalog -----------------------------------------------------------------------------------------------------------------

DATASETS = [{"@id": f"d{number:03}", "@type": "Dataset", "x": "y" * 200} for number in range(120)]
CATALOG = {"@context": CONTEXT, "@type": "CatalogRequestMessage"}


@pytest.fixture
async def shop(memory):
    found = node(memory, catalog=Shelf(*DATASETS), page_size=50)
    async with TestClient(TestServer(application(routes.routes(found), errors=errors.response))) as client:
        yield client


def following(answer):
    return next_page(answer.headers.get("Link", "")).partition("continuationToken=")[2]


async def page(client, token="", who=PEER, value=CATALOG, **headers):
    query = f"?continuationToken={token}" if token else ""
    return await client.post(
        f"/dsp/2025-1/catalog/request{query}", data=json.dumps(value), headers={"Authorization": f"Bearer {who}", **headers}
    )


async def test_pages_by_link_show_every_dataset_once(shop):
    seen, token = [], ""
    while True:
        answer = await page(shop, token)
        seen += [each["@id"] for each in (await answer.json())["dataset"]]
        token = following(answer)
        if not token:
            break
    assert seen == [each["@id"] for each in DATASETS]


async def test_a_continuation_token_is_for_its_participant_and_cannot_be_changed(shop):
    token = following(await page(shop))
    for wrong, who in ((token, OTHER), (token[:-2] + "AA", PEER), ("x", PEER), ("e30.e30", PEER)):
        answer = await page(shop, wrong, who)
        assert answer.status == 400
        assert (await answer.json())["code"] == "invalid-continuation-token"


async def test_a_large_catalog_is_compressed_when_the_caller_takes_it(shop):
    assert (await page(shop, **{"Accept-Encoding": "gzip"})).headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in (await page(shop, **{"Accept-Encoding": "identity"})).headers


async def test_offset_and_limit_of_a_crawler_are_understood(shop):
    answer = await page(
        shop, value=CATALOG | {"filter": [{"@type": "QuerySpec", "offset": 100, "limit": 100, "filterExpression": []}]}
    )
    assert [each["@id"] for each in (await answer.json())["dataset"]] == [f"d{number:03}" for number in range(100, 120)]


@pytest.mark.parametrize(
    "filters",
    [[{"@type": "Query"}], ["x"], [{"@type": "QuerySpec", "filterExpression": [{}]}], [{"@type": "QuerySpec", "limit": -1}]],
)
async def test_any_other_filter_is_400(shop, filters):
    answer = await page(shop, value=CATALOG | {"filter": filters})
    assert (answer.status, (await answer.json())["@type"]) == (400, "CatalogError")


async def test_a_dataset_by_id_and_an_unknown_one(shop):
    headers = {"Authorization": f"Bearer {PEER}"}
    found = await shop.get("/dsp/2025-1/catalog/datasets/d007", headers=headers)
    assert (found.status, (await found.json())["@id"]) == (200, "d007")
    missing = await shop.get("/dsp/2025-1/catalog/datasets/nothing", headers=headers)
    assert (missing.status, (await missing.json())["@type"]) == (404, "CatalogError")
