"""Why a process does not take a message or a command; the wire maps each class to a protocol error.

    ProcessError
    ├── IllegalTransition 400   no row of the table allows it
    ├── TermsDiffer 400         the terms are not the ones on the table
    ├── FormatUnknown 400       no such transfer format
    ├── PolicyRefused 403       the policy does not permit it: `own` is for our side, `peer` is all that a peer may read
    ├── AgreementRetired 403    one of the parties has retired it
    ├── UnknownProcess 404      no such process, or not this caller's
    ├── OfferUnknown 404        no such offer, or not visible to this caller
    ├── AgreementUnknown 404    no such agreement, or not with this caller
    ├── CrossingStep 409        a step of our own goes first; the same message may come again
    ├── StepPending 409         a step of our own is still on its way (commands only)
    ├── NothingWaits 409        the process waits for nobody (commands only)
    ├── PidReused 409           another first message under the same pid
    └── VersionConflict 409     it moved between reading and writing (stores only)

`detail` may be shown to the peer, `facts` and `own` never.
"""

from collections.abc import Sequence

from kernel.errors import KizunaError


class ProcessError(KizunaError):
    """Root of what a process refuses; nothing has been changed."""

    code, status = "process", 400


class IllegalTransition(ProcessError):
    """The message is not allowed in this state from this sender."""

    code, status = "illegal-transition", 400

    def __init__(self, state: str, message: str, sender: str) -> None:
        super().__init__(f"{message} of the {sender} is not allowed in state {state or 'none'}", state=state)
        self.state = state
        self.message = message
        self.sender = sender


class TermsDiffer(ProcessError):
    """The terms are not the ones that were asked for; `differences` names each."""

    code, status = "terms-differ", 400

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__("the terms differ from those on the table", differences=tuple(differences))
        self.differences = tuple(differences)


class FormatUnknown(ProcessError):
    """The transfer format is not offered."""

    code, status = "unknown-format", 400


class PolicyRefused(ProcessError):
    """The policy does not permit it."""

    code, status = "policy-refused", 403

    def __init__(self, own: Sequence[str], peer: str = "not permitted", next_step: str = "") -> None:
        super().__init__(peer, next_step=next_step, own=tuple(own))
        self.own = tuple(own)
        self.peer = peer


class AgreementRetired(ProcessError):
    """The agreement is there and is with this caller, but nothing new begins under it."""

    code, status = "agreement-retired", 403


class UnknownProcess(ProcessError):
    """No such process, or it is somebody else's; the caller cannot tell which."""

    code, status = "unknown-process", 404


class OfferUnknown(ProcessError):
    """No such offer, or one that this caller may not see."""

    code, status = "unknown-offer", 404


class AgreementUnknown(ProcessError):
    """No such agreement, or none with this caller."""

    code, status = "unknown-agreement", 404


class CrossingStep(ProcessError):
    """A step of our own that goes first is on its way; the peer sends the same message again."""

    code, status = "crossing-step", 409


class StepPending(ProcessError):
    """A command has to wait: a step of our own is on its way to the peer."""

    code, status = "step-pending", 409


class NothingWaits(ProcessError):
    """There is nothing to approve or to refuse: the process does not wait for a person."""

    code, status = "nothing-waits", 409


class PidReused(ProcessError):
    """The peer began another process under a pid that it has used."""

    code, status = "pid-reused", 409


class VersionConflict(ProcessError):
    """The process has moved since it was read; read it again and decide anew."""

    code, status = "version-conflict", 409
