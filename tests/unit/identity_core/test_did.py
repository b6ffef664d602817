"""DIDs and their documents: identity.md 1.5 and 2.5."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import did as dids
from identity.did import BadDid, DidDocument
from identity.did.multibase import base58, unbase58
from identity.jose import thumbprint
from kernel import wire
from tests.unit.identity_core.world import ALL, key_for, signer

DID = "did:web:a.example"


def reason(call, *args) -> str:
    with pytest.raises(BadDid) as caught:
        call(*args)
    return caught.value.facts["reason"]


@pytest.mark.parametrize(
    ("did", "url"),
    [
        ("did:web:w3c-ccg.github.io", "https://w3c-ccg.github.io/.well-known/did.json"),
        ("did:web:w3c-ccg.github.io:user:alice", "https://w3c-ccg.github.io/user/alice/did.json"),
        ("did:web:example.com%3A3000:user:alice", "https://example.com:3000/user/alice/did.json"),
        ("did:web:localhost%3A8443", "https://localhost:8443/.well-known/did.json"),
        ("did:web:xn--80ak6aa92e.com", "https://xn--80ak6aa92e.com/.well-known/did.json"),
        ("did:web:a.example:consumer", "https://a.example/consumer/did.json"),
    ],
)
def test_did_web_url(did: str, url: str) -> None:
    assert dids.web_url(did) == url
    assert dids.parse(did).text == did


@pytest.mark.parametrize(
    ("did", "why"),
    [
        ("", "did-form"),
        ("did", "did-form"),
        ("did:web", "did-form"),
        ("did:web:", "did-form"),
        ("DID:web:a.example", "did-form"),
        ("did:Web:a.example", "did-method"),
        ("did:ion:abc", "did-method"),
        ("did:web:A.example", "did-host"),
        ("did:web:ä.example", "did-form"),
        ("did:web:a..example", "did-host"),
        ("did:web:.example", "did-host"),
        ("did:web:a.example.", "did-host"),
        ("did:web:-a.example", "did-host"),
        ("did:web:a_b.example", "did-host"),
        ("did:web:a.example%2Fx", "did-host"),
        ("did:web:a.example%3a80", "did-host"),
        ("did:web:user%40a.example", "did-host"),
        ("did:web:user@a.example", "did-host"),
        ("did:web:a.example/x", "did-host"),
        ("did:web:a.example?x", "did-host"),
        ("did:web:a.example#x", "did-host"),
        ("did:web:a.example ", "did-host"),
        ("did:web:a.example\n", "did-host"),
        ("did:web:127.0.0.1", "did-host"),
        ("did:web:127.1", "did-host"),
        ("did:web:2130706433", "did-host"),
        ("did:web:0x7f000001", "did-host"),
        ("did:web:0x7f.1", "did-host"),
        ("did:web:[%3A%3A1]", "did-host"),
        ("did:web:" + "a" * 64, "did-host"),
        ("did:web:" + "a." * 127 + "a", "did-host"),
        ("did:web:a.example%3A", "did-port"),
        ("did:web:a.example%3A0", "did-port"),
        ("did:web:a.example%3A080", "did-port"),
        ("did:web:a.example%3A65536", "did-port"),
        ("did:web:a.example%3A80%3A81", "did-port"),
        ("did:web:a.example%3A+80", "did-port"),
        ("did:web:a.example:", "did-path"),
        ("did:web:a.example::b", "did-path"),
        ("did:web:a.example:..:b", "did-path"),
        ("did:web:a.example:.", "did-path"),
        ("did:web:a.example:%2E%2E", "did-path"),
        ("did:web:a.example:b%2Fc", "did-path"),
        ("did:web:a.example:b%40c", "did-path"),
        ("did:web:a.example:b/c", "did-path"),
        ("did:web:a.example:b?c", "did-path"),
        ("did:web:a.example:" + "b" * 2048, "did-form"),
        ("did:key:", "did-form"),
        ("did:key:z6/x", "did-form"),
    ],
)
def test_did_refused(did: str, why: str) -> None:
    assert reason(dids.parse, did) == why


LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
HOST = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
PATH = st.lists(st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=8), max_size=3).map(tuple)


@given(HOST, st.none() | st.integers(1, 65_535), PATH)
def test_did_web_round_trip(host: str, port: int | None, path: tuple[str, ...]) -> None:
    did = dids.web_did(host, port, path)
    found = dids.parse(did)
    assert (found.host, found.port, found.path) == (host, port, path)
    assert dids.web_url(did).startswith(f"https://{host}{f':{port}' if port else ''}/")


@given(st.text(max_size=60))
def test_any_text_is_a_did_with_one_spelling_or_refused(text: str) -> None:
    try:
        found = dids.parse(f"did:web:{text}")
    except BadDid:
        return
    assert dids.web_did(found.host, found.port, found.path) == found.text
    assert dids.web_url(found).isascii()


@pytest.mark.parametrize("url", ["did:web:a.example", "did:web:a.example#", "#k", "did:web:a.example#a#b", "did:web:a.example?x#k"])
def test_did_url(url: str) -> None:
    assert reason(dids.did_of_url, url) in {"did-url", "did-host", "did-form"}


def made(**changes: object) -> dict:
    key = signer(DID)
    return (
        dids.document(
            DID, [dids.Key(key.kid, key.public_jwk(), ALL)], [dids.Service("#cs", "CredentialService", "https://a.example/cs")]
        )
        | changes
    )


def parsed(**changes: object) -> DidDocument:
    return dids.parse_document(wire.dumps(made(**changes)), DID)


def test_document_round_trip() -> None:
    found = parsed()
    assert found.endpoint("CredentialService") == "https://a.example/cs"
    assert found.endpoint("IssuerService") is None
    for name in ALL:
        assert found.key(f"{DID}#k1", name) == found.key("#k1", name) == found.key(None, name)


def test_written_document_has_the_form_of_dcp() -> None:
    found = made()
    assert found["@context"][0] == "https://www.w3.org/ns/did/v1"
    method = found["verificationMethod"][0]
    assert (method["id"], method["type"], method["controller"]) == (f"{DID}#k1", "JsonWebKey2020", DID)
    assert found["authentication"] == found["assertionMethod"] == found["capabilityInvocation"] == [f"{DID}#k1"]
    assert found["service"] == [{"id": f"{DID}#cs", "type": "CredentialService", "serviceEndpoint": "https://a.example/cs"}]


@pytest.mark.parametrize("member", ["d", "p", "q", "k", "dp"])
def test_private_member_is_neither_published_nor_read(member: str) -> None:
    key = signer(DID)
    jwk = key.public_jwk() | {member: "AA"}
    assert reason(dids.document, DID, [dids.Key(key.kid, jwk, ALL)]) == "private-key"
    document = made()
    document["verificationMethod"][0]["publicKeyJwk"][member] = "AA"
    assert reason(dids.parse_document, document, DID) == "private-key"


def test_foreign_key_is_not_published() -> None:
    key = signer("did:web:other.example")
    assert reason(dids.document, DID, [dids.Key(key.kid, key.public_jwk(), ALL)]) == "kid"


@pytest.mark.parametrize("value", [b"[]", b"{", b"\xff", b'{"id":"did:web:a.example","id":"did:web:a.example"}', b"{}" * 200_000])
def test_document_that_is_none(value: bytes) -> None:
    assert reason(dids.parse_document, value, DID) == "document-form"


@pytest.mark.parametrize("name", ["did:web:a.example/", "did:web:A.example", None, 5, [DID]])
def test_document_id_is_the_did(name: object) -> None:
    assert reason(dids.parse_document, made(id=name), DID) == "document-id"


def test_embedded_method_and_object_endpoint() -> None:
    document = made(
        service=[{"id": "#x", "type": ["A", "CredentialService"], "serviceEndpoint": [{"uri": "https://a.example/c/"}]}]
    )
    method = document["verificationMethod"].pop()
    document |= {"capabilityInvocation": [method], "authentication": ["#k1"]}
    found = dids.parse_document(document, DID)
    assert found.key("#k1", dids.INVOCATION) == found.key("#k1", dids.AUTHENTICATION)
    assert found.endpoint("CredentialService") == "https://a.example/c"


def test_two_methods_with_one_id() -> None:
    document = made()
    document["verificationMethod"] *= 2
    assert reason(dids.parse_document, document, DID) == "document-form"


def test_ten_thousand_keys() -> None:
    document = made()
    document["verificationMethod"] *= 10_000
    assert reason(dids.parse_document, document, DID) == "document-size"


def test_unusable_key_counts_as_a_method() -> None:
    document = made()
    document["verificationMethod"].append(
        {
            "id": "#other",
            "type": "JsonWebKey2020",
            "controller": DID,
            "publicKeyJwk": {"kty": "EC", "crv": "secp256k1", "x": "", "y": ""},
        }
    )
    document["authentication"].append("#other")
    found = dids.parse_document(document, DID)
    assert reason(found.key, None, dids.AUTHENTICATION) == "kid"
    assert reason(found.key, "#other", dids.AUTHENTICATION) == "key-type"


def test_method_with_the_id_of_another_did_is_no_key_here() -> None:
    document = made()
    key = signer("did:web:other.example")
    document["verificationMethod"].append(
        {"id": key.kid, "type": "JsonWebKey2020", "controller": DID, "publicKeyJwk": key.public_jwk()}
    )
    document["authentication"].append(key.kid)
    assert reason(dids.parse_document(document, DID).key, key.kid, dids.AUTHENTICATION) == "key-type"


def test_did_key_vectors() -> None:
    did = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
    method = next(iter(dids.embedded_document(did).methods.values()))
    assert method.id == f"{did}#z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
    assert method.jwk is not None
    assert method.jwk["crv"] == "Ed25519"


@pytest.mark.parametrize(("alg", "prefix"), [("ES256", b"\x80\x24"), ("ES384", b"\x81\x24")])
def test_did_key_of_curves(alg: str, prefix: bytes) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = key_for(alg).public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    found = dids.embedded_document("did:key:z" + base58(prefix + point))
    assert found.key(None, dids.ASSERTION).algorithms == {alg}


@pytest.mark.parametrize("text", ["z6Mk", "x6Mk", "z0", "z" + "1" * 200, "z" + base58(b"\x80\x24" + b"\x02" + b"\xff" * 32)])
def test_did_key_refused(text: str) -> None:
    assert reason(dids.embedded_document, f"did:key:{text}") == "multikey"


def test_did_jwk() -> None:
    jwk = {name: value for name, value in signer(DID).public_jwk().items() if name in {"kty", "crv", "x", "y"}}
    did = "did:jwk:" + wire.b64url(wire.dumps(jwk))
    assert dids.embedded_document(did).key("#0", dids.AUTHENTICATION).algorithms == {"ES256"}
    for changes, why in (({"d": "AA"}, "private-key"), ({"kty": "oct", "k": "AA"}, "private-key"), ({"crv": "P-521"}, "key-type")):
        assert reason(dids.embedded_document, "did:jwk:" + wire.b64url(wire.dumps(jwk | changes))) == why
    sealed = dids.embedded_document("did:jwk:" + wire.b64url(wire.dumps(jwk | {"use": "enc"})))
    assert reason(sealed.key, "#0", dids.AUTHENTICATION) == "relationship"


@given(st.binary(max_size=60))
def test_base58_round_trip(data: bytes) -> None:
    assert unbase58(base58(data)) == data


def test_thumbprint_of_rfc_8037() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
