"""Data-space profiles as data: operands, credential scopes, schemas, rules across fields, policy templates, texts.

A profile is a folder (`folder` says what is in it, `document` what `profile.toml` may say). The shipped ones stand beside this
module; any other loads by its path.
"""

from policies.profiles.bounds import Bound
from policies.profiles.document import Document
from policies.profiles.errors import BadParameter, ProfileError, UnknownEntry
from policies.profiles.folder import load, shipped
from policies.profiles.profile import Profile
from policies.profiles.rules import Violation
from policies.profiles.templates import Parameter, Template

__all__ = [
    "BadParameter",
    "Bound",
    "Document",
    "Parameter",
    "Profile",
    "ProfileError",
    "Template",
    "UnknownEntry",
    "Violation",
    "load",
    "shipped",
]
