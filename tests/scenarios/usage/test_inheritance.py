"""What an agreement inherits is written out and hashed when it is made: a later change of the parent is for later offers (odrl.md 2, issue: policies)."""

import json
from contextlib import AsyncExitStack

import pytest

from kernel import wire
from policies.odrl import PolicyError
from policies.odrl.terms import digest
from policies.profiles import load
from tests.support.company import Company, Directory
from tests.support.usage import atom, transfer, use

GENERAL = "https://example.org/terms/general"


def folder(place, limit, **parent):
    """A profile with general terms, and a template that inherits from them."""
    for name in ("policies", "templates", "texts"):
        (place / name).mkdir(parents=True, exist_ok=True)
    (place / "profile.toml").write_text(
        f'id = "https://example.org/profile/1"\nversion = "1.0.0"\nextends = "base"\n[[policy]]\nid = "{GENERAL}"\nfile = "general.json"\n'
        '[[template]]\nid = "inheriting"\nfile = "inheriting.json"\n'
    )
    general = {
        "@type": "Set",
        "permission": [use(atom("count", "lteq", limit))],
        "prohibition": [{"action": "distribute"}],
    } | parent
    (place / "policies/general.json").write_text(json.dumps(general))
    access = {
        "permission": [
            use({"leftOperand": "https://w3id.org/kizuna/policy/1#membership", "operator": "eq", "rightOperand": "active"})
        ]
    }
    contract = {"inheritFrom": GENERAL, "prohibition": [{"action": "sell"}]}
    (place / "templates/inheriting.json").write_text(json.dumps({"version": "1.0.0", "access": access, "contract": contract}))
    for language in ("en", "ja"):
        (place / f"texts/{language}.toml").write_text(
            'title = "T"\n"template.inheriting" = "T"\n"template.inheriting.terms" = "T"\n'
        )
    return general


@pytest.fixture
async def pair(tmp_path, clock):
    directory, profile = Directory(), tmp_path / "space"
    general = folder(profile, 2)
    async with AsyncExitStack() as stack:
        sides = [Company(tmp_path / name, name, directory, clock=clock, profile=str(profile)) for name in ("seller", "buyer")]
        for each in sides:
            await stack.enter_async_context(each.running())
        sides[0].general, sides[0].folder = general, profile
        yield sides


async def signed(seller, buyer, offer):
    process = await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None)
    process = await buyer.until(process.id, "FINALIZED")
    await seller.until(process.peer_pid, "FINALIZED")
    return process.data["agreement"]["@id"]


def _actions(policy):
    return [each["action"].removeprefix("odrl:") for each in policy["prohibition"]]


async def test_a_later_change_of_the_parent_changes_nothing_that_was_signed(pair):
    seller, buyer = pair
    offer = await seller.publish("inheriting", parameters={})
    assert offer.inherited == {
        GENERAL: digest({"permission": seller.general["permission"], "prohibition": seller.general["prohibition"], "@type": "Set"})
    }
    key = await signed(seller, buyer, offer)
    ours, theirs = [await each.store.agreement(key) for each in pair]
    assert ours.hash == theirs.hash == wire.digest(ours.policy)
    assert "inheritFrom" not in json.dumps(ours.policy)
    assert _actions(ours.policy) == ["distribute", "sell"]

    folder(seller.folder, 1, prohibition=[])  # the general terms change
    changed = load(str(seller.folder))
    assert changed.template("inheriting").inherited != offer.inherited
    seller.rules.usage._profile = seller.commands._profile = changed
    await transfer(buyer, key)
    await transfer(buyer, key)
    assert "403" in (await transfer(buyer, key, "TERMINATED")).note, "two, as was signed"
    assert (await seller.store.agreement(key)).hash == ours.hash
    later = await seller.publish("inheriting", parameters={})
    other = (await seller.store.agreement(await signed(seller, buyer, later))).policy
    assert (_actions(other), offer.inherited != later.inherited) == (["sell"], True)


async def test_where_a_template_is_used_is_known_by_its_agreements(pair):
    seller, buyer = pair
    made = [await signed(seller, buyer, await seller.publish("inheriting", parameters={})) for _ in range(3)]
    other = await signed(seller, buyer, await seller.publish("members", parameters={}))
    under = [each.id for each in await seller.commands.made_from("inheriting", "", 10)]
    assert sorted(under) == sorted(made)
    first = await seller.commands.made_from("inheriting", "", 2)
    rest = await seller.commands.made_from("inheriting", first[-1].id, 2)
    assert [each.id for each in (*first, *rest)] == under, "in pages"
    assert [each.id for each in await seller.commands.made_from("members", "", 10)] == [other]
    assert await buyer.commands.made_from("inheriting", "", 10) == [], "it is not the buyer's"


async def test_terms_of_a_person_are_written_out_too_and_an_unknown_parent_is_refused(pair):
    seller, buyer = pair
    offer = await seller.publish("inheriting", parameters={})
    terms = {"inheritFrom": GENERAL, "prohibition": [{"action": "sell"}]}
    process = await seller.contracts.offer(buyer.did, offer.id, {}, terms, "Sato")
    assert _actions(process.data["offer"]) == ["distribute", "sell"]
    with pytest.raises(PolicyError, match="unknown policy"):
        await seller.contracts.offer(buyer.did, offer.id, {}, {"inheritFrom": "https://example.org/other"}, "Sato")
    with pytest.raises(PolicyError, match="unknown policy"):
        await buyer.commands.negotiate(
            seller.did, offer.asset, offer.id, {"inheritFrom": "https://example.org/other", "permission": [use()]}
        )
