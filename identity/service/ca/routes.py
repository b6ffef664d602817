"""HTTP of the certificate authority: enrolment, renewal, bundle, revocation list."""

from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from identity.service.bodies import read
from identity.service.ca.crl import RevocationList
from identity.service.ca.enrolment import CertificateRequest, Enrolled, Enrolment
from identity.service.ca.revocation import CertificateRevocation, Revoke
from identity.service.callers import Callers
from kernel.web import Route, client_certificate, json_response

PATH: Final = "/ca/v1"


class Bundle(Struct, frozen=True):
    """The CA certificates that members trust, as PEM."""

    bundle: str


class CaRoutes:
    """Handlers of the CA."""

    def __init__(self, *, callers: Callers, enrolment: Enrolment, crl: RevocationList, revocation: CertificateRevocation) -> None:
        self._callers, self._revocation = callers, revocation
        self._enrolment = enrolment
        self._crl = crl

    def routes(self) -> list[Route]:
        """The route table of this part."""
        return [
            Route(
                method="POST",
                path=PATH + "/certificates",
                handler=self.enrol,
                auth="token",
                summary="A member certificate for the caller's DID",
                request=CertificateRequest,
                response=Enrolled,
            ),
            Route(
                method="POST",
                path=PATH + "/certificates/renew",
                handler=self.renew,
                auth="token",
                summary="The next member certificate, over the connection of the present one",
                request=CertificateRequest,
                response=Enrolled,
            ),
            Route(
                method="GET",
                path=PATH + "/bundle",
                handler=self.bundle,
                auth="none",
                summary="The consortium's CA certificates",
                response=Bundle,
            ),
            Route(
                method="POST",
                path=PATH + "/certificates/{serial}/revoke",
                handler=self.revoke,
                auth="token",
                summary="Revoke an own certificate for good",
                request=Revoke,
            ),
            Route(
                method="GET",
                path=PATH + "/crl/{name}.crl",
                handler=self.crl,
                auth="none",
                summary="The revocation list (application/pkix-crl)",
            ),
        ]

    async def enrol(self, request: web.Request) -> web.StreamResponse:
        token = await self._callers.proven(request)
        wanted = read(await request.read(), CertificateRequest)
        csr = wanted.csr.encode()
        made = await self._callers.spending(token, lambda c: self._enrolment.enrol(c, token.did, csr))
        return json_response(msgspec.to_builtins(made))

    async def renew(self, request: web.Request) -> web.StreamResponse:
        token = await self._callers.proven(request, mtls="required")
        wanted = read(await request.read(), CertificateRequest)
        csr, leaf = wanted.csr.encode(), client_certificate(request)
        made = await self._callers.spending(token, lambda c: self._enrolment.renew(c, token.did, leaf, csr))
        return json_response(msgspec.to_builtins(made))

    async def bundle(self, _: web.Request) -> web.StreamResponse:
        return json_response(msgspec.to_builtins(Bundle(self._enrolment.authority.bundle)))

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        token = await self._callers.proven(request)
        reason = read(await request.read(), Revoke).reason
        serial = request.match_info["serial"]
        await self._callers.spending(token, lambda c: self._revocation.listed(c, serial, reason, token.did))
        await self._revocation.publish()
        return json_response({"serial": serial, "reason": reason})

    async def crl(self, request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=await self._crl.fetch(request.match_info["name"]),
            content_type="application/pkix-crl",
            headers={"Cache-Control": "max-age=60"},
        )
