"""HTTP of the certificate authority: enrolment, renewal, bundle, revocation list."""

from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from identity.service.bodies import read
from identity.service.ca.crl import RevocationList
from identity.service.ca.enrolment import CertificateRequest, Enrolled, Enrolment
from identity.service.callers import Callers
from kernel.web import Route, client_certificate, json_response

PATH: Final = "/ca/v1"


class Bundle(Struct, frozen=True):
    """The CA certificates that members trust, as PEM."""

    bundle: str


class CaRoutes:
    """Handlers of the CA."""

    def __init__(self, *, callers: Callers, enrolment: Enrolment, crl: RevocationList) -> None:
        self._callers = callers
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
                method="GET",
                path=PATH + "/crl/issuing.crl",
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

    async def crl(self, _: web.Request) -> web.StreamResponse:
        return web.Response(
            body=await self._crl.fetch(), content_type="application/pkix-crl", headers={"Cache-Control": "max-age=60"}
        )
