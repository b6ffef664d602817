"""kernel.wire: what is refused on reading, what comes back as it went, RFC 8785 and strict base64url."""

import json
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import wire
from kernel.errors import BadInput, TooLarge

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"a":2}',
        '{"a" : 1,\n"a"\t:2}',
        '{"x":{"a":1,"a":2}}',
        '[[{"b":[{"a":1,"b":2,"a":{}}]}]]',
        '{"a":{"c":1},"a":{"d":1}}',
        r'{"a":1,"\u0061":2}',
        r'{"say \"hi\"":1,"say \"hi\"":2}',
        r'{"\\":1,"\\":2}',
        r'{"\\\"":1,"\\\"":2}',
        r'{"v":"\"}, {\"","a":1,"a":2}',
        '{"":1,"":2}',
        '{"鍵":1,"鍵":2}',
        r'{"\ud83d\ude00":1,"😀":2}',
    ],
)
def test_duplicate_member_is_refused_at_any_depth_and_in_any_spelling(text):
    with pytest.raises(BadInput, match="twice"):
        wire.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        r'{"a":"\"a\":1","b":"a"}',
        r'{"a":"{\"a\":1,\"a\":2}"}',
        r'{"a\":":1,"a":2}',
        r'{"a\\":":","a":"\\"}',
        '{"a":{"a":{"a":1}}}',
        '[{"a":1},{"a":1}]',
        '["a","a",":"]',
        '{"a":"a","b":["a","b"]}',
    ],
)
def test_text_that_only_looks_like_a_duplicate_is_read(text):
    assert wire.loads(text) == json.loads(text)


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=4), st.data())
def test_any_member_written_a_second_time_is_refused(value, data):
    name = data.draw(st.sampled_from(sorted(value)))
    spelling = json.dumps(name, ensure_ascii=data.draw(st.booleans())).encode()
    raw = wire.dumps(value)
    with pytest.raises(BadInput, match="twice"):
        wire.loads(b'{"in":[' + raw[:-1] + b"," + spelling + b":0}]}")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_depth_at_the_limit_is_read_and_one_more_is_refused(opening, closing):
    levels = sum(each in "[{" for each in opening)
    assert wire.loads(opening * (wire.DEPTH // levels) + "1" + closing * (wire.DEPTH // levels)) is not None
    with pytest.raises(BadInput, match="deeper"):
        wire.loads("[" + opening * (wire.DEPTH // levels) + "1" + closing * (wire.DEPTH // levels) + "]")


def test_a_bomb_of_brackets_is_refused_without_recursion():
    with pytest.raises(BadInput, match="deeper"):
        wire.loads("[" * 200_000)


def test_brackets_inside_strings_do_not_count_as_depth():
    text = json.dumps({"a": "[" * 100, "[{" * 100: '"[[' * 100})
    assert wire.loads(text) == json.loads(text)


def test_an_unclosed_string_hides_no_depth():
    with pytest.raises(BadInput):
        wire.loads('["' + "[" * 100)


@pytest.mark.parametrize("text", ['"' + '\\"' * 130_000, '"' * 200_001, '"a" ' * 60_000, '"\\\n' * 60_000, '{"a"' + " " * 200_000])
def test_quotes_without_an_end_take_no_time(text):
    """What is scanned before the parser sees it is scanned once: 40 kB of such text used to take seconds, before anybody had proven anything."""
    began = time.process_time()
    with pytest.raises(BadInput):
        wire.loads(text)
    assert time.process_time() - began < 1


def test_size_at_the_limit_is_read_and_one_byte_more_is_refused():
    assert wire.loads(b'"' + b"x" * 8 + b'"', limit=10) == "x" * 8
    with pytest.raises(TooLarge, match="at most 10"):
        wire.loads(b'"' + b"x" * 9 + b'"', limit=10)


def test_size_counts_bytes_not_characters():
    with pytest.raises(TooLarge):
        wire.loads('"鍵鍵鍵"', limit=10)


def test_size_is_refused_before_anything_is_parsed():
    with pytest.raises(TooLarge):
        wire.loads(b"\xff" * (wire.LIMIT + 1))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "[NaN]", '{"a":-Infinity}', "nan", "1e999", "[-1e999]"])
def test_nan_and_infinity_are_refused(text):
    with pytest.raises(BadInput):
        wire.loads(text)


@pytest.mark.parametrize(
    "raw",
    [
        b'"\xff"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b'"\xf4\x90\x80\x80"',
        b'"\xe9"',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'"\\ud800"',
        b'{"\\udc00":1}',
    ],
)
def test_anything_but_utf_8_is_refused(raw):
    with pytest.raises(BadInput):
        wire.loads(raw)


def test_a_text_with_a_lone_surrogate_is_refused():
    with pytest.raises(BadInput):
        wire.loads('"\ud800"')


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "[1,]", '{"a":1,}', "{a:1}", "'a'", "01", "1.", ".5", "+1", "1 2", "{}{}", "// c\n1", '"\t"', "tru", "\0"],
)
def test_what_rfc_8259_does_not_allow_is_refused(text):
    with pytest.raises(BadInput):
        wire.loads(text)


@given(JSON)
def test_what_is_written_is_read_back(value):
    found = wire.loads(wire.dumps(value))
    assert found == value
    assert wire.loads(wire.dumps_sorted(value)) == value


@given(st.dictionaries(st.text(), st.integers(-(2**53) + 1, 2**53 - 1) | st.text(), max_size=6))
def test_canonical_and_digest_do_not_depend_on_order(value):
    other = dict(reversed(value.items()))
    assert wire.canonical(value) == wire.canonical(other)
    assert wire.digest(value) == wire.digest(other)
    assert wire.loads(wire.canonical(value)) == value


def test_canonical_of_rfc_8785_section_3_2_2():
    text = r"""{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"""
    expected = (
        r'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'
        r"""'B\"\\\\\"/"}"""
    )
    assert wire.canonical(wire.loads(text)) == expected.encode()


def test_canonical_sorts_by_utf_16_units_as_rfc_8785_section_3_2_3():
    text = r"""{
      "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"
    }"""
    assert list(json.loads(wire.canonical(wire.loads(text))).values()) == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("ffefffffffffffff", "-1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555554", "333333333.33333325"),
        ("41b3de4355555555", "333333333.3333333"),
        ("41b3de4355555556", "333333333.3333334"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_canonical_numbers_of_rfc_8785_appendix_b(bits, text):
    assert wire.canonical(struct.unpack(">d", bytes.fromhex(bits))[0]) == text.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, {"a": [object()]}, {1: 2}, "\ud800", {"\udc00": 1}])
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(BadInput, match="canonical"):
        wire.canonical(value)


@given(st.binary(max_size=80))
def test_base64url_comes_back_and_has_one_form(data):
    text = wire.b64url(data)
    assert wire.unb64url(text) == data
    assert not set(text) & set("+/= \n")


@pytest.mark.parametrize(
    "text", ["QQ==", "QQ=", "Q", "QR", "QUJ", "-_+/", "a+b_", "_/8", " QQ", "QQ\n", "Q Q", "QQ.", "ＱＱ", "é", "QQ\0", "====", "="]
)
def test_base64url_with_padding_other_alphabet_blanks_or_spare_bits_is_refused(text):
    with pytest.raises(BadInput, match="base64url"):
        wire.unb64url(text)
