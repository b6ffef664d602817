"""The pinned key of an authority (identity.md 8.3): the one key that may sign its event feed and its trust list.

Who controls the authority's host controls its DID document; whoever has pinned the key's thumbprint (RFC 7638) at installation does not believe another key of that
document. The document still has to list it: a key that the authority has withdrawn is dead.
"""

from collections.abc import Collection

from identity.did import ASSERTION, BadDid, DidDocument, did_of_url
from identity.jose import PublicKey, Unverified, thumbprint
from identity.resolve import Resolving, with_document
from kernel.errors import BadInput


class NotPinned(BadInput):
    """Signed by another key than the pinned one."""

    code = "not-the-pinned-key"


def pinned_key(document: DidDocument, token: Unverified, pins: Collection[str]) -> tuple[PublicKey, str]:
    """The key that the token names, and its thumbprint; no `pins` at all take any key that the authority lists.

    Raises `NotPinned` or `BadDid`.
    """
    kid = token.kid or ""
    if did_of_url(kid) != document.id:
        raise NotPinned(f"signed by {kid or 'nobody'}, not by {document.id}", reason="foreign")
    key = document.key(kid, ASSERTION)
    jwk = document.methods[kid].jwk if kid in document.methods else None
    if jwk is None:
        raise BadDid("the document does not hold that key", reason="kid")
    found = thumbprint(jwk)
    if pins and found not in pins:
        raise NotPinned(
            f"signed by a key with the thumbprint {found}, pinned is {', '.join(pins)}",
            next_step="ask the operator, over another channel, whether its key has changed",
            reason="foreign",
        )
    return key, found


async def pinned_signer(resolver: Resolving, did: str, token: Unverified, pins: Collection[str]) -> tuple[PublicKey, str]:
    """The same, with the DID's document; a key that a cached one does not hold is looked for in a fresh one. Raises `NotPinned`, `BadDid`, what the resolver raises."""
    found: list[tuple[PublicKey, str]] = []
    await with_document(resolver, did, lambda document: found.append(pinned_key(document, token, pins)))
    return found[0]
