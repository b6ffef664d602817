"""What a connector tells its own people of refused callers (identity.md 8.4): every stage, newest first, and nothing for a caller that came in."""

import pytest

from connector.refusals import KEPT, Refusals
from identity.verify import authenticate
from kernel.errors import Unauthorized
from tests.unit.identity_core.world import World


async def refused(refusals: Refusals, world: World, **changes: object) -> None:
    async def door(caller, fresh):
        return await authenticate(world.door, caller, fresh=fresh)

    with pytest.raises(Unauthorized):
        await refusals.watching(door)(world.member.caller(**changes), True)


async def test_a_refusal_is_kept_with_its_stages_and_told_again_to_the_caller_as_before(world: World) -> None:
    refusals = Refusals(world.clock)
    stranger = world.party("did:web:stranger.example")
    world.member.held[:] = [stranger.issue(world.member.did)]
    await refused(refusals, world)
    (found,) = refusals.page(0, 10)
    assert (found.peer, found.stage, found.reason) == (world.member.did, "issuer", "untrusted-issuer")
    assert found.explanation.startswith("token: parse, token, window, holder, signature, binding; presentation: parse, holder")
    assert found.at == "2026-11-24T09:00:00.000Z"


async def test_who_comes_in_is_not_noted(world: World) -> None:
    refusals = Refusals(world.clock)

    async def door(caller, fresh):
        return await authenticate(world.door, caller, fresh=fresh)

    assert (await refusals.watching(door)(world.member.caller(), True)).did == world.member.did
    assert refusals.page(0, 10) == []


async def test_pages_go_back_in_time_and_may_be_of_one_peer(world: World) -> None:
    refusals = Refusals(world.clock)
    other = world.party("did:web:other.example")
    for number in range(6):
        if number % 2:
            world.member = other
        await refused(refusals, world, aud=f"did:web:{number}.example")
        world.member = world.party("did:web:member.example%3A8443")
    assert [each.number for each in refusals.page(0, 4)] == [6, 5, 4, 3]
    assert [each.number for each in refusals.page(3, 4)] == [2, 1]
    assert [each.number for each in refusals.page(0, 9, peer=other.did)] == [6, 4, 2]


async def test_only_the_newest_are_kept(world: World) -> None:
    refusals = Refusals(world.clock)
    for _ in range(KEPT + 3):
        await refused(refusals, world, aud="did:web:other.example")
    assert len(refusals.page(0, 1_000)) == KEPT
    assert refusals.page(0, 1)[0].number == KEPT + 3
