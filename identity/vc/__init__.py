"""Verifiable credentials and presentations, VC-DM 1.1 and 2.0: as JWTs (`vc11-sl2021/jwt`, `vc20-bssl/jwt`), or with Data Integrity.

Pure. `credential` and `presentation` read, `write` signs, `integrity` makes and checks Data Integrity proofs, `scope` reads DCP
scopes. Nothing that is read here is proven: signatures (`check_proof`), trust, windows and status are steps of `identity.verify`.
"""

from identity.vc.credential import Credential, Proof, check_signature_of, parse_secured, parse_vc, read_vc
from identity.vc.errors import BadCredential
from identity.vc.model import DCP_CONTEXT, DOCUMENTS, VC11, VC11_DI, VC20, VC20_DI, StatusEntry, as_jwt, is_11
from identity.vc.presentation import Presentation, parse_presentations, parse_vp
from identity.vc.proof import check_proof
from identity.vc.scope import Scope, parse_scope, scope_for_type
from identity.vc.write import as_document, issue, present

__all__ = [
    "DCP_CONTEXT",
    "DOCUMENTS",
    "VC11",
    "VC11_DI",
    "VC20",
    "VC20_DI",
    "BadCredential",
    "Credential",
    "Presentation",
    "Proof",
    "Scope",
    "StatusEntry",
    "as_document",
    "as_jwt",
    "check_proof",
    "check_signature_of",
    "is_11",
    "issue",
    "parse_presentations",
    "parse_scope",
    "parse_secured",
    "parse_vc",
    "parse_vp",
    "present",
    "read_vc",
    "scope_for_type",
]
