"""The small world of the attacks: a verifier's door, an issuer that it trusts, and a member."""

import pytest

from tests.unit.identity_core.world import Party, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def member(world: World) -> Party:
    return world.member
