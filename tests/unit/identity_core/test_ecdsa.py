"""ECDSA beside PyJWT's: the same signatures are accepted and refused, and each reads what the other writes."""

from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from identity.jose import ALGORITHMS
from tests.unit.identity_core.world import key_for

OLD = {"ES256": ECAlgorithm(ECAlgorithm.SHA256), "ES384": ECAlgorithm(ECAlgorithm.SHA384)}
KEYS = {alg: key_for(alg) for alg in OLD}
STRANGERS = {alg: key_for(alg).public_key() for alg in OLD}
SIZES = {"ES256": 32, "ES384": 48}
ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}
ALGS = st.sampled_from(list(OLD))


def both(alg, key, data, signature):
    """What both say, which is the same."""
    ours, theirs = ALGORITHMS[alg].verify(data, key, signature), OLD[alg].verify(data, key, signature)
    assert ours is theirs
    return ours


def forms(alg, signature):
    """A signature with its numbers taken elsewhere: only the first two are signatures (ECDSA knows no lowest form)."""
    size, order = SIZES[alg], ORDERS[alg]
    r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
    largest = 2 ** (8 * size) - 1
    pairs = [(r, s), (r, order - s), (0, s), (r, 0), (0, 0), (order, s), (r, order), (s, r), (order - r, s), (largest, largest)]
    pairs += [(r + order, s)] * (r + order <= largest) + [(r, s + order)] * (s + order <= largest)
    return [a.to_bytes(size) + b.to_bytes(size) for a, b in pairs]


@given(ALGS, st.binary(max_size=200))
def test_each_reads_what_the_other_writes(alg, data):
    key = KEYS[alg]
    for one in (ALGORITHMS[alg], OLD[alg]):
        signature = one.sign(data, key)
        assert len(signature) == 2 * SIZES[alg]
        assert both(alg, key.public_key(), data, signature)
        assert not both(alg, STRANGERS[alg], data, signature)
        assert not both(alg, key.public_key(), data + b"x", signature)


@given(ALGS, st.binary(max_size=40))
def test_numbers_out_of_place_are_refused_by_both(alg, data):
    found = [both(alg, KEYS[alg].public_key(), data, each) for each in forms(alg, ALGORITHMS[alg].sign(data, KEYS[alg]))]
    assert found == [True, True, *[False] * (len(found) - 2)]


@given(ALGS, st.data())
def test_changed_signatures_are_refused_by_both(alg, drawn):
    signature = bytearray(ALGORITHMS[alg].sign(b"data", KEYS[alg]))
    for place, bit in drawn.draw(st.sets(st.tuples(st.integers(0, len(signature) - 1), st.integers(0, 7)), min_size=1, max_size=9)):
        signature[place] ^= 1 << bit
    assert not both(alg, KEYS[alg].public_key(), b"data", bytes(signature))


@given(ALGS, st.binary(max_size=130))
def test_any_bytes_are_refused_by_both(alg, signature):
    assert not both(alg, KEYS[alg].public_key(), b"data", signature)


@pytest.mark.parametrize("alg", OLD)
def test_the_form_of_other_protocols_is_refused_by_both(alg):
    der = KEYS[alg].sign(b"data", ec.ECDSA(OLD[alg].hash_alg()))
    assert not both(alg, KEYS[alg].public_key(), b"data", der)


@pytest.mark.parametrize("alg", OLD)
@pytest.mark.parametrize("place", [0, 1])
def test_a_number_with_a_leading_zero_keeps_its_length(alg, place):
    made = ((data, ALGORITHMS[alg].sign(data, KEYS[alg])) for data in map(str.encode, map(str, count())))
    data, signature = next(each for each in made if each[1][place * SIZES[alg]] == 0)
    assert both(alg, KEYS[alg].public_key(), data, signature)


def test_a_key_of_another_curve_verifies_nothing():
    for alg, other in (("ES256", "ES384"), ("ES384", "ES256")):
        signature = ALGORITHMS[other].sign(b"data", KEYS[other])
        assert not both(alg, KEYS[other].public_key(), b"data", signature)
        assert not both(alg, KEYS[alg].public_key(), b"data", signature)
