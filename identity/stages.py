"""The stages of a verification, and what each of them found: for our own side alone, never for the caller (identity.md 8.4).

    parse -> token -> holder -> issuer -> signature -> binding -> window -> status -> schema -> claims

Each stage is passed once per subject (the token, the channel, each presentation, each credential). A `Finding` is one of them with
its outcome; a list of findings explains why somebody was let in, or where and why it ended.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Final, Literal, Self, get_args

from msgspec import Struct

from kernel.errors import BadInput, Unauthorized, UnavailableError

Stage = Literal["parse", "token", "holder", "issuer", "signature", "binding", "window", "status", "schema", "claims"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
DETAIL: Final = "the caller is not authenticated"
_FIRST: Final = "token"
OF_TOKEN: Final[tuple[Stage, ...]] = (
    "parse", "parse", "token", "token", "window", "holder", "holder", "signature", "token", "binding",
)  # steps 1 to 10  # fmt: skip


class Finding(Struct, frozen=True):
    """What one stage found of one subject. `reason` is a fixed word and `detail` a sentence; both are empty when it passed."""

    stage: Stage
    subject: str
    passed: bool
    reason: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.stage} {'passed' if self.passed else f'refused ({self.reason}): {self.detail}'}"


class Trail:
    """Where a verification stands. An error that leaves it becomes the one `Unauthorized`, with all findings in its facts."""

    __slots__ = ("_visited", "peer", "step")

    def __init__(self) -> None:
        self.step = 1  # the one that has begun (numbered in `identity.verify`)
        self.peer = ""  # whose call this claims to be
        self._visited: list[tuple[Stage, tuple[str, ...]]] = []  # after the ten steps of the token

    def at(self, step: int, stage: Stage, *subjects: str) -> None:
        """The step that begins now, when the token has passed its ten, with its stage and what it looks at: the token, where nothing is named."""
        self.step = step
        self._visited.append((stage, subjects or (_FIRST,)))

    def findings(self, refusal: tuple[str, str] | None = None) -> tuple[Finding, ...]:
        """What was found so far; a refusal (reason, detail) is that of the last stage."""
        *before, last = self._stages()
        last_one = Finding(*last, refusal is None, *(refusal or ()))
        seen = dict.fromkeys(each for each in before if each != last)
        return (*(Finding(stage, subject, True) for stage, subject in seen), last_one)

    def _stages(self) -> list[tuple[Stage, str]]:
        reached = OF_TOKEN if self._visited else OF_TOKEN[: self.step]
        return [*((each, _FIRST) for each in reached), *((stage, each) for stage, subjects in self._visited for each in subjects)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        if isinstance(error, BadInput | Unauthorized | UnavailableError):
            stage, subject = self._stages()[-1]
            reason = str(error.facts.get("reason", error.code))
            raise Unauthorized(
                DETAIL,
                reason=reason,
                step=self.step,
                stage=stage,
                subject=subject,
                peer=self.peer,
                cause=error.detail,
                temporary=isinstance(error, UnavailableError),
                explanation=explained(self.findings((reason, error.detail))),
            ) from error


def explained(findings: Iterable[Finding]) -> str:
    """Findings as one text, a line for each subject: the stages it passed, and where it was refused."""
    lines: dict[str, list[str]] = {}
    for each in findings:
        lines.setdefault(each.subject, []).append(
            each.stage if each.passed else f"{each.stage} refused ({each.reason}: {each.detail})"
        )
    return "; ".join(f"{subject}: {', '.join(stages)}" for subject, stages in lines.items())
