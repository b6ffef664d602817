"""DID documents, read and written (DID Core; identity.md 1.1, 1.5).

Rules for reading
- `id` equals the DID that was asked for, text for text.
- No JWK holds a private member; one that does spoils the document.
- A key is used for a purpose only when that relationship lists it, its `controller` is the DID itself, and its id belongs to the
  DID.
- Methods of a kind that we cannot use (other curves, other encodings) are kept by name, so that they count, and have no key.
- References may be absolute, relative (`#frag`) or embedded methods. Two methods with one id are refused. Sizes are capped.

Written documents have the form of identity.md 1.5 (`JsonWebKey2020`, absolute ids).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from identity.did.errors import BadDid
from identity.did.multibase import jwk_of
from identity.did.syntax import parse
from identity.jose.errors import BadToken
from identity.jose.keys import PRIVATE, PublicKey, public_key
from kernel import wire
from kernel.errors import BadInput

INVOCATION: Final = "capabilityInvocation"
AUTHENTICATION: Final = "authentication"
ASSERTION: Final = "assertionMethod"
RELATIONSHIPS: Final = (AUTHENTICATION, ASSERTION, INVOCATION)
_LISTS: Final = {INVOCATION: "capability_invocation", AUTHENTICATION: "authentication", ASSERTION: "assertion_method"}
CONTEXTS: Final = (
    "https://www.w3.org/ns/did/v1",
    "https://w3id.org/security/suites/jws-2020/v1",
    "https://w3id.org/dspace-dcp/v1.0/dcp.jsonld",
)
_MAX_ENTRIES: Final = 64


class Method(Struct, frozen=True):
    """A verification method; `key` is None when it is of a kind that we do not use. `id` is absolute."""

    id: str
    controller: str
    jwk: dict[str, Any] | None
    key: PublicKey | None


class Service(Struct, frozen=True):
    """A service entry; `endpoint` is a base URL without a trailing slash."""

    id: str
    type: str | tuple[str, ...]
    endpoint: str

    @property
    def types(self) -> tuple[str, ...]:
        return (self.type,) if isinstance(self.type, str) else self.type


class Key(Struct, frozen=True):
    """A key to publish: its DID URL, public JWK and relationships."""

    kid: str
    jwk: dict[str, Any]
    uses: tuple[str, ...]


class DidDocument(Struct, frozen=True):
    """A document that belongs to its DID. Relationships hold absolute method ids."""

    id: str
    methods: dict[str, Method]
    capability_invocation: frozenset[str]
    authentication: frozenset[str]
    assertion_method: frozenset[str]
    services: tuple[Service, ...] = ()

    def key(self, kid: str | None, relationship: str, *, strict: bool = True) -> PublicKey:
        """The key of this kid for this purpose.

        Without a kid the document must have exactly one method. Not `strict` takes any of its methods where the document lists
        none for the purpose (older peers). Raises `BadDid` with the reason `kid`, `relationship`, `controller` or `key-type`.
        """
        method = self._only() if kid is None else self.methods.get(kid) or self.methods.get(_absolute(kid, self.id))
        if method is None:
            raise BadDid("the document does not hold that key", reason="kid")
        related: frozenset[str] = getattr(self, _LISTS[relationship])
        if method.id not in related and (strict or related):
            raise BadDid(f"the key is not listed for {relationship}", reason="relationship")
        if method.controller != self.id:
            raise BadDid("the key is controlled by another DID", reason="controller")
        if method.key is None:
            raise BadDid("this kind of key is not supported", reason="key-type")
        return method.key

    def endpoint(self, kind: str) -> str | None:
        """Base URL of the first service of this type."""
        return next((one.endpoint for one in self.services if kind in one.types), None)

    def _only(self) -> Method:
        if len(self.methods) != 1:
            raise BadDid("the token names no key and the document has several", reason="kid")
        return next(iter(self.methods.values()))


def parse_document(source: bytes | str | Mapping[str, Any], did: str) -> DidDocument:
    """The document of this DID; raises `BadDid` with the reason."""
    found = _json(source)
    if found.get("id") != did:
        raise BadDid("the document belongs to another DID", reason="document-id")
    methods = _methods(_entries(found, "verificationMethod"), did)
    related = {name: _relationship(_entries(found, name), did, methods) for name in RELATIONSHIPS}
    services = tuple(each for entry in _entries(found, "service") if (each := _service(entry, did)))
    return DidDocument(did, methods, related[INVOCATION], related[AUTHENTICATION], related[ASSERTION], services)


def document(did: str, keys: Iterable[Key], services: Iterable[Service] = ()) -> dict[str, Any]:
    """The JSON document to publish; raises `BadDid` for a private key or a foreign kid."""
    parse(did)
    published = tuple(keys)
    for each in published:
        if not PRIVATE.isdisjoint(each.jwk):
            raise BadDid("a private key would be published", reason="private-key")
        if each.kid.partition("#")[0] != did:
            raise BadDid("the key belongs to another DID", reason="kid")
    return {
        "@context": list(CONTEXTS),
        "id": did,
        "verificationMethod": [
            {"id": each.kid, "type": "JsonWebKey2020", "controller": did, "publicKeyJwk": each.jwk} for each in published
        ],
        **{name: [each.kid for each in published if name in each.uses] for name in RELATIONSHIPS},
        "service": [_written(each, did) for each in services],
    }


def _written(service: Service, did: str) -> dict[str, Any]:
    kind = service.type if isinstance(service.type, str) else list(service.type)
    return {"id": _absolute(service.id, did), "type": kind, "serviceEndpoint": service.endpoint}


def _json(source: bytes | str | Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        found = wire.loads(source) if isinstance(source, bytes | str) else source
    except BadInput as error:
        raise BadDid(f"the document: {error.detail}", reason="document-form") from error
    if not isinstance(found, Mapping):
        raise BadDid("the document is no object", reason="document-form")
    return found


def _entries(found: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = found.get(name, [])
    entries = value if isinstance(value, list) else [value]
    if len(entries) > _MAX_ENTRIES:
        raise BadDid(f"more than {_MAX_ENTRIES} entries of {name}", reason="document-size")
    return entries


def _methods(entries: Sequence[Any], did: str) -> dict[str, Method]:
    methods: dict[str, Method] = {}
    for entry in entries:
        _add(methods, entry, did)
    return methods


def _add(methods: dict[str, Method], entry: Any, did: str) -> str:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("id"), str):
        raise BadDid("a verification method has no id", reason="document-form")
    name = _absolute(entry["id"], did)
    if name in methods:
        raise BadDid("two verification methods have the same id", reason="document-form")
    jwk = _jwk(entry)
    methods[name] = Method(name, str(entry.get("controller", "")), jwk, _key(jwk) if name.startswith(f"{did}#") else None)
    return name


def _jwk(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    jwk, multikey = entry.get("publicKeyJwk"), entry.get("publicKeyMultibase")
    if isinstance(jwk, dict):
        if not PRIVATE.isdisjoint(jwk):
            raise BadDid("the document publishes a private key", reason="private-key")
        return jwk
    if isinstance(multikey, str) and entry.get("type") == "Multikey":
        try:
            return jwk_of(multikey)
        except BadDid:
            return None  # kept as a method without a key, like any other kind that we do not use
    return None


def _key(jwk: dict[str, Any] | None) -> PublicKey | None:
    try:
        return None if jwk is None else public_key(jwk)
    except (BadToken, BadInput):
        return None  # the same: it exists, and nobody can use it here


def _relationship(entries: Sequence[Any], did: str, methods: dict[str, Method]) -> frozenset[str]:
    names = set()
    for entry in entries:
        names.add(_absolute(entry, did) if isinstance(entry, str) else _add(methods, entry, did))
    return frozenset(names)


def _service(entry: Any, did: str) -> Service | None:
    """A service entry with a usable endpoint; others are passed over."""
    if not isinstance(entry, Mapping):
        return None
    kind, endpoint = entry.get("type"), _endpoint(entry.get("serviceEndpoint"))
    types = (kind,) if isinstance(kind, str) else tuple(kind) if isinstance(kind, list) else ()
    if endpoint is None or not types or not all(isinstance(each, str) for each in types):
        return None
    return Service(_absolute(str(entry.get("id", "")), did), types, endpoint)


def _endpoint(value: Any) -> str | None:
    """The base URL in a text, the first text of a list, or an object's `uri`, `origins` or `id`."""
    if isinstance(value, list):
        return next((found for each in value[:_MAX_ENTRIES] if (found := _endpoint(each)) is not None), None)
    if isinstance(value, Mapping):
        return _endpoint(value.get("uri") or value.get("origins") or value.get("id"))
    return value.removesuffix("/") if isinstance(value, str) and 0 < len(value) <= 2_048 else None


def _absolute(reference: str, did: str) -> str:
    return did + reference if reference.startswith("#") else reference
