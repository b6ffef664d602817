"""Data Integrity: the test vectors of the EdDSA and ECDSA cryptosuites, and what a proof must not let through (identity.md 2.3).

The vectors are those of vc-di-eddsa 1.0 (B.1, B.2, proof sets and chains) and vc-di-ecdsa 1.0 (A.1 to A.8): one small credential, the
keys as did:key, and the expected proof values.
"""

import hashlib
import time
from datetime import timedelta
from typing import Any

import pytest

from identity import vc
from identity.did import embedded_document
from identity.jose import PublicKey, public_key
from identity.vc import BadCredential, integrity
from identity.vc.contexts import BUNDLED, DATA_INTEGRITY, STATUS_LIST_2021, Contexts
from identity.vc.integrity import IntegrityProof, add_proof, verify_all
from identity.vc.model import CONTEXT_11, CONTEXT_20
from identity.vc.rdfc import canonical_rdf
from tests.unit.identity_core.world import START, signer

EXAMPLES = "https://www.w3.org/ns/credentials/examples/v2"
WITH_EXAMPLES = Contexts(
    {**BUNDLED.documents, EXAMPLES: {"@context": {"@vocab": "https://www.w3.org/ns/credentials/examples#"}}},
    BUNDLED.lists | {(CONTEXT_20, EXAMPLES)},
)
ALUMNI = {
    "@context": [CONTEXT_20, EXAMPLES],
    "id": "urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33",
    "type": ["VerifiableCredential", "AlumniCredential"],
    "name": "Alumni Credential",
    "description": "A minimum viable example of an Alumni Credential.",
    "issuer": "https://vc.example/issuers/5678",
    "validFrom": "2023-01-01T00:00:00Z",
    "credentialSubject": {"id": "did:example:abcdefgh", "alumniOf": "The School of Examples"},
}
ED25519 = "z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"
P256 = "zDnaepBuvsQ8cpsWrVKw8fbpGpvPeNSjVPTWoq6cRqaYzBKVP"
P384 = "z82LkuBieyGShVBhvtE2zoiD6Kma4tJGFtkAhxR5pfkp5QPw4LutoYWhvQCnGjdVn14kujQ"
VECTORS = [
    ("eddsa-jcs-2022", ED25519, "z2HnFSSPPBzR36zdDgK8PbEHeXbR56YF24jwMpt3R1eHXQzJDMWS93FCzpvJpwTWd3GAVFuUfjoJdcnTMuVor51aX"),
    ("eddsa-rdfc-2022", ED25519, "z2YwC8z3ap7yx1nZYCg4L3j3ApHsF8kgPdSb5xoS1VR7vPG3F561B52hYnQF9iseabecm3ijx4K1FBTQsCZahKZme"),
    ("ecdsa-jcs-2019", P256, "z5ptCet75SaEgzG4v4zJhbJtfNi74Wv7Fq15hhKouJQQjEPQvPZKaYxcMXAMLPQS2FXrkCWokNJkFVkwxNzZfD5oT"),
    (
        "ecdsa-jcs-2019",
        P384,
        "zq3EuTeLiGurmB2JR5oL8oWEsT7u2tba4HT1oZbiMYWc5qzsoW2kLYcBcF4HM5vCpJyTkceULKrVXuJQkXeN5seL4uXrFNFRMm53GWy1Yrto8rTWxZi9DkNeWP7yUPs7ELAm",
    ),
    ("ecdsa-rdfc-2019", P256, "zaHXrr7AQdydBk3ahpCDpWbxfLokDqmCToYm2dyWvpcFVyWooC2he63w1f7UNQoAMKdhaRtcnaE2KTo5o5vTCcfw"),
    (
        "ecdsa-rdfc-2019",
        P384,
        "z967Mvv5bxtmLNqTzPZ8KmJjFmFXaAKeQNzq7GWnQkMcLtaGSSmuozE5WtJ8PipMe178B1tE28K1vsJur9bGVJhz6jgSJsRHFSQeqgH8hhjcg8gZDFJC1b9FsR5ggNmDBqHv",
    ),
]
CHAIN = [
    ("2023-02-24T23:36:38Z", "z6MktgKTsu1QhX6QPbyqG6geXdw6FQCZBPq7uQpieWbiQiG7", "urn:uuid:26329423-bec9-4b2e-88cb-a7c7d9dc4544", None,
     "z66vWyqwAghu52WbpRkCwFRTu6Msn92ArtjpJ3gGMSVoU5RADwBfszoDt1QWY8owqLPz4nTj7hAwV7xFti1p93zdr"),
    ("2023-02-24T23:36:38Z", "z6MkhWqdDBPojHA7cprTGTt5yHv5yUi1B8cnXn8ReLumkw6E", "urn:uuid:8cc9022b-6b14-4cf3-8571-74972c5feb54", None,
     "z2scr94SNNrGpP2bE7ajvKWeUHm7HJ2edDkxpARvFAQ8V3USzwEzibqrXKaLHBrWostswsfvg82twQR88BgtnsrXY"),
    ("2023-02-26T22:06:38Z", "z6MkmEq87wkHCYnWnNZkigeDMGTN7oUw1upkhzd77KuXERS1", "urn:uuid:d94f792a-c546-4d06-b38a-da070ab56c23",
     ["urn:uuid:26329423-bec9-4b2e-88cb-a7c7d9dc4544", "urn:uuid:8cc9022b-6b14-4cf3-8571-74972c5feb54"],
     "zWaPeEvBAkhQpNQj8pknuvg5STcKnt3cvM9t4kAYeJETFjvVMSXEEjadC4uxC9fKCn6JHbjt6fj2fhoaVNynBm6J"),
    ("2023-02-26T22:16:38Z", "z6Mkm1S51iPHJvDEkJ9MRtxJmT8Pqo6wHipAFwBAjN83vntT", None, "urn:uuid:d94f792a-c546-4d06-b38a-da070ab56c23",
     "z4b5uUtxNiV4E541LiR8qLvA21xM1Vt4Hfn6nLmmDePdFvLB3jFj3HyEEJyRMbpJzv4Gfdr8ABeuRTxAvZv6KWRRh"),
]  # fmt: skip


