"""Compact JWS and keys as JWK: `identity.jose`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import jose
from identity.jose import BadToken
from kernel import wire
from tests.unit.identity_core.world import START, key_for, signer

SIGNER = signer("did:web:a.example")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('abcü"\\:', max_size=5), inner, max_size=4),
    max_leaves=10,
)


def reason(call: Any, *args: Any) -> str:
    with pytest.raises(BadToken) as caught:
        call(*args)
    return caught.value.facts["reason"]


@given(st.dictionaries(st.text("abcdef", max_size=5), JSON, max_size=6))
def test_round_trip(claims: dict) -> None:
    found = jose.parse(jose.sign(claims, SIGNER, typ="vc+jwt", header={"cty": "vc", "alg": "none", "kid": "x"}))
    jose.verify(found, SIGNER.public_jwk())
    assert (found.claims, found.kid, found.alg, found.typ) == (claims, SIGNER.kid, "ES256", "vc+jwt")


@given(st.binary(max_size=80), st.integers(0, 63))
def test_any_changed_signature_byte_is_refused(data: bytes, place: int) -> None:
    found = jose.parse(jose.sign({"data": data.hex()}, SIGNER))
    changed = bytearray(found.signature)
    changed[place] ^= 1
    token = f"{found.signed.decode()}.{wire.b64url(bytes(changed))}"
    assert reason(jose.verify, jose.parse(token), SIGNER.public_jwk()) == "signature"


@given(st.text(max_size=200))
def test_any_text_is_refused_with_a_reason(text: str) -> None:
    assert reason(jose.parse, text)


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_signature_of_another_length(length: int) -> None:
    found = jose.parse(jose.sign({}, SIGNER))
    token = jose.parse(f"{found.signed.decode()}.{wire.b64url(bytes(length))}")
    assert reason(jose.verify, token, SIGNER.public_jwk()) == "signature"


@pytest.mark.parametrize("alg", ["PS256", "RS256"])
def test_rsa_is_verified(alg: str) -> None:
    from jwt.algorithms import RSAAlgorithm

    key = key_for(alg)
    signed = f"{wire.b64url(wire.dumps({'alg': alg}))}.{wire.b64url(b'{}')}"
    token = jose.parse(f"{signed}.{wire.b64url(jose.ALGORITHMS[alg].sign(signed.encode(), key))}")
    jwk = {name: RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)[name] for name in ("kty", "n", "e")}
    jose.verify(token, jwk)
    assert reason(jose.verify, token, jwk | {"alg": "PS256" if alg == "RS256" else "RS256"}) == "key-alg"


def test_short_rsa_key() -> None:
    n = wire.b64url((2**1023 + 1).to_bytes(128))
    assert reason(jose.public_key, {"kty": "RSA", "n": n, "e": "AQAB"}) == "key-type"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"d": "AA"}, "private-key"),
        ({"kty": "oct"}, "key-type"),
        ({"crv": "secp256k1"}, "key-type"),
        ({"crv": "P-521"}, "key-type"),
        ({"crv": "Ed25519"}, "key-type"),
        ({"crv": ["P-256"]}, "key-type"),
        ({"x": None}, "key-form"),
        ({"x": "AA"}, "key-form"),
        ({"x": wire.b64url(bytes(32))}, "key-form"),
        ({"use": "enc"}, "key-use"),
        ({"key_ops": ["sign"]}, "key-use"),
        ({"key_ops": "verify"}, "key-use"),
    ],
)
def test_jwk_refused(changes: dict, why: str) -> None:
    assert reason(jose.public_key, SIGNER.public_jwk() | changes) == why


def test_self_issued_token() -> None:
    token = jose.parse(
        jose.token_for(SIGNER, "did:web:b.example", now=START, jti="j", token="t", thumbprint="p", extra={"iss": "x", "y": 1})
    )
    assert token.typ == "JWT"
    assert token.claims == {
        "iss": "did:web:a.example",
        "sub": "did:web:a.example",
        "aud": "did:web:b.example",
        "iat": int(START.timestamp()),
        "exp": int(START.timestamp()) + 300,
        "jti": "j",
        "token": "t",
        "cnf": {"x5t#S256": "p"},
        "y": 1,
    }
    assert "token" not in jose.parse(jose.token_for(SIGNER, "did:web:b.example", now=START, jti="j")).claims


def test_kid_alone_is_read_as_with_the_whole_and_refused_for_the_same_reasons() -> None:
    token = jose.sign({"a": 1}, SIGNER)
    assert jose.kid(token) == jose.parse(token).kid == SIGNER.kid
    for text in ("", "x", "e30.e30.", wire.b64url(b'{"alg":"none"}') + ".e30.", f"{token}{'x' * jose.LIMIT}"):
        assert reason(jose.kid, text) == reason(jose.parse, text) or text in ("", "x")


def test_a_header_is_made_once_and_is_that_of_its_key_and_type() -> None:
    other = signer("did:web:b.example")
    made = [
        jose.parse(jose.sign({}, key, typ=typ, header=more)).header
        for key, typ, more in ((SIGNER, "JWT", None), (SIGNER, "x+jwt", None), (other, "JWT", None), (SIGNER, "JWT", {"cty": "y"}))
    ]
    assert [(each["kid"], each["typ"]) for each in made] == [
        (SIGNER.kid, "JWT"), (SIGNER.kid, "x+jwt"), (other.kid, "JWT"), (SIGNER.kid, "JWT"),
    ]  # fmt: skip
    assert [each.get("cty") for each in made] == [None, None, None, "y"]
