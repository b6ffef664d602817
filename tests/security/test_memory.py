"""No request makes memory grow past a set budget: the largest page, many at once, the largest body, one that unpacks, one that never ends (issue: speed).

Counted by tracemalloc in the process of the connector; the caller is a bare socket that throws away what it reads. Streams of data: `tests/unit/plane`.
"""

import asyncio
import gc
import tracemalloc
import zlib
from contextlib import asynccontextmanager

import orjson
import pytest

from catalog.dcat import Asset, OfferTerms
from connector.dsp.paging import MOST
from kernel.web import LIMIT
from tests.support.company import Company, Directory

MB = 1024 * 1024
BUDGET = 16 * MB  # for one request
REQUEST = {"@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@type": "CatalogRequestMessage"}
OPEN = {"permission": [{"action": "use"}]}


@pytest.fixture
async def shop(tmp_path):
    """A connector whose 3,000 datasets have about 4 kB of JSON each, and one that asks."""
    directory = Directory()
    made = Company(tmp_path / "shop", "shop", directory)
    made.reader = Company(tmp_path / "reader", "reader", directory)
    async with made.running():
        for number in range(3000):
            asset = Asset(
                id=f"urn:uuid:{number:05}", participant=made.did, profile="", schema="", title={"en": "x"}, description={"en": f"{number}" * 600},
                size=1, sha256="0" * 64, source="", created="2026-11-24T09:00:00.000Z",
            )  # fmt: skip
            made.rules.put(OfferTerms(id=f"urn:uuid:o-{number}", asset=asset.id, access=OPEN, contract=OPEN), asset)
        yield made
    made.reader.store._db.close()


def head(shop, path="/catalog/request", **headers):
    sent = {"Host": "x", "Content-Type": "application/json", "Authorization": shop.reader.peers.authorization(shop.did), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return f"POST /dsp/2025-1{path} HTTP/1.1\r\n{lines}\r\n".encode()


async def asked(shop, *parts):
    """The status of the answer and its size; parts of a request after its head are sent while they are taken."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = left = int(answer.lower().partition("content-length: ")[2].split("\r")[0])
        while left:
            left -= len(await reader.read(65536))
        return int(answer.split()[1]), size
    finally:
        writer.close()


async def catalog(shop, **query):
    message = REQUEST | {"filter": [{"@type": "QuerySpec", **query}]} if query else REQUEST
    body = orjson.dumps(message)
    return await asked(shop, head(shop, **{"Content-Length": len(body)}) + body)


@asynccontextmanager
async def within(budget):
    """The block lets memory grow by so many bytes at most, at any moment."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= budget, f"{peak / MB:.1f} MB"


async def test_the_largest_page_of_a_catalog(shop):
    async with within(BUDGET):
        for offset in (0, MOST, 2 * MOST):
            status, size = await catalog(shop, offset=offset, limit=10**9)
            assert status == 200
            assert size > 3 * MB


async def test_a_walk_through_a_whole_catalog_again_and_again(shop):
    await catalog(shop)
    async with within(2 * BUDGET):  # what is kept of it: texts of datasets, and pages
        for _ in range(3):
            for offset in range(0, 3000, 100):
                assert (await catalog(shop, offset=offset, limit=100))[0] == 200


async def test_many_at_once_cost_no_more_than_so_many_pages(shop):
    for offset in (0, 500, 1000):
        await catalog(shop, offset=offset, limit=MOST)
    async with within(8 * BUDGET):
        found = await asyncio.gather(
            *(catalog(shop, offset=offset, limit=MOST) for offset in (0, 500, 1000, 1500) for _ in range(4))
        )
    assert {status for status, _ in found} == {200}


def nested(opening, closing):
    """The largest body there may be, of as many values as it holds."""
    filling = b",".join([opening + closing] * ((LIMIT - 300) // 3))
    body = orjson.dumps(REQUEST | {"filter": []})[:-2] + filling + b"]}"
    assert len(body) <= LIMIT
    return body


@pytest.mark.parametrize("body", [nested(b"[", b"]"), nested(b"{", b"}"), nested(b"1", b""), b'{"a":' * 40_000, b"[" * 200_000])
async def test_the_largest_body(shop, body):
    await catalog(shop)
    async with within(BUDGET):
        status, _ = await asked(shop, head(shop, **{"Content-Length": len(body)}) + body)
    assert status == 400


async def test_a_body_that_is_announced_or_sent_beyond_the_limit(shop):
    await catalog(shop)
    async with within(BUDGET):
        status, _ = await asked(shop, head(shop, **{"Content-Length": 1 << 40}) + b" " * (LIMIT + 1))
        assert status == 413
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        status, _ = await asked(shop, head(shop, **{"Transfer-Encoding": "chunked"}), *[chunk] * 8)
        assert status == 413


async def test_a_body_that_unpacks_to_a_thousand_times_its_size(shop):
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(b" " * MB) for _ in range(256)) + packer.flush()
    assert len(packed) < LIMIT * 2
    await catalog(shop)
    async with within(BUDGET):
        status, _ = await asked(shop, head(shop, **{"Content-Length": len(packed), "Content-Encoding": "gzip"}) + packed)
    assert status in (400, 413, 415)
