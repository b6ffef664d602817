"""Further `@context` entries (JSON-LD 1.1; ADR 0020): what they add is read as a JSON-LD processor reads it, what they would change is refused."""

import copy
import json
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.dsp import contexts, messages
from connector.dsp.contexts import CONTEXT
from kernel import wire
from kernel.errors import BadInput
from tests.support.shared import shared_data

ODRL = "https://w3id.org/dspace/2025/1/odrl-profile.jsonld"
EX = "https://example.org/terms#"
OFFER = {
    "@id": "urn:o", "@type": "Offer", "target": "urn:d",
    "permission": [{"action": "ex:weld", "constraint": [
        {"leftOperand": "plant", "operator": "isAnyOf", "rightOperand": [{"@id": "ex:osaka"}, {"@id": "urn:kobe"}]},
        {"or": [{"leftOperand": "ex:shift", "operator": "eq", "rightOperand": {"@value": "1", "@type": "ex:number"}},
                {"leftOperand": "odrl:purpose", "operator": "eq", "rightOperand": "ex:not-a-word"}]}]}],
}  # fmt: skip
MESSAGE = {
    "@type": "ContractRequestMessage",
    "@id": "urn:m",
    "consumerPid": "urn:c",
    "callbackAddress": "https://x",
    "offer": OFFER,
}
INLINE = {"ex": EX, "plant": "ex:plant"}


def said(*entries, **changed):
    return {"@context": [CONTEXT, *entries], **copy.deepcopy(MESSAGE), **changed}


def read(value):
    return messages.decode(messages.ContractRequestMessage, wire.dumps(value))


def test_the_names_of_an_inline_context_are_written_out_where_words_stand():
    (rule,) = read(said(INLINE)).offer["permission"]
    first, second = rule["constraint"]
    assert rule["action"] == EX + "weld"
    assert (first["leftOperand"], first["operator"]) == (EX + "plant", "isAnyOf")
    assert first["rightOperand"] == [{"@id": EX + "osaka"}, {"@id": "urn:kobe"}]
    assert second["or"][0]["leftOperand"] == EX + "shift"
    assert second["or"][0]["rightOperand"] == {"@value": "1", "@type": EX + "number"}
    assert second["or"][1] == {
        "leftOperand": "odrl:purpose",
        "operator": "eq",
        "rightOperand": "ex:not-a-word",
    }  # a text stays a text


def test_without_further_names_a_message_stays_as_it_is():
    for entries in ((), (ODRL,), ({"@version": 1.1},), ({"odrl": "http://www.w3.org/ns/odrl/2/"},)):
        assert read(said(*entries)).offer == OFFER
    assert read({**MESSAGE, "@context": CONTEXT}).offer == OFFER


def test_a_bundled_context_says_what_its_names_mean():
    offer = {"@id": "o", "@type": "Offer", "target": "d", "permission": [
        {"action": "use", "constraint": [{"leftOperand": "inForceDate", "operator": "gteq", "rightOperand": "2026-01-01"}]}]}  # fmt: skip
    found = read(said("https://w3id.org/edc/dspace/v0.0.1", offer=offer)).offer
    assert found["permission"][0]["constraint"][0]["leftOperand"] == "https://w3id.org/edc/v0.0.1/ns/inForceDate"


