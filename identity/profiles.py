"""How strict a verifier is with one kind of peer: profiles as data, chosen per peer rule (identity.md 8.4; DCP 1.0 1.7).

| profile | for | gives way in |
|---|---|---|
| `strict` | the default | nothing |
| `dcp-tck` | the DCP test kit | short status lists; `jti`, `exp` beside the id and end of a VC (the narrower counts) |
| `edc` | EDC and IdentityHub, also older ones | documents that leave a relationship out; VPs without `aud`, `exp`; order and form of a JWT's contexts; `jti`, `exp` as above |
| `gaia-x-loire` | Gaia-X, Loire release | the media types in use there; `iss`, `exp` in the JOSE header (checked, not needed) |

No profile gives way in who signed, who is trusted, to whom a credential belongs, its window, or its status.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from identity.status import MINIMUM_BITS
from identity.vc.credential import TYPES_20, Reading


class VerifierProfile(Struct, frozen=True, kw_only=True):
    """How strict we are with a kind of peer. The default is the strict profile.

    `access_token`: the token must carry one for the credential service. `audience`: a presentation must name us and an end.
    `relationships`: a key must be listed for its purpose, also where the document lists no key for it at all. `minimum_bits`: the
    shortest status list, in entries. `types`: JOSE `typ` of VCs 2.0. `header_claims`: the JOSE header repeats `iss` and times. `agree`: JWT
    claims must repeat the credential's id and times exactly. `contexts`: the data model's context comes first, and all are addresses.
    """

    name: str = "strict"
    access_token: bool = True
    audience: bool = True
    relationships: bool = True
    minimum_bits: int = MINIMUM_BITS
    types: frozenset[str] = TYPES_20
    header_claims: bool = False
    agree: bool = True
    contexts: bool = True

    @property
    def reading(self) -> Reading:
        """How documents of this peer are read."""
        return Reading(types=self.types, agree=self.agree, contexts=self.contexts)


STRICT: Final = VerifierProfile()


def strictly(_did: str) -> VerifierProfile:
    """The strict profile for everybody."""
    return STRICT


PROFILES: Final[Mapping[str, VerifierProfile]] = {
    each.name: each
    for each in (
        STRICT,
        VerifierProfile(name="dcp-tck", minimum_bits=0, agree=False),
        VerifierProfile(name="edc", audience=False, relationships=False, agree=False, contexts=False),
        VerifierProfile(
            name="gaia-x-loire", types=TYPES_20 | {"vc+ld+json+jwt", "vc+ld+jwt", "vp+ld+json+jwt", "vp+ld+jwt"}, header_claims=True
        ),
    )
}
