"""Catalog requests: pages, continuation tokens, and the filter dialect of one widespread peer (DSP 2025-1, Catalog HTTPS binding; RFC 8288).

Rules
- A page has `page_size` datasets in the order of their ids; the next one begins after the last id, so a page costs the same wherever it lies.
- `Link` names the next page and the previous one. Continuation tokens are ours alone: signed, for one participant, for an hour. A wrong one is `BadContinuation`, never a silent first page.
- `filter` may hold one QuerySpec with `offset` and `limit` and no expression (EDC's crawler pages by it). Every other filter is `UnsupportedFilter`.
- Bodies over 4 KiB are compressed when the caller takes gzip. Large ones are sent in pieces, as fast as the caller reads: no copy of the whole waits for it.
"""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web
from msgspec import Struct

from connector.dsp import messages
from connector.dsp.contexts import CONTEXT
from connector.dsp.inbound import caller
from connector.dsp.node import Node, spent
from connector.errors import CONVERSATION, BadContinuation, DatasetUnknown, UnsupportedFilter
from identity.verify import VerifiedParticipant
from kernel import wire
from kernel.errors import BadInput
from kernel.wire import b64url, unb64url

LIFE: Final = 3600
MOST: Final = 1000
COMPRESS: Final = 4096
PIECE: Final = 256 * 1024


async def catalog(node: Node, request: web.Request) -> web.StreamResponse:
    """`POST /catalog/request`."""
    request[CONVERSATION] = ("catalog", "", "")
    found = messages.read(messages.CatalogRequestMessage, await request.read())
    async with _caller(node, request) as who:
        node.check_contexts(who.did, found.unknown)
        datasets, links = await _asked(node, request, who, _query(found.message.filter))
        body = wire.dumps(node.catalog.envelope(who, datasets))
    return await _reply(request, body, {"Link": ", ".join(links)} if links else {})


async def _asked(
    node: Node, request: web.Request, who: VerifiedParticipant, query: tuple[int, int] | None
) -> tuple[list[Any], list[str]]:
    """Datasets, and links to the neighbouring pages."""
    if query is not None:
        return await node.catalog.slice(who, *query), []
    place = _opened(node, who, request.query.get("continuationToken", ""))
    datasets, previous, following = await _page(node, who, place)
    url = f"{node.base_url(who.did)}/catalog/request?continuationToken="
    links = [f'<{url}{_sealed(node, who, _Place(previous, back=True))}>; rel="previous"'] if previous else []
    links += [f'<{url}{_sealed(node, who, _Place(following))}>; rel="next"'] if following else []
    return datasets, links


async def _page(node: Node, who: VerifiedParticipant, place: "_Place") -> tuple[list[Any], str, str]:
    """Datasets, and the ids in front of which and behind which the neighbouring pages lie; empty where there is none."""
    if place.back:
        return await node.catalog.page_before(who, place.id, node.page_size)
    datasets, following = await node.catalog.page(who, place.id, node.page_size)
    return datasets, f"{place.id}\0" if place.id else "", following  # up to that id itself


async def dataset(node: Node, request: web.Request) -> web.StreamResponse:
    """`GET /catalog/datasets/{id}`."""
    request[CONVERSATION] = ("catalog", "", "")
    async with _caller(node, request) as who:
        found = await node.catalog.dataset(who, request.match_info["id"])
        if found is None:
            raise DatasetUnknown("no such dataset", peer=who.did)
        body = wire.dumps({"@context": [CONTEXT], **found})
    return await _reply(request, body, {})


@asynccontextmanager
async def _caller(node: Node, request: web.Request) -> AsyncIterator[VerifiedParticipant]:
    """Who asks. The use of its token is on its way to the disk while the answer is made, and there before anything is sent, whatever becomes of the answer."""
    who = await node.authenticate(caller(request), False)
    spending = asyncio.create_task(node.processes.spend(spent(who.token)))
    for _ in range(2):
        await asyncio.sleep(0)  # it is asked for, and handed to the writer
    try:
        yield who
    finally:
        await spending


def _query(filters: list[Any]) -> tuple[int, int] | None:
    """(offset, limit) of a QuerySpec; None without a filter."""
    if not filters:
        return None
    spec = filters[0]
    known = isinstance(spec, dict) and str(spec.get("@type", "")).rpartition("/")[2].rpartition(":")[2] == "QuerySpec"
    if len(filters) != 1 or not known or spec.get("filterExpression") or spec.get("sortField"):
        raise UnsupportedFilter("this filter is not supported", next_step="send no filter, or a QuerySpec with offset and limit")
    offset, limit = spec.get("offset", 0), spec.get("limit", 50)
    if not all(type(each) is int and each >= 0 for each in (offset, limit)):
        raise UnsupportedFilter("offset and limit are not numbers")
    return offset, min(limit, MOST)


class _Place(Struct, frozen=True):
    """Where a page lies: behind this id, or in front of it."""

    id: str = ""
    back: bool = False


def _sealed(node: Node, who: VerifiedParticipant, place: _Place) -> str:
    text = wire.dumps([place.id, int(node.now()) + LIFE, place.back])
    return f"{b64url(text)}.{b64url(_mac(node, who, text))}"


def _opened(node: Node, who: VerifiedParticipant, token: str) -> _Place:
    if not token:
        return _Place()
    text, _, mac = token.partition(".")
    try:
        raw = unb64url(text)
        good = hmac.compare_digest(unb64url(mac), _mac(node, who, raw))
        key, until, back = wire.loads(raw) if good else ("", 0, False)
    except BadInput as error:
        raise BadContinuation("the continuation token is not one of ours") from error
    if not good or until < node.now():
        raise BadContinuation("the continuation token is not for you, or has expired", next_step="begin with the first page")
    return _Place(str(key), back=bool(back))


def _mac(node: Node, who: VerifiedParticipant, text: bytes) -> bytes:
    return hmac.digest(node.page_key, who.did.encode() + b"\0" + text, hashlib.sha256)


async def _reply(request: web.Request, body: bytes, headers: dict[str, str]) -> web.StreamResponse:
    if len(body) > COMPRESS and "gzip" in request.headers.get("Accept-Encoding", ""):
        packed = web.Response(body=body, headers=headers, content_type="application/json")
        packed.enable_compression(web.ContentCoding.gzip)
        return packed
    if len(body) <= PIECE:
        return web.Response(body=body, headers=headers, content_type="application/json")
    response = web.StreamResponse(headers=headers)
    response.content_type, response.content_length = "application/json", len(body)
    await response.prepare(request)
    for start in range(0, len(body), PIECE):
        await response.write(memoryview(body)[start : start + PIECE])
    await response.write_eof()
    return response
