"""What an agreement inherits is written out and hashed when it is made: a later change of the parent is for later offers, and both parties sign what it was.

A third party verifies from a file which policies the terms came from (odrl.md 2, issue: policies).
"""

import copy
import json
from contextlib import AsyncExitStack

import pytest
from typer.testing import CliRunner

from connector.contracts import bundle
from identity import jose
from kernel import wire
from kernel.cli import application as command_line
from policies.odrl import PolicyError
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
    assert offer.inherited == {GENERAL: wire.digest(seller.general)}
    key = await signed(seller, buyer, offer)
    ours, theirs = [await each.store.agreement(key) for each in pair]
    assert ours.hash == theirs.hash == wire.digest(ours.policy)
    assert "inheritFrom" not in json.dumps(ours.policy)
    assert _actions(ours.policy) == ["distribute", "sell"]
    assert ours.inherited == theirs.inherited == dict(offer.inherited), "both sides keep what it was"

    folder(seller.folder, 1, prohibition=[])  # the general terms change
    changed = load(str(seller.folder))
    assert changed.template("inheriting").inherited != offer.inherited
    seller.rules.usage._profile = seller.commands._profile = changed
    await transfer(buyer, key)
    await transfer(buyer, key)
    assert "403" in (await transfer(buyer, key, "TERMINATED")).note, "two, as was signed"
    assert (await seller.store.agreement(key)).hash == ours.hash
    later = await seller.publish("inheriting", parameters={})
    other = await seller.store.agreement(await signed(seller, buyer, later))
    assert (_actions(other.policy), offer.inherited != later.inherited) == (["sell"], True)
    assert (other.inherited, (await seller.store.agreement(key)).inherited) == (later.inherited, offer.inherited)
    assert said(await seller.contracts.evidence(key))[f"inherited {GENERAL}"] is True, "the old text is kept"


def said(found, **given):
    """What verifying a bundle says of each thing."""
    return {each.what: each.ok for each in bundle.verify(bundle.read(wire.dumps(found)), **given)}


async def test_both_parties_sign_what_was_inherited_and_a_third_party_checks_it_from_the_file(pair):
    seller, buyer = pair
    offer = await seller.publish("inheriting", parameters={})
    key = await signed(seller, buyer, offer)
    for side in pair:
        found = await side.contracts.evidence(key)
        assert found["inherited"] == {"provider": offer.inherited, "consumer": offer.inherited}
        assert {jose.parse(token).claims["inherited"][GENERAL] for token in found["signatures"].values()} == {
            offer.inherited[GENERAL]
        }
        assert wire.loads(found["documents"][offer.inherited[GENERAL]].encode()) == seller.general
        checks = said(found)
        assert {
            f"inherited {GENERAL}",
            "inherited, as the provider states it",
            "inherited, as the consumer states it",
        } <= checks.keys()
        assert set(checks.values()) - {True} <= {None}, checks
        assert checks[f"inherited {GENERAL}"] is True


async def test_nothing_of_it_stands_in_the_agreement_of_the_protocol(pair):
    seller, buyer = pair
    policy = (await buyer.store.agreement(await signed(seller, buyer, await seller.publish("inheriting", parameters={})))).policy
    assert policy.keys() <= {"@id", "@type", "target", "assigner", "assignee", "timestamp", "permission", "prohibition", "profile"}


async def test_an_agreement_without_parents_says_nothing_of_them(pair):
    seller, buyer = pair
    key = await signed(seller, buyer, await seller.publish("members", parameters={}))
    found = await buyer.contracts.evidence(key)
    assert (await buyer.store.agreement(key)).inherited == {}
    assert found["inherited"] == {"provider": {}, "consumer": {}}
    assert "inherited" not in jose.parse(found["signatures"]["provider"]).claims
    assert not any("inherited" in what for what in said(found))


def resealed(found, company):
    rest = {name: each for name, each in found.items() if name != "seal"}
    return bundle.sealed(rest, company.contracts._exporter._sign, party=company.did, at=found["at"])


async def test_what_is_changed_about_it_is_found_though_the_exporter_seals_it_again(pair):
    seller, buyer = pair
    offer = await seller.publish("inheriting", parameters={})
    found, digest = await seller.contracts.evidence(await signed(seller, buyer, offer)), offer.inherited[GENERAL]

    def failing(change):
        made = copy.deepcopy(found)
        change(made)
        return {what for what, ok in said(resealed(made, seller)).items() if ok is False}

    other = wire.canonical(seller.general | {"prohibition": []})
    assert failing(lambda _: None) == set()
    assert failing(lambda it: it["documents"].update({digest: other.decode()})) == {"documents", f"inherited {GENERAL}"}
    assert failing(lambda it: it["inherited"]["provider"].clear()) == {"inherited, as the provider states it"}
    assert failing(lambda it: it["inherited"].update(consumer={GENERAL: bundle.digest(other)})) == {
        "inherited, as the consumer states it",
        "inherited by both alike",
    }
    unsigned = copy.deepcopy(found)
    unsigned["signatures"]["provider"] = None
    assert said(resealed(unsigned, seller))["inherited, as the provider states it"] is None


