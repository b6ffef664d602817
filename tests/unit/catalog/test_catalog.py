"""Self-descriptions against the official DSP 2025-1 schemas, and who sees what."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import jsonschema_rs
import pytest

from catalog import describe
from catalog.dcat import Asset, OfferTerms
from catalog.offers import Shelf, visible
from policies.odrl import PURPOSE
from policies.profiles import load
from tests.support.shared import shared_data

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
ENDPOINT = "https://localhost:9443/dsp/2025-1"
PROVIDER = "did:web:localhost%3A9443"
PROFILE = load("battery")
MEMBER = {"MembershipCredential": ({"memberOf": "space.example"},)}
PACK_MAKER = PROFILE.facts({**MEMBER, "RoleCredential": ({"role": ["packMaker"]},)})
TRADER = PROFILE.facts(MEMBER)
OUTSIDER = PROFILE.facts({"OtherCredential": ({"x": "y"},)})
NOBODY = PROFILE.facts({})


def asset(n=1, **changes):
    values = {
        "id": f"urn:uuid:asset-{n:05}",
        "participant": PROVIDER,
        "profile": PROFILE.id,
        "schema": "battery-passport",
        "title": {"en": "Battery passport", "ja": "バッテリーパスポート"},
        "size": 28455,
        "sha256": "ab" * 32,
        "source": "payloads/secret-place.json",
        "created": "2026-11-24T09:00:00.000Z",
    }
    return Asset(**(values | changes))


def offer(of, template="passport-one-up", n=0, **parameters):
    access, contract = PROFILE.offer(
        template, **({"role": "packMaker"} | parameters if template == "passport-one-up" else parameters)
    )
    return OfferTerms(id=f"{of.id}-offer-{n}", asset=of.id, access=access, contract=contract, template=template)


def validator(path):
    names = [
        *("catalog/catalog-schema.json", "catalog/dataset-schema.json", "negotiation/contract-schema.json"),
        "common/context-schema.json",
    ]
    documents = [json.loads(shared_data(f"dsp-2025-1/{name}").read_bytes()) for name in names]
    registry = jsonschema_rs.Registry([(each["$id"], each) for each in documents])
    return jsonschema_rs.validator_for(documents[names.index(path)], registry=registry)


def whole():
    first = asset(
        1, description={"en": "Lot 2026-10", "ja": "2026年10月ロット"}, properties={"dct:license": {"@id": "https://example.org/l"}}
    )
    second = asset(2, schema="")
    sets = [
        describe.dataset(first, [offer(first), offer(first, "passport-public", n=1)], endpoint=ENDPOINT),
        describe.dataset(second, [offer(second)], endpoint=ENDPOINT, formats=("HttpData-PULL",), service="urn:uuid:service"),
    ]
    return describe.catalog(PROVIDER, sets, endpoint=ENDPOINT, title={"en": "Kitakami Cells"})


def test_a_catalog_is_valid_by_the_official_schema():
    check = validator("catalog/catalog-schema.json")
    assert not list(check.iter_errors(whole()))
    assert not list(check.iter_errors(describe.catalog(PROVIDER, [], endpoint=ENDPOINT)))
    assert list(check.iter_errors(whole() | {"dataset": []}))  # the schema does judge


def test_a_dataset_alone_is_valid_by_the_official_schema():
    assert not list(validator("catalog/dataset-schema.json").iter_errors(describe.alone(whole()["dataset"][0])))


def test_what_a_dataset_says():
    first, second = whole()["dataset"]
    assert first["dct:title"][1] == {"@value": "バッテリーパスポート", "@language": "ja"}
    assert [each["@id"] for each in first["dct:conformsTo"]] == [PROFILE.id, f"{PROFILE.id}#schema/battery-passport"]
    assert second["dct:conformsTo"] == [{"@id": PROFILE.id}]
    pull, push = first["distribution"]
    assert (pull["format"], push["format"]) == ("HttpData-PULL", "HttpData-PUSH")
    assert pull["dcat:byteSize"]["@value"] == "28455"
    assert pull["http://spdx.org/rdf/terms#checksum"]["http://spdx.org/rdf/terms#checksumValue"]["@value"] == "ab" * 32
    assert second["distribution"][0]["accessService"]["@id"] == "urn:uuid:service"
    assert "secret-place" not in json.dumps(whole())


def test_an_offer_in_a_catalog_has_an_id_of_its_own_and_no_target_rule_9():
    for dataset in whole()["dataset"]:
        for each in dataset["hasPolicy"]:
            assert each["@type"] == "Offer"
            assert each["@id"] != dataset["@id"]
            assert "target" not in each


def test_turtle_is_dcat():
    rdflib = pytest.importorskip("rdflib")
    graph = rdflib.Graph().parse(data=describe.turtle(whole()), format="turtle")
    dcat, dct = rdflib.Namespace("http://www.w3.org/ns/dcat#"), rdflib.Namespace("http://purl.org/dc/terms/")
    datasets = list(graph.subjects(rdflib.RDF.type, dcat.Dataset))
    assert len(datasets) == 2
    assert {each.language for each in graph.objects(datasets[0], dct.title)} == {"en", "ja"}
    services = set(graph.objects(None, dcat.accessService))
    assert rdflib.URIRef(ENDPOINT) in services
    assert rdflib.URIRef(PURPOSE) in set(graph.objects(None, rdflib.URIRef("http://www.w3.org/ns/odrl/2/leftOperand")))


def test_rdf_is_imported_only_when_it_is_used():
    code = "import sys, catalog.describe, catalog.offers, policies.profiles; sys.exit('rdflib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def seen(facts, pairs):
    return {each.id: [offer.template for offer in offers] for each, offers in visible(pairs, facts, NOW, PROFILE)}


def test_who_sees_what():
    restricted, public = asset(1), asset(2, schema="battery-passport-public")
    pairs = [(offer(restricted), restricted), (offer(public, "passport-public"), public)]
    assert seen(PACK_MAKER, pairs) == {restricted.id: ["passport-one-up"], public.id: ["passport-public"]}
    assert seen(TRADER, pairs) == {public.id: ["passport-public"]}
    assert seen(OUTSIDER, pairs) == {public.id: ["passport-public"]}
    assert seen(NOBODY, pairs) == {}


def test_only_offers_that_are_seen_are_listed_with_an_asset():
    one = asset(1)
    pairs = [(offer(one, role="oem"), one), (offer(one, n=1), one)]
    ((_, offers),) = visible(pairs, PACK_MAKER, NOW, PROFILE)
    assert [each.id for each in offers] == [f"{one.id}-offer-1"]


@pytest.mark.parametrize(
    "access",
    [
        {},
        {"permission": [{"action": "fly"}]},
        {"permission": [{"action": "use", "constraint": [{"leftOperand": "spatial", "operator": "eq", "rightOperand": "JP"}]}]},
        {"permission": [{"action": "use", "constraint": [{"leftOperand": PURPOSE, "operator": "isAnyOf", "rightOperand": ["x"]}]}]},
    ],
)
def test_an_access_policy_that_cannot_be_decided_shows_nothing(access):
    one = asset(1)
    terms = OfferTerms(id="urn:x", asset=one.id, access=access, contract={})
    assert seen(PACK_MAKER, [(terms, one)]) == {}
    shelf = Shelf(PROFILE)
    shelf.put(terms, one)
    assert list(shelf.visible(PACK_MAKER, NOW)) == []


def filled(count, template="passport-one-up", **parameters):
    shelf = Shelf(PROFILE)
    for n in range(count):
        one = asset(n)
        shelf.put(offer(one, template, **parameters), one)
    return shelf


def test_a_shelf_shows_what_the_plain_function_shows():
    shelf, pairs = Shelf(PROFILE), []
    for n in range(30):
        one = asset(n)
        for k, role in enumerate(("packMaker", "oem", "recycler")[: n % 4]):
            terms = offer(one, n=k, role=role)
            pairs.append((terms, one))
            shelf.put(terms, one)
    for facts in (PACK_MAKER, TRADER, NOBODY):
        assert {each.id: {o.id for o in offers} for each, offers in shelf.visible(facts, NOW)} == {
            each.id: {o.id for o in offers} for each, offers in visible(pairs, facts, NOW, PROFILE)
        }


def test_pages_of_a_shelf_follow_each_other():
    shelf = filled(25)
    found, after = [], ""
    while page := [each.id for each, _ in shelf.visible(PACK_MAKER, NOW, after=after)][:10]:
        found += page
        after = page[-1]
    assert found == [asset(n).id for n in range(25)]


def test_offers_are_replaced_and_taken_away():
    shelf, one = filled(3), asset(1)
    shelf.put(offer(one, role="oem"), one)
    assert [each.id for each, _ in shelf.visible(PACK_MAKER, NOW)] == [asset(0).id, asset(2).id]
    shelf.drop(f"{asset(0).id}-offer-0")
    shelf.drop("urn:unknown")
    assert [each.id for each, _ in shelf.visible(PACK_MAKER, NOW)] == [asset(2).id]
    assert len(shelf) == 2
    with pytest.raises(ValueError, match="another asset"):
        shelf.put(offer(one), asset(2))


def test_one_decision_per_distinct_policy_whatever_the_number_of_offers(monkeypatch):
    """Cost does not grow with offers that do not apply: counted, not timed."""
    from catalog import offers

    shelf, calls = filled(2_000), []
    real = offers.evaluate
    monkeypatch.setattr(offers, "evaluate", lambda policy, request: calls.append(policy) or real(policy, request))
    assert list(shelf.visible(TRADER, NOW)) == []
    assert len(calls) == 1
    assert len(list(shelf.visible(PACK_MAKER, NOW))) == 2_000
    assert len(calls) == 2


def scoped(of, n=0, **members):
    """An offer whose access policy tells parties or assets apart."""
    plain = offer(of, "passport-public", n=n)
    access = {**plain.access, "permission": [{**plain.access["permission"][0], **members}]}
    return OfferTerms(id=plain.id, asset=of.id, access=access, contract=plain.contract)


def shown(shelf, party=""):
    return [each.id for each, _ in shelf.visible(OUTSIDER, NOW, party=party)]


def test_an_access_policy_for_one_party_shows_to_that_party_only():
    shelf = Shelf(PROFILE)
    one = asset(1)
    assert shelf.put(scoped(one, assignee="did:web:friend"), one)
    assert shown(shelf, "did:web:friend") == [one.id]
    assert shown(shelf, "did:web:other") == []
    assert shown(shelf) == []
    found = list(visible([(scoped(one, assignee="did:web:friend"), one)], OUTSIDER, NOW, PROFILE, party="did:web:friend"))
    assert [each.id for each, _ in found] == [one.id]


def test_an_access_policy_about_one_asset_shows_no_other_under_the_same_policy():
    shelf = Shelf(PROFILE)
    one, two = asset(1), asset(2)
    for n, each in enumerate((one, two)):
        assert shelf.put(scoped(each, n, target=two.id), each)
    assert shown(shelf) == [two.id]
    shelf.drop(scoped(two, 1).id)
    assert shown(shelf) == []


def test_parties_of_the_policy_are_no_terms_but_decide():
    """Two access policies with equal terms and different assignees are not decided together."""
    shelf = Shelf(PROFILE)
    one, two = asset(1), asset(2)
    for each, party in ((one, "did:web:a"), (two, "did:web:b")):
        plain = offer(each, "passport-public")
        access = {**plain.access, "assignee": party, "@id": "urn:same"}
        shelf.put(OfferTerms(id=plain.id, asset=each.id, access=access, contract=plain.contract), each)
    assert shown(shelf, "did:web:a") == [one.id]
    assert shown(shelf, "did:web:b") == [two.id]
