"""The bitstring of a status list: gzip, then base64 (identity.md 2.4, 6.38, 6.39).

Rules
- Bit 0 is the most significant bit of the first byte; entry n of size s starts at bit n x s.
- Decoding stops at a hard cap, whatever the header promises; several gzip members, trailing bytes and truncation are refused.
- A text that starts with `u` is multibase base64url; otherwise base64, standard or URL-safe, padded or not. A gzip stream in
  base64 starts with `H`, so the two never clash.
- Encoding is deterministic: the same bits give the same text.
"""

import base64
import binascii
import gzip
import zlib
from typing import Final

from identity.status.errors import BadStatus
from kernel.wire import b64url

MINIMUM_BITS: Final = 131_072
MAX_BYTES: Final = 16 * 1024 * 1024
_MAX_TEXT: Final = 4 * 1024 * 1024


class BitString:
    """A string of bits. Entries have one bit unless a size is given."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = bytearray(data)

    @classmethod
    def empty(cls, bits: int = MINIMUM_BITS) -> "BitString":
        """All zeros; `bits` is rounded up to whole bytes."""
        return cls(bytes((bits + 7) // 8))

    @classmethod
    def decode(cls, text: str, *, minimum_bits: int = MINIMUM_BITS, max_bytes: int = MAX_BYTES) -> "BitString":
        """The bits of `encodedList`; raises `BadStatus` (reasons `encoding`, `bomb`, `length`)."""
        data = _inflate(_packed(text), max_bytes)
        if len(data) * 8 < minimum_bits:
            raise BadStatus(f"a list of {len(data) * 8} bits, at least {minimum_bits} are wanted", reason="length")
        return cls(data)

    def encode(self, *, multibase: bool = True) -> str:
        """The text of `encodedList`: multibase for BitstringStatusList, plain base64 for StatusList2021."""
        packed = gzip.compress(bytes(self._data), compresslevel=9, mtime=0)
        return "u" + b64url(packed) if multibase else base64.b64encode(packed).decode("ascii")

    def get(self, index: int, size: int = 1) -> int:
        """The value of an entry; raises `BadStatus` (reason `range`)."""
        self._check(index, size)
        value = 0
        for position in range(index * size, (index + 1) * size):
            value = value << 1 | (self._data[position >> 3] >> (7 - (position & 7)) & 1)
        return value

    def set(self, index: int, value: int = 1, size: int = 1) -> None:
        """Change an entry; raises `BadStatus` (reason `range`)."""
        self._check(index, size)
        if not 0 <= value < 1 << size:
            raise BadStatus(f"the value {value} does not fit into {size} bits", reason="range")
        for offset in range(size):
            position = index * size + offset
            mask = 0x80 >> (position & 7)
            if value >> (size - 1 - offset) & 1:
                self._data[position >> 3] |= mask
            else:
                self._data[position >> 3] &= ~mask

    def __len__(self) -> int:
        return len(self._data) * 8

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    def _check(self, index: int, size: int) -> None:
        if index < 0 or size < 1 or (index + 1) * size > len(self):
            raise BadStatus(f"entry {index} lies outside of the list", reason="range")


def _packed(text: str) -> bytes:
    if len(text) > _MAX_TEXT:
        raise BadStatus("the encoded list is too long", reason="bomb")
    body = text.removeprefix("u").rstrip("=").translate(str.maketrans("+/", "-_"))
    if text.startswith("u") and body != text[1:]:
        raise BadStatus("not multibase base64url", reason="encoding")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadStatus("not base64", reason="encoding") from error


def _inflate(packed: bytes, max_bytes: int) -> bytes:
    reader = zlib.decompressobj(wbits=31)
    try:
        data = reader.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise BadStatus("not gzip", reason="encoding") from error
    if len(data) > max_bytes:
        raise BadStatus(f"the list is larger than {max_bytes} bytes", reason="bomb")
    if not reader.eof:
        raise BadStatus("the gzip stream is cut off", reason="encoding")
    if reader.unused_data:
        raise BadStatus("something follows the gzip stream", reason="encoding")
    return data
