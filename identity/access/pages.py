"""Long lists of a management API, paged by key: `?after=<key>&limit=<n>`.

A page begins after a key and not at a count, so that rows that come meanwhile neither repeat nor hide another one, and the last page costs as much as the
first. The answer names the next key in `next`, and the next page in a `Link` (RFC 8288). A client follows either until it is not there.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from aiohttp import web
from msgspec import Struct

from kernel.errors import BadInput
from kernel.web import json_response

LONGEST_PAGE: Final = 1000
_LONGEST_KEY: Final = 1024
T = TypeVar("T")


class PageOf(Struct, Generic[T], frozen=True):
    """A page of a list; `next` is the key to go on after, empty on the last page."""

    items: list[T]
    next: str


class Page(Struct, frozen=True):
    """What a list was asked for: at most `limit` items after the one with the key `after`."""

    after: str
    limit: int

    @property
    def number(self) -> int:
        """The key, where it is a number; 0 before the first. Raises `BadInput`."""
        if self.after and not (self.after.isascii() and self.after.isdigit() and len(self.after) < 16):
            raise BadInput("after is no number of this list", next_step="follow the Link of the page before")
        return int(self.after or 0)


def page(request: web.Request) -> Page:
    """`?after=<key>&limit=<n>`, 100 when nothing is said; raises `BadInput`."""
    after, limit = request.query.get("after", ""), request.query.get("limit", "100")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 1 <= int(limit) <= LONGEST_PAGE):
        raise BadInput(f"limit is not a number from 1 to {LONGEST_PAGE}")
    if len(after) > _LONGEST_KEY:
        raise BadInput("after is no key of this list", next_step="follow the Link of the page before")
    return Page(after, int(limit))


def listed(request: web.Request, wanted: Page, items: Sequence[Any], key: Callable[[Any], str], **more: Any) -> web.Response:
    """A page of a list as `{"items", "next"}`; a full one has the key of its last item as `next` and a Link to what follows (RFC 8288)."""
    following = key(items[-1]) if len(items) == wanted.limit else ""
    link = request.rel_url.update_query({"after": following, "limit": str(wanted.limit)})
    headers = {"Link": f'<{link}>; rel="next"'} if following else {}
    return json_response({"items": items, "next": following} | more, headers=headers)
