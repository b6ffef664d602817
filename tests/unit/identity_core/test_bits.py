"""The bitstring of status lists: properties (identity.md 2.4)."""

import base64
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.status import BadStatus, BitString

SIZES = st.sampled_from([1, 2, 3, 4, 8])


@given(data=st.binary(max_size=64), multibase=st.booleans())
def test_encoding_round_trip(data: bytes, *, multibase: bool) -> None:
    text = BitString(data).encode(multibase=multibase)
    assert text.startswith("uH4sI" if multibase else "H4sI")
    assert bytes(BitString.decode(text, minimum_bits=0)) == data
    assert text == BitString(data).encode(multibase=multibase)


@given(st.dictionaries(st.integers(0, 30), st.integers(0, 255), max_size=20), SIZES)
def test_every_entry_keeps_its_value_and_its_neighbours(values: dict[int, int], size: int) -> None:
    bits = BitString.empty(256)
    written = {index: value % (1 << size) for index, value in values.items()}
    for index, value in written.items():
        bits.set(index, 1, size)
        bits.set(index, value, size)
    assert [bits.get(index, size) for index in range(31)] == [written.get(index, 0) for index in range(31)]


@given(st.integers(0, 255))
def test_bit_0_is_the_most_significant(index: int) -> None:
    bits = BitString.empty(256)
    bits.set(index)
    assert int.from_bytes(bytes(bits)) == 1 << (255 - index)


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (256, 1), (128, 2), (0, 0), (10**20, 1)])
def test_out_of_range(index: int, size: int) -> None:
    bits = BitString.empty(256)
    for call in (lambda: bits.get(index, size), lambda: bits.set(index, 0, size)):
        with pytest.raises(BadStatus) as caught:
            call()
        assert caught.value.facts["reason"] == "range"


def test_value_that_does_not_fit() -> None:
    with pytest.raises(BadStatus):
        BitString.empty(8).set(0, 2)


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("prefix", ["", "u"])
def test_base64_of_peers(encode, prefix: str, *, padded: bool) -> None:
    """StatusList2021 comes in four spellings of base64, BitstringStatusList in one."""
    data = bytes(range(251)) * 4
    text = encode(gzip.compress(data, mtime=0)).decode()
    text = prefix + (text if padded else text.rstrip("="))
    if prefix and (set(text) & set("+/=")):
        with pytest.raises(BadStatus):
            BitString.decode(text, minimum_bits=0)
    else:
        assert bytes(BitString.decode(text, minimum_bits=0)) == data


def test_minimum_length() -> None:
    assert len(BitString.decode(BitString.empty().encode())) == 131_072
    with pytest.raises(BadStatus) as caught:
        BitString.decode(BitString.empty(131_064).encode())
    assert caught.value.facts["reason"] == "length"


def test_the_cap_is_exact() -> None:
    text = BitString.empty(1024 * 8).encode()
    assert len(BitString.decode(text, minimum_bits=0, max_bytes=1024)) == 8192
    with pytest.raises(BadStatus) as caught:
        BitString.decode(text, minimum_bits=0, max_bytes=1023)
    assert caught.value.facts["reason"] == "bomb"


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA", 131_072),
        ("H4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA", 131_072),
        ("H4sIAAAAAAAAA-3BMQEAAADCoPVPbQsvoAAAAAAAAAAAAAAAAP4GcwM92tQwAAA", 100_000),
    ],
)
def test_w3c_example_lists(text: str, bits: int) -> None:
    """The encoded lists of Bitstring Status List 1.0 (section 2.2) and of the drafts before it: nothing is set in them."""
    found = BitString.decode(text, minimum_bits=100_000)
    assert (len(found), set(bytes(found))) == (bits, {0})
    assert BitString.decode(found.encode(), minimum_bits=0).get(94_567) == 0
    if bits < 131_072:
        with pytest.raises(BadStatus) as caught:
            BitString.decode(text)
        assert caught.value.facts["reason"] == "length"


def test_w3c_entries_of_several_bits_lie_at_index_times_size() -> None:
    """Bitstring Status List 1.0, 3.2: the left-most bit is the first index; an entry of size two at index three begins at bit six."""
    found = BitString.empty(131_072)
    found.set(3, 0b10, size=2)
    assert bytes(found)[:2] == bytes([0b0000_0010, 0])
    assert [found.get(index) for index in (5, 6, 7, 8)] == [0, 1, 0, 0]
