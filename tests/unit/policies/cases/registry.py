"""The operands, actions and hierarchies that the cases use."""

from datetime import UTC, datetime

KZ = "https://w3id.org/kizuna/policy/1#"
ODRL = "http://www.w3.org/ns/odrl/2/"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
TREE = {"flat.coil": ("flat",), "flat": ("product",), "long": ("product",)}
ALL = ("catalog", "negotiation", "transfer", "monitoring", "consumer")
OPERANDS = {
    "text": {},
    "name": {"type": "iri"},
    "flag": {"type": "boolean"},
    "count": {"type": "integer"},
    "price": {"type": "decimal"},
    "day": {"type": "date"},
    "until": {"type": "dateTime"},
    "age": {"type": "duration"},
    "ages": {"type": "duration", "many": True},
    "money": {"type": "decimal", "unit": "currency"},
    "size": {"type": "integer", "unit": "size"},
    "many": {"many": True},
    "kind": {"many": True, "narrower": TREE},
    "one": {"narrower": TREE},
    "state": {"values": frozenset({"active", "ended"})},
    "later": {"phases": ("transfer", "monitoring")},
    "a": {},
    "b": {},
    "c": {},
}
ACTIONS = {KZ + "train": ODRL + "derive", KZ + "share": "", KZ + "publish": KZ + "share"}
IMPLIES = {KZ + "share": (ODRL + "distribute",)}
PROFILES = ("https://example.org/profile",)


def registry(engine):
    """A registry of the engine under test."""
    operands = [engine.Operand(iri=KZ + name, **each) for name, each in OPERANDS.items()]
    return engine.Registry(operands, actions=ACTIONS, profiles=PROFILES, implies=IMPLIES, references={"urn:limit": ("5",)})


def c(left, operator, right, **members):
    """An atomic constraint; a bare name is an operand of the cases."""
    return {"leftOperand": KZ + left if left in OPERANDS else left, "operator": operator, "rightOperand": right, **members}