def test_definitions_may_be_objects_and_may_say_what_is_a_prefix():
    inline = {
        "ex": {"@id": "https://example.org/x_", "@prefix": True},
        "plant": {"@id": "ex:plant", "@type": "@id", "@container": "@set", "@protected": True},
        "@version": 1.1,
        "@protected": True,
    }
    (rule,) = read(said(inline)).offer["permission"]
    assert (rule["action"], rule["constraint"][0]["leftOperand"]) == ("https://example.org/x_weld", "https://example.org/x_plant")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"permission": "odrl:prohibition"}, "permission is defined by the DSP context"),
        ({"permission": {"@id": "odrl:permission"}}, "permission is defined by the DSP context"),
        ({"odrl": "https://evil.example/"}, "odrl is defined by the DSP context"),
        ({"dspace": "https://evil.example/"}, "dspace is defined by the DSP context"),
        ({"use": EX + "use"}, "use is defined by the DSP context"),
        ({"FINALIZED": EX + "other"}, "FINALIZED is defined by the DSP context"),
        ({"target": None}, "the definition of 'target' has no IRI"),
        ({"free": None}, "the definition of 'free' has no IRI"),
        ({"@import": "https://evil.example/context.jsonld"}, "@import is not read"),
        ({"@vocab": EX}, "@vocab is not read"),
        ({"@base": "https://evil.example/"}, "@base is not read"),
        ({"@language": "ja"}, "@language is not read"),
        ({"@propagate": False}, "@propagate is not read"),
        ({"key": "@id"}, "key stands for '@id', which is no IRI"),
        ({"kind": "@type"}, "kind stands for '@type', which is no IRI"),
        ({"did": "https://evil.example/"}, "'did' cannot be the name of a term"),
        ({"urn": "https://evil.example/"}, "'urn' cannot be the name of a term"),
        ({"https": "https://evil.example/"}, "'https' cannot be the name of a term"),
        ({"odrl:use": EX + "use"}, "'odrl:use' cannot be the name of a term"),
        ({"https://w3id.org/dspace/2025/1/offer": EX}, "cannot be the name of a term"),
        ({"": EX}, "cannot be the name of a term"),
        ({"plant": {"@id": EX + "plant", "@context": {"use": EX}}}, "@context is not read in a definition"),
        ({"plant": {"@reverse": EX + "plant"}}, "has no IRI"),
        ({"plant": {"@id": EX + "plant", "@nest": "x"}}, "@nest is not read in a definition"),
        ({"plant": 7}, "has no IRI"),
        ({"plant": "relative"}, "which is no IRI"),
        ({"plant": "javascript:alert(1)"}, "which is no IRI"),
        ({"a": "b:x", "b": "a:y"}, "which is no IRI"),
        ({"a": "a:x"}, "which is no IRI"),
        ({"ex": "https://example.org/x", "plant": "ex:plant"}, "plant stands for 'ex:plant', which is no IRI"),  # no prefix in JSON-LD
        ({f"t{n}": EX + str(n) for n in range(300)}, "more than 256 names"),
        (7, "neither a URL nor an object"),
        (None, "neither a URL nor an object"),
        ([CONTEXT], "neither a URL nor an object"),
    ],
)  # fmt: skip
def test_a_context_that_does_more_than_add_names_is_refused(entry, reason):
    for context in ([CONTEXT, entry], [entry, CONTEXT]):
        with pytest.raises(BadInput) as found:
            read({**MESSAGE, "@context": context})
        assert reason in found.value.detail


def test_names_that_two_contexts_define_differently_are_refused():
    with pytest.raises(BadInput, match="plant is defined twice"):
        read(said({"plant": EX + "plant"}, {"plant": EX + "other"}))
    with pytest.raises(BadInput, match="edc is defined twice"):
        read(said("https://w3id.org/edc/dspace/v0.0.1", {"edc": EX}))
    with pytest.raises(BadInput, match="more than 16 entries"):
        read(said(*[INLINE] * 16))


def inner(place):
    value = said()
    {
        "offer": value["offer"],
        "rule": value["offer"]["permission"][0],
        "constraint": value["offer"]["permission"][0]["constraint"][0],
        "unknown": value.setdefault("extra", {}),
        "deep": value.setdefault("more", [[{"x": {}}]])[0][0]["x"],
    }[place]["@context"] = {"permission": "odrl:prohibition"}
    return value


@pytest.mark.parametrize("place", ["offer", "rule", "constraint", "unknown", "deep"])
def test_an_inner_context_is_refused_wherever_it_stands_and_however_it_is_written(place):
    for body in (wire.dumps(inner(place)), json.dumps(inner(place)).replace('{"@context": {', '{"\\u0040context": {').encode()):
        with pytest.raises(BadInput, match=r"no @context of its own"):
            messages.decode(messages.ContractRequestMessage, body)
    with pytest.raises(BadInput, match=r"no @context of its own"):
        read({**inner(place), "@context": [CONTEXT, INLINE]})


def test_the_text_context_in_a_value_is_no_context():
    assert read(said(note="@context")).offer == OFFER


@pytest.mark.parametrize(
    ("inline", "members", "reason"),
    [
        ({"x": "http://www.w3.org/ns/odrl/2/"}, {"x:prohibition": []}, "x:prohibition is a second name for"),
        ({"mayNot": "odrl:prohibition"}, {"mayNot": []}, "mayNot is a second name for"),
        ({"mayNot": EX + "a", "never": EX + "a"}, {"mayNot": [], "never": []}, "never is a second name for"),
    ],
)
def test_a_member_has_one_name(inline, members, reason):
    with pytest.raises(BadInput) as found:
        read(said(inline, offer=OFFER | members))
    assert reason in found.value.detail


