"""What a verification tells of its stages when a key is looked for in two documents."""

import pytest

from identity import did as dids
from identity.stages import OF_TOKEN, Trail
from identity.verify import verify_token
from kernel.errors import Unauthorized
from tests.unit.identity_core.world import ALL, World, signer


async def test_a_signature_that_the_cached_document_refused_has_not_passed():
    world = World()
    member = world.member
    await verify_token(world.door, member.caller())
    other = signer(member.did, "k2")
    member.document = dids.document(member.did, [dids.Key(other.kid, other.public_jwk(), ALL)])
    world.clock.forward(60)
    false = signer(member.did)  # the same name, another key
    with pytest.raises(Unauthorized) as caught:
        await verify_token(world.door, member.caller(member.token(key=false)))
    facts = caught.value.facts
    assert (facts["step"], facts["stage"], facts["reason"], facts["peer"]) == (7, "holder", "kid", member.did)
    assert facts["explanation"] == "token: parse, token, window, holder refused (kid: the document does not hold that key)"


@pytest.mark.parametrize("step", range(1, 11))
def test_a_refused_step_of_the_token_is_told_with_the_stages_before_it(step):
    trail = Trail()
    trail.step = step
    *before, last = trail.findings(("why", "detail"))
    assert (last.stage, last.passed, last.reason) == (OF_TOKEN[step - 1], False, "why")
    assert [each.stage for each in before] == [each for each in dict.fromkeys(OF_TOKEN[: step - 1]) if each != last.stage]


def test_what_follows_the_token_is_told_after_all_its_stages():
    trail = Trail()
    trail.step = 10
    trail.at(11, "parse", "presentation")
    trail.at(13, "status", "one", "two")
    found = [(each.stage, each.subject) for each in trail.findings() if each.passed]
    assert found == [
        *((each, "token") for each in dict.fromkeys(OF_TOKEN)),
        ("parse", "presentation"),
        ("status", "one"),
        ("status", "two"),
    ]
    trail.at(10, "binding")
    assert [each for each in trail.findings(("bridge", "")) if not each.passed][0].subject == "token"
