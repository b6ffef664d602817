"""Members whose DID has a path join, meet and renew like others; and a connector that the authority's feed does not reach sees a suspension and its lifting."""

from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace

from connector import app
from connector.worker import feed
from kernel.errors import KizunaError, UnavailableError
from tests.support import space

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def stack():
    async with AsyncExitStack() as found:
        yield found


async def two_members(stack, tmp_path, monkeypatch, **paths):
    space.answering(monkeypatch)
    world = space.World(tmp_path)
    authority = await stack.enter_async_context(space.authority(world))
    members = []
    for (name, path), ports in zip(paths.items(), space.three(len(paths)), strict=True):
        found = authority.make(name, ports, base_path=path)
        member = await stack.enter_async_context(app.serving(tmp_path / name, found=found))
        await authority.admit(member)
        members.append(member)
    return authority, *members


async def test_a_did_with_a_path_joins_contracts_and_renews(stack, tmp_path, monkeypatch):
    _, north, south = await two_members(stack, tmp_path, monkeypatch, north="company-a", south="")
    assert north.settings.did.endswith(":company-a")
    assert north.channel.described()["did"] == north.settings.did
    assert [each.type for each in await north.store.held()] == ["MembershipCredential"]
    assert (await space.concluded(north, south)).state == "FINALIZED"
    assert (await space.concluded(south, north)).state == "FINALIZED"
    before = north.channel.thumbprint
    await north.joining.renew()
    assert north.channel.thumbprint != before
    assert (await south.commands.catalog(north.settings.did))["@type"] == "Catalog"


async def test_a_connector_that_the_feed_does_not_reach_sees_the_suspension_lifted(stack, tmp_path, monkeypatch):
    for name, value in (("CRL_SILENT", 0.1), ("_LONGEST_PAUSE", 0.1)):
        monkeypatch.setattr(feed, name, value)
    authority, north, south = await two_members(stack, tmp_path, monkeypatch, north="", south="")
    assert (await space.concluded(north, south)).state == "FINALIZED"
    member = north.settings.did.replace("%", "%25")
    await authority.call("POST", f"/v1/members/{member}/suspend")

    async def barred():
        return south.standing.barred(north.settings.did) == "suspension"

    await space.until(barred)
    cut(south, monkeypatch)
    with pytest.raises(KizunaError):
        await north.commands.catalog(south.settings.did)
    assert await barred(), "fresh status says suspended"

    await authority.call("POST", f"/v1/members/{member}/reinstate")

    async def let_in():
        try:
            return (await north.commands.catalog(south.settings.did))["@type"] == "Catalog"
        except KizunaError:
            return False

    await space.until(let_in)
    assert not south.standing.live
    assert south.standing.barred(north.settings.did) is None
    assert (await space.concluded(north, south)).state == "FINALIZED"


def cut(member, monkeypatch):
    """The authority's feed does not reach this member any more, and has not for a while; everything else of the authority does."""

    async def silent():
        raise UnavailableError("the feed is cut")

    def unheard():
        raise UnavailableError("the feed is cut")

    monkeypatch.setattr(member.follower, "_ask", silent)
    monkeypatch.setattr(member.standing, "heard", unheard)  # nor does the answer arrive that is asked for already
    monkeypatch.setattr(member.standing, "_heard", None)


@pytest.mark.parametrize("word", ["revocation", "suspension"])
async def test_what_fresh_status_cannot_lift(stack, tmp_path, monkeypatch, word):
    """A revocation is final; and a suspension stays where the credentials shown are not our authority's."""
    _, north, south = await two_members(stack, tmp_path, monkeypatch, north="", south="")
    south.standing.followed = replace(south.standing.followed, barred={north.settings.did: word})
    cut(south, monkeypatch)
    monkeypatch.setattr(south.standing, "_authority", "did:web:other.example" if word == "suspension" else south.settings.authority)
    with pytest.raises(KizunaError):
        await north.commands.catalog(south.settings.did)
    assert south.standing.barred(north.settings.did) == word
