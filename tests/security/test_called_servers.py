"""Whom a connector talks to when it calls: a revoked member gets nothing, on a new connection or on one that is kept alive (group 47 of identity.md 6)."""

import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from identity.tls.ca import Revoked
from identity.tls.contexts import client_context, server_context
from identity.tls.names import serial
from identity.tls.revoked import RevocationLists
from identity.tls.web import WebCa
from kernel.clock import SystemClock
from kernel.http import GuardedClient, Outbound, RevokedServer, WrongServer
from kernel.web import Route, application, json_response, serve
from tests.unit.identity_tls.test_handshake import SERVER, Consortium

DAY = timedelta(days=1)


class Clock(SystemClock):
    ahead = timedelta(0)

    def now(self):
        return super().now() + self.ahead


class Called:
    """A member's server that counts connections and requests, a caller, and the lists that the caller knows."""

    def __init__(self, consortium):
        self.consortium, self.clock, self.heard, self.transports = consortium, Clock(), 0, set()
        self.lists, self.number = RevocationLists(self.clock), 0

    async def answer(self, request):
        self.heard += 1
        self.transports.add(id(request.transport))
        return json_response({})

    def publish(self, *serials):
        self.number += 1
        now = datetime.now(UTC)
        entries = [Revoked(int(each, 16), now, "certificateHold") for each in serials]
        der = self.consortium.authority.crl(entries, number=self.number, this_update=now, next_update=now + DAY)
        self.lists.load(der, self.consortium.bundle.read_bytes())

    async def ask(self, expect_did=SERVER):
        return (await self.client.request("GET", f"https://localhost:{self.port}/", expect_did=expect_did)).status


@asynccontextmanager
async def called(tmp_path, *, public=False):
    found = Called(Consortium(tmp_path))
    files, roots = found.consortium.leaf("server", SERVER), None
    found.serial = serial(_der(files[0]))
    if public:
        authority, roots = WebCa.create(), tmp_path / "roots.pem"
        roots.write_bytes(authority.certificate_pem)
        files = (tmp_path / "web.pem", tmp_path / "web.key")
        for file, data in zip(files, authority.issue(["localhost"]), strict=True):
            file.write_bytes(data)
    routes = [Route(method="GET", path="/", handler=found.answer, auth="none", summary="")]
    listener = await serve(application(routes), "127.0.0.1", 0, server_context(*files))
    found.port = listener.port
    found.client = GuardedClient(
        Outbound(allow=frozenset({"localhost"})),
        tls=lambda: client_context(roots, found.consortium.bundle),
        revoked=found.lists.revoked,
    )
    try:
        yield found
    finally:
        await found.client.close()
        await listener.close()


def _der(path):
    return ssl.PEM_cert_to_DER_cert(path.read_text().partition("-----END")[0] + "-----END CERTIFICATE-----\n")


async def test_g47_called_server_is_refused_from_the_list_on_also_where_the_connection_is_kept_alive(tmp_path):
    async with called(tmp_path) as found:
        found.publish()
        assert (await found.ask(), await found.ask()) == (200, 200)
        assert len(found.transports) == 1, "one connection, kept alive"
        found.publish(found.serial)
        with pytest.raises(RevokedServer, match="revoked"):
            await found.ask()
        found.client.reload()
        with pytest.raises(RevokedServer):
            await found.ask()
        assert found.heard == 2, "nothing was sent"
        await found.client.request("GET", f"https://localhost:{found.port}/", expect_did=SERVER, even_revoked=True)
        assert found.heard == 3, "what must reach one who was cut off"
        with pytest.raises(WrongServer):
            await found.client.request("GET", f"https://localhost:{found.port}/", expect_did="did:web:x.example", even_revoked=True)
        found.publish()
        assert await found.ask() == 200, "a hold that is lifted lets it in again"


async def test_g47_called_server_that_cannot_be_checked_is_refused(tmp_path):
    async with called(tmp_path) as found:
        with pytest.raises(RevokedServer):
            await found.ask()
        found.publish()
        assert await found.ask() == 200
        found.clock.ahead = 2 * DAY
        with pytest.raises(RevokedServer):
            await found.ask()
        assert found.heard == 1


async def test_g47_called_server_is_asked_about_also_where_no_member_certificate_is_required(tmp_path):
    async with called(tmp_path) as found:
        found.publish(found.serial)
        with pytest.raises(RevokedServer):
            await found.ask(expect_did=None)
        assert found.heard == 0


async def test_server_certificates_of_public_authorities_are_not_on_the_consortiums_list(tmp_path):
    async with called(tmp_path, public=True) as found:
        assert await found.ask(expect_did=None) == 200
        with pytest.raises(WrongServer, match="no DID"):
            await found.ask()
        assert found.heard == 1


async def test_the_connector_asks_its_standing(tmp_path):
    """The outgoing client of a wired connector refuses by the connector's own revocation lists."""
    from connector.app import wire_up
    from connector.store.opening import open_store
    from tests.support import plain

    settings = plain.make(tmp_path / "c", (1, 2, 3))
    store = await open_store(tmp_path / "c", settings)
    try:
        made = wire_up(tmp_path / "c", settings, store, SystemClock())
        assert made.client._revoked == made.standing.revoked
        await made.client.close()
        await made.access.close()
    finally:
        await store.close()
