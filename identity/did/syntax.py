"""DIDs as texts (DID Core 3.1; did:web; identity.md 2.5).

Rules
- Two DIDs are the same only when their texts are equal. So exactly one spelling of each is read: lower-case host in A-labels,
  `%3A` (upper case) before the port and no other percent-encoding anywhere, port without leading zeros.
- did:web refuses user info, query, fragment, empty segments, `.` and `..`, a trailing colon, IP addresses in any notation, and
  everything over 2,048 characters.
- The document of a did:web lies under `/.well-known/did.json`, or `/<path>/did.json` when it has a path.
"""

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from identity.did.errors import BadDid

MAX: Final = 2_048
METHODS: Final = frozenset({"web", "key", "jwk"})
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_FRAGMENT: Final = re.compile(r"[A-Za-z0-9._~:@!$&'()*+,;=/?%-]{1,256}")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")


class Did(Struct, frozen=True):
    """A DID in its parts. `host`, `port` and `path` are of did:web; `identifier` is what stands after the method."""

    text: str
    method: str
    identifier: str
    host: str = ""
    port: int | None = None
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


def parse(text: str) -> Did:
    """Read a DID; raises `BadDid` (reasons `did-form`, `did-method`, `did-host`, `did-port`, `did-path`)."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX or not text.isascii():
        raise _no_did(text)
    return _parsed(text)


def _no_did(text: object) -> BadDid:
    return BadDid(f"{str(text)[:80]!r} is not a DID, such as did:web:host.example", reason="did-form")


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Did:
    scheme, _, rest = text.partition(":")
    method, _, identifier = rest.partition(":")
    if scheme != "did" or not identifier:
        raise _no_did(text)
    if method not in METHODS:
        raise BadDid(f"DIDs of the method {method[:20]!r} are not read", reason="did-method")
    if method == "web":
        return _web(text, identifier)
    if not _PLAIN.fullmatch(identifier):
        raise _no_did(text)
    return Did(text, method, identifier)


def web_url(did: str | Did, *, scheme: str = "https") -> str:
    """Where the document of a did:web lies. `scheme` is for a test kit that speaks plain HTTP."""
    found = did if isinstance(did, Did) else parse(did)
    if found.method != "web":
        raise BadDid("not a did:web", reason="did-method")
    authority = found.host if found.port is None else f"{found.host}:{found.port}"
    return f"{scheme}://{authority}/{'/'.join(found.path or ('.well-known',))}/did.json"


def web_did(host: str, port: int | None = None, path: tuple[str, ...] = ()) -> str:
    """The did:web of a host; raises `BadDid` when it could not be read back."""
    authority = host if port is None else f"{host}%3A{port}"
    return parse(":".join(("did:web", authority, *path))).text


@lru_cache(maxsize=1024)
def did_of_url(url: str) -> str:
    """The DID of an absolute DID URL with a fragment (`did:web:a#k`); raises `BadDid`."""
    text, mark, fragment = url.partition("#")
    if not mark or not _FRAGMENT.fullmatch(fragment):
        raise BadDid("not a DID URL with a fragment", reason="did-url")
    return parse(text).text


def _web(text: str, identifier: str) -> Did:
    authority, *path = identifier.split(":")
    host, mark, port = authority.partition("%3A")
    _check_host(host)
    if mark and (not _PORT.fullmatch(port) or int(port) > 65_535):
        raise BadDid("not a port", reason="did-port")
    for segment in path:
        if not _SEGMENT.fullmatch(segment) or segment in {".", ".."}:
            raise BadDid("not a path of a did:web", reason="did-path")
    return Did(text, "web", identifier, host, int(port) if mark else None, tuple(path))


def _check_host(host: str) -> None:
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadDid("not a lower-case host name in A-labels", reason="did-host")
    if _NUMERIC.fullmatch(labels[-1]):
        raise BadDid("an IP address is no host of a did:web", reason="did-host")
