"""Verifiable credentials and presentations as JWTs: VC-DM 1.1 (`vc11-sl2021/jwt`) and 2.0 (`vc20-bssl/jwt`), read and written.

Pure. `credential` and `presentation` read, `write` signs, `scope` reads DCP scopes. Nothing that is read here is proven:
signatures, trust, windows and status are steps of `identity.verify`.
"""

from identity.vc.credential import Credential, check_signature_of, parse_vc
from identity.vc.errors import BadCredential
from identity.vc.model import DCP_CONTEXT, VC11, VC20, StatusEntry
from identity.vc.presentation import Presentation, parse_presentations, parse_vp
from identity.vc.scope import Scope, parse_scope, scope_for_type
from identity.vc.write import issue, present

__all__ = [
    "DCP_CONTEXT",
    "VC11",
    "VC20",
    "BadCredential",
    "Credential",
    "Presentation",
    "Scope",
    "StatusEntry",
    "check_signature_of",
    "issue",
    "parse_presentations",
    "parse_scope",
    "parse_vc",
    "parse_vp",
    "present",
    "scope_for_type",
]
