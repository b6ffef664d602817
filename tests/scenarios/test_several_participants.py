"""Several participants in one process, told apart by base path: real tokens, credentials and contracts between them, and nothing of one at the other's path."""

import asyncio
import json
import ssl
import time
import urllib.request
import uuid
from contextlib import asynccontextmanager

import aiohttp
import pytest
from msgspec import structs

from connector import host
from connector.settings import Issuer, Peer, check, load
from deploy.demo.processes import Node, command
from deploy.demo.world import write_certificate
from identity.tls.web import WebCa
from identity.wallet.port import CredentialRequest
from kernel.errors import Misconfigured
from tests.interop.edc_dcp.conftest import SPACE, TYPE, Consortium
from tests.support import plain
from tests.support.ports import free_ports

pytestmark = pytest.mark.timeout(120)


class Pair:
    """Two participants, `north` and `south`, of one host."""

    async def take(self, mine, consortium):
        pid = f"urn:uuid:{uuid.uuid4()}"
        await mine.store.save_request(CredentialRequest(id=pid, issuer=consortium.did, definitions=("m",), state="REQUESTED"))
        jwt = consortium.membership(mine.settings.did)
        await consortium.deliver(mine.settings.did, f"{mine.settings.public_url}/cs", pid, jwt, "vc11-sl2021/jwt")

    async def publish(self, mine, title):
        async def parts():
            yield b"data"

        asset = await mine.commands.add_asset(parts(), schema="", title={"en": title}, media_type="text/plain")
        await mine.commands.add_offer(asset.id, "members", {"dataSpace": SPACE})
        return asset.id

    async def until(self, mine, key, state):
        async def settled():
            process = await mine.store.process(key)
            return process is not None and process.state == state and process.pending is None

        await mine.commands.wait(settled, 20)
        return await mine.store.process(key)


@asynccontextmanager
async def pair(place):
    consortium, found = Consortium(), Pair()
    await consortium.start(place)
    public, first, second, third, fourth = free_ports(5)
    ports = {"north": (public, first, second), "south": (public, third, fourth)}
    dids = {name: f"did:web:localhost%3A{public}:{name}" for name in ports}
    settings = []
    for name, other in (("north", "south"), ("south", "north")):
        peer = Peer(did=dids[other], mtls="off", scopes=(TYPE,))
        settings.append(plain.make(place / name, ports[name], (peer,), issuers=(Issuer(consortium.did, (TYPE,)),), base_path=name))
    try:
        async with host.together(place / "north", place / "south", found=settings) as (found.north, found.south):
            for each in (found.north, found.south):
                await found.take(each, consortium)
            yield found
    finally:
        await consortium.stop()


async def test_two_participants_of_one_process_conclude_a_contract(tmp_path):
    async with pair(tmp_path) as both:
        asset = await both.publish(both.south, "of the south")
        catalog = await both.north.commands.catalog(both.south.settings.did)
        assert [each["@id"] for each in catalog["dataset"]] == [asset]
        made = await both.north.commands.negotiate(both.south.settings.did, asset, "", None)
        ours = await both.until(both.north, made.id, "FINALIZED")
        theirs = await both.until(both.south, ours.peer_pid, "FINALIZED")
        assert (theirs.state, theirs.peer, theirs.participant) == ("FINALIZED", both.north.settings.did, both.south.settings.did)
        assert await both.north.store.process(ours.peer_pid) is None, "each has its own store"


async def test_what_is_for_one_works_at_no_path_of_the_other(tmp_path):
    async with pair(tmp_path) as both, aiohttp.ClientSession() as http:
        north, south = both.north, both.south
        asset = await both.publish(south, "of the south")
        message = {"@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@type": "CatalogRequestMessage"}

        async def ask(at, audience):
            token = north.commands._peers.authorization(audience)
            headers = {"Authorization": token}
            async with http.post(f"{at.settings.dsp_url}/catalog/request", json=message, headers=headers) as answer:
                first = answer.status
            async with http.get(
                f"{at.settings.dsp_url}/catalog/datasets/{asset}",
                headers={"Authorization": north.commands._peers.authorization(audience)},
            ) as answer:
                return first, answer.status

        assert await ask(south, south.settings.did) == (200, 200)
        assert await ask(south, north.settings.did) == (401, 401), "a token for the north"
        assert await ask(north, south.settings.did) == (401, 401), "a token for the south"
        for each in (north, south):
            async with http.get(f"{each.settings.public_url}/did.json") as answer:
                assert (await answer.json(content_type=None))["id"] == each.settings.did
        async with http.get(f"http://localhost:{north.settings.public_port}/.well-known/did.json") as answer:
            assert answer.status == 404


async def test_two_at_the_same_path_are_refused(tmp_path):
    first = plain.make(tmp_path / "a", tuple(free_ports(3)))
    second = plain.make(tmp_path / "b", (first.public_port, *free_ports(2)))
    with pytest.raises(Misconfigured, match="two participants"):
        async with host.together(tmp_path / "a", tmp_path / "b", found=[first, second]):
            await asyncio.sleep(0)


@pytest.mark.parametrize("path", ["cs", "/acme", "a/b", "Acme", "..", "-a", "a" * 64])
def test_a_base_path_is_one_plain_segment(tmp_path, path):
    found = plain.make(tmp_path / "a", tuple(free_ports(3)))
    (tmp_path / "a/connector.toml").write_text(
        f'name = "a"\nprofile = "base"\nauthority = "did:web:x.example"\npublic_port = 1\nmember_port = 2\nmanagement_port = 3\nbase_path = "{path}"\n'
    )
    with pytest.raises(Misconfigured):
        load(tmp_path / "a")
    check(structs.replace(found, base_path="acme"))


def test_the_command_runs_several_over_one_https_listener(tmp_path):
    authority = WebCa.create()
    certificate, key = write_certificate(tmp_path / "server", authority.issue(["localhost"]))
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority.certificate_pem)
    public, *others = free_ports(5)
    management = {"north": others.pop(), "south": others.pop()}
    for name, port in management.items():
        command(
            "connector", "init", "--dir", str(tmp_path / name), "--name", name, "--profile", "base", "--authority", "did:web:nobody.example",
            "--public-port", str(public), "--member-port", str(others.pop()), "--management-port", str(port), "--base-path", name,
            "--tls-cert", str(certificate), "--tls-key", str(key), "--roots", str(roots),
        )  # fmt: skip
    nodes = [
        Node(name, tmp_path / name, ("connector", "run", "--with", str(tmp_path / "south")), f"http://127.0.0.1:{management[name]}")
        for name in management
    ]
    nodes[0].start()
    try:
        for each in nodes:
            each.wait_ready()
        while nodes[0].log_file.read_text().count('"event":"ready"') < 2:
            time.sleep(0.05)
        context = ssl.create_default_context(cafile=str(roots))
        for name in ("north", "south"):
            with urllib.request.urlopen(f"https://localhost:{public}/{name}/did.json", context=context) as answer:
                assert json.load(answer)["id"] == f"did:web:localhost%3A{public}:{name}"
        assert [each.api.get("/v1/status")["did"].rpartition(":")[2] for each in nodes] == ["north", "south"]
    finally:
        nodes[0].stop()
