"""A small world for tests: a clock, a web of canned answers, parties with keys, and a door that looks at them."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from identity import did as dids
from identity import jose, status, vc
from identity.keys import FileSigner
from identity.leaf import read_leaf
from identity.resolve import Resolver
from identity.schemas import CredentialSchemas
from identity.statusread import StatusReader
from identity.trust import IssuerRule, TrustPolicy
from identity.verify import Caller, Door, PeerRule, TokenUse
from kernel import wire
from kernel.http import Reply, Unreachable

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
ALL = (dids.INVOCATION, dids.AUTHENTICATION, dids.ASSERTION)
MEMBERSHIP = "org.eclipse.dspace.dcp.vc.type:MembershipCredential:read"
ROLE = "org.eclipse.dspace.dcp.vc.type:RoleCredential:read"


class FakeClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


Answer = Callable[[str, Mapping[str, str], bytes | None], Reply | Awaitable[Reply]]


@dataclass
class FakeWeb:
    """Answers by URL; everything else is unreachable. `calls` remembers (method, url)."""

    answers: dict[str, Answer] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)

    async def request(self, method, url, *, headers=None, body=None, max_bytes=None, timeout=None, expect_did=None) -> Reply:
        self.calls.append((method, url))
        if url not in self.answers:
            raise Unreachable(f"nobody at {url}")
        found = self.answers[url](method, headers or {}, body)
        reply = await found if isinstance(found, Awaitable) else found
        if max_bytes is not None and len(reply.body) > max_bytes:
            raise Unreachable("the answer is too large")
        return reply

    def count(self, part: str) -> int:
        return sum(part in url for _, url in self.calls)


def key_for(alg: str) -> Any:
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if alg in {"RS256", "PS256"}:
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1() if alg == "ES256" else ec.SECP384R1())


def signer(did: str, name: str = "k1", alg: str = "ES256") -> FileSigner:
    return FileSigner(f"{did}#{name}", alg, key_for(alg))


def json_reply(value: Any, kind: str = "application/json", code: int = 200) -> Reply:
    return Reply(code, {"Content-Type": kind}, wire.dumps(value))


def certificate(did: str | None, *more: str) -> bytes:
    """A self-signed leaf with URI names; the chain is the TLS layer's matter."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "leaf")])
    uris = [x509.UniformResourceIdentifier(each) for each in ((did,) if did else ()) + more]
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *uris]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.DER)


