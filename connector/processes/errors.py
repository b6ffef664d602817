"""What a process refuses. Pure; `connector.errors` gives each its form on the wire."""

from collections.abc import Sequence
from typing import ClassVar

from kernel.errors import BadInput, Conflict, NotFound


class IllegalTransition(BadInput):
    """The message is not allowed in this state, or not from this sender."""

    code = "illegal-transition"

    def __init__(self, state: str, message: str, sender: str) -> None:
        super().__init__(f"{message} by the {sender} is not allowed in state {state or 'none'}", state=state, message=message)


class CrossingStep(Conflict):
    """Both sides acted at once and ours takes precedence: the peer learns of it, or repeats its own."""

    code = "crossing-step"


class UnknownProcess(NotFound):
    """No such process, or somebody else's: nobody is told which."""

    code = "unknown-process"


class OfferUnknown(NotFound):
    """No such offer, or hidden from this participant: nobody is told which. `reasons` are for the own log."""

    code = "unknown-offer"


class AgreementUnknown(NotFound):
    """No such agreement of this participant."""

    code = "unknown-agreement"


class TermsDiffer(BadInput):
    """An offer or agreement is not what was asked for."""

    code: ClassVar[str] = "terms-differ"

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__("the terms differ: " + "; ".join(differences), differences=list(differences))


class UnsupportedFormat(BadInput):
    """A transfer format that the dataset does not offer."""

    code = "unsupported-format"


class VersionConflict(Conflict):
    """The process has moved since it was read; read it again and decide anew."""

    code = "version-conflict"
