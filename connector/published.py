"""What a participant publishes of itself: its DID document (did:web, DCP 1.0 and DSP 2025-1 service entries), and where its routes lie on a shared listener."""

from typing import Any

import msgspec
from aiohttp import web

from connector import settings
from connector.settings import Settings
from identity.did import Service as ServiceEntry
from identity.did import document
from identity.keys import KeyRing
from identity.wallet.credentials import PATH as WALLET
from kernel.web import Route, json_response


def own_document(found: Settings, keys: KeyRing) -> dict[str, Any]:
    """Our DID document."""
    services = [
        ServiceEntry(f"{found.did}#cs", "CredentialService", found.public_url + WALLET),
        ServiceEntry(f"{found.did}#dsp", "DataService", found.dsp_url),
        ServiceEntry(f"{found.did}#dsp-public", "DataService", found.public_url + settings.DSP_PATH),
    ]
    return document(found.did, keys.published(), services)


def below(found: Settings, table: list[Route]) -> list[Route]:
    """The routes of one participant of a host."""
    return [msgspec.structs.replace(each, path=found.below + each.path) for each in table]


def routes(found: Settings, keys: KeyRing) -> list[Route]:
    """The route of the DID document."""

    async def did_document(_request: web.Request) -> web.Response:
        return json_response(
            own_document(found, keys), headers={"Cache-Control": "max-age=60"}, content_type="application/did+json"
        )

    path = "/did.json" if found.base_path else "/.well-known/did.json"
    return [Route(method="GET", path=path, handler=did_document, auth="none", summary="DID document")]
