"""did:key and did:jwk: the document lies in the DID itself (identity.md 2.5). No rotation and no services.

did:key: Ed25519, P-256, P-384 under all relationships. did:jwk: one method `#0`; `use: enc` gives it no relationship that we use.
"""

from identity.did.document import DidDocument, Method
from identity.did.errors import BadDid
from identity.did.multibase import jwk_of
from identity.did.syntax import parse
from identity.jose.errors import BadToken
from identity.jose.keys import PRIVATE, public_key
from kernel import wire
from kernel.errors import BadInput


def embedded_document(did: str) -> DidDocument:
    """The document of a did:key or did:jwk; raises `BadDid`."""
    found = parse(did)
    if found.method == "key":
        jwk, fragment = jwk_of(found.identifier), found.identifier
    elif found.method == "jwk":
        jwk, fragment = _jwk(found.identifier), "0"
    else:
        raise BadDid("the document of this DID has to be fetched", reason="did-method")
    if not PRIVATE.isdisjoint(jwk):
        raise BadDid("the DID shows a private key", reason="private-key")
    kid = f"{did}#{fragment}"
    try:
        key = public_key({name: value for name, value in jwk.items() if name != "use"})
    except BadToken as error:
        raise BadDid(error.detail, reason=str(error.facts["reason"])) from error
    names = frozenset({kid}) if jwk.get("use", "sig") == "sig" else frozenset()
    return DidDocument(did, {kid: Method(kid, did, jwk, key)}, names, names, names)


def _jwk(identifier: str) -> dict[str, object]:
    try:
        jwk = wire.loads(wire.unb64url(identifier))
    except BadInput as error:
        raise BadDid("not a JWK in the DID", reason="did-form") from error
    if not isinstance(jwk, dict):
        raise BadDid("not a JWK in the DID", reason="did-form")
    return jwk
