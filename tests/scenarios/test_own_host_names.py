"""Participants of one process with host names of their own: one public and one member port, certificates by SNI, routes by Host, mutual TLS between them."""

import asyncio
import json

import pytest

from connector import host
from identity.leaf import read_leaf
from identity.tls.contexts import client_context
from kernel.errors import Misconfigured
from tests.support import space

pytestmark = pytest.mark.timeout(120)


class Pair:
    """Two members, `north` and `south`, of one process and one port each for everybody and for members."""

    async def ask(self, port, name, header=None, path="/.well-known/did.json", context=None):
        """(status, body, the server's DID) of one request, in a handshake for `name` and with the Host `header`."""
        context = context or client_context(self.world.roots, self.consortium)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        try:
            return await asked(reader, writer, header or f"{name}:{port}", path)
        finally:
            writer.close()

    @property
    def consortium(self):
        return self.world.place / "north/tls/consortium.pem"


async def asked(reader, writer, header, path):
    shown = read_leaf(writer.get_extra_info("ssl_object").getpeercert(True)).did
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {header}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    size = int(head.partition("content-length:")[2].split()[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(size) or b"null"), shown


@pytest.fixture
async def pair(tmp_path, monkeypatch):
    space.answering(monkeypatch)
    found = Pair()
    found.world = space.World(tmp_path)
    async with space.authority(found.world) as found.authority:
        (public, member, first), (second, *_) = space.three(2)
        found.public, found.member = public, member
        settings = [
            found.authority.make("north", (public, member, first)),
            found.authority.make("south", (public, member, second)),
        ]
        async with host.together(tmp_path / "north", tmp_path / "south", found=settings) as (found.north, found.south):
            yield found


async def test_one_port_serves_two_members_with_mutual_tls(pair):
    north, south = pair.north, pair.south
    await pair.authority.admit(north)
    with pytest.raises(OSError):
        await pair.ask(pair.member, "south.example")
    await pair.authority.admit(south)
    for each, name in ((north, "north.example"), (south, "south.example")):
        assert (await pair.ask(pair.member, name))[2] == each.settings.did
        assert (await pair.ask(pair.public, name))[1]["id"] == each.settings.did
    assert north.settings.dsp_url != south.settings.dsp_url
    ours = await space.concluded(north, south)
    assert ours.state == "FINALIZED"
    theirs = await south.store.process(ours.peer_pid)
    assert (theirs.peer, theirs.participant) == (north.settings.did, south.settings.did)
    assert await north.store.process(ours.peer_pid) is None

    for port in (pair.member, pair.public):
        status, body, shown = await pair.ask(port, "north.example", f"south.example:{port}")
        assert status == 421, "the Host of another participant"
        assert "id" not in body
        assert shown in (north.settings.did, None)
        assert (await pair.ask(port, "south.example", "elsewhere.example"))[0] == 421
        assert (await pair.ask(port, "south.example", "SOUTH.example"))[0] == 200
        with pytest.raises(OSError):
            await pair.ask(port, "elsewhere.example", context=_unnamed(pair))
        with pytest.raises(OSError):
            await pair.ask(port, None, "north.example", context=_unnamed(pair))

    await cross_tenant(pair, ours.peer_pid)


async def cross_tenant(pair, pid):
    """The process of the south is a 404 at the north's name, with a token for the north; at the south's name, with one for the south, it is there."""
    north, south = pair.north, pair.south
    answers = {}
    for at in (north, south):
        asker = south if at is north else north
        reply = await asker.client.request(
            "GET",
            f"{at.settings.dsp_url}/negotiations/{pid}",
            headers={"Authorization": asker.commands._peers.authorization(at.settings.did)},
            expect_did=at.settings.did,
        )
        answers[at.settings.name] = reply.status
    assert answers == {"north": 404, "south": 200}
    token = {"Authorization": north.commands._peers.authorization(south.settings.did)}
    reply = await north.client.request("GET", f"{north.settings.dsp_url}/negotiations/{pid}", headers=token)
    assert reply.status == 401, "a token for the south, at the north's name"


def _unnamed(pair):
    context = client_context(pair.world.roots, pair.consortium)
    context.check_hostname = False
    return context


async def test_a_change_of_host_on_a_connection_that_is_kept_alive_is_refused(pair):
    context = client_context(pair.world.roots)
    reader, writer = await asyncio.open_connection("127.0.0.1", pair.public, ssl=context, server_hostname="north.example")
    try:
        assert (await asked(reader, writer, f"north.example:{pair.public}", "/.well-known/did.json"))[0] == 200
        assert (await asked(reader, writer, f"south.example:{pair.public}", "/.well-known/did.json"))[0] == 421
        assert (await asked(reader, writer, f"north.example:{pair.public}", "/.well-known/did.json"))[0] == 200
    finally:
        writer.close()


async def test_members_of_another_consortium_are_let_in_where_their_own_ca_counts(tmp_path, monkeypatch):
    """Two participants of different consortia share the ports: the CA of one is none for the other."""
    space.answering(monkeypatch)
    world = space.World(tmp_path)
    async with space.authority(world, "one.example") as one, space.authority(world, "two.example") as two:
        (public, member, first), (second, *_) = space.three(2)
        settings = [one.make("north", (public, member, first)), two.make("south", (public, member, second))]
        async with host.together(tmp_path / "north", tmp_path / "south", found=settings) as (north, south):
            await one.admit(north)
            await two.admit(south)
            pair = Pair()
            pair.world = world
            for mine, other in (("north", "south"), ("south", "north")):
                place = tmp_path / mine / "tls"
                bundle = world.place / "both.pem"
                bundle.write_bytes(b"".join((tmp_path / each / "tls/consortium.pem").read_bytes() for each in ("north", "south")))
                context = client_context(world.roots, bundle, place / "member.pem", place / "member.key")
                assert (await pair.ask(member, f"{mine}.example", context=context))[0] == 200
                with pytest.raises((OSError, EOFError)):
                    await pair.ask(member, f"{other}.example", context=context)


async def test_two_at_the_same_member_port_and_host_are_refused(tmp_path):
    world = space.World(tmp_path)
    async with space.authority(world) as authority:
        (a, member, b), (c, _, d) = space.three(2)
        settings = [
            authority.make("north", (a, member, b), host="same.example"),
            authority.make("south", (c, member, d), host="same.example", base_path="south"),
        ]
        with pytest.raises(Misconfigured, match="member port"):
            async with host.together(tmp_path / "north", tmp_path / "south", found=settings):
                await asyncio.sleep(0)