def key_of(proof: IntegrityProof) -> PublicKey:
    return embedded_document(proof.kid.partition("#")[0]).key(proof.kid, "assertionMethod")


def secured(suite: str, key: str, value: str) -> dict[str, Any]:
    proof: dict[str, Any] = {
        "type": "DataIntegrityProof",
        "cryptosuite": suite,
        "created": "2023-02-24T23:36:38Z",
        "verificationMethod": f"did:key:{key}#{key}",
        "proofPurpose": "assertionMethod",
        "proofValue": value,
    }
    if "jcs" in suite:
        proof["@context"] = ALUMNI["@context"]
    return {**ALUMNI, "proof": proof}


def chain(length: int) -> dict[str, Any]:
    proofs = []
    for created, key, name, previous, value in CHAIN[:length]:
        proof = {
            "type": "DataIntegrityProof",
            "cryptosuite": "eddsa-rdfc-2022",
            "created": created,
            "verificationMethod": f"did:key:{key}#{key}",
            "proofPurpose": "assertionMethod",
            "proofValue": value,
        }
        proofs.append(proof | ({"id": name} if name else {}) | ({"previousProof": previous} if previous else {}))
    return {**ALUMNI, "proof": proofs}


def refused(document: dict[str, Any], reason: str, **given: Any) -> None:
    with pytest.raises(BadCredential) as caught:
        verify_all(document, given.pop("keys", key_of), **{"purpose": "assertionMethod", "contexts": WITH_EXAMPLES} | given)
    assert caught.value.facts["reason"] == reason


