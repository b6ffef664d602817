"""A trust bridge: members of a recognised consortium connect with mutual TLS by certificates of their own CA, as far as the bridge goes, and until it is taken down."""

from contextlib import AsyncExitStack

import pytest

from connector import app
from connector.worker import bundles
from identity.tls.ca import Authority
from identity.tls.enrol import CONSORTIUM
from identity.tls.names import serial
from kernel.errors import KizunaError
from kernel.http import Unreachable
from tests.support import space

pytestmark = pytest.mark.timeout(180)


class Two:
    """Two consortia, `one` and `two`, with a member each: `ours` and `theirs`."""

    async def bridge(self, here, there, *, types=("MembershipCredential",), certificates=True):
        """Publish a trust list of `here` that recognises `there`; without types none."""
        draft = here.directory / "trust.toml"
        names = ", ".join(f'"{each}"' for each in types)
        draft.write_text(
            f'[[bridge]]\nauthority = "{there.did}"\nkey = "{there.key}"\ntypes = [{names}]\ncertificates = {str(certificates).lower()}\n'
            if types
            else ""
        )
        found = await here.call("GET", "/v1/trust-list/diff")
        await here.call("POST", "/v1/trust-list", {"replaces": found["sequence"]})

    async def recognised(self, member, authority, expected=True):
        """Wait until a member has taken, or dropped, the CA of another consortium."""

        async def settled():
            held = {each.consortium for each in member.standing.lists._held.values()}
            return (authority.did in held) is expected and (authority.did in member.trust.bundles()) is expected

        await space.until(settled)

    async def catalog(self):
        return await self.ours.commands.catalog(self.theirs.settings.did)


@pytest.fixture
async def both(tmp_path, monkeypatch):
    space.answering(monkeypatch)
    monkeypatch.setattr(bundles, "EVERY", 0.2)
    world, found = space.World(tmp_path), Two()
    async with AsyncExitStack() as stack:
        found.one = await stack.enter_async_context(space.authority(world, "one.example"))
        found.two = await stack.enter_async_context(space.authority(world, "two.example"))
        ports = space.three(2)
        found.settings = found.one.make("ours", ports[0]), found.two.make("theirs", ports[1])
        found.ours = await stack.enter_async_context(app.serving(tmp_path / "ours", found=found.settings[0]))
        found.theirs = await stack.enter_async_context(app.serving(tmp_path / "theirs", found=found.settings[1]))
        await found.one.admit(found.ours)
        await found.two.admit(found.theirs)
        yield found


async def test_members_of_a_recognised_consortium_meet_with_their_own_certificates_until_it_is_taken_down(both):
    with pytest.raises(Unreachable):
        await both.catalog()

    await both.bridge(both.one, both.two)
    await both.recognised(both.ours, both.two)
    with pytest.raises(KizunaError):
        await both.catalog()  # one way only: the other side does not recognise us

    await both.bridge(both.two, both.one)
    await both.recognised(both.theirs, both.one)
    process = await space.concluded(both.ours, both.theirs, data_space="one.example")
    assert process.state == "FINALIZED"
    assert both.theirs.standing.lists.consortium(_leaf(both.ours)) == both.one.did
    assert not both.theirs.standing.told_of(_leaf(both.ours)), "our authority's feed says nothing of members of others"

    old = _leaf(both.ours)
    await both.ours.joining.renew()
    await both.one.call("POST", f"/v1/certificates/{serial(old)}/revoke", {"reason": "keyCompromise"})

    async def refused():
        return both.theirs.standing.revoked(old)

    await space.until(refused)
    assert (await both.catalog())["@type"] == "Catalog", "the new certificate is not on the list"

    await both.bridge(both.two, both.one, types=())
    await both.recognised(both.theirs, both.one, expected=False)
    assert both.theirs.standing.revoked(_leaf(both.ours)), "also on connections that are kept alive"
    with pytest.raises(KizunaError):
        await both.catalog()
    assert not list((both.theirs.directory / "tls/bridges").glob("*"))


async def test_a_bridge_for_credentials_alone_takes_no_certificates(both):
    await both.bridge(both.two, both.one, certificates=False)
    await both.bridge(both.one, both.two)
    await both.recognised(both.ours, both.two)

    async def taken():
        return any(each.bridge == both.one.did for rules in both.theirs.trust._door.trust._issuers.values() for each in rules)

    await space.until(taken)
    with pytest.raises(KizunaError):
        await both.catalog()
    assert both.theirs.trust.bundles().keys() == {both.two.did}


async def test_a_bundle_that_the_other_list_does_not_name_is_not_taken(both, monkeypatch):
    """Whoever answers at the other authority's host without its key cannot bring in a CA."""
    wrong = (both.ours.directory / "tls" / CONSORTIUM).read_text()
    monkeypatch.setattr(Authority, "bundle", property(lambda _: wrong))
    await both.bridge(both.one, both.two)

    async def fetched():
        return both.two.did in both.ours.trust.bundles()

    await space.until(fetched)
    await both.ours.bundles.keep()
    assert not list((both.ours.directory / "tls/bridges").glob("*"))
    assert {each.consortium for each in both.ours.standing.lists._held.values()} == {""}


def _leaf(member):
    return member.channel._der
