"""The two sides: an EDC IdentityHub with a control plane of one of its participants, and a connector of ours; a consortium that issues to both."""

import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import aiohttp
import pytest_asyncio
from aiohttp import web

from connector import app
from connector.settings import Issuer, Peer
from identity import did as dids
from identity import jose, status, vc
from identity.keys import KeyStore
from identity.vc import StatusEntry
from identity.verify import Door
from identity.wallet.port import CredentialRequest
from kernel.web import Route, application, serve
from tests.interop.edc.runtime import dsp_of, new_ports
from tests.interop.edc_dcp.runtime import BUILD, Hub, Plane
from tests.support import plain
from tests.support.ports import free_ports

collect_ignore = [] if os.environ.get(BUILD) else ["test_edc_dcp.py"]
TYPE = "MembershipCredential"
SPACE = "interop"
PURPOSES, POSITION, REVOKED = ("revocation", "suspension"), 7, 8
DOCUMENT = {status.LIST2021: vc.VC11_DI, status.BITSTRING: vc.VC20_DI}
KINDS = {vc.VC11: status.LIST2021, vc.VC20: status.BITSTRING}


class Consortium:
    """The issuer: a DID document on loopback and signed memberships."""

    async def start(self, place: Path) -> None:
        routes = [
            Route(method="GET", path=path, handler=handler, auth="none", summary="")
            for path, handler in (("/issuer/did.json", self._document), ("/status/{kind}/{purpose}", self._list))
        ]
        self._listener = await serve(application(routes), "127.0.0.1", 0)
        self.url, self.reads = f"http://localhost:{self._listener.port}", 0
        self.did = f"did:web:localhost%3A{self._listener.port}:issuer"
        self.marked: set[str] = set()
        self.accepted: set[str] = set()
        self._keys = KeyStore(place / "issuer", self.did)
        self._signer, self._token_signer = self._keys.generate("vc"), self._keys.generate("si")

    async def stop(self) -> None:
        await self._listener.close()

    async def _document(self, _request: web.Request) -> web.Response:
        return web.json_response(dids.document(self.did, self._keys.published()))

    async def deliver(self, holder: str, service: str, pid: str, jwt: str, format_: str) -> None:
        """A CredentialMessage (DCP 1.0, 6.5)."""
        token = jose.token_for(self._token_signer, holder, now=datetime.now(UTC), jti=str(uuid.uuid4()))
        message = {
            "@context": [vc.DCP_CONTEXT], "type": "CredentialMessage", "issuerPid": "1", "holderPid": pid, "status": "ISSUED",
            "credentials": [{"credentialType": TYPE, "payload": jwt, "format": format_}],
        }  # fmt: skip
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as http, http.post(f"{service}/credentials", json=message, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    def membership(
        self, holder: str, *, until: timedelta = timedelta(days=30), format_: str = vc.VC11, revoked: bool = False
    ) -> str:
        """With an entry in a list for revocation and in one for suspension, as our issuer makes it."""
        now, kind = datetime.now(UTC), KINDS[format_]
        subject = {"id": holder, "holderIdentifier": "M0001", "memberOf": SPACE}
        entries = [
            StatusEntry(
                url=self._address(kind, purpose), index=REVOKED if revoked else POSITION, purpose=purpose, type=f"{kind}Entry"
            )
            for purpose in PURPOSES
        ]
        return vc.issue(
            self._signer, id=f"urn:uuid:{uuid.uuid4()}", types=[TYPE], subject=subject, valid_from=now - timedelta(minutes=1),
            valid_until=now + until, format=format_, status=entries,
        )  # fmt: skip

    def _address(self, kind: str, purpose: str) -> str:
        return f"{self.url}/status/{kind}/{purpose}"

    async def _list(self, request: web.Request) -> web.Response:
        """A signed status list; `marked` purposes have the members' position set."""
        self.reads += 1
        kind, purpose = request.match_info["kind"], request.match_info["purpose"]
        bits, url, now = status.BitString.empty(), self._address(kind, purpose), datetime.now(UTC)
        bits.set(REVOKED)
        if purpose in self.marked:
            bits.set(POSITION)
        self.accepted.add(request.headers.get("Accept", ""))
        is_json = "jwt" not in request.headers.get("Accept", "")  # as our issuer decides it, for one that asks for application/vc
        text = vc.issue(
            self._signer, id=url, types=[status.list_type(kind)], subject=status.list_subject(url, purpose, bits, kind=kind),
            valid_from=now - timedelta(minutes=1), valid_until=now + timedelta(days=1), format=DOCUMENT[kind] if is_json else status.list_format(kind),
        )  # fmt: skip
        return web.Response(text=text, content_type="application/vc" if is_json else "application/vc+jwt")


class Both:
    """Everything that a test needs."""

    hub: Hub
    plane: Plane
    consortium: Consortium

    def __init__(self) -> None:
        self.doors: list[Door] = []

    @property
    def commands(self):
        return self.ours.commands

    @property
    def did(self) -> str:
        return self.ours.settings.did

    @property
    def dsp(self) -> str:
        return self.ours.settings.dsp_url

    async def publish(self, name: str, template: str, parameters: dict) -> str:
        """A dataset of ours with an offer; returns its id."""

        async def parts():
            yield b"data"

        asset = await self.commands.add_asset(parts(), schema="", title={"en": name}, media_type="text/plain")
        await self.commands.add_offer(asset.id, template, parameters)
        return asset.id

    async def take(self, *, until: timedelta = timedelta(days=30), format_: str = vc.VC11, revoked: bool = False) -> None:
        """The consortium delivers a membership to our credential service, in the place of the one we hold."""
        pid = f"urn:uuid:{uuid.uuid4()}"
        await self.ours.store.save_request(
            CredentialRequest(id=pid, issuer=self.consortium.did, definitions=("membership",), state="REQUESTED")
        )
        await self.consortium.deliver(
            self.did,
            f"{self.ours.settings.public_url}/cs",
            pid,
            self.consortium.membership(self.did, until=until, format_=format_, revoked=revoked),
            format_,
        )

    async def give(self) -> str:
        """The hub's participant holds a membership; returns its id."""
        jwt = self.consortium.membership(self.plane.participant)
        body = dict(jose.parse(jwt).claims["vc"])
        body.pop("@context")
        body |= {"issuer": {"id": body["issuer"]}, "credentialSubject": [body["credentialSubject"]]}
        await self.hub.store("member", jwt, body)
        return body["id"]

    def forget(self) -> None:
        """Drop what our verifier has cached of the peer."""
        self.doors[0].presentations.forget(self.plane.participant)

    async def until(self, key: str, *states: str, seconds: float = 40):
        """A process of ours, once nothing of it is on its way and it is in one of the states."""
        return await plain.settled(self.commands, key, states, seconds)

    async def of_peer(self, pid: str) -> str:
        """Our id of the negotiation whose other side has this one."""
        return next(each.id for each in await self.ours.store.processes("negotiation", "", 1000) if each.peer_pid == pid)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(tmp_path_factory):
    place = Path(tmp_path_factory.mktemp("edc-dcp"))
    both = Both()
    both.consortium = Consortium()
    await both.consortium.start(place)
    both.hub = Hub(place)
    both.hub.launch()
    ports = new_ports()
    try:
        await both.hub.ready()
        client = await both.hub.participant("member", dsp_of(ports), algorithm={"algorithm": "EdDSA", "curve": "Ed25519"})
        both.plane = Plane(place, "member", both.hub, both.consortium.did, client, ports)
        both.plane.launch()
        await both.give()
        peer = Peer(did=both.plane.participant, mtls="off", scopes=(TYPE,), verifier="edc", dialect="edc")
        found = plain.make(place / "ours", tuple(free_ports(3)), (peer,), issuers=(Issuer(both.consortium.did, (TYPE,)),))
        noted = mock.patch.object(app, "Door", lambda **parts: both.doors.append(Door(**parts)) or both.doors[-1])
        with noted:
            async with app.serving(place / "ours", found=found) as both.ours:
                await both.take()
                await both.plane.ready()
                await both.plane.publish("theirs", "http://localhost:1/nothing")
                await both.plane.offer("all", {"permission": [{"action": "use"}]})
                yield both
    finally:
        if hasattr(both, "plane"):
            await both.plane.stop()
        await both.hub.stop()
        await both.consortium.stop()
