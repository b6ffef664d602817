"""Random policies, read, decided, explained, recorded, compared and written for the wire: only typed errors, and no wrong yes.

Whatever is read must also be decidable, its record must replay, and taking the facts away must not permit more.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import orjson

from kernel.errors import BadInput
from kernel.wire import loads
from policies.odrl import (
    KZ,
    ODRL,
    PURPOSE,
    Operand,
    PolicyError,
    Registry,
    Request,
    evaluate,
    frozen,
    next_change,
    parse,
    record,
    replay,
    same_terms,
)
from policies.odrl.wire import fitted
from policies.profiles import load, shipped

PACKAGES = ["policies.odrl", "kernel.wire"]
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
REGISTRY = Registry(
    [
        *(each for each in load("base").operands if each.iri.startswith(KZ)),
        Operand(iri=KZ + "kind", many=True, narrower={"a": ("b",)}),
        Operand(iri=KZ + "day", type="date"),
        Operand(iri=KZ + "flag", type="boolean"),
    ],
    profiles=[load(each).id for each in shipped()],
    references={"urn:limit": ("5",)},
)
FACTS = {
    KZ + "membership": "active",
    KZ + "role": ("oem",),
    KZ + "kind": ("a",),
    KZ + "day": "2026-11-24",
    KZ + "flag": True,
    PURPOSE: ("x",),
    ODRL + "count": 3,
    ODRL + "elapsedTime": datetime(2026, 10, 31, tzinfo=UTC),
    ODRL + "payAmount": {"value": "5", "unit": "EUR"},
}
WORDS = (
    *('"permission"', '"prohibition"', '"obligation"', '"duty"', '"remedy"', '"consequence"', '"action"', '"constraint"', '"refinement"'),
    *('"leftOperand"', '"operator"', '"rightOperand"', '"rightOperandReference"', '"unit"', '"dataType"', '"status"', '"conflict"', '"inheritFrom"'),
    *('"and"', '"or"', '"xone"', '"andSequence"', '"@id"', '"@type"', '"@value"', '"@list"', '"target"', '"assignee"', '"assigner"', '"source"'),
    *('"use"', '"read"', '"odrl:use"', '"delete"', '"eq"', '"lt"', '"isAnyOf"', '"isA"', '"count"', '"dateTime"', '"elapsedTime"', '"payAmount"'),
    *('"P1M"', '"EUR"', '"5"', '"Offer"', '"Agreement"', '"Request"', '"perm"', '"invalid"', '"AssetCollection"', '"2026-11-24T09:00:00Z"'),
    *(f'"{KZ}{name}"' for name in ("membership", "role", "kind", "day", "flag")),
)  # fmt: skip


def seeds() -> Iterator[bytes]:
    """The shipped templates, and one policy with everything in it."""
    for name in shipped():
        profile = load(name)
        for key, template in profile.templates.items():
            given = {each: value for each, parameter in template.parameters.items() if (value := parameter.trial()) is not None}
            yield from map(orjson.dumps, profile.offer(key, **given))
    paid = {"leftOperand": "payAmount", "operator": "gteq", "rightOperand": "5", "unit": "EUR"}
    since = {"leftOperand": "elapsedTime", "operator": "lteq", "rightOperand": {"@value": "P1M", "@type": "xsd:duration"}}
    place = {
        "@type": "AssetCollection",
        "@id": "urn:all",
        "refinement": [{"leftOperand": KZ + "kind", "operator": "isA", "rightOperand": "b"}],
    }
    yield orjson.dumps(
        {
            "@type": "Offer",
            "conflict": "invalid",
            "permission": [{"action": [{"@id": "use", "refinement": [paid]}, "read"], "target": place, "constraint": [{"xone": [paid, {"or": [since]}]}],
                            "duty": [{"action": "delete", "constraint": [since], "consequence": [{"action": "inform", "informedParty": "urn:x"}]}]}],
            "prohibition": [{"action": "sell", "assignee": "urn:x", "remedy": [{"action": "compensate"}]}],
        }
    )  # fmt: skip


def check(data: bytes) -> None:
    """Everything that is done with a policy of a stranger; raises what must not happen."""
    try:
        value = loads(data, limit=262_144, depth=64)
    except BadInput:
        return
    for act in (lambda: frozen(value, {}), lambda: same_terms(value, value)):
        with suppress(PolicyError):
            act()
    try:
        policy = parse(value, operands=REGISTRY)
    except PolicyError:
        return
    if policy.kind == "Request":
        return
    for phase in ("catalog", "transfer", "consumer"):
        decision = evaluate(policy, Request("use", phase, FACTS, NOW, party="urn:x", target="urn:all"))
        assert decision.explain()
        if not decision.permitted:
            assert not evaluate(policy, Request("use", phase, {}, NOW)).permitted, "fewer facts permit more"
        instant = next_change(policy, decision.request)
        assert instant is None or instant > NOW
        assert replay(record(decision, value), value, REGISTRY) == []
    sent = fitted(value)
    if sent.sendable:
        assert fitted(sent.policy).policy == sent.policy
        parse(sent.policy, operands=REGISTRY)
