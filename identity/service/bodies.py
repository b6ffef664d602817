"""JSON bodies of the service's own APIs as typed values."""

from typing import TypeVar

import msgspec

from kernel import wire
from kernel.errors import BadInput

T = TypeVar("T")


def read(data: bytes, kind: type[T]) -> T:
    """A JSON body as a value of this type; raises `BadInput` (what is wrong, and where) and `TooLarge`."""
    try:
        return msgspec.convert(wire.loads(data), kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{kind.__name__}: {error}", reason=str(error)) from error
