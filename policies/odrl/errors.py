"""The one error of policies: where in the policy, and why."""

from typing import ClassVar

from kernel.errors import BadInput


class PolicyError(BadInput):
    """A policy that cannot be taken. `path` is a JSON Pointer (RFC 6901) into it, `reason` says why, in words."""

    code: ClassVar[str] = "bad-policy"

    def __init__(self, path: str, reason: str, next_step: str = "") -> None:
        super().__init__(f"policy {path or '/'}: {reason}", next_step=next_step, path=path, reason=reason)
        self.path = path
        self.reason = reason
