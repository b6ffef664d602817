"""One reader of catalogs for every side: a consumer that asks the provider's protocol endpoint over one kept connection, without compression.

The seconds of a page run from sending the request to the last byte of the answer. Making the request (its token) and reading the JSON are the consumer's work, not
the provider's, and stand outside, for every side alike. A blocking client: it is the least that can stand between the clock and the provider.
"""

import re
import ssl
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlsplit

import orjson
from msgspec import Struct

from connector.dsp.messages import CONTEXT

QUERY_CONTEXT = "https://w3id.org/edc/dspace/v0.0.1"  # without it the peer's expansion drops the filter, and pages have 50 datasets
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


class Page(Struct, frozen=True):
    """What came of one request."""

    seconds: float
    datasets: int
    size: int  # bytes
    following: str  # address of the next page; empty where there is none


class Reader:
    """Not for several threads; each has its own."""

    def __init__(self, url: str, authorization: Callable[[], str], tls: ssl.SSLContext | None = None) -> None:
        self._url, self._authorization = url, authorization
        host = urlsplit(url).netloc
        self._connection = HTTPSConnection(host, context=tls, timeout=300) if tls else HTTPConnection(host, timeout=300)

    def page(self, url: str = "", **query: int) -> Page:
        """The first page, the one at `url`, or the one of a QuerySpec with offset and limit."""
        message: dict = {"@context": [CONTEXT], "@type": "CatalogRequestMessage"}
        if query:
            message |= {"@context": [CONTEXT, QUERY_CONTEXT], "filter": [{"@type": "QuerySpec", **query}]}
        address = urlsplit(url or self._url)
        path = f"{address.path}?{address.query}" if address.query else address.path
        headers = {"Authorization": self._authorization(), "Content-Type": "application/json", "Accept-Encoding": "identity"}
        body = orjson.dumps(message)
        began = time.perf_counter()
        self._connection.request("POST", path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        seconds = time.perf_counter() - began
        assert answer.status == 200, text[:500]
        found = _NEXT.search(answer.headers.get("Link", ""))
        return Page(seconds, len(orjson.loads(text).get("dataset", [])), len(text), found.group(1) if found else "")

    def by_link(self, **query: int) -> tuple[float, int, int]:
        """(seconds, datasets, pages) of the whole catalog, page after page by `Link`; with a QuerySpec sent again for each."""
        page = self.page(**query)
        seconds, datasets, pages = page.seconds, page.datasets, 1
        while page.following:
            page = self.page(page.following, **query)
            seconds, datasets, pages = seconds + page.seconds, datasets + page.datasets, pages + 1
        return seconds, datasets, pages

    def by_offset(self, limit: int) -> tuple[float, int, int]:
        """The same by offset and limit, until a page is empty."""
        seconds, datasets, pages = 0.0, 0, 0
        while True:
            page = self.page(offset=datasets, limit=limit)
            seconds, datasets, pages = seconds + page.seconds, datasets + page.datasets, pages + 1
            if page.datasets < limit:
                return seconds, datasets, pages

    def close(self) -> None:
        self._connection.close()
