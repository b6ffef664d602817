"""What the official DSP kit leaves untested: authentication at every endpoint, error bodies against their schemas, peers that spell and send things their own way.

Catalog filters, pages, nested catalogs and compression: tests/scenarios/test_catalogs.py; schemas of our own completion, suspension and termination messages are checked
in test_dsp.py, since every message of the connector under test is.
"""

import json
import uuid
from contextlib import AsyncExitStack

import aiohttp
import pytest

from catalog import describe
from connector.dsp import routes
from tests.support.company import Company, Directory
from tests.unit.dsp.official import validator

CONTEXT = "https://w3id.org/dspace/2025/1/context.jsonld"
ERRORS = {
    "catalog": ("CatalogError", "catalog/catalog-error"),
    "negotiations": ("ContractNegotiationError", "negotiation/contract-negotiation-error"),
    "transfers": ("TransferError", "transfer/transfer-error"),
}
ENDPOINTS = [("POST", path.replace("{pid}", "urn:uuid:1")) for path, *_ in routes.POSTS] + [
    ("POST", "/catalog/request"), ("GET", "/catalog/datasets/urn:uuid:1"), ("GET", "/negotiations/urn:uuid:1"), ("GET", "/transfers/urn:uuid:1"),
]  # fmt: skip
MESSAGES = {path: message.TYPE for path, message, *_ in routes.POSTS} | {"/catalog/request": "CatalogRequestMessage"}


@pytest.fixture
async def pair(tmp_path):
    directory = Directory()
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Company(tmp_path / name, name, directory).running()) for name in ("seller", "buyer")]


async def call(company, method, path, *, caller=None, body=None, raw=None, headers=None):
    head = {"Authorization": caller.peers.authorization(company.did)} if caller is not None else {}
    data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, company.base + path, data=data, headers=head | (headers or {})) as answer,
    ):
        text = await answer.read()
    return answer.status, json.loads(text) if text else None


def is_error(body, path):
    type_, schema = ERRORS[path.split("/")[1]]
    assert body["@type"] == type_
    validator(schema).validate(body)
    return body["code"]


def value(path, **more):
    """A message that is well-formed as far as authentication and look-up go."""
    key = path.replace("urn:uuid:1", "{pid}")
    offer = {"@id": "o", "@type": "Offer", "target": "d", "permission": [{"action": "use"}]}
    said = {"providerPid": "urn:uuid:1", "consumerPid": "c", "callbackAddress": "https://x.example", "offer": offer, "agreementId": "a", "format": "HttpData-PULL",
            "eventType": "ACCEPTED", "agreement": {**offer, "@type": "Agreement", "assigner": "x", "assignee": "y"}}  # fmt: skip
    first = key.count("/") == 2
    keep = {"ContractRequestMessage": ("offer", "consumerPid", *(["callbackAddress"] if first else ["providerPid"])),
            "ContractOfferMessage": ("offer", "providerPid", *(["callbackAddress"] if first else ["consumerPid"])),
            "TransferRequestMessage": ("consumerPid", "callbackAddress", "agreementId", "format")}  # fmt: skip
    names = keep.get(MESSAGES[key], ("providerPid", "consumerPid", "eventType", "agreement"))
    return {
        "@context": [CONTEXT],
        "@type": MESSAGES[key],
        **{name: said[name] for name in names if MESSAGES[key] != "CatalogRequestMessage"},
    } | more


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_dsp_every_endpoint_asks_who_calls_and_says_so_in_its_own_error(pair, method, path):
    seller, _ = pair
    body = value(path) if method == "POST" else None
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer x.y.z"}):
        status, found = await call(seller, method, path, body=body, headers=headers)
        assert (status, is_error(found, path), found["reason"]) == (401, "unauthorized", ["authentication failed"])


@pytest.mark.parametrize(("method", "path"), [each for each in ENDPOINTS if "urn:uuid:1" in each[1]])
async def test_dsp_an_unknown_process_or_dataset_is_404_with_the_error_of_its_kind(pair, method, path):
    seller, buyer = pair
    status, found = await call(seller, method, path, caller=buyer, body=value(path) if method == "POST" else None)
    assert (status, is_error(found, path)) == (404, "not-found")


