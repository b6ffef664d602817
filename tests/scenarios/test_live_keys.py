"""A running identity service takes over a new issuing CA and new keys, by its public commands; connectors follow without a restart, and not to keys that nobody announced."""

import asyncio
import json
import subprocess
from contextlib import AsyncExitStack

import pytest
from cryptography import x509

from connector import app
from deploy.demo.processes import kizuna
from identity.jose import thumbprint
from identity.keys import KeyStore
from identity.pinned import NotPinned
from kernel.clock import parse_iso
from tests.support import space

pytestmark = pytest.mark.timeout(180)


class Space:
    """An identity service with its commands, and two members."""

    async def run(self, *arguments, ok=True):
        """One `kizuna identity` command on the service's directory."""
        command = kizuna("identity", *arguments, "--dir", str(self.authority.directory))
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        return done.stdout + done.stderr

    async def rotated(self, purpose):
        """A new key; its name and thumbprint."""
        made = json.loads(await self.run("key-rotate", purpose, "--json"))
        assert made["taken"], "the service runs"
        return made["kid"], made["thumbprint"]

    async def believes(self, member, *keys):
        async def settled():
            return member.standing.followed.keys == keys

        await space.until(settled)

    async def heard(self, member):
        """An event of the feed, signed now, reaches the member."""
        before = member.standing.followed.after
        await self.authority.call("POST", f"/v1/members/{self.id(self.south)}/suspend")
        await self.authority.call("POST", f"/v1/members/{self.id(self.south)}/reinstate")

        async def told():
            return member.standing.followed.after >= before + 2 and member.standing.live

        await space.until(told)

    def id(self, member):
        return member.settings.did.replace("%", "%25")


@pytest.fixture
async def running(tmp_path, monkeypatch):
    space.answering(monkeypatch)
    world, found = space.World(tmp_path), Space()
    async with AsyncExitStack() as stack:
        found.authority = await stack.enter_async_context(space.authority(world))
        for name, ports in zip(("north", "south"), space.three(2), strict=True):
            settings = found.authority.make(name, ports)
            member = await stack.enter_async_context(app.serving(tmp_path / name, found=settings))
            await found.authority.admit(member)
            setattr(found, name, member)
        yield found


async def test_a_new_issuing_ca_is_taken_over_by_the_service_and_by_connectors(running, tmp_path):
    north, south, place = running.north, running.south, running.authority.directory
    assert (await space.concluded(north, south)).state == "FINALIZED"
    old = issuer(north)
    await running.run("ca", "request", "--out", str(tmp_path / "request.pem"))
    sign = kizuna(
        "identity", "ca", "sign", str(tmp_path / "request.pem"), "--root", str(place / "ca"), "--out", str(tmp_path / "ca.pem")
    )
    await asyncio.to_thread(subprocess.run, sign, check=True, capture_output=True)
    assert "running service has taken it over" in await running.run("ca", "install", str(tmp_path / "ca.pem"))

    async def taken():
        held = {each.ca.subject for member in (north, south) for each in member.standing.lists._held.values()}
        return len(held) == 2 and all(len(member.standing.lists._held) == 2 for member in (north, south))

    await space.until(taken)
    await north.joining.renew()
    assert issuer(north) != old
    assert issuer(south) == old
    assert (await space.concluded(north, south)).state == "FINALIZED", "certificates of both CAs, side by side"
    assert (await space.concluded(south, north)).state == "FINALIZED"
    serial = f"{x509.load_der_x509_certificate(north.channel._der).serial_number:x}"
    await running.authority.call("POST", f"/v1/certificates/{serial}/revoke", {"reason": "keyCompromise"})

    async def refused():
        return south.standing.revoked(north.channel._der)

    await space.until(refused)


def issuer(member):
    return x509.load_der_x509_certificate(member.channel._der).issuer.rfc4514_string()


async def test_the_trust_key_is_announced_before_it_signs_alone(running):
    north = running.north
    first = running.authority.key
    await running.believes(north, first)
    second_kid, second = await running.rotated("trust")
    await running.believes(north, first, second)
    await running.heard(north)

    listed = await running.run("keys")
    assert "trust-1    ACTIVE" in listed
    assert "trust-2    NEXT" in listed
    assert "may not have learned" in await running.run("key-retire", "trust-1", ok=False)
    assert "waits to sign" in await running.run("key-retire", second_kid, ok=False)

    await running.run("key-retire", "trust-1", "--revoke")
    await running.believes(north, second)
    await running.heard(north)
    assert (await space.concluded(running.north, running.south)).state == "FINALIZED"
    assert "is the newest" in await running.run("key-retire", "trust-2", "--revoke", ok=False)


async def test_a_list_of_a_key_that_nobody_announced_is_refused_until_it_is_pinned_by_hand(running, monkeypatch):
    """The emergency: a connector that has not heard of the next key before the old one was revoked."""
    north, south = running.north, running.south
    await running.believes(north, running.authority.key)
    behind = north.standing.followed
    _, second = await running.rotated("trust")
    await running.run("key-retire", "trust-1", "--revoke")
    await running.believes(south, second)

    await running.believes(north, second)
    north.standing.followed = behind
    north.trust._lists.clear()
    with pytest.raises(NotPinned, match="pinned is"):
        await north.trust.refresh()
    assert north.trust._authority.keys == behind.keys
    monkeypatch.setattr(north.trust._authority, "_pin", second)  # what a start with another authority_key does
    await north.trust.refresh()
    assert north.trust._authority.keys == (second,)


async def test_credential_and_token_keys_rotate_with_overlap(running):
    authority = running.authority
    await running.rotated("vc")
    await running.rotated("si")
    store = KeyStore(authority.directory / "keys", authority.did)
    assert [len(store.all(purpose)) for purpose in ("vc", "si")] == [2, 2]
    document = (await running.north.client.request("GET", f"{authority.settings.url}/.well-known/did.json")).body.decode()
    assert all(f"#{name}" in document for name in ("vc-1", "vc-2", "si-1", "si-2"))
    assert (await space.concluded(running.north, running.south)).state == "FINALIZED"
    assert "waits to begin" in await running.run("key-rotate", "vc", ok=False)
    states = json.loads(await running.run("keys", "--json"))["keys"]
    assert {each["kid"].partition("#")[2]: each["state"] for each in states if each["purpose"] == "vc"} == {
        "vc-1": "ACTIVE",
        "vc-2": "NEXT",
    }
    assert all(parse_iso(each["created"]) for each in states)


async def test_keys_of_a_running_service_are_encrypted(running):
    place = running.authority.directory
    await running.run("keys", "--public", str(place.parent))
    shown = json.loads((place.parent / "trust-1.jwk").read_text())
    assert thumbprint(shown) == running.authority.key
    assert "d" not in shown
    secret = place.parent / "passphrase"
    secret.write_text("a passphrase of some length\n")
    secret.chmod(0o600)
    with (place / "identity.toml").open("a") as file:
        file.write(f'passphrase_file = "{secret}"\n')
    assert "3 keys encrypted" in await running.run("encrypt-keys")
    assert not list((place / "keys").glob("*.pem"))
    assert "trust-1" in await running.run("keys")
    again = KeyStore(place / "keys", running.authority.did, secret.read_text().strip())
    assert thumbprint(again.open("trust").public_jwk()) == running.north.standing.followed.keys[0]
