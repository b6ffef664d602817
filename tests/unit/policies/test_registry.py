"""The registry: what cannot be registered, names in all forms, hierarchies, implications, and its digest."""

import pytest

from policies.odrl import DATE_TIME, KZ, ODRL, PHASES, Operand, PolicyError, Registry
from policies.odrl.core import CORE
from policies.odrl.vocabulary import ACTIONS, CC


def test_the_operands_of_odrl_in_force_are_there_with_type_source_and_phases():
    names = {each.iri for each in Registry([])}
    assert len(CORE) == 32
    assert names == {each.iri for each in CORE}
    assert not {ODRL + "device", ODRL + "system"} & names
    assert all(each.source and each.phases and set(each.phases) <= set(PHASES) for each in CORE)
    assert {each.iri for each in CORE if each.unit} == {ODRL + "payAmount", ODRL + "absoluteSize", ODRL + "resolution"}


def test_a_profile_declares_an_operand_anew():
    own = Operand(iri=ODRL + "spatial", source="a credential", credential="PlaceCredential")
    found = Registry([own]).operand("spatial")
    assert found is own
    assert len(list(Registry([own]))) == 32


@pytest.mark.parametrize("form", ["purpose", "odrl:purpose", ODRL + "purpose"])
def test_operands_by_all_forms_of_their_name(form):
    assert Registry([]).operand(form).iri == ODRL + "purpose"
    assert Registry([]).operand("kz:purpose") is None


def test_the_actions_in_force():
    assert len(ACTIONS) == 51
    assert sum(above == ODRL + "use" for above in ACTIONS.values()) == 45
    assert {name for name, above in ACTIONS.items() if not above} == {ODRL + "use", ODRL + "transfer"}
    assert sum(name.startswith(CC) for name in ACTIONS) == 9


def test_what_covers_and_forbids_an_action():
    registry = Registry([], actions={KZ + "share": "", KZ + "publish": KZ + "share"}, implies={KZ + "share": (ODRL + "display",)})
    assert registry.covering("use") == registry.forbidding("use") == {ODRL + "use"}
    assert registry.covering("odrl:display") == {ODRL + "display", ODRL + "play", ODRL + "use"}
    assert registry.covering(KZ + "publish") == {KZ + "publish", KZ + "share"}
    assert registry.forbidding(KZ + "publish") == {KZ + "publish", KZ + "share", ODRL + "display", ODRL + "play", ODRL + "use"}
    assert registry.covering("fly") == registry.forbidding("fly") == registry.action("fly") == frozenset()
    assert registry.action(ODRL + "use") == {ODRL + "use"}
    assert registry.action(ODRL + "use") is registry.action(ODRL + "use")


@pytest.mark.parametrize(
    ("make", "path", "reason"),
    [
        (lambda: Registry([Operand(iri=KZ + "x", phases=())]), KZ + "x", "no phase, so it would never be enforced"),
        (lambda: Registry([Operand(iri=KZ + "x", type="decimal", unit="time")]), KZ + "x", "time is no dimension of a number"),
        (lambda: Registry([Operand(iri=KZ + "x", unit="size")]), KZ + "x", "size is no dimension of a number"),
        (lambda: Registry([], actions={KZ + "a": KZ + "b", KZ + "b": KZ + "a"}), "action", "is part of itself"),
        (
            lambda: Registry([], implies={ODRL + "read": (ODRL + "print",), ODRL + "print": (ODRL + "read",)}),
            "action",
            "is part of itself",
        ),
        (lambda: Registry([], implies={ODRL + "read": ("urn:x",)}), "action", "unknown in implies: urn:x"),
        (lambda: Registry([], implies={"urn:x": (), "urn:a": (ODRL + "read",)}), "action", "unknown in implies: urn:a, urn:x"),
        (lambda: Registry([Operand(iri=KZ + "x", narrower={"a": ("b",), "b": ("a",)})]), KZ + "x", "is part of itself"),
        (lambda: Registry([Operand(iri=KZ + "x", narrower={"a": ("a",)})]), KZ + "x", "a is part of itself"),
    ],
)
def test_what_cannot_be_registered(make, path, reason):
    with pytest.raises(PolicyError) as caught:
        make()
    assert caught.value.path == path
    assert reason in caught.value.reason


def test_the_whole_text_of_a_refusal():
    with pytest.raises(PolicyError) as caught:
        Registry([Operand(iri=KZ + "x", phases=())])
    assert caught.value.reason == "the operand can be known in no phase, so it would never be enforced"


def test_hierarchies_of_values():
    registry = Registry([Operand(iri=KZ + "x", narrower={"a": ("b", "c"), "b": ("d",)})])
    assert registry.wholes(KZ + "x") == {"a": {"a", "b", "c", "d"}, "b": {"b", "d"}}
    assert registry.wholes(KZ + "y") == {}


def test_profiles_and_references():
    registry = Registry([], profiles=["urn:p"], references={"urn:r": ("1",)})
    assert registry.profiles == {"urn:p"}
    assert dict(registry.references) == {"urn:r": ("1",)}
    assert dict(Registry([]).references) == {}


def test_the_digest_tells_registries_apart_and_not_their_order():
    a = Operand(iri=KZ + "a", values=frozenset("abcdefgh"))
    b = Operand(iri=KZ + "b", narrower={"x": ("y",), "z": ("y",)})
    first = Registry([a, b], actions={KZ + "x": ODRL + "use", KZ + "y": ""})
    assert first.digest == Registry([a, b], actions={KZ + "y": "", KZ + "x": ODRL + "use"}).digest
    assert len(first.digest) == 64
    others = [
        Registry([a]),
        Registry([a, b]),
        Registry([a, b], actions={KZ + "x": ODRL + "use", KZ + "y": ODRL + "use"}),
        Registry([a, b], actions={KZ + "x": ODRL + "use", KZ + "y": ""}, implies={KZ + "x": (ODRL + "read",)}),
        Registry([a, b], actions={KZ + "x": ODRL + "use", KZ + "y": ""}, references={"urn:r": ("1",)}),
    ]
    assert len({first.digest, *(each.digest for each in others)}) == 6


def test_the_values_of_an_operand():
    assert Operand(iri="urn:x").right("a") == "a"
    from policies.odrl.values import WrongValue

    with pytest.raises(WrongValue, match="^this operand has no unit$"):
        Operand(iri="urn:x").right("a", "kg")
    with pytest.raises(WrongValue) as caught:
        Operand(iri="urn:x", values=frozenset({"a"})).right("b" * 100)
    assert str(caught.value) == f"'{'b' * 80}' is not one of the values of this operand"
    assert Registry([]).operand(DATE_TIME).operators == {"eq", "neq", "isAnyOf", "isNoneOf", "lt", "lteq", "gt", "gteq"}


def test_a_dimension_needs_a_number_of_it():
    assert Registry([Operand(iri=KZ + "x", type="integer", unit="size")])