@pytest.mark.parametrize(("method", "path"), [each for each in ENDPOINTS if each[0] == "POST"])
@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"@context": "https://example.org/x", "@type": "y"}', b'{"@type": 1}', b""])
async def test_dsp_what_is_no_message_is_400_with_the_error_of_its_kind(pair, method, path, raw):
    seller, buyer = pair
    status, found = await call(seller, method, path, caller=buyer, raw=raw)
    is_error(found, path)
    assert status == 400
    assert found["reason"][0]


# peers that differ -------------------------------------------------------------------------------------------------------


async def concluded(seller, buyer, offer, **more):
    """The state after a request in this form, and what our side proposed."""
    message = {
        "@context": [CONTEXT],
        "@type": "ContractRequestMessage",
        "consumerPid": str(uuid.uuid4()),
        "callbackAddress": buyer.base,
        "offer": offer,
        **more,
    }
    status, body = await call(seller, "POST", "/negotiations/request", caller=buyer, raw=json.dumps(message).encode())
    assert status == 201, body
    return await seller.store.process(body["providerPid"])


def spelled(node, spell):
    if isinstance(node, dict):
        return {name: spell(each) if name in ("action", "operator") else spelled(each, spell) for name, each in node.items()}
    return [spelled(each, spell) for each in node] if isinstance(node, list) else node


@pytest.mark.parametrize(
    "spell",
    [lambda text: f"odrl:{text}", lambda text: f"http://www.w3.org/ns/odrl/2/{text}"],
    ids=["prefixed", "iri"],
)
async def test_dsp_operators_and_actions_in_three_spellings_are_the_same_terms(pair, spell):
    seller, buyer = pair
    offer = spelled(describe.message_offer(await seller.publish()), spell)
    process = await concluded(seller, buyer, offer)
    assert (process.waiting, process.pending is not None or process.state == "AGREED") == (None, True), process.note


@pytest.mark.parametrize(
    "operator", ["odrl:almost", "http://www.w3.org/ns/odrl/2/", "https://example.org/eq", {"@id": 7}, ["eq"], None]
)
async def test_dsp_an_operator_that_nobody_knows_is_refused_however_it_is_written(pair, operator):
    seller, buyer = pair
    constraint = {"leftOperand": "dateTime", "operator": operator, "rightOperand": "x"}
    offer = {"@id": "o", "@type": "Offer", "target": "d", "permission": [{"action": "use", "constraint": [constraint]}]}
    status, body = await call(
        seller, "POST", "/negotiations/request", caller=buyer, body=value("/negotiations/request", offer=offer)
    )
    assert (status, "operator" in body["reason"][0]) == (400, True)


async def test_dsp_a_callback_address_may_end_with_a_slash_and_a_body_may_lack_its_content_type(pair):
    seller, buyer = pair
    process = await concluded(seller, buyer, describe.message_offer(await seller.publish()), callbackAddress=buyer.base + "/")
    assert process.callback == buyer.base


@pytest.mark.parametrize("extra", ["https://w3id.org/edc/dspace/v0.0.1", "https://w3id.org/dspace/2025/1/odrl-profile.jsonld"])
async def test_dsp_contexts_that_are_known_to_change_nothing_are_passed_over(pair, extra):
    seller, buyer = pair
    offer = describe.message_offer(await seller.publish())
    await concluded(seller, buyer, offer, **{"@context": [CONTEXT, extra]})


@pytest.mark.parametrize("extra", ["https://evil.example/c.jsonld", {"permission": "http://example.org/nothing"}])
async def test_dsp_a_context_that_could_change_the_meaning_is_refused_and_never_fetched(pair, extra):
    seller, buyer = pair
    status, body = await call(
        seller, "POST", "/negotiations/request", caller=buyer, body=value("/negotiations/request", **{"@context": [CONTEXT, extra]})
    )
    assert (status, "@context" in body["reason"][0]) == (400, True)