@pytest.mark.parametrize(
    "changed",
    [{"consumerPid": "ex:c"}, {"@id": "ex:m"}, {"offer": OFFER | {"target": "ex:d"}}, {"offer": OFFER | {"assigner": "ex:me"}}],
)
def test_ids_are_written_in_full(changed):
    with pytest.raises(BadInput, match="needs a further @context"):
        read(said(INLINE, **changed))


def test_a_context_that_nobody_knows_is_refused_with_what_to_do_and_found_out_for_who_may():
    value = said("https://evil.example/context.jsonld")
    with pytest.raises(BadInput, match="not fetched; send the DSP context, and further names in an inline context") as found:
        read(value)
    assert 'unknown_contexts = "skip"' in found.value.next_step
    found = messages.read(messages.ContractRequestMessage, wire.dumps(value))
    assert (found.unknown, found.message.offer) == (("https://evil.example/context.jsonld",), OFFER)


def test_the_names_that_are_reserved_are_those_of_the_official_contexts():
    names, prefixes = set(), {}

    def walk(context):
        for name, definition in context.items():
            if isinstance(definition, dict):
                names.add(name)
                walk(definition.get("@context", {}))
            elif not name.startswith("@"):
                names.add(name)
                if definition.endswith(("#", "/")):
                    prefixes[name] = definition

    for name in ("dspace", "odrl"):
        walk(json.loads((shared_data("dsp-2025-1/context") / f"{name}.jsonld").read_text())["@context"])
    names = {each for each in names if not each.startswith("@")}
    assert prefixes == contexts._PREFIXES
    assert names - set(prefixes) == contexts._RESERVED


def test_the_bundled_terms_are_those_of_the_official_file():
    official = json.loads((shared_data("catena-x/cx-odrl-profile/schema/context") / "context.jsonld").read_text())["@context"]
    wanted = {name: each["@id"] if isinstance(each, dict) else each for name, each in official.items() if name != "odrl"}
    assert contexts._BUNDLED["https://w3id.org/catenax/2025/9/policy/context.jsonld"] == wanted


def expanded(value):
    from pyld import jsonld

    folder = shared_data("dsp-2025-1/context")
    known = {CONTEXT: "dspace.jsonld", ODRL: "odrl.jsonld"}

    def load(url, _options):
        return {"contextUrl": None, "documentUrl": url, "document": json.loads((folder / known[url]).read_text())}

    return jsonld.expand(value, {"documentLoader": load, "base": "https://base.example/"})


WORDS = st.sampled_from(["plant", "ex:plant", "gauge", "m:gauge", "odrl:purpose", "use", "https://x.example/y", "plain", "ex://no"])
CONSTRAINTS = st.builds(
    lambda left, right: {"leftOperand": left, "operator": "eq", "rightOperand": right},
    WORDS,
    st.one_of(
        st.sampled_from(["ex:a", "text"]),
        st.builds(lambda word: {"@id": word}, st.sampled_from(["ex:a", "m:b", "urn:c"])),
        st.builds(lambda word: {"@value": "1", "@type": word}, st.sampled_from(["ex:int", "xsd:date"])),
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    action=WORDS, found=st.lists(CONSTRAINTS, min_size=1, max_size=3), profile=st.sampled_from([None, "ex:profile", "https://p.example/"]),
    order=st.booleans(),
)  # fmt: skip
def test_a_json_ld_processor_reads_the_same_with_the_contexts_as_without_them_afterwards(action, found, profile, order):
    """The oracle: expansion of the message as it came equals expansion, under the DSP context alone, of the message as it is read."""
    inline = {"ex": EX, "plant": "ex:plant", "gauge": {"@id": "m:gauge"}, "m": {"@id": "https://m.example/", "@prefix": True}}
    offer = {"@id": "urn:o", "@type": "Offer", "target": "urn:d", "permission": [{"action": action, "constraint": found}]}
    offer |= {"profile": profile} if profile else {}
    value = {"@context": [inline, CONTEXT] if order else [CONTEXT, inline], **copy.deepcopy(MESSAGE), "offer": offer}
    plain, unknown = contexts.plain(value)
    assert unknown == ()
    assert expanded(plain | {"@context": [CONTEXT]}) == expanded(value)


def test_no_json_ld_processor_is_loaded_for_it():
    code = (
        "import sys; from connector.dsp import messages, contexts; "
        "contexts.plain({'@context': [contexts.CONTEXT, {'ex': 'https://example.org/'}], '@type': 'X', 'a': {'action': 'ex:b'}}); "
        "print([m for m in ('pyld', 'rdflib') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"