@pytest.mark.parametrize(("suite", "key", "value"), VECTORS)
def test_w3c_vectors(suite: str, key: str, value: str) -> None:
    document = secured(suite, key, value)
    assert verify_all(document, key_of, purpose="assertionMethod", contexts=WITH_EXAMPLES) == ALUMNI
    document["credentialSubject"] = {**ALUMNI["credentialSubject"], "alumniOf": "The School of Forgers"}
    refused(document, "signature")
    document = secured(suite, key, value)
    document["proof"]["created"] = "2023-02-24T23:36:39Z"
    refused(document, "signature")


def test_w3c_canonical_form() -> None:
    lines = canonical_rdf(ALUMNI, WITH_EXAMPLES, "sha256").decode().splitlines()
    assert len(lines) == 8
    assert lines[0] == '<did:example:abcdefgh> <https://www.w3.org/ns/credentials/examples#alumniOf> "The School of Examples" .'
    assert lines[-1].endswith('credentials#validFrom> "2023-01-01T00:00:00Z"^^<http://www.w3.org/2001/XMLSchema#dateTime> .')


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_w3c_proof_set_and_chain(length: int) -> None:
    assert verify_all(chain(length), key_of, purpose="assertionMethod", contexts=WITH_EXAMPLES) == ALUMNI


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_g44_chain_that_misses_a_previous_proof(gone: int) -> None:
    document = chain(4)
    del document["proof"][gone]
    refused(document, "previous-proof")


def test_g44_a_proof_is_not_verified_without_those_that_it_follows() -> None:
    third = integrity.parse_proofs(chain(3))[2]
    for previous in ((), integrity.parse_proofs(chain(1)), integrity.parse_proofs(chain(3))):
        with pytest.raises(BadCredential) as caught:
            integrity.verify(third, key_of(third), purpose="assertionMethod", previous=previous, contexts=WITH_EXAMPLES)
        assert caught.value.facts["reason"] == "previous-proof"


def test_g44_chain_whose_previous_proof_was_exchanged() -> None:
    document = chain(3)
    document["proof"][0]["proofValue"], document["proof"][1]["proofValue"] = (
        document["proof"][1]["proofValue"],
        document["proof"][0]["proofValue"],
    )
    refused(document, "signature")


def test_g44_chain_in_another_order_or_with_a_doubled_id() -> None:
    document = chain(3)
    document["proof"].reverse()
    refused(document, "previous-proof")
    document = chain(2)
    document["proof"][1]["id"] = document["proof"][0]["id"]
    refused(document, "previous-proof")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"proofPurpose": None}, "proof-form"),
        ({"proofPurpose": ""}, "proof-form"),
        ({"proofPurpose": "authentication"}, "proof-purpose"),
        ({"type": "Ed25519Signature2020"}, "proof-form"),
        ({"type": ["DataIntegrityProof"]}, "proof-form"),
        ({"cryptosuite": "bbs-2023"}, "proof-suite"),
        ({"cryptosuite": None}, "proof-suite"),
        ({"cryptosuite": ["eddsa-jcs-2022"]}, "proof-suite"),
        ({"cryptosuite": "ecdsa-jcs-2019"}, "proof-key"),
        ({"cryptosuite": "eddsa-rdfc-2022"}, "signature"),
        ({"verificationMethod": None}, "proof-form"),
        ({"verificationMethod": {"id": "did:web:a.example#k"}}, "proof-form"),
        ({"proofValue": None}, "proof-form"),
        ({"proofValue": "u" + "A" * 86}, "proof-value"),
        ({"proofValue": "z0OIl"}, "proof-value"),
        ({"proofValue": "z" + "1" * 200}, "proof-value"),
        ({"proofValue": "z"}, "signature"),
        ({"created": "yesterday"}, "time"),
        ({"challenge": 5}, "proof-form"),
        ({"domain": [5]}, "form"),
        ({"@context": ["https://www.w3.org/ns/credentials/examples/v2"]}, "proof-context"),
        ({"@context": None}, "proof-context"),
        ({"nonce": "added"}, "signature"),
    ],
)
def test_g44_proof_that_says_too_little_or_something_else(changes: dict[str, Any], reason: str) -> None:
    document = secured(*VECTORS[0])
    document["proof"] = {
        name: value for name, value in (document["proof"] | changes).items() if value is not None or name == "@context"
    }
    refused(document, reason)


