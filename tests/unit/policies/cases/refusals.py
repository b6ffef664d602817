"""What is not read: (name, policy, JSON Pointer, part of the reason)."""

from tests.unit.policies.cases.registry import KZ, c

A = c("a", "eq", "1")


def rule(*constraints, **members):
    return {"permission": [{"action": "use", "constraint": list(constraints), **members}]}


AT = "/permission/0/constraint/0"
REFUSALS = [
    ("unknown operand", rule(c("urn:x", "eq", "1")), AT + "/leftOperand", "unknown left operand"),
    ("deprecated operand", rule(c("system", "eq", "1")), AT + "/leftOperand", "systemDevice"),
    ("unknown operator", rule(c("a", "like", "1")), AT + "/operator", "unknown operator"),
    ("operator of another profile", rule(c("a", "urn:like", "1")), AT + "/operator", "unknown operator"),
    ("operator without meaning", rule(c("a", "lt", "1")), AT + "/operator", "means nothing"),
    ("hierarchy without values", rule(c("a", "isA", "1")), AT + "/operator", "means nothing"),
    ("unknown action", {"permission": [{"action": "fly"}]}, "/permission/0/action", "unknown action"),
    ("deprecated action", {"permission": [{"action": "copy"}]}, "/permission/0/action", "reproduce"),
    ("unknown action in a prohibition", {"prohibition": [{"action": "fly"}]}, "/prohibition/0/action", "unknown action"),
    ("unknown action in a duty", {"obligation": [{"action": "fly"}]}, "/obligation/0/action", "unknown action"),
    ("unknown profile", {"profile": "https://example.org/other"}, "/profile", "unknown profile"),
    ("unknown conflict", {"conflict": "last"}, "/conflict", "not one of"),
    ("two logical keys", rule({"and": [A], "or": [A]}), AT, "one operator and nothing else"),
    ("a logical key beside an atomic", rule({"xone": [A], **A}), AT, "one operator and nothing else"),
    ("naive moment", rule(c("until", "lt", "2026-11-24T09:00:00")), AT + "/rightOperand", "zone"),
    ("a day for a moment", rule(c("dateTime", "lt", "2026-11-24")), AT + "/rightOperand", "zone"),
    ("wrong datatype", rule(c("count", "eq", {"@value": "1", "@type": "xsd:string"})), AT + "/rightOperand/0", "datatype"),
    ("wrong dataType member", rule(c("count", "eq", "1", dataType="xsd:duration")), AT + "/dataType", "datatype"),
    ("wrong type", rule(c("count", "eq", "one")), AT + "/rightOperand", "number"),
    ("wrong boolean", rule(c("flag", "eq", "yes")), AT + "/rightOperand", "true or false"),
    ("wrong duration", rule(c("age", "lt", "30D")), AT + "/rightOperand", "duration"),
    ("wrong name", rule(c("name", "eq", "no name")), AT + "/rightOperand", "IRI"),
    ("value not declared", rule(c("state", "eq", "activ")), AT + "/rightOperand", "not one of"),
    ("unit where none is", rule(c("count", "eq", "1", unit="kg")), AT + "/unit", "no unit"),
    ("no unit where one is", rule(c("money", "eq", "1")), AT + "/unit", "missing"),
    ("unknown currency", rule(c("money", "eq", "1", unit="XXX")), AT + "/unit", "ISO 4217"),
    ("unit of another dimension", rule(c("size", "eq", "1", unit="kg")), AT + "/unit", "no unit of size"),
    ("two values for eq", rule(c("a", "eq", ["1", "2"])), AT + "/rightOperand", "one value"),
    ("two values for lt", rule(c("count", "lt", ["1", "2"])), AT + "/rightOperand", "one value"),
    ("no value", rule(c("a", "eq", [])), AT + "/rightOperand", "missing"),
    ("null", rule(c("a", "eq", None)), AT + "/rightOperand", "missing"),
    ("status of the wrong type", rule(c("count", "eq", "1", status="x")), AT + "/status", "number"),
    ("unknown reference", rule({"leftOperand": KZ + "count", "operator": "lt", "rightOperandReference": "urn:x"}), AT + "/rightOperandReference", "unknown reference"),
    ("reference beside a value", rule(c("count", "lt", "1", rightOperandReference="urn:limit")), AT + "/rightOperandReference", "beside"),
    ("unknown member", rule(A | {"comment": "x"}), AT + "/comment", "not understood"),
    ("unknown member of a policy", {"hasPolicy": []}, "/hasPolicy", "not understood"),
    ("a member twice", {"permission": [], "odrl:permission": []}, "/odrl:permission", "twice"),
    ("a ticket", {"@type": "Ticket"}, "/@type", "not one of"),
    ("an assertion", {"@type": "odrl:Assertion"}, "/@type", "not one of"),
    ("an agreement without parties", {"@type": "Agreement"}, "", "assigner and its assignee"),
    ("inheritance not written out", {"inheritFrom": "urn:x"}, "/inheritFrom", "write them out"),
    ("another target than the policy's", rule(target="urn:x") | {"target": "urn:y"}, "/permission/0/target", "another target"),
    ("a collection of nothing", rule(target={"@type": "AssetCollection"}), "/permission/0/target", "no id"),
    ("a duty in a prohibition", {"prohibition": [{"action": "use", "duty": []}]}, "/prohibition/0/duty", "not understood"),
    ("a remedy in a permission", {"permission": [{"action": "use", "remedy": []}]}, "/permission/0/remedy", "not understood"),
    ("a remedy with a consequence", {"prohibition": [{"action": "use", "remedy": [{"action": "delete", "consequence": []}]}]}, "/prohibition/0/remedy/0/consequence", "not understood"),
    ("a duty of two actions", {"obligation": [{"action": ["delete", "inform"]}]}, "/obligation/0/action", "one action"),
    ("no action", {"permission": [{}]}, "/permission/0/action", "has an action"),
    ("201 rules", {"permission": [{"action": "use"}] * 201}, "", "200 rules"),
    ("2,001 constraints", rule(*[A] * 2001), "/permission/0/constraint/2000", "2000 constraints"),
    ("10,001 values", rule(c("a", "isAnyOf", [str(n) for n in range(10_001)])), AT + "/rightOperand", "10000 values"),
    ("too many bytes", rule(c("a", "isAnyOf", ["x" * 900] * 300)), "", "bytes"),
]  # fmt: skip