@dataclass
class Party:
    """A participant: one key under all relationships unless its document is changed."""

    world: "World"
    did: str
    key: FileSigner
    held: list[str] = field(default_factory=list)
    queries: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    document: dict[str, Any] = field(default_factory=dict)
    leaf: bytes = b""

    @property
    def base(self) -> str:
        return dids.web_url(self.did).removesuffix("/did.json").removesuffix("/.well-known")

    def publish(self) -> None:
        url = dids.web_url(self.did)
        self.world.web.answers[url] = lambda *_: json_reply(self.document, "application/did+json")
        self.world.web.answers[f"{self.base}/cs/presentations/query"] = self.answer

    def answer(self, _method: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """The credential service: presents what it holds, whatever was asked."""
        token = jose.parse(headers["Authorization"].removeprefix("Bearer "))
        self.queries.append((token.claims, wire.loads(body or b"")))
        return self.present_as([self.present()])

    def present(self, **changes: Any) -> str:
        given: dict[str, Any] = {
            "signer": self.key,
            "credentials": self.held,
            "audience": self.world.verifier.did,
            "now": self.world.clock.now(),
            "jti": secrets.token_hex(8),
            "format": vc.VC20,
        } | changes
        return vc.present(given.pop("signer"), given.pop("credentials"), **given)

    def present_as(self, entries: list[Any]) -> Reply:
        return json_reply({"@context": [vc.DCP_CONTEXT], "type": "PresentationResponseMessage", "presentation": entries})

    def shows(self, *entries: Any) -> None:
        """Answer every query with these entries."""
        self.world.web.answers[f"{self.base}/cs/presentations/query"] = lambda *_: self.present_as(list(entries))

    def issue(self, holder: str, *kinds: str, **changes: Any) -> str:
        now = self.world.clock.now()
        given: dict[str, Any] = {
            "id": f"urn:uuid:{secrets.token_hex(8)}",
            "types": kinds or ("MembershipCredential",),
            "subject": {"id": holder, "memberOf": "consortium"},
            "valid_from": now - timedelta(minutes=1),
            "valid_until": now + timedelta(days=30),
            "format": vc.VC20,
        } | changes
        return vc.issue(given.pop("signer", self.key), **given)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good claims of a Self-Issued ID token for the verifier; a change to None removes a claim."""
        now = int(self.world.clock.now().timestamp())
        good = {
            "iss": self.did,
            "sub": self.did,
            "aud": self.world.verifier.did,
            "iat": now,
            "exp": now + 300,
            "jti": secrets.token_hex(8),
            "token": "access",
            "cnf": {"x5t#S256": read_leaf(self.leaf).thumbprint},
        } | changes
        return {name: value for name, value in good.items() if value is not None}

    def token(self, *, key: FileSigner | None = None, typ: str = "JWT", **changes: Any) -> str:
        return jose.sign(self.claims(**changes), key or self.key, typ=typ)

    def caller(self, token: str | None = None, **changes: Any) -> Caller:
        return Caller((f"Bearer {token or self.token(**changes)}",), self.leaf)


class StatusHost:
    """A status list of an issuer, with ETag, signed anew at every change."""

    def __init__(self, issuer: Party, name: str, purpose: str = "revocation", kind: str = status.BITSTRING) -> None:
        self.issuer, self.url, self.purpose, self.kind = issuer, f"{issuer.base}/status/{name}", purpose, kind
        self.bits = status.BitString.empty()
        self.changes: dict[str, Any] = {}
        self.asked = self.unchanged = 0
        self.sign()
        issuer.world.web.answers[self.url] = self.answer

    def entry(self, index: int, **changes: Any) -> vc.StatusEntry:
        kind = f"{self.kind}Entry"
        given = {"url": self.url, "index": index, "purpose": self.purpose, "type": kind} | changes
        return vc.StatusEntry(**given)

    def sign(self) -> None:
        now = self.issuer.world.clock.now()
        given: dict[str, Any] = {
            "signer": self.issuer.key,
            "id": self.url,
            "types": [status.list_type(self.kind)],
            "subject": status.list_subject(self.url, self.purpose, self.bits, kind=self.kind),
            "valid_from": now,
            "valid_until": now + timedelta(days=1),
            "format": status.list_format(self.kind),
        } | self.changes
        self.jwt = vc.issue(given.pop("signer"), **given)

    def set(self, index: int, value: int = 1) -> None:
        self.bits.set(index, value)
        self.sign()

    def answer(self, _method: str, headers: Mapping[str, str], _body: bytes | None) -> Reply:
        self.asked += 1
        etag = f'"{hash(self.jwt)}"'
        if headers.get("If-None-Match") == etag:
            self.unchanged += 1
            return Reply(304, {}, b"")
        return Reply(200, {"Content-Type": "application/vc+jwt", "ETag": etag}, self.jwt.encode())


class World:
    """A verifier with its door, an issuer that it trusts, and a member with a membership credential."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.web = FakeWeb()
        self.used: set[tuple[str, str]] = set()
        self.verifier = self.party("did:web:verifier.example%3A8443")
        self.issuer = self.party("did:web:issuer.example")
        self.member = self.party("did:web:member.example%3A8443")
        self.member.held.append(self.issuer.issue(self.member.did))
        self.rule = PeerRule("", "required", (MEMBERSHIP,))
        self.resolver = Resolver(self.web, self.clock)  # type: ignore[arg-type]
        self.status = StatusReader(self.resolver, self.web, self.clock)  # type: ignore[arg-type]
        self.door = Door(
            did=self.verifier.did,
            resolver=self.resolver,
            clock=self.clock,
            seen=self.seen,
            trust=TrustPolicy([IssuerRule(self.issuer.did, frozenset({"MembershipCredential", "RoleCredential"}))]),
            status=self.status,
            schemas=CredentialSchemas(self.web, self.clock),  # type: ignore[arg-type]
            client=self.web,  # type: ignore[arg-type]
            signer=self.verifier.key,
            rules=lambda _: self.rule,
        )

    async def seen(self, token: TokenUse) -> bool:
        return (token.issuer, token.jti) in self.used

    def party(self, did: str, alg: str = "ES256") -> Party:
        key = signer(did, alg=alg)
        found = Party(self, did, key, leaf=certificate(did))
        service = dids.Service("#cs", "CredentialService", f"{found.base}/cs")
        found.document = dids.document(did, [dids.Key(key.kid, key.public_jwk(), ALL)], [service])
        found.publish()
        return found

    def demand(self, **changes: Any) -> None:
        """Change the rule for peers."""
        fields = {name: getattr(self.rule, name) for name in ("did", "mtls", "scopes", "optional", "profile")}
        self.rule = PeerRule(**(fields | changes))


__all__ = ["ALL", "FakeClock", "FakeWeb", "Party", "StatusHost", "World", "certificate", "replace", "signer"]
