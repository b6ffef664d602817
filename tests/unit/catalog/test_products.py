"""Policies that read the product of a dataset: who sees what, one decision for each thing that a caller is to the provider, and how products look on the wire."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import dcat, describe
from catalog.dcat import Asset, OfferTerms
from catalog.offers import LAST, Shelf, visible
from kernel.errors import BadInput
from policies.odrl import KZ
from policies.profiles import load
from tests.unit.catalog.test_catalog import ENDPOINT, PROVIDER, validator
from tests.unit.catalog.test_catalog import asset as described_asset
from tests.unit.catalog.test_catalog import offer as described_offer

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
PROFILE = load("base")
FACTS = {KZ + "membership": "active"}


def atom(left, operator, right):
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def permit(*constraints, **more):
    return {"permission": [{"action": "use", "constraint": list(constraints)} | more]}


TRADE = KZ + "productRelation"
BUYERS = permit(atom(TRADE, "eq", "customer"))
NO_SUPPLIERS = permit(atom(TRADE, "isNoneOf", ["supplier"]))
NOT_FORBIDDEN = permit() | {"prohibition": [{"action": "use", "constraint": [atom(TRADE, "eq", "supplier")]}]}
BUYERS_OR_MEMBERS_OF_X = permit({"or": [atom(TRADE, "eq", "customer"), atom(KZ + "memberOf", "eq", "x")]})
MEMBERS = permit(atom(KZ + "membership", "eq", "active"))
BUYERS_UNTIL = permit(atom(TRADE, "eq", "customer"), atom("dateTime", "lt", (NOW + timedelta(minutes=1)).isoformat()))
ONE_ASSET = permit(atom(TRADE, "eq", "customer"), target="a0001")
POLICIES = (BUYERS, NO_SUPPLIERS, NOT_FORBIDDEN, BUYERS_OR_MEMBERS_OF_X, MEMBERS, BUYERS_UNTIL, ONE_ASSET)
PRODUCTS = ("p1", "p2", "urn:p:3")


def asset(number, *products):
    return Asset(
        id=f"a{number:04}", participant="p", profile="", schema="", title={"en": "x"}, size=1, sha256="0", source="", created="c", products=products,
    )  # fmt: skip


def offer(of, access, n=0):
    return OfferTerms(id=f"{of.id}-{n}", asset=of.id, access=access, contract={})


def ids(found):
    return [each.id for each, _ in found]


def sees(access, relations, *products):
    one = asset(1, *products)
    (shelf := Shelf(PROFILE)).put(offer(one, access), one)
    found = ids(shelf.visible(FACTS, NOW, relations=relations))
    assert ids(visible([(offer(one, access), one)], FACTS, NOW, PROFILE, relations=relations)) == found
    return bool(found)


@pytest.mark.parametrize(
    ("access", "relations", "products", "seen"),
    [
        (BUYERS, ("customer:p1",), ("p1",), True),
        (BUYERS, ("customer:p1",), ("p2",), False),
        (BUYERS, ("customer:p1",), ("p1", "p2"), True),
        (BUYERS, ("customer:urn:p:3",), ("urn:p:3",), True),
        (BUYERS, ("customer",), ("p1",), True),
        (BUYERS, ("customer",), (), False),
        (BUYERS, ("customer:p1",), (), False),
        (BUYERS, ("supplier:p1",), ("p1",), False),
        (BUYERS, (), ("p1",), False),
        (NO_SUPPLIERS, ("customer:p1",), ("p1",), True),
        (NO_SUPPLIERS, ("customer", "supplier:p1"), ("p1",), False),
        (NO_SUPPLIERS, ("customer", "supplier:p1"), ("p2",), True),
        (NO_SUPPLIERS, (), ("p1",), False),
        (NOT_FORBIDDEN, ("customer:p1",), ("p1",), True),
        (NOT_FORBIDDEN, ("supplier",), ("p1",), False),
        (NOT_FORBIDDEN, ("customer",), (), False),
        (ONE_ASSET, ("customer:p1",), ("p1",), True),
        (ONE_ASSET, ("customer:p1",), ("p2",), False),
        (MEMBERS, (), (), True),
    ],
)
def test_who_sees_the_dataset_of_a_product(access, relations, products, seen):
    assert sees(access, relations, *products) is seen


RELATIONS = st.sets(
    st.sampled_from([f"{kind}{end}" for kind in ("customer", "supplier") for end in ("", *(f":{p}" for p in PRODUCTS))])
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 9), st.integers(0, 1), st.sampled_from([*range(len(POLICIES)), None]), st.sets(st.sampled_from(PRODUCTS))
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=200)
@given(STEPS, st.lists(RELATIONS, min_size=1, max_size=3))
def test_a_shelf_shows_what_deciding_every_offer_shows(steps, callers):
    """Whatever was put, replaced and taken away meanwhile, for everybody, at two moments, forwards, backwards and by position."""
    shelf, kept, assets = Shelf(PROFILE), {}, {}
    for number, place, policy, products in steps:
        one = assets.setdefault(number, asset(number, *sorted(products)))
        terms = offer(one, POLICIES[policy] if policy is not None else {}, place)
        if policy is None:
            shelf.drop(terms.id)
            kept.pop(terms.id, None)
        else:
            shelf.put(terms, one)
            kept[terms.id] = (terms, one)
        for relations in map(tuple, map(sorted, callers)):
            for now in (NOW, NOW + timedelta(minutes=2)):
                pairs = [kept[key] for key in sorted(kept)]
                alone = [
                    (terms, one) for terms, one in pairs if list(visible([(terms, one)], FACTS, now, PROFILE, relations=relations))
                ]
                wanted = [(a.id, [t.id for t, o in alone if o.id == a.id]) for a in sorted({o.id: o for _, o in alone}.values(), key=lambda o: o.id)]  # fmt: skip
                shown = [
                    list(shelf.visible(FACTS, now, relations=relations)),
                    list(shelf.preceding(FACTS, now, before=LAST, relations=relations))[::-1],
                    shelf.window(FACTS, now, 0, 99, relations=relations),
                    list(visible(pairs, FACTS, now, PROFILE, relations=relations)),
                ]
                for found in shown:
                    assert [(a.id, [t.id for t in terms]) for a, terms in found] == wanted
                assert [a.id for a, _ in shelf.visible(FACTS, now, after="a0004", relations=relations)] == [key for key, _ in wanted if key > "a0004"]  # fmt: skip
    assert sorted(shelf._runs) == sorted({name for each in shelf._offers.values() for name in (each.group, each.part) if name})


def test_the_number_of_products_costs_no_decisions(decisions):
    shelf = Shelf(PROFILE)
    for number in range(2_000):
        one = asset(number, f"p{number}")
        shelf.put(offer(one, BUYERS), one)
    assert ids(shelf.visible(FACTS, NOW, relations=("customer:p7", "customer:p1500", "supplier:p8"))) == ["a0007", "a1500"]
    assert len(decisions) == 3, "what a stranger sees, a buyer and a supplier"
    assert len(list(shelf.visible(FACTS, NOW, relations=("customer",)))) == 2_000
    assert len(decisions) == 4
    view = shelf.view(FACTS, NOW, "", ("customer", "supplier:p8"))
    assert (len(view.groups), view.without, view.parts) == (1, frozenset(), ()), "one run for all that is usual"
    one = asset(2_000, "p2000")
    shelf.put(offer(one, BUYERS), one)
    assert len(list(shelf.visible(FACTS, NOW, relations=("customer", "supplier:p8")))) == 2_001
    assert len(decisions) == 6


def test_what_a_caller_is_in_trade_is_not_taken_for_what_another_one_is(decisions):
    one = asset(1, "p1")
    (shelf := Shelf(PROFILE)).put(offer(one, BUYERS), one)
    for relations in ((), ("customer:p1",), ("customer:p2",), ("customer:p1",), ()):
        assert ids(shelf.visible(FACTS, NOW, relations=relations)) == (["a0001"] if "customer:p1" in relations else [])


def test_a_dataset_says_its_products_and_is_valid_by_the_official_schema():
    one = described_asset(products=("KC-LFP-280", "https://id.example/01/04012345123456"))
    made = describe.dataset(one, [described_offer(one)], endpoint=ENDPOINT)
    assert made["https://schema.org/productID"] == ["KC-LFP-280", "https://id.example/01/04012345123456"]
    assert not list(validator("catalog/dataset-schema.json").iter_errors(describe.alone(made)))
    whole = describe.catalog(PROVIDER, [made], endpoint=ENDPOINT)
    assert not list(validator("catalog/catalog-schema.json").iter_errors(whole))
    assert 'schema:productID "KC-LFP-280", "https://id.example/01/04012345123456"' in " ".join(describe.turtle(whole).split()).replace(" ,", ",")  # fmt: skip
    bare = described_asset()
    assert "https://schema.org/productID" not in describe.dataset(bare, [described_offer(bare)], endpoint=ENDPOINT)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (["a", "b"], ["a", "b"]),
        ("a", ["a"]),
        ([{"@value": "a"}, {"@id": "urn:b"}, 7, {"x": "y"}, None, ["c"]], ["a", "urn:b"]),
        (None, []),
        ({"@value": ["a"]}, []),
    ],
)
def test_products_of_somebody_else_are_read_as_far_as_they_are_texts(said, read):
    assert describe.products({"https://schema.org/productID": said}) == read
    assert describe.products({}) == []


@pytest.mark.parametrize("wrong", ["", "cell A", " ", "a\tb", "a\u3000b", "a\u200bb", "<a>", 'a"b', "a|b", "x" * 201])
def test_what_is_no_name_of_a_product(wrong):
    with pytest.raises(BadInput):
        dcat.products([wrong])


def test_products_are_in_order_each_once_and_not_without_end():
    assert dcat.products(["b", "a", "b", "電池-280", "urn:epc:id:sgtin:4012345.098765.1", "x" * 200])[:2] == ("a", "b")
    assert len(dcat.products(f"p{n}" for n in range(100))) == 100
    with pytest.raises(BadInput):
        dcat.products(f"p{n}" for n in range(101))
