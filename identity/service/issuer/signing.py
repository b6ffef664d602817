"""Signing what the issuer publishes: credentials and status lists, in the format of their definition (identity.md 2.1, 2.2, 2.4)."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from identity.jose import Signer
from identity.service.store.issuance import Issued
from identity.service.store.status import Entry, ListRow
from identity.status import BITSTRING, LIST2021, BitString, list_subject, list_type
from identity.vc import StatusEntry, is_11, issue
from identity.vc.model import BITSTRING_ENTRY, LIST2021_ENTRY
from kernel.clock import parse_iso


def credential(
    issued: Issued, entries: Iterable[tuple[Entry, str]], *, contexts: Sequence[str], signer: Signer, issuer: str
) -> str:
    """An allocated credential, as a JWT or the JSON text of a document; `entries` are its status positions with the addresses of their lists."""
    kind = LIST2021_ENTRY if is_11(issued.format) else BITSTRING_ENTRY
    return issue(
        signer,
        id=issued.id,
        types=[issued.type],
        subject={"id": issued.holder, **issued.subject},
        valid_from=parse_iso(issued.valid_from),
        valid_until=parse_iso(issued.valid_until),
        status=[StatusEntry(url=url, index=entry.position, purpose=entry.purpose, type=kind) for entry, url in entries],
        format=issued.format,
        contexts=contexts,
        issuer=issuer,
    )


def status_list(
    row: ListRow, marked: Iterable[int], *, signer: Signer, issuer: str, url: str, start: datetime, until: datetime
) -> str:
    """The JWT of a status list with these positions set."""
    bits = BitString.empty(row.length)
    for position in marked:
        bits.set(position)
    kind = LIST2021 if is_11(row.format) else BITSTRING
    return issue(
        signer,
        id=url,
        types=[list_type(kind)],
        subject=list_subject(url, row.purpose, bits, kind=kind),
        valid_from=start,
        valid_until=until,
        format=row.format,
        issuer=issuer,
    )
