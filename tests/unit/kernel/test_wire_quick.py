"""The quick ways of `kernel.wire` say what the slow ones say: repeated members by counting, the canonical form by sorting."""

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from kernel import wire
from kernel.errors import BadInput

TEXTS = st.text(alphabet=st.sampled_from('ab:"\\ {}[],é\t😀'), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 2**53, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_what_has_no_repeated_member_is_read(value, indented):
    raw = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indented else 0)
    assert wire.loads(raw) == value


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", ":", 'a":'.replace('"', "")]), TEXTS), min_size=1, max_size=4),
    st.sampled_from(["", " ", "\n"]),
)
def test_repeated_members_are_refused_and_no_others(pairs, blank):
    written = ",".join(f"{orjson.dumps(name).decode()}{blank}:{blank}{orjson.dumps(value).decode()}" for name, value in pairs)
    repeated = len({name for name, _ in pairs}) < len(pairs)
    raw = f"{{{written}}}".encode()
    if not repeated:
        assert wire.loads(raw) == dict(pairs)
        return
    with pytest.raises(BadInput, match="same member twice"):
        wire.loads(raw)


def test_a_text_that_begins_with_a_colon_does_not_hide_a_repeated_member():
    assert wire.loads(b'{"a":":","b":[":x",":y"]}') == {"a": ":", "b": [":x", ":y"]}
    for raw in (b'{"a":1,"a" :":"}', b'{"a":":","a":1}', b'{"a":1,"a":2}', b'[":",{"a":1,"a"\t:2}]'):
        with pytest.raises(BadInput, match="same member twice"):
            wire.loads(raw)


@given(VALUES)
def test_the_canonical_form_is_that_of_rfc_8785(value):
    assert wire.canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), {"a": float("inf")}, {1: 2}, "\ud800"])
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(BadInput):
        wire.canonical(value)
