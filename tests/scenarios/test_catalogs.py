"""Catalogs read to their end and served in pages: links both ways, nested catalogs, other hosts, loops, caps, gzip (catalog.md 1.4, 1.5)."""

import gzip
import json
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from catalog import describe
from connector import reading
from connector.reading import next_page
from identity.did import Service
from identity.did.document import document
from identity.keys import KeyStore
from tests.support.company import Company, Directory
from tests.unit.dsp.official import validator

CONTEXT = ["https://w3id.org/dspace/2025/1/context.jsonld"]
REQUEST = {"@context": CONTEXT, "@type": "CatalogRequestMessage"}


@pytest.fixture
async def world(tmp_path):
    directory = Directory()
    async with AsyncExitStack() as stack:
        shop = await stack.enter_async_context(Company(tmp_path / "shop", "shop", directory, page_size=3).running())
        nested = [
            describe.elsewhere(shop.did, shop.base, {"en": "The shop"}),
            describe.elsewhere("did:web:nowhere.example", "https://nowhere.example/dsp", {"en": "x"}),
        ]
        hub = await stack.enter_async_context(Company(tmp_path / "hub", "hub", directory, nested=nested, page_size=2).running())
        reader = await stack.enter_async_context(Company(tmp_path / "reader", "reader", directory).running())
        directory.publish(document("did:web:nowhere.example", KeyStore(tmp_path / "n", "did:web:nowhere.example").published(), []))
        yield shop, hub, reader, directory


async def asked(company, reader, url="", body=None, **headers):
    head = {"Authorization": reader.peers.authorization(company.did), **headers}
    async with (
        aiohttp.ClientSession(auto_decompress=not headers) as http,
        http.post(url or f"{company.base}/catalog/request", json=REQUEST if body is None else body, headers=head) as answer,
    ):
        return answer.status, await answer.read(), answer.headers


def links(headers):
    return {relation: target for target, said in reading._links(headers.get("Link", "")) for relation in [said["rel"]]}


async def test_pages_are_linked_in_both_directions(world):
    shop, _, reader, _ = world
    ids = sorted([(await shop.publish(title=str(number))).asset for number in range(8)])
    pages, url = [], ""
    while True:
        status, body, headers = await asked(shop, reader, url)
        assert status == 200
        validator("catalog/catalog").validate(json.loads(body))
        pages.append(([each["@id"] for each in json.loads(body)["dataset"]], links(headers)))
        url = pages[-1][1].get("next")
        if not url:
            break
    assert [each for page, _ in pages for each in page] == ids
    assert "previous" not in pages[0][1]
    back, url = [], pages[-1][1]["previous"]
    while url:
        _, body, headers = await asked(shop, reader, url)
        back.append([each["@id"] for each in json.loads(body)["dataset"]])
        url = links(headers).get("previous")
    assert back == [pages[1][0], pages[0][0]]


async def test_every_address_in_a_catalog_is_one_that_its_reader_can_use(world):
    """A peer without a member certificate is shown the public listener, a member the member listener: of one catalog."""
    shop, hub, reader, _ = world
    public = "https://shop.example:8443/dsp/2025-1"
    shop.addresses[reader.did] = public
    key = (await shop.publish(title="one")).asset
    for number in range(4):
        await shop.publish(title=str(number))
    for caller, shown in ((reader, public), (hub, shop.base), (reader, public)):
        _, body, headers = await asked(shop, caller)
        found = json.loads(body)
        assert endpoints(found) == {shown}
        assert links(headers)["next"].startswith(shown)
        assert found["@id"] == f"{shop.base}/catalog"
        head = {"Authorization": caller.peers.authorization(shop.did)}
        async with aiohttp.ClientSession() as http, http.get(f"{shop.base}/catalog/datasets/{key}", headers=head) as answer:
            assert endpoints(await answer.json()) == {shown}
        _, body, _ = await asked(shop, caller, body=REQUEST | {"filter": [{"@type": "QuerySpec", "offset": 0, "limit": 2}]})
        assert endpoints(json.loads(body)) == {shown}


def endpoints(node):
    """Every `endpointURL` in a description."""
    if isinstance(node, list):
        return {found for each in node for found in endpoints(each)}
    if isinstance(node, dict):
        own = {node["endpointURL"]} if "endpointURL" in node else set()
        return own | {found for each in node.values() for found in endpoints(each)}
    return set()


async def test_a_token_of_another_participant_a_changed_and_an_unknown_one_are_refused(world):
    shop, hub, reader, _ = world
    for number in range(5):
        await shop.publish(title=str(number))
    url = links((await asked(shop, reader))[2])["next"]
    for other, caller in ((url, hub), (url[:-3] + "AAA", reader), (url + "x", reader)):
        status, body, _ = await asked(shop, caller, other)
        assert (status, json.loads(body)["code"], json.loads(body)["@type"]) == (400, "invalid-continuation-token", "CatalogError")


async def test_a_nested_catalog_is_read_where_it_lies_and_one_that_cannot_be_is_named(world):
    shop, hub, reader, _ = world
    ours = sorted([(await shop.publish(title=str(number))).asset for number in range(7)])
    theirs = sorted([(await hub.publish(title=str(number))).asset for number in range(3)])
    found = await reader.commands.catalog(hub.did)
    assert [each["@id"] for each in found["dataset"]] == theirs
    (nested,) = found["catalog"]
    assert (nested["participantId"], [each["@id"] for each in nested["dataset"]]) == (shop.did, ours)
    (left,) = found["leftOut"]
    assert "not one of the services of did:web:nowhere.example" in left["why"]
    _, body, _ = await asked(hub, reader)
    validator("catalog/catalog").validate(json.loads(body))