async def test_a_text_that_the_file_lacks_is_given_by_whoever_has_it(pair, tmp_path):
    seller, buyer = pair
    offer = await seller.publish("inheriting", parameters={})
    found, digest = await seller.contracts.evidence(await signed(seller, buyer, offer)), offer.inherited[GENERAL]
    text = found["documents"].pop(digest)
    found = resealed(found, seller)
    assert said(found)[f"inherited {GENERAL}"] is None
    assert said(found, texts={digest: text})[f"inherited {GENERAL}"] is True
    assert said(found, texts={digest: text + " "})[f"inherited {GENERAL}"] is False
    file = tmp_path / "evidence.json"
    file.write_bytes(wire.dumps(found))
    command = ["agreement", "verify", str(file), "--json", "--policy", str(seller.folder / "policies/general.json")]
    done = CliRunner().invoke(command_line(), command)
    assert done.exit_code == 0
    holds = {each["check"]: each["holds"] for each in json.loads(done.stdout)}
    assert holds[f"inherited {GENERAL}"] == "yes"


async def test_terms_that_were_agreed_otherwise_are_told_apart(pair):
    seller, buyer = pair
    offer = await seller.publish("inheriting", parameters={}, otherwise="wait")
    process = await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None, values={"count": "1"})
    theirs = await buyer.counterpart(seller, process.id)
    await seller.until(theirs.id, "REQUESTED")
    await seller.contracts.approve(theirs.id, "Sato")
    process = await buyer.until(process.id, "FINALIZED")
    key = process.data["agreement"]["@id"]
    found = next(each for each in bundle.verify(await buyer.contracts.evidence(key)) if each.what == f"inherited {GENERAL}")
    assert found.ok is None
    assert "1 of its 2 rules were agreed otherwise" in found.detail


async def test_terms_of_a_person_say_what_they_were_written_from_and_terms_without_parents_take_that_back(pair):
    seller, buyer = pair
    offer = await seller.publish("members", parameters={})
    under = {"permission": [use()], "inheritFrom": GENERAL}
    made = await seller.contracts.offer(buyer.did, offer.id, {}, under, "Sato")
    theirs = await seller.counterpart(buyer, made.id)
    await buyer.contracts.accept(theirs.id, "Suzuki")
    process = await buyer.until(theirs.id, "FINALIZED")
    kept = await buyer.store.agreement(process.data["agreement"]["@id"])
    assert kept.inherited == {GENERAL: wire.digest(seller.general)}

    made = await seller.contracts.offer(buyer.did, offer.id, {}, under, "Sato")
    theirs = await seller.counterpart(buyer, made.id)
    await seller.until(made.id, "OFFERED")
    await buyer.contracts.counter(theirs.id, {}, {"permission": [use(atom("count", "lteq", 1))]}, "Suzuki")
    await seller.until(made.id, "REQUESTED")
    await seller.contracts.counter(made.id, {}, {"permission": [use()]}, "Sato")
    await seller.until(made.id, "OFFERED")
    await buyer.contracts.accept(theirs.id, "Suzuki")
    process = await buyer.until(theirs.id, "FINALIZED")
    assert (await buyer.store.agreement(process.data["agreement"]["@id"])).inherited == {}


async def test_terms_of_the_consumers_own_are_stated_by_the_consumer(pair):
    seller, buyer = pair
    offer = await seller.publish("members", parameters={})
    asked = await buyer.commands.negotiate(seller.did, offer.asset, offer.id, {"permission": [use()], "inheritFrom": GENERAL})
    theirs = await buyer.counterpart(seller, asked.id)
    await seller.until(theirs.id, "REQUESTED")
    await seller.contracts.approve(theirs.id, "Sato")
    process = await buyer.until(asked.id, "FINALIZED")
    await seller.until(theirs.id, "FINALIZED")
    found = await seller.contracts.evidence(process.data["agreement"]["@id"])
    assert found["inherited"] == {"provider": {}, "consumer": {GENERAL: wire.digest(seller.general)}}
    assert False not in said(found).values()


@pytest.mark.parametrize(
    "wrong", ["x", ["x"], {GENERAL: "sha256:0"}, {GENERAL: 5}, {str(n): "sha256:" + "0" * 64 for n in range(33)}]
)
async def test_a_signature_that_states_it_in_another_form_is_refused(pair, wrong):
    seller, buyer = pair
    sign = seller.sign
    seller.sign = lambda claims: sign({**claims, "inherited": wrong})
    offer = await seller.publish("inheriting", parameters={})
    key = (await buyer.commands.negotiate(seller.did, offer.asset, offer.id, None)).id
    theirs = await buyer.counterpart(seller, key)
    await seller.refused_signature(theirs.id)
    assert await buyer.store.agreements("", 10) == []


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
