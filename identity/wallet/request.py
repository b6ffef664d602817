"""Asking an issuer for credentials (DCP 1.0 section 6.4): the request is stored first, sent, and answered later by delivery.

CREATED -> REQUESTED (201) -> ISSUED | REJECTED (delivered to the credential service). Sending again is harmless: the issuer knows
the `holderPid`. Who drives this (when to send again) is the caller's timer.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

import msgspec

from identity.resolve import Resolver
from identity.vc import DCP_CONTEXT
from identity.wallet.port import CredentialRequest, CredentialStore
from identity.wallet.sts import Sts
from kernel import wire
from kernel.clock import iso
from kernel.errors import KizunaError, UnavailableError
from kernel.http import GuardedClient


class IssuerRefused(KizunaError):
    """The issuer does not take the request."""

    code, status = "issuer-refused", 403


async def create(store: CredentialStore, issuer: str, definitions: Sequence[str]) -> CredentialRequest:
    """A new request, stored and not yet sent."""
    request = CredentialRequest(id=f"urn:uuid:{uuid4()}", issuer=issuer, definitions=tuple(definitions), state="CREATED")
    await store.save_request(request)
    return request


async def send(
    request: CredentialRequest,
    store: CredentialStore,
    resolver: Resolver,
    client: GuardedClient,
    sts: Sts,
    *,
    now: datetime | None = None,
) -> CredentialRequest:
    """Send a CREATED request; raises `UnavailableError` (try again) or `IssuerRefused`."""
    endpoint = (await resolver.resolve(request.issuer)).endpoint("IssuerService")
    if endpoint is None:
        raise IssuerRefused(f"{request.issuer} names no IssuerService in its DID document")
    body = {
        "@context": [DCP_CONTEXT],
        "type": "CredentialRequestMessage",
        "holderPid": request.id,
        "credentials": [{"id": each} for each in request.definitions],
    }
    headers = {"Authorization": f"Bearer {sts.token(request.issuer)}", "Content-Type": "application/json"}
    reply = await client.request("POST", f"{endpoint}/credentials", headers=headers, body=wire.dumps(body))
    if reply.status >= 500 or reply.status == 429:
        raise UnavailableError(f"the issuer answers {reply.status}")
    if reply.status not in (200, 201):
        raise IssuerRefused(f"the issuer refuses ({reply.status})", next_step="ask the consortium's operator")
    known = await store.request(request.id) or request
    if known.state != "CREATED":
        return known  # the delivery was faster than this answer
    sent = msgspec.structs.replace(
        known, state="REQUESTED", location=reply.headers.get("Location", ""), asked=iso(now) if now else ""
    )
    await store.save_request(sent)
    return sent


async def status_of(request: CredentialRequest, client: GuardedClient, sts: Sts) -> str | None:
    """RECEIVED, ISSUED or REJECTED; None when the issuer does not know the request. Raises `UnavailableError`, `IssuerRefused`."""
    if not request.location:
        return "RECEIVED"
    headers = {"Authorization": f"Bearer {sts.token(request.issuer)}"}
    reply = await client.request("GET", request.location, headers=headers)
    if reply.status == 404:
        return None
    if reply.status >= 500 or reply.status == 429:
        raise UnavailableError(f"the issuer answers {reply.status}")
    found = wire.loads(reply.body) if reply.status == 200 else {}
    if found.get("type") != "CredentialStatus":
        raise IssuerRefused(f"no status of the request ({reply.status})")
    return str(found.get("status"))


async def definitions_of(issuer: str, resolver: Resolver, client: GuardedClient) -> dict[str, str]:
    """Credential definitions that the issuer's metadata names: id -> credential type."""
    endpoint = (await resolver.resolve(issuer)).endpoint("IssuerService")
    if endpoint is None:
        raise IssuerRefused(f"{issuer} names no IssuerService in its DID document")
    reply = await client.request("GET", f"{endpoint}/metadata")
    if reply.status != 200:
        raise UnavailableError(f"no metadata of {issuer}: {reply.status}")
    found = wire.loads(reply.body).get("credentialsSupported", [])
    return {each["id"]: each["credentialType"] for each in found}