@pytest.mark.parametrize("proof", [None, [], "x", [None], [{}] * 9])
def test_document_without_a_usable_proof(proof: object) -> None:
    with pytest.raises(BadCredential) as caught:
        integrity.parse_proofs({**ALUMNI, "proof": proof})
    assert caught.value.facts["reason"] in {"proof-form", "proof-count"}


@pytest.mark.parametrize("alg", ["EdDSA", "ES256", "ES384"])
def test_made_and_verified(alg: str) -> None:
    key = signer("did:web:issuer.example", alg=alg)
    made = add_proof(ALUMNI, key, purpose="assertionMethod", created=START, expires=START + timedelta(days=1))
    public = lambda _: vc_key(key)  # noqa: E731
    assert verify_all(made, public, purpose="assertionMethod") == ALUMNI
    other = signer("did:web:issuer.example", alg=alg)
    refused(made, "signature", keys=lambda _: vc_key(other))
    wrong = signer("did:web:issuer.example", alg="ES256" if alg == "ES384" else "ES384")
    refused(made, "signature" if alg.startswith("ES") else "proof-key", keys=lambda _: vc_key(wrong))


def test_no_suite_for_rsa() -> None:
    with pytest.raises(BadCredential) as caught:
        add_proof(ALUMNI, signer("did:web:issuer.example", alg="PS256"), purpose="assertionMethod", created=START)
    assert caught.value.facts["reason"] == "proof-key"


def vc_key(key: Any) -> PublicKey:
    from identity.jose import public_key

    return public_key(key.public_jwk())


def rdf(reason: str, document: dict[str, Any], contexts: Contexts = BUNDLED) -> None:
    with pytest.raises(BadCredential) as caught:
        canonical_rdf(document, contexts, "sha256")
    assert caught.value.facts["reason"] == reason


PLAIN = {
    "@context": [CONTEXT_20],
    "id": "urn:uuid:1",
    "type": ["VerifiableCredential"],
    "issuer": "did:web:issuer.example",
    "credentialSubject": {"id": "did:web:member.example", "name": "x"},
    "credentialStatus": {
        "id": "urn:s:1",
        "type": "BitstringStatusListEntry",
        "statusPurpose": "revocation",
        "statusListIndex": "5",
        "statusListCredential": "https://issuer.example/status/1",
    },
}


def test_plain_document_is_canonical_in_any_order_of_members() -> None:
    assert canonical_rdf(PLAIN, BUNDLED, "sha256") == canonical_rdf(dict(reversed(PLAIN.items())), BUNDLED, "sha256")
    assert len(canonical_rdf(PLAIN, BUNDLED, "sha256").splitlines()) == 9


@pytest.mark.parametrize(
    "listed",
    [
        "https://www.w3.org/2018/credentials/v1",
        [CONTEXT_20, "https://thief.example/context.jsonld"],
        ["https://thief.example/context.jsonld"],
        [CONTEXT_20, CONTEXT_20],
        [CONTEXT_20, {"@vocab": "https://thief.example/"}],
        {"@vocab": "https://thief.example/"},
        [],
        None,
        5,
        [[CONTEXT_20]],
    ],
)
def test_g42_unknown_context_is_an_error_and_never_a_fetch(listed: object) -> None:
    rdf("context", {**PLAIN, "@context": listed})


def test_g42_known_list_that_names_an_unbundled_context() -> None:
    """Even then the loader does not go out."""
    missing = "https://thief.example/context.jsonld"
    contexts = Contexts(BUNDLED.documents, BUNDLED.lists | {(CONTEXT_20, missing)})
    rdf("context", {**PLAIN, "@context": [CONTEXT_20, missing]}, contexts)


