"""What `credentialSchema` of a credential demands (VC-DM 2.0 4.11; VC JSON Schema; identity.md 1.2, 2.2, 6.40).

Rules
- Every schema that a credential names is applied to the whole credential; one that is not there, not read, or violated refuses it.
- A schema comes from the bundled ones (the data-space profile's, by `$id`), else from a host that is trusted for schemas: one that is
  configured, or the issuer's own did:web host. Nothing is fetched from any other host, and references inside a schema never are.
- `digestSRI`, where the credential gives it, must be the digest of what was fetched.
- Fetched schemas are kept for an hour. Patterns run by an engine without backtracking; sizes are capped.

Not done here: address rules (`kernel.http`); `JsonSchemaCredential`, a schema inside a credential, is refused unless it is bundled.
"""

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Protocol
from urllib.parse import urlsplit

import jsonschema_rs
from msgspec import Struct

from identity.did import parse
from identity.flight import SingleFlight
from identity.vc import Credential
from kernel import wire
from kernel.clock import Clock
from kernel.errors import BadInput
from kernel.http import GuardedClient

KINDS: Final = frozenset({"JsonSchema", "JsonSchemaValidator2018", "FullJsonSchemaValidator2021"})
MAX_BYTES: Final = 65_536
ACCEPT: Final = "application/schema+json, application/json"
KEPT: Final = timedelta(hours=1)
_CAPACITY: Final = 64
_SHORT: Final = 200


class BadSchema(BadInput):
    """A schema that is not to be had, or that the credential does not follow. `facts["reason"]` is a fixed word."""

    code: ClassVar[str] = "bad-credential-schema"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail, reason=reason)


class _Fetched(Struct, frozen=True):
    """A compiled schema, the digests of its document, and when it was asked for."""

    validator: Any
    digests: frozenset[str]
    asked: datetime


class ChecksSchemas(Protocol):
    """What `identity.verify` needs of it."""

    async def check(self, credential: Credential) -> None: ...


class CredentialSchemas:
    """Schemas by address. `bundled` maps an address to its document; `hosts` are `host` or `host:port` trusted for schemas."""

    def __init__(
        self,
        client: GuardedClient,
        clock: Clock,
        *,
        bundled: Mapping[str, Mapping[str, Any]] | None = None,
        hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._client = client
        self._clock = clock
        self._hosts = hosts
        self._bundled = dict(bundled or {})
        self._compiled: dict[str, Any] = {}
        self._fetched: OrderedDict[str, _Fetched] = OrderedDict()
        self._flights: SingleFlight[str, _Fetched] = SingleFlight()

    async def check(self, credential: Credential) -> None:
        """Apply all schemas; raises `BadSchema` (`schema-form`, `schema-host`, `schema-status`, `schema-digest`, `schema`)."""
        for entry in credential.schemas:
            validator = await self._named(entry, credential.issuer)
            instance = {**credential.body, "credentialSubject": _plain(credential.subjects)}
            error = next(iter(validator.iter_errors(instance)), None)
            if error is not None:
                where = "/".join(str(each) for each in error.instance_path)
                raise BadSchema(f"the credential breaks its schema at /{where}: {error.message[:_SHORT]}", reason="schema")

    async def _named(self, entry: Mapping[str, Any], issuer: str) -> Any:
        url, kind = entry.get("id"), entry.get("type")
        if not isinstance(url, str) or not 0 < len(url) <= 2_048:
            raise BadSchema("credentialSchema has no id", reason="schema-form")
        if url in self._bundled:
            return self._of_ours(url)
        if not isinstance(kind, str) or kind not in KINDS:
            raise BadSchema("a credentialSchema of a kind that is not read", reason="schema-form")
        if not self._trusted(url, issuer):
            raise BadSchema("the schema's host is not trusted for schemas", reason="schema-host")
        known = self._fetched.get(url)
        if known is None or not timedelta(0) <= self._clock.now() - known.asked < KEPT:
            known = await self._flights.run(url, lambda: self._fetch(url))
        wanted = entry.get("digestSRI")
        if wanted is not None and wanted not in known.digests:
            raise BadSchema("the schema is not the one that the credential was issued with", reason="schema-digest")
        return known.validator

    def _of_ours(self, url: str) -> Any:
        """A bundled schema, compiled at its first use; it may refer to the other ones."""
        found = self._compiled.get(url)
        if found is None:
            registry = jsonschema_rs.Registry([(known, dict(each)) for known, each in self._bundled.items()])
            found = self._compiled[url] = _validator(self._bundled[url], registry)
        return found

    def _trusted(self, url: str, issuer: str) -> bool:
        try:
            host, did = urlsplit(url).netloc.lower(), parse(issuer)
        except ValueError:
            return False
        own = did.host if did.port is None else f"{did.host}:{did.port}"
        return bool(host) and (host in self._hosts or host == own)

    async def _fetch(self, url: str) -> _Fetched:
        asked = self._clock.now()
        reply = await self._client.request("GET", url, headers={"Accept": ACCEPT}, max_bytes=MAX_BYTES)
        if reply.status != 200:
            raise BadSchema(f"the schema was answered with {reply.status}", reason="schema-status")
        try:
            document = wire.loads(reply.body, limit=MAX_BYTES)
        except BadInput as error:
            raise BadSchema(f"the schema: {error.detail}", reason="schema-form") from error
        found = _Fetched(_validator(document), _digests(reply.body), asked)
        self._fetched[url] = found
        self._fetched.move_to_end(url)
        if len(self._fetched) > _CAPACITY:
            self._fetched.popitem(last=False)
        return found


def _validator(document: Any, registry: "jsonschema_rs.Registry | None" = None) -> Any:
    """A validator that never fetches; its draft is the document's `$schema`."""
    if not isinstance(document, dict):
        raise BadSchema("the schema is no object", reason="schema-form")
    patterns = jsonschema_rs.RegexOptions()
    try:
        return jsonschema_rs.validator_for(
            document, registry=registry, validate_formats=True, pattern_options=patterns, offline=True
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise BadSchema(f"not a usable JSON Schema: {str(error)[:_SHORT]}", reason="schema-form") from error


def _digests(data: bytes) -> frozenset[str]:
    """The document's digests as SRI writes them (Subresource Integrity, 3.1)."""
    made = {name: hashlib.new(name, data).digest() for name in ("sha256", "sha384", "sha512")}
    return frozenset(f"{name}-{base64.b64encode(each).decode('ascii')}" for name, each in made.items())


def _plain(subjects: tuple[dict[str, Any], ...]) -> Any:
    return subjects[0] if len(subjects) == 1 else list(subjects)
