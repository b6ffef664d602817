"""Our messages and the official JSON Schemas say the same: what we write validates, what they accept we read, what they refuse we refuse."""

import copy
import json
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector import errors
from connector.dsp import messages, outbound
from connector.processes import tables as t
from connector.processes.errors import IllegalTransition, UnknownProcess
from connector.processes.model import Process
from kernel import wire
from kernel.errors import BadInput, Unauthorized
from tests.support.shared import shared_data

sys.path.insert(0, str(Path(__file__).parent))
from official import example, validator

OFFER = {"@id": "o", "@type": "Offer", "target": "d", "permission": [{"action": "use"}]}
AGREEMENT = {"@id": "a", "@type": "Agreement", "target": "d", "assigner": "p", "assignee": "c", "timestamp": "2026-11-24T09:00:00.000Z",
             "permission": [{"action": "use"}]}  # fmt: skip
ADDRESS = {"@type": "DataAddress", "endpointType": "https://w3id.org/idsa/v4.1/HTTP", "endpoint": "https://x",
           "endpointProperties": [{"@type": "EndpointProperty", "name": "authorization", "value": "t"}]}  # fmt: skip
CONTENT = {"offer": OFFER, "agreement": AGREEMENT, "agreementId": "a", "format": "HttpData-PUSH", "ownAddress": ADDRESS, "dataAddress": ADDRESS,
           "reason": "because"}  # fmt: skip
NAMES = {
    messages.ContractRequestMessage: "negotiation/contract-request-message",
    messages.ContractOfferMessage: "negotiation/contract-offer-message",
    messages.ContractAgreementMessage: "negotiation/contract-agreement-message",
    messages.ContractAgreementVerificationMessage: "negotiation/contract-agreement-verification-message",
    messages.ContractNegotiationEventMessage: "negotiation/contract-negotiation-event-message",
    messages.ContractNegotiationTerminationMessage: "negotiation/contract-negotiation-termination-message",
    messages.TransferRequestMessage: "transfer/transfer-request-message",
    messages.TransferStartMessage: "transfer/transfer-start-message",
    messages.TransferSuspensionMessage: "transfer/transfer-suspension-message",
    messages.TransferCompletionMessage: "transfer/transfer-completion-message",
    messages.TransferTerminationMessage: "transfer/transfer-termination-message",
    messages.CatalogRequestMessage: "catalog/catalog-request-message",
}
ROWS = [(table, row) for table in t.TABLES.values() for row in table.rows]
# Where reading is more lenient or stricter than the schema, on purpose.
LENIENT = {"@context"}  # one text instead of an array is read, too (a kit and some peers write it)


def process(kind, role, *, peer_pid="t", state="REQUESTED"):
    return Process(
        id="own", participant="me", kind=kind, role=role, peer="you", peer_pid=peer_pid, callback="https://you", state=state
    )


@pytest.mark.parametrize(
    ("table", "row"), ROWS, ids=lambda each: f"{each.state}-{each.message}-{each.sender}" if hasattr(each, "message") else ""
)
def test_every_message_that_we_send_validates(table, row):
    found = process(table.kind, row.sender, peer_pid="t" if row.state else "", state=row.state)
    path, body = outbound.renderer(lambda _: "https://me")(row.message, found, "urn:uuid:m", CONTENT)
    value = json.loads(body)
    cls = next(cls for cls in NAMES if row.message.partition(":")[0] == cls.TYPE)
    assert validator(NAMES[cls]).is_valid(value), [str(each) for each in validator(NAMES[cls]).iter_errors(value)]
    assert messages.decode(cls, body).id == "urn:uuid:m"
    assert path.startswith("/negotiations" if table.kind == "negotiation" else "/transfers")


@pytest.mark.parametrize("state", ["REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED", "TERMINATED"])
def test_our_acknowledgement_of_a_negotiation_validates(state):
    validator("negotiation/contract-negotiation").validate(
        json.loads(outbound.acknowledgement(process("negotiation", "provider", state=state)))
    )


