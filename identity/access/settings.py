"""Settings that every management API has: where it listens, and whose tokens it takes.

The API listens on loopback; another address needs a certificate, so that no key or token crosses a network in the clear (`check_listener`). There is no
setting that lets a caller in without proving who it is.
"""

from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from identity.access.principal import Role
from kernel.errors import Misconfigured

Algorithm = Literal["ES256", "ES384", "EdDSA", "PS256", "RS256"]


class OidcGrant(Struct, frozen=True, forbid_unknown_fields=True):
    """What a value of the claim is worth."""

    value: Annotated[str, Meta(description="Value of the claim: a role or group of the provider.", min_length=1)]
    role: Annotated[Role, Meta(description="Role in the management API: read, operate or admin.")]
    scopes: Annotated[tuple[str, ...], Meta(description="Families of resources; empty = all.")] = ()


class Oidc(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The identity provider whose tokens the management API takes."""

    issuer: Annotated[str, Meta(description="Issuer, exactly as in its tokens; its metadata are read below it.")]
    audience: Annotated[str, Meta(description="What tokens for this API have in `aud`.", min_length=1)]
    claim: Annotated[
        tuple[str, ...], Meta(description='Path of the claim that is looked up: `["realm_access", "roles"]`.', min_length=1)
    ]
    grants: Annotated[tuple[OidcGrant, ...], Meta(description="What the values of the claim are worth.", min_length=1)]
    algorithms: Annotated[tuple[Algorithm, ...], Meta(description="Signature algorithms that are taken.", min_length=1)] = (
        "ES256", "ES384", "EdDSA", "PS256", "RS256",
    )  # fmt: skip
    name: Annotated[str, Meta(description="Claim shown as the caller's name in the audit log.")] = "preferred_username"


def check_oidc(found: Oidc | None) -> None:
    """Raises `Misconfigured` for an issuer that could be spoofed or never be reached."""
    parts = urlsplit(found.issuer) if found else None
    if parts and (parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment):
        raise Misconfigured(f"oidc: {parts.geturl()} is no issuer", next_step="give an https address without query and fragment")


def check_listener(bind: str, certificate: str, key: str) -> None:
    """Raises `Misconfigured` for an address that others can reach without TLS."""
    if not _loopback(bind) and not (certificate and key):
        raise Misconfigured(
            f"management_bind = {bind} would send management keys in the clear",
            next_step="set management_certificate and management_key, or bind to 127.0.0.1",
        )


def _loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
