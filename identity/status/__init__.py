"""Status lists: StatusList2021 and BitstringStatusList 1.0 (identity.md 2.4).

Pure: reading them over the network is `identity.statusread`.
"""

from identity.status.bits import MAX_BYTES, MINIMUM_BITS, BitString
from identity.status.errors import BadStatus
from identity.status.lists import (
    BITSTRING,
    DENYING,
    LIST2021,
    StatusList,
    StatusValue,
    list_format,
    list_subject,
    list_type,
    read_list,
    value_of,
)

__all__ = [
    "BITSTRING",
    "DENYING",
    "LIST2021",
    "MAX_BYTES",
    "MINIMUM_BITS",
    "BadStatus",
    "BitString",
    "StatusList",
    "StatusValue",
    "list_format",
    "list_subject",
    "list_type",
    "read_list",
    "value_of",
]
