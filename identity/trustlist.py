"""The trust list of a consortium: whom its members believe what, signed by the authority (identity.md 8.3).

A verifiable credential (VC 2.0, JWT) of type `TrustListCredential` whose subject is the list: a sequence number, issuers (credential types, profiles, hosts of their
status lists, window), the digest of the consortium's CA bundle, the authorities of other consortia that are recognised (a trust bridge), and the keys that may sign the
next list.

Rules for reading; each refusal has its reason
- signed by a pinned key of the authority (`foreign`), of this type and form (`type`, `form`), inside its window of at most seven days (`window`)
- a list with a smaller number than the one before is refused (`older`); an equal number must be the same list
- a bridge recognises another authority's issuers for the types that it names, and never that authority's own bridges; with `certificates` also the member certificates
  of its CA, as its own list names it, for callers who show credentials that this bridge recognises

Written once for the service and its followers. Not done here: fetching and storing (`connector.worker.trust`), publishing (`identity.service.authority.trust`).
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import ClassVar, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from identity import jose
from identity.jose import BadToken, PublicKey, Signer
from identity.trust import ANY, IssuerRule
from identity.vc import BadCredential, Credential, issue, parse_vc
from kernel.clock import parse_iso
from kernel.errors import BadInput

SERVICE: Final = "TrustList"  # type of the service entry in the authority's DID document
TYPE: Final = "TrustListCredential"
LONGEST: Final = timedelta(days=7)
LIMIT: Final = 1_048_576
_LEEWAY: Final = timedelta(seconds=120)


class BadTrustList(BadInput):
    """A trust list that cannot be relied on. `facts["reason"]` is a fixed word."""

    code: ClassVar[str] = "bad-trust-list"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail, reason=reason)


class TrustedIssuer(Struct, frozen=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What one issuer may issue. Empty `profiles` and `status_hosts` mean any; times are ISO 8601, empty means without limit."""

    did: str
    types: tuple[str, ...]
    profiles: tuple[str, ...] = ()
    status_hosts: tuple[str, ...] = ()
    valid_from: str = ""
    valid_until: str = ""


