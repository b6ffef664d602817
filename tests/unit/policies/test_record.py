"""Decision records: replayed to the same answer and masks; whatever is changed, left out or reordered is found."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from policies.odrl import KZ, ODRL, Operand, PolicyError, Registry, Request, broken, evaluate, parse, record, replay
from policies.odrl.record import FIRST, Record

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
REGISTRY = Registry([Operand(iri=KZ + "role", many=True), Operand(iri=KZ + "count", type="integer")])
POLICY = {
    "permission": [
        {
            "action": "use",
            "target": {"@type": "AssetCollection", "@id": "urn:all"},
            "duty": [{"action": "attribute"}],
            "constraint": [
                {"leftOperand": KZ + "role", "operator": "isAnyOf", "rightOperand": ["a", "b"]},
                {"leftOperand": "elapsedTime", "operator": "lteq", "rightOperand": "P1M"},
                {"leftOperand": "payAmount", "operator": "gteq", "rightOperand": "5", "unit": "EUR"},
                {"andSequence": [{"leftOperand": KZ + "count", "operator": "gt", "rightOperand": "1"}]},
            ],
        }
    ]
}
FACTS = {
    KZ + "role": frozenset({"a", "c"}),
    KZ + "count": 3,
    ODRL + "elapsedTime": NOW - timedelta(days=3),
    ODRL + "payAmount": {"value": "7.5", "unit": "EUR"},
    KZ + "secret": "not read by this policy",
}


def decision(facts=FACTS, now=NOW):
    request = Request(
        "use",
        "transfer",
        facts,
        now,
        party="did:web:a",
        target="urn:x",
        part_of={"urn:x": frozenset({"urn:all"})},
        duties={"/permission/0/duty/0": "fulfilled"},
        since={KZ + "count": NOW},
    )
    return evaluate(parse(POLICY, operands=REGISTRY), request)


def chain():
    found, previous = [], FIRST
    for n in range(4):
        each = record(decision(FACTS | {KZ + "count": n}), POLICY, previous)
        found.append(each)
        previous = each.hash
    return found


def test_a_record_survives_storing_and_replays_to_the_same():
    kept = record(decision(), POLICY)
    assert kept.permitted
    again = msgspec.json.decode(msgspec.json.encode(kept), type=Record)
    assert again == kept
    assert replay(again, POLICY, REGISTRY) == []
    assert replay(again, dict(reversed(POLICY.items())), REGISTRY) == []


def test_only_facts_that_the_policy_reads_are_kept():
    assert "secret" not in str(record(decision(), POLICY).facts)


def test_a_replay_names_what_came_out_differently():
    kept = replace(record(decision(FACTS | {KZ + "count": 0}), POLICY), permitted=True)
    assert any(line.startswith("permitted: True, now False") for line in replay(kept, POLICY, REGISTRY))


def test_a_replay_with_another_policy_or_registry_is_refused():
    kept = record(decision(), POLICY)
    with pytest.raises(PolicyError, match="not the policy"):
        replay(kept, POLICY | {"conflict": "perm"}, REGISTRY)
    with pytest.raises(PolicyError, match="registry"):
        replay(kept, POLICY, Registry([Operand(iri=KZ + "role", many=True)]))


def test_the_chain_holds():
    assert broken(chain()) is None
    assert broken([]) is None


@pytest.mark.parametrize("field", [each for each in Record.__struct_fields__ if each != "hash"])
def test_a_changed_field_breaks_the_chain_there(field):
    found = chain()
    value = getattr(found[1], field)
    changed = (not value) if isinstance(value, bool) else {"x": "y"} if isinstance(value, dict) else value + "0"
    found[1] = replace(found[1], **{field: changed})
    assert broken(found) == 1


def test_a_record_that_is_left_out_or_moved_breaks_the_chain():
    found = chain()
    assert broken(found[1:]) == 0
    assert broken([found[0], *found[2:]]) == 1
    assert broken([found[1], found[0], *found[2:]]) == 0
    assert broken(found[:2]) is None, "the end is held by whoever keeps the last hash"