@pytest.mark.parametrize("state", ["REQUESTED", "STARTED", "SUSPENDED", "COMPLETED", "TERMINATED"])
def test_our_acknowledgement_of_a_transfer_validates(state):
    validator("transfer/transfer-process").validate(
        json.loads(outbound.acknowledgement(process("transfer", "consumer", state=state)))
    )


@pytest.mark.parametrize("error", [BadInput("x"), Unauthorized(), UnknownProcess(), IllegalTransition("A", "M", "provider")])
@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        ("catalog", "catalog/catalog-error"),
        ("negotiation", "negotiation/contract-negotiation-error"),
        ("transfer", "transfer/transfer-error"),
    ],
)
def test_our_error_bodies_validate(error, kind, schema):
    validator(schema).validate(errors.body(error, kind, provider_pid="p", consumer_pid="c"))


EXAMPLES = [
    (messages.ContractRequestMessage, "negotiation/example/contract-request-message"),
    (messages.ContractRequestMessage, "negotiation/example/contract-request-message_initial"),
    (messages.ContractOfferMessage, "negotiation/example/contract-offer-message"),
    (messages.ContractOfferMessage, "negotiation/example/contract-offer-message_initial"),
    (messages.ContractAgreementMessage, "negotiation/example/contract-agreement-message"),
    (messages.ContractAgreementMessage, "negotiation/example/contract-agreement-message-full"),
    (messages.ContractAgreementVerificationMessage, "negotiation/example/contract-agreement-verification-message"),
    (messages.ContractNegotiationEventMessage, "negotiation/example/contract-negotiation-event-message"),
    (messages.ContractNegotiationTerminationMessage, "negotiation/example/contract-negotiation-termination-message"),
    (messages.TransferRequestMessage, "transfer/example/transfer-request-message"),
    (messages.TransferStartMessage, "transfer/example/transfer-start-message"),
    (messages.TransferSuspensionMessage, "transfer/example/transfer-suspension-message"),
    (messages.TransferCompletionMessage, "transfer/example/transfer-completion-message"),
    (messages.TransferTerminationMessage, "transfer/example/transfer-termination-message"),
    (messages.CatalogRequestMessage, "catalog/example/catalog-request-message"),
]


@pytest.mark.parametrize(("cls", "name"), EXAMPLES, ids=lambda each: each.rpartition("/")[2] if isinstance(each, str) else "")
def test_every_official_example_is_read(cls, name):
    messages.decode(cls, wire.dumps(example(name)))


@pytest.mark.parametrize(("cls", "name"), EXAMPLES, ids=lambda each: each.rpartition("/")[2] if isinstance(each, str) else "")
def test_what_the_schema_refuses_is_refused(cls, name):
    """Every member of every example taken away, and given another type: schema and reader agree."""
    value = example(name)
    for member in value:
        for change in (None, 7, [], {}):
            broken = copy.deepcopy(value)
            if change is None:
                del broken[member]
            else:
                broken[member] = change
            good = validator(NAMES[cls]).is_valid(broken)
            try:
                messages.decode(cls, wire.dumps(broken))
                read = True
            except BadInput:
                read = False
            if good and not read:
                # stricter: an empty filter and the like are legal, an @id that is no text is not ours to guess
                assert member in ("@id", "code") or (member == "filter" and change == {}), (member, change)
            if read:
                assert good or member in LENIENT, (member, change)