def test_g43_inner_context() -> None:
    rdf("inner-context", {**PLAIN, "credentialSubject": {"@context": {"name": "https://thief.example/"}, "name": "x"}})


@pytest.mark.parametrize(
    "change",
    [
        {"credentialSubject": {"id": "did:web:member.example", "memberOf": "consortium"}},
        {"memberOf": "consortium"},
        {"type": ["VerifiableCredential", "MembershipCredential"]},
        {"issuer": "issuer"},
        {"credentialSubject": {"id": "member", "name": "x"}},
        {"name": None},
        {"name": ["a", None]},
    ],
)
def test_g43_what_json_ld_would_drop_without_a_word_is_refused(change: dict[str, Any]) -> None:
    rdf("undefined-term", {**PLAIN, **change})


@pytest.mark.parametrize(
    "name", ["https://www.w3.org/2018/credentials#credentialStatus", "cred:credentialStatus", "@reverse", "@graph"]
)
def test_g43_a_member_renamed_to_its_iri_does_not_hide_from_us_under_the_same_signature(name: str) -> None:
    renamed = {name if each == "credentialStatus" else each: value for each, value in PLAIN.items()}
    rdf("member-name", renamed)


def test_g43_a_description_split_over_two_places_does_not_hide_a_part_of_it() -> None:
    """The entry's fields moved into a second mention of it: the same graph, and nothing left for a reader of the first."""
    entry = PLAIN["credentialStatus"]
    moved = [{"id": entry["id"], "type": entry["type"]}, {name: value for name, value in entry.items() if name != "type"}]
    rdf("described-twice", {**PLAIN, "credentialStatus": moved})


def test_more_values_than_are_read_are_refused_before_they_cost_anything() -> None:
    """A proven member may send half a megabyte of them in a presentation of its own; expanding that takes seconds."""
    began = time.process_time()
    rdf("rdf", {**PLAIN, "name": [str(number) for number in range(50_000)]})
    rdf("rdf", {**PLAIN, "verifiableCredential": [PLAIN] * 100})
    assert time.process_time() - began < 1
    assert canonical_rdf({**PLAIN, "name": [str(number) for number in range(400)]}, BUNDLED, "sha256")


def test_blank_nodes_that_take_for_ever_are_given_up() -> None:
    """Ten nodes that all point at each other: telling them apart tries every order."""
    term = {"@id": "https://x.example/knows", "@type": "@id"}
    contexts = Contexts({CONTEXT_20: {"@context": {**BUNDLED.documents[CONTEXT_20]["@context"], "knows": term}}}, BUNDLED.lists)
    nodes = [f"_b{number}" for number in range(10)]
    graph = {
        "id": "urn:x:1",
        "knows": [{"id": f"_{':'}{each}", "knows": [f"_:{one}" for one in nodes if one != each]} for each in nodes],
    }
    rdf("rdf", {"@context": [CONTEXT_20], **graph}, contexts)


@pytest.mark.parametrize("model", [vc.VC11_DI, vc.VC20_DI])
@pytest.mark.parametrize("alg", ["EdDSA", "ES256", "ES384"])
def test_credential_round_trip(model: str, alg: str) -> None:
    key = signer("did:web:issuer.example", alg=alg)
    raw = vc.issue(
        key,
        id="urn:uuid:1",
        types=["MembershipCredential"],
        subject={"id": "did:web:member.example", "memberOf": "x"},
        valid_from=START,
        valid_until=START + timedelta(days=1),
        status=[vc.StatusEntry(url="https://issuer.example/1", index=5, purpose="message", size=2, messages=("a", "b", "c", "d"))],
        format=model,
    )
    found = vc.read_vc(raw)
    assert (found.format, found.issuer, found.raw) == (model, "did:web:issuer.example", raw)
    assert found.kinds == {"MembershipCredential"}
    assert (found.valid_from, found.valid_until) == (START, START + timedelta(days=1))
    assert found.status[0].messages == ("a", "b", "c", "d")
    assert found.proof.kid == key.kid


