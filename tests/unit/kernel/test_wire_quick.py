"""The quick ways of `kernel.wire` say what the slow ones say: repeated members by writing it again, base64url without a second look, the canonical form by sorting."""

import base64
import json

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


def _written(inner):
    """Lists and objects as they may be written: names in two spellings, blanks or none."""
    blank = st.sampled_from(["", "", "", " "])
    names = st.sampled_from(['"a"', '"b"', '"\\u0061"', '"é"', '":"', '""'])
    member = st.tuples(names, st.sampled_from(["", "", " ", "\n "]), blank, inner).map(
        lambda parts: f"{parts[0]}{parts[1]}:{parts[2]}{parts[3]}"
    )
    return st.lists(inner, max_size=3).map(lambda each: f"[{','.join(each)}]") | st.tuples(st.lists(member, max_size=3), blank).map(
        lambda parts: f"{{{(',' + parts[1]).join(parts[0])}}}"
    )


@given(
    st.recursive(
        st.sampled_from(["1", "1.0", "1.50", "1e2", "-0", "null", "true", '"x"', '"\\u00e9"', '"é"', '"{"', '":x"', '""']), _written
    )
)
def test_whatever_the_writing_a_repeated_member_is_refused_and_no_other_document(text):
    try:
        expected = json.loads(text, object_pairs_hook=_once)
    except KeyError:
        with pytest.raises(BadInput, match="same member twice"):
            wire.loads(text, depth=64)
    else:
        assert wire.loads(text, depth=64) == expected


def _once(pairs):
    if len(dict(pairs)) != len(pairs):
        raise KeyError
    return dict(pairs)


def test_a_text_that_begins_with_a_colon_does_not_hide_a_repeated_member():
    assert wire.loads(b'{"a":":","b":[":x",":y"]}') == {"a": ":", "b": [":x", ":y"]}
    for raw in (
        b'{"a":1,"a" :":"}',
        b'{"a":":","a":1}',
        b'{"a":1,"a":2}',
        b'[":",{"a":1,"a"\t:2}]',
        b'{"a"  :":x","a"  :1}',
        b'{"a" \n:":x","a": 1}',
    ):
        with pytest.raises(BadInput, match="same member twice"):
            wire.loads(raw)


@given(st.binary(max_size=80))
def test_base64url_is_that_of_the_standard_library(data):
    assert wire.b64url(data) == base64.urlsafe_b64encode(data).decode().rstrip("=")


@given(st.text(alphabet=st.sampled_from("AQgw09-_+/= \n\té\0"), max_size=9))
def test_base64url_is_read_in_its_one_form_and_in_no_other(text):
    whole = text + "=" * (-len(text) % 4)
    try:
        data = base64.b64decode(whole, altchars=b"-_", validate=True)
    except ValueError:
        data = None
    if data is not None and base64.urlsafe_b64encode(data).decode().rstrip("=") == text:
        assert wire.unb64url(text) == data
        return
    with pytest.raises(BadInput, match="base64url"):
        wire.unb64url(text)


@given(VALUES)
def test_the_canonical_form_is_that_of_rfc_8785(value):
    assert wire.canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), {"a": float("inf")}, {1: 2}, "\ud800"])
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(BadInput):
        wire.canonical(value)
