"""JSON as it comes from others and goes to them: RFC 8259 read strictly, RFC 8785 for what is hashed.

Rules
- Refused on reading: anything but UTF-8, NaN and infinities, duplicate members, documents over `limit` bytes or nested deeper
  than `depth`. A duplicate member means two readers may see two documents.
- Size is checked before parsing, nesting before the parser builds anything.
- `canonical` is RFC 8785, so two parties hash the same bytes.
"""

import binascii
import hashlib
import re
from collections.abc import Callable
from typing import Any

import orjson
import rfc8785

from kernel.errors import BadInput, TooLarge

LIMIT = 262_144
DEPTH = 32
_SHORT = 32 * 1024  # of longer ones the text is not made again: the library reserves some 190 bytes for each number of a list
_SAFE = 2**53
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"(\s*:)?)?')  # an unclosed string is one match too: never scanned twice
_BLANKS = re.compile(rb'"[ \t\n\r]+:')
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/!!!")  # what the other alphabet has, and padding, becomes what no reader takes
_LAST = ("", "", "AQgw", "AEIMQUYcgkosw048")  # with so many letters in the last four, what may end them: the spare bits are zero
_BRACKETS = re.compile(rb"[\[\]{}]")
dumps: Callable[[Any], bytes] = orjson.dumps  # JSON without blanks; members in the order given


def loads(data: bytes | str, *, limit: int = LIMIT, depth: int = DEPTH) -> Any:
    """Parse one JSON document; raises `TooLarge` or `BadInput` with the reason."""
    try:
        raw = data.encode() if isinstance(data, str) else data
    except UnicodeEncodeError as error:
        raise BadInput("not JSON: a lone surrogate") from error
    if len(raw) > limit:
        raise TooLarge(f"document of {len(raw)} bytes, at most {limit} are read")
    shallow = raw.count(b"{") + raw.count(b"[") <= depth
    members = None if shallow else _scan(raw, depth)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"not JSON: {error}") from error
    if shallow and len(raw) <= _SHORT and orjson.dumps(value) == raw:  # what is written from the value has each member once
        return value
    found = _members(value)
    if shallow and found == raw.count(b'":') and not _BLANKS.search(raw):  # a colon at every name's end: no more can be written
        return value
    if found != (_scan(raw, depth) if members is None else members):
        raise BadInput("an object has the same member twice", next_step="send each member once")
    return value


def _scan(raw: bytes, depth: int) -> int:
    """The number of members written in the text; raises `BadInput` when it nests too deep."""
    members = 0

    def gap(match: re.Match[bytes]) -> bytes:
        nonlocal members
        members += match.group(1) is not None
        return b""

    level = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(gap, raw)):
        level += 1 if bracket in b"[{" else -1
        if level > depth:
            raise BadInput(f"nested deeper than {depth} levels")
    return members


def _members(value: Any) -> int:
    """The number of members in the parsed value."""
    count, stack = 0, [value]
    while stack:
        each = stack.pop()
        if type(each) is dict:
            count += len(each)
            stack.extend(each.values())
        elif type(each) is list:
            stack.extend(each)
    return count


def fragment(text: bytes) -> orjson.Fragment:
    """JSON that is ready, to be put into other documents as it is: a value, or several of a list with commas between."""
    return orjson.Fragment(text)


def dumps_sorted(value: Any) -> bytes:
    """JSON with sorted members: quick, for comparing what came in; not the canonical form."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def canonical(value: Any) -> bytes:
    """The canonical form of RFC 8785 (JCS); raises `BadInput` for what has none."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if _same_in_both(value) else rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, orjson.JSONEncodeError) as error:
        raise BadInput(f"no canonical form: {error}") from error


def _same_in_both(value: Any) -> bool:
    """Whether sorted JSON is the canonical form already: no numbers but small integers, no member names beyond ASCII."""
    stack = [value]
    while stack:
        each = stack.pop()
        kind = type(each)
        if kind is str or kind is bool or each is None:
            continue
        if kind is dict:
            for name in each:
                if type(name) is not str or not name.isascii():
                    return False
            stack.extend(each.values())
        elif kind is list:
            stack.extend(each)
        elif kind is not int or not -_SAFE < each < _SAFE:
            return False
    return True


def digest(value: Any) -> str:
    """`sha256:<hex>` of the canonical form."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def b64url(data: bytes) -> str:
    """base64url without padding (RFC 7515)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_").decode()


def unb64url(text: str) -> bytes:
    """The bytes of strict base64url without padding, in its one form; raises `BadInput`."""
    try:
        data = binascii.a2b_base64(text.encode().translate(_FROM_URL) + b"=" * (-len(text) % 4), strict_mode=True)
    except ValueError as error:
        raise BadInput("not base64url") from error
    if len(text) % 4 and text[-1] not in _LAST[len(text) % 4]:
        raise BadInput("not base64url in its one form")
    return data