V11 = {
    "@context": [CONTEXT_11, STATUS_LIST_2021, DATA_INTEGRITY],
    "id": "urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33",
    "type": ["VerifiableCredential"],
    "issuer": "did:web:issuer.example",
    "issuanceDate": "2026-01-01T00:00:00Z",
    "expirationDate": "2027-01-01T00:00:00Z",
    "credentialSubject": {"id": "did:web:member.example"},
    "credentialStatus": {
        "id": "https://issuer.example/status/1#7",
        "type": "StatusList2021Entry",
        "statusPurpose": "revocation",
        "statusListIndex": "7",
        "statusListCredential": "https://issuer.example/status/1",
    },
}


def test_the_older_data_model_and_its_status_list_have_the_rdf_of_their_published_contexts() -> None:
    """The digest is that of the N-Quads that the published contexts of VC-DM 1.1 give."""
    expected = "7293125f208b9a2b4046a98b093265b1088e46c91d59d1de928e3869c2af4b75"
    assert hashlib.sha256(canonical_rdf(V11, BUNDLED, "sha256")).hexdigest() == expected
    other = {**V11, "@context": [CONTEXT_11, DATA_INTEGRITY, STATUS_LIST_2021]}
    assert hashlib.sha256(canonical_rdf(other, BUNDLED, "sha256")).hexdigest() == expected


@pytest.mark.parametrize("contexts", sorted(BUNDLED.lists))
@pytest.mark.parametrize(
    ("suite", "alg"), [("eddsa-rdfc-2022", "EdDSA"), ("ecdsa-rdfc-2019", "ES256"), ("ecdsa-rdfc-2019", "ES384")]
)
def test_every_known_list_verifies_and_covers_what_is_said(contexts: tuple[str, ...], suite: str, alg: str) -> None:
    document = {name: value for name, value in V11.items() if STATUS_LIST_2021 in contexts or name != "credentialStatus"}
    if contexts[0] == CONTEXT_20:
        document = {name: value for name, value in document.items() if name not in ("issuanceDate", "expirationDate")}
    document["@context"] = list(contexts)
    key = signer("did:web:issuer.example", alg=alg)
    options = {
        "type": "DataIntegrityProof", "cryptosuite": suite, "created": "2026-01-01T00:00:00Z",
        "verificationMethod": key.kid, "proofPurpose": "assertionMethod",
    }  # fmt: skip
    value = key.sign(integrity._hashed(document, options, suite, key.alg, BUNDLED))
    signed = {**document, "proof": {**options, "proofValue": integrity._written(value)}}

    def public(_: IntegrityProof) -> PublicKey:
        return public_key(key.public_jwk())

    assert verify_all(signed, public, purpose="assertionMethod")
    changed = {**signed, "credentialSubject": {"id": "did:web:thief.example"}}
    with pytest.raises(BadCredential) as caught:
        verify_all(changed, public, purpose="assertionMethod")
    assert caught.value.facts["reason"] == "signature"


@pytest.mark.parametrize(
    "contexts",
    [
        [CONTEXT_11],
        [DATA_INTEGRITY, CONTEXT_11],
        [CONTEXT_20, CONTEXT_11],
        [CONTEXT_11, DATA_INTEGRITY, DATA_INTEGRITY],
        [CONTEXT_11, DATA_INTEGRITY, {"x": "https://x.example/"}],
        [CONTEXT_11, DATA_INTEGRITY, "https://x.example/context"],
    ],
    ids=str,
)
def test_any_other_list_of_known_contexts_is_refused(contexts: list[Any]) -> None:
    rdf("context", {name: value for name, value in V11.items() if name != "credentialStatus"} | {"@context": contexts})
