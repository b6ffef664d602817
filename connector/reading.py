"""Catalogs of other participants, read to their end (DSP 2025-1, Catalog Protocol 5.3 and HTTPS binding; RFC 8288).

Rules
- `Link` with `rel="next"` is followed, whichever way it is written, but only to the origin that the catalog was asked of: our token goes nowhere else. A page
  that was read before ends the walk.
- Nested catalogs that come with their datasets are part of the answer. One that lies elsewhere is asked for when it names its participant and its address is one
  of the services in that participant's DID document; it is left out with the reason otherwise, and when it does not answer.
- Names that further contexts define are written out, so that an offer means the same in a request of ours, which has the DSP context alone.
- Caps: pages, datasets, nested catalogs and their depth. What is beyond is left out, and the answer says so (`leftOut`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from msgspec import Struct, field

from connector.dsp import contexts, messages
from connector.peers import Peers
from kernel import wire
from kernel.errors import BadInput, KizunaError

LARGEST: Final = 64 * 1024 * 1024
DEEPEST: Final = 64
PAGES: Final = 2_000
DATASETS: Final = 200_000
CATALOGS: Final = 100
NESTED: Final = 3


class _Walk(Struct):
    """What has been read so far, over all catalogs."""

    pages: set[str] = field(default_factory=set)
    datasets: int = 0
    catalogs: int = 0
    left_out: list[dict[str, str]] = field(default_factory=list)


class CatalogReader:
    """Reads catalogs as one participant."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def read(self, peer: str) -> dict[str, Any]:
        """The whole catalog of a participant; `leftOut` names what was not read, and why."""
        walk = _Walk()
        found = await self._catalog(walk, peer, await self._peers.base(peer), 0)
        return found | ({"leftOut": walk.left_out} if walk.left_out else {})

    async def _catalog(self, walk: _Walk, peer: str, base: str, depth: int) -> dict[str, Any]:
        url, found = f"{base}/catalog/request", dict[str, Any]()
        datasets: list[Any] = []
        nested: dict[str, dict[str, Any]] = {}  # by id: a catalog may repeat them on every page
        body = messages.encode("CatalogRequestMessage")
        while url:
            if len(walk.pages) >= PAGES or walk.datasets >= DATASETS:
                walk.left_out.append({"catalog": base, "why": f"more than {PAGES} pages or {DATASETS} datasets"})
                break
            walk.pages.add(url)
            reply = await self._peers.call("POST", url, peer, body, max_bytes=LARGEST)
            page = contexts.described(_object(wire.loads(reply.body, limit=LARGEST, depth=DEEPEST)))
            found = found or page
            datasets += _listed(page.get("dataset"))
            walk.datasets += len(_listed(page.get("dataset")))
            nested |= {str(each.get("@id")): each for each in _listed(page.get("catalog")) if isinstance(each, dict)}
            url = self._following(walk, url, ",".join(_headers(reply.headers, "Link")))
        catalogs = [made for each in nested.values() if (made := await self._nested(walk, each, depth + 1)) is not None]
        found.pop("catalog", None)
        return {**found, "dataset": datasets, **({"catalog": catalogs} if catalogs else {})}

    def _following(self, walk: _Walk, url: str, header: str) -> str:
        target = next_page(header)
        if not target:
            return ""
        following = urljoin(url, target)
        if urlsplit(following)[:2] != urlsplit(url)[:2]:
            walk.left_out.append({"catalog": url, "why": f"the next page is on another host: {following[:200]}"})
            return ""
        if following in walk.pages:
            walk.left_out.append({"catalog": url, "why": "the next page is one that was read before"})
            return ""
        return following

    async def _nested(self, walk: _Walk, entry: dict[str, Any], depth: int) -> dict[str, Any] | None:
        """A nested catalog with its datasets, or None; why it was left out is told."""
        name = str(entry.get("@id", ""))[:200]
        walk.catalogs += 1
        if depth > NESTED or walk.catalogs > CATALOGS:
            walk.left_out.append({"catalog": name, "why": f"nested deeper than {NESTED}, or more than {CATALOGS} catalogs"})
            return None
        if entry.get("dataset") or entry.get("catalog"):
            inner = [each for each in _listed(entry.get("catalog")) if isinstance(each, dict)]
            walk.datasets += len(_listed(entry.get("dataset")))
            catalogs = [made for each in inner if (made := await self._nested(walk, each, depth + 1)) is not None]
            return {**entry, "dataset": _listed(entry.get("dataset")), **({"catalog": catalogs} if catalogs else {})}
        participant, endpoint = entry.get("participantId"), next(_endpoints(entry), "")
        try:
            if not isinstance(participant, str) or not endpoint:
                raise BadInput("it names no participant, or no address")
            await self._peers.check_address(participant, endpoint)
            return await self._catalog(walk, participant, endpoint.rstrip("/"), depth)
        except KizunaError as error:
            walk.left_out.append({"catalog": name, "why": error.detail or error.code})
            return None


def next_page(header: str) -> str:
    """The target of the first link with the relation `next` in a `Link` header, however its parameters are written."""
    for target, parameters in _links(header):
        relations = parameters.get("rel", "").lower().split()
        if "next" in relations:
            return target
    return ""


def _links(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    rest = header
    while "<" in rest:
        target, _, rest = rest.partition("<")[2].partition(">")
        said, _, after = rest.partition("<")
        rest = "<" + after if after else ""
        pairs = (each.partition("=") for each in said.rstrip(", \t").split(";") if "=" in each)
        yield target.strip(), {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _headers(headers: Mapping[str, str], name: str) -> list[str]:
    """All values of a header, which a server may repeat."""
    every = getattr(headers, "getall", None)
    return list(every(name, [])) if every is not None else [headers.get(name, "")]


def _endpoints(entry: Mapping[str, Any]) -> Iterator[str]:
    """Where a nested catalog lies: the service of its distribution of the format `Catalog`, or its own service."""
    services = [
        each.get("accessService")
        for each in _listed(entry.get("distribution"))
        if isinstance(each, dict) and each.get("format") == "Catalog"
    ]
    for each in (*services, *_listed(entry.get("service"))):
        if isinstance(each, dict) and isinstance(each.get("endpointURL"), str):
            yield each["endpointURL"]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput("the catalog is no object")
    return value
