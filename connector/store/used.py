"""Tokens that were used lately, as the one process that writes the file knows them: a new one need not be looked for in the table.

Rules
- Every used token that ends after `since` is known. Those that end earlier, and one whose write may or may not have come about, are the table's business.
- So what was used before the start, and what is too much to keep, is asked of the table; tokens that were made since end later.
- A `jti` that its issuer takes again for a later token is refused by the table's key, when it is to be spent.
"""

from collections import OrderedDict
from typing import Final

from connector.processes.model import TokenUse

CAPACITY: Final = 8_192


class Used:
    """Used tokens of one participant. `since`: when the last of those ends that are not known here (seconds since the epoch)."""

    def __init__(self, since: int) -> None:
        self._since = since
        self._ends: OrderedDict[tuple[str, str], int] = OrderedDict()

    def knows(self, token: TokenUse) -> bool | None:
        """Whether it was used; None where the table has to be asked."""
        if (token.issuer, token.jti) in self._ends:
            return True
        return False if token.expires > self._since else None

    def add(self, token: TokenUse) -> None:
        """It is used, durably."""
        self._ends[token.issuer, token.jti] = token.expires
        if len(self._ends) > CAPACITY:
            self._since = max(self._since, self._ends.popitem(last=False)[1])

    def doubt(self, token: TokenUse) -> None:
        """It may be used."""
        self._since = max(self._since, token.expires)
