"""Errors of profiles: one for a profile that cannot be loaded, one for a parameter, one for an id that it does not have."""

from typing import ClassVar

from kernel.errors import BadInput, Misconfigured


class ProfileError(Misconfigured):
    """A profile folder that is wrong: which file, and why. It stops the start, since half a profile would decide wrongly."""

    code: ClassVar[str] = "bad-profile"

    def __init__(self, file: str, reason: str, *, next_step: str = "") -> None:
        super().__init__(f"profile: {file}: {reason}", next_step=next_step, file=file, reason=reason)
        self.file = file
        self.reason = reason


class BadParameter(BadInput):
    """A parameter of a template that is missing, unknown or out of bounds."""

    code: ClassVar[str] = "bad-parameter"


class UnknownEntry(BadInput):
    """A template or schema id that the profile does not have."""

    code: ClassVar[str] = "unknown-entry"