@pytest.mark.parametrize("path", ["negotiation/contract-schema.json"])
@pytest.mark.parametrize(
    "rule",
    [
        {"action": {"@id": "use"}},
        {},
        {"action": "use", "constraint": [{"leftOperand": "x", "operator": "eq", "rightOperand": 5}]},
        {"action": "use", "constraint": [{"leftOperand": "x", "operator": "equals", "rightOperand": "5"}]},
        {"action": "use", "constraint": [{"leftOperand": "x", "operator": "eq"}]},
        {"action": "use", "constraint": [{"and": [], "or": []}]},
        {"action": "use", "constraint": {"leftOperand": "x", "operator": "eq", "rightOperand": "5"}},
    ],
)
def test_rules_that_the_schema_refuses_are_refused(path, rule):
    shared_data(f"dsp-2025-1/{path}")
    value = {"@context": [messages.CONTEXT], "@type": "ContractRequestMessage", "consumerPid": "c", "callbackAddress": "https://x",
             "offer": {**OFFER, "permission": [rule]}}  # fmt: skip
    assert not validator(NAMES[messages.ContractRequestMessage]).is_valid(value)
    with pytest.raises(BadInput, match=r"offer\.permission\[0\]"):
        messages.decode(messages.ContractRequestMessage, wire.dumps(value))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    extra=st.dictionaries(
        st.text(min_size=1, max_size=8).map(lambda s: "x" + s),
        st.integers(-(2**53), 2**53) | st.text(max_size=5) | st.booleans(),
        max_size=4,
    )
)
def test_unknown_members_change_nothing(extra):
    value = {"@context": [messages.CONTEXT], "@type": "TransferCompletionMessage", "providerPid": "p", "consumerPid": "c"}
    found = messages.decode(messages.TransferCompletionMessage, wire.dumps(value | extra))
    assert found == messages.decode(messages.TransferCompletionMessage, wire.dumps(value))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"@context": None}, "@context"),
        ({"@context": ["https://evil.example/x.jsonld", messages.CONTEXT]}, "unknown @context"),
        ({"@context": [messages.CONTEXT, {"use": "https://evil.example/#use"}]}, "not to be redefined"),
        ({"@type": "Offer"}, "@type"),
        ({"consumerPid": "x" * 600}, "consumerPid"),
        ({"providerPid": "p"}, "exactly one"),
        ({"callbackAddress": ""}, "exactly one"),
        ({"offer": {**OFFER, "@id": ""}}, "offer"),
        ({"offer": {**OFFER, "permission": [{"action": "use", "target": "other"}]}}, "no target of its own"),
        ({"offer": {k: v for k, v in OFFER.items() if k != "permission"}}, "permission or a prohibition"),
    ],
)
def test_a_bad_request_is_refused_with_the_reason(change, said):
    value = {
        "@context": [messages.CONTEXT],
        "@type": "ContractRequestMessage",
        "consumerPid": "c",
        "callbackAddress": "https://x",
        "offer": OFFER,
    }
    with pytest.raises(BadInput) as found:
        messages.decode(messages.ContractRequestMessage, wire.dumps(value | change))
    assert said in found.value.detail


def test_json_ld_expansion_of_our_messages_gives_the_full_terms():
    """The compact form means what the official context says."""
    from pyld import jsonld

    folder = shared_data("dsp-2025-1/context")
    files = {messages.CONTEXT: "dspace.jsonld", "https://w3id.org/dspace/2025/1/odrl-profile.jsonld": "odrl.jsonld"}

    def load(url, _options):
        return {"contextUrl": None, "documentUrl": url, "document": json.loads((folder / files[url]).read_text())}

    _, body = outbound.renderer(lambda _: "https://me.example")(
        t.REQUEST, process("negotiation", "consumer", peer_pid="", state=""), "urn:uuid:m", CONTENT
    )
    (expanded,) = jsonld.expand(json.loads(body), {"documentLoader": load, "base": "https://base.example/"})
    assert expanded["@type"] == ["https://w3id.org/dspace/2025/1/ContractRequestMessage"]
    assert {
        "https://w3id.org/dspace/2025/1/consumerPid",
        "https://w3id.org/dspace/2025/1/callbackAddress",
        "https://w3id.org/dspace/2025/1/offer",
    } <= set(expanded)
    (offer,) = expanded["https://w3id.org/dspace/2025/1/offer"]
    assert "http://www.w3.org/ns/odrl/2/permission" in offer