class Bridge(Struct, frozen=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Another consortium that is recognised: its authority's DID and key (RFC 7638 thumbprint), the types that its issuers are believed, and whether its member certificates count."""

    authority: str
    key: str
    types: tuple[str, ...]
    certificates: bool = False
    valid_until: str = ""


class Content(Struct, frozen=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What the operator decides: issuers and bridges; the CA bundle's digest and the keys of the authority come from the service."""

    issuers: tuple[TrustedIssuer, ...]
    bridges: tuple[Bridge, ...] = ()
    ca_digest: str = ""
    keys: tuple[str, ...] = ()


class TrustList(Struct, frozen=True):
    """A verified list, its number and its window."""

    sequence: int
    content: Content
    since: datetime
    until: datetime


class _Subject(Struct, frozen=True, rename="camel"):
    id: str
    sequence: int
    content: Content


def write(signer: Signer, url: str, sequence: int, content: Content, *, since: datetime, until: datetime) -> str:
    """The signed list; the signer's DID is the authority, `url` where the list is found."""
    subject = {"id": f"{url}#list", "type": "TrustList", "sequence": sequence, "content": msgspec.to_builtins(content)}
    return issue(signer, id=url, types=[TYPE], subject=subject, valid_from=since, valid_until=until)


def parse(text: str) -> Credential:
    """An unverified list, whose `kid` says which key to look at; raises `BadTrustList`."""
    try:
        return parse_vc(text, limit=LIMIT)
    except BadCredential as error:
        raise BadTrustList(f"the trust list: {error.detail}", reason="form") from error


def read(credential: Credential, key: PublicKey, authority: str, now: datetime) -> TrustList:
    """The list of a parsed credential; `key` is the pinned one. Raises `BadTrustList`."""
    if credential.issuer != authority:
        raise BadTrustList("the trust list is of another authority", reason="foreign")
    try:
        jose.verify(jose.parse(credential.raw, limit=LIMIT), key)
    except BadToken as error:
        raise BadTrustList("the trust list is not signed by the pinned key", reason="foreign") from error
    if TYPE not in credential.types or len(credential.subjects) != 1:
        raise BadTrustList("signed by the authority, but no trust list", reason="type")
    since, until = credential.valid_from, credential.valid_until
    if since is None or until is None or until - since > LONGEST:
        raise BadTrustList(f"the trust list has no window of at most {LONGEST.days} days", reason="window")
    if not since - _LEEWAY <= now < until:
        raise BadTrustList("the trust list has expired, or is of the future", reason="window")
    try:
        found = msgspec.convert(credential.subject, _Subject)
    except msgspec.ValidationError as error:
        raise BadTrustList(f"the trust list: {error}", reason="form") from error
    return TrustList(found.sequence, found.content, since, until)


def follows(new: TrustList, old: TrustList | None) -> bool:
    """Whether `new` may take the place of `old`: False when they are the same. Raises `BadTrustList` for an older one."""
    if old is None or new.sequence > old.sequence:
        return True
    if new != old:
        raise BadTrustList(
            f"trust list {new.sequence} is older than {old.sequence}, or another one of the same number", reason="older"
        )
    return False


def rules(content: Content, bridged: Iterable[tuple[Bridge, Content]] = ()) -> list[IssuerRule]:
    """Issuer rules of a list, and those of recognised consortia as far as their bridges go."""
    own = [_rule(each, frozenset(each.types)) for each in content.issuers]
    return own + [
        _rule(each, frozenset(bridge.types) if ANY in each.types else frozenset(bridge.types) & frozenset(each.types), bridge)
        for bridge, theirs in bridged
        for each in theirs.issuers
    ]


def ca_digest(bundle: str) -> str:
    """SHA-256 (hexadecimal) over the DER certificates of a PEM bundle, in order."""
    found = hashlib.sha256()
    for each in x509.load_pem_x509_certificates(bundle.encode("ascii")):
        found.update(each.public_bytes(serialization.Encoding.DER))
    return found.hexdigest()


def changes(old: Content | None, new: Content) -> list[str]:
    """What publishing `new` instead of `old` would change, a line for each: `+`, `-` or `~`, what, and how."""
    before = _lines(old) if old is not None else {}
    after = _lines(new)
    lines = [f"- {name}: {text}" for name, text in before.items() if name not in after]
    lines += [f"+ {name}: {text}" for name, text in after.items() if name not in before]
    lines += [f"~ {name}: {before[name]} -> {text}" for name, text in after.items() if name in before and before[name] != text]
    return lines


def _rule(issuer: TrustedIssuer, types: frozenset[str], bridge: Bridge | None = None) -> IssuerRule:
    ends = [parse_iso(each) for each in (issuer.valid_until, bridge.valid_until if bridge else "") if each]
    return IssuerRule(
        issuer.did,
        types,
        formats=frozenset(issuer.profiles),
        status_hosts=frozenset(issuer.status_hosts),
        since=parse_iso(issuer.valid_from) if issuer.valid_from else None,
        until=min(ends, default=None),
        bridge=bridge.authority if bridge else "",
    )


def _lines(content: Content) -> dict[str, str]:
    found = {f"issuer {each.did}": _text(each, "did") for each in content.issuers}
    found |= {f"bridge {each.authority}": _text(each, "authority") for each in content.bridges}
    found |= {"CA bundle": content.ca_digest} if content.ca_digest else {}
    return found | {f"key {each}": "may sign" for each in content.keys}


def _text(value: Struct, name: str) -> str:
    fields = msgspec.to_builtins(value)
    return "; ".join(
        f"{key} {', '.join(each) if isinstance(each, list | tuple) else each}" for key, each in fields.items() if key != name
    )