async def test_large_answers_are_compressed_for_who_takes_it_and_small_ones_are_not(world):
    shop, _, reader, _ = world
    for number in range(3):
        await shop.publish(title=str(number) * 900)
    status, body, headers = await asked(shop, reader, **{"Accept-Encoding": "gzip"})
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert len(json.loads(gzip.decompress(body))["dataset"]) == 3
    assert "Content-Encoding" not in (await asked(shop, reader, **{"Accept-Encoding": "identity"}))[2]


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ({"@type": "QuerySpec", "offset": 2, "limit": 2}, 2),
        ({"@type": "https://w3id.org/edc/v0.0.1/ns/QuerySpec", "offset": 4, "limit": 9}, 1),
    ],
)
async def test_the_crawler_of_a_widespread_peer_pages_by_its_own_filter(world, spec, count):
    shop, _, reader, _ = world
    ids = sorted([(await shop.publish(title=str(number))).asset for number in range(5)])
    status, body, _ = await asked(shop, reader, body=REQUEST | {"filter": [spec]})
    assert (status, [each["@id"] for each in json.loads(body)["dataset"]]) == (200, ids[spec["offset"] :][:count])


@pytest.mark.parametrize(
    "spec",
    [
        "text",
        {"@type": "Other"},
        {"@type": "QuerySpec", "filterExpression": [{"operandLeft": "a"}]},
        {"@type": "QuerySpec", "limit": -1},
    ],
)
async def test_any_other_filter_is_400_with_a_catalog_error(world, spec):
    shop, _, reader, _ = world
    status, body, _ = await asked(shop, reader, body=REQUEST | {"filter": [spec]})
    validator("catalog/catalog-error").validate(json.loads(body))
    assert (status, json.loads(body)["code"]) == (400, "unsupported-filter")


async def test_a_compressed_request_is_read_and_one_that_swells_is_413(world):
    shop, _, reader, _ = world
    for text, wanted in ((json.dumps(REQUEST), 200), (json.dumps(REQUEST | {"x": "a" * 50_000_000}), 413)):
        head = {
            "Authorization": reader.peers.authorization(shop.did),
            "Content-Encoding": "gzip",
            "Content-Type": "application/json",
        }
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{shop.base}/catalog/request", data=gzip.compress(text.encode()), headers=head) as answer,
        ):
            assert answer.status == wanted, await answer.text()


# answers of strange catalogs ----------------------------------------------------------------------------------------------


class Strange:
    """A catalog that answers as it is told; `calls` are the addresses that were asked."""

    def __init__(self, answer):
        self.answer, self.calls = answer, []

    async def handle(self, request):
        self.calls.append(str(request.rel_url))
        value, headers = self.answer(request, str(request.url.origin()))
        return web.Response(body=json.dumps(value).encode(), headers=headers)  # no content type worth the name


async def strange(directory, reader, tmp_path, answer):
    found = Strange(answer)
    app = web.Application()
    app.router.add_post("/{path:.*}", found.handle)
    async with TestServer(app) as server:
        did = "did:web:strange.example"
        base = str(server.make_url("")).rstrip("/")
        directory.publish(document(did, KeyStore(tmp_path / "s", did).published(), [Service(f"{did}#dsp", "DataService", base)]))
        return found, await reader.commands.catalog(did)


def page(*ids, **more):
    return {"@type": "Catalog", "@id": "c", "dataset": [{"@id": each} for each in ids], **more}


async def test_a_link_to_another_host_is_not_followed_with_our_token(world, tmp_path):
    _, _, reader, directory = world
    _, found = await strange(
        directory, reader, tmp_path, lambda r, o: (page("a"), {"Link": '<https://thief.example/x>; rel="next"'})
    )
    assert "another host" in found["leftOut"][0]["why"]


async def test_pages_that_lead_back_end(world, tmp_path):
    _, _, reader, directory = world
    there, found = await strange(
        directory, reader, tmp_path, lambda r, o: (page("a"), {"Link": f"<{o}/catalog/request>; rel=next"})
    )
    assert (len(there.calls), len(found["dataset"])) == (1, 1)
    assert "read before" in found["leftOut"][0]["why"]


async def test_an_endless_catalog_is_cut(world, tmp_path, monkeypatch):
    _, _, reader, directory = world
    monkeypatch.setattr(reading, "PAGES", 5)
    numbers = iter(range(1000))
    there, found = await strange(
        directory, reader, tmp_path, lambda r, o: (page("a"), {"Link": f'</p{next(numbers)}>; rel="next"'})
    )
    assert (len(there.calls), "more than 5 pages" in found["leftOut"][0]["why"]) == (5, True)


async def test_catalogs_nested_in_each_other_without_end_are_cut(world, tmp_path):
    _, _, reader, directory = world
    inner = page("deep")
    for _ in range(10):
        inner = {"@type": "Catalog", "@id": "n", "catalog": [inner]}
    _, found = await strange(directory, reader, tmp_path, lambda r, o: (inner, {}))
    assert "nested deeper" in found["leftOut"][0]["why"]


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<https://a/x>; rel="next"', "https://a/x"),
        ("<https://a/x>; rel=next", "https://a/x"),
        ('<https://a/y>; rel="prev", <https://a/x?a=1,2>; rel="next"; title="on"', "https://a/x?a=1,2"),
        ('<https://a/y>; rel="previous",<https://a/x>;REL="start next"', "https://a/x"),
        ('<https://a/y>; rel="prev"', ""),
        ("<https://a/y>", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_links_however_they_are_written(header, target):
    assert next_page(header) == target
