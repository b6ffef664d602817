"""The reference page of left operands: those of ODRL, and those that the shipped profiles declare or declare anew."""

from collections.abc import Callable, Iterable

from kernel.texts import texts
from policies.odrl import PHASES, Operand, Registry
from policies.odrl.core import CORE
from policies.odrl.units import codes
from policies.profiles import load, shipped
from policies.profiles.folder import local

HEAD = """# Left operands

Made from code by `./run docs`. What a policy may compare, how it is typed, and who supplies the fact. A fact that nobody supplies is
unknown: it denies a permission and keeps a prohibition in force. A constraint is decided in the phases that its operand names, and
left for them in the others; `kizuna policy check` refuses an operand that is in neither table.

Types: `string`, `iri`, `decimal`, `integer`, `boolean`, `dateTime` (with its zone), `date`, `duration` (ISO 8601; one that runs is
compared by the calendar). *set*: the fact is a set, and `eq` means "has". A unit is required where one is named.
"""


def page() -> str:
    """The page as Markdown; raises `KeyError` for an operand without a text."""
    say = texts("policies", "en")
    parts = [HEAD, "\n## ODRL 2.2\n\n", table(CORE, lambda each: say(f"operand.{local(each.iri)}"))]
    seen: set[str] = set()
    for name in sorted(shipped(), key=lambda each: each != "base"):
        profile = load(name)
        own = [each.entry.name for each in profile.sources if each.entry.name not in seen]
        seen |= set(own)
        if own:
            rows = [profile.operands.operand(iri) for iri in own]
            parts += [
                f"\n## Profile `{name}`\n\n",
                table([each for each in rows if each], lambda each, profile=profile: profile.text(f"operand.{local(each.iri)}")),
            ]
    return "".join(parts)


def table(operands: Iterable[Operand], text: Callable[[Operand], str]) -> str:
    """One row for each operand."""
    rows = [
        "| operand | what it is | type | operators | fact from | phases |",
        "|---|---|---|---|---|---|",
    ]
    for each in sorted(operands, key=lambda operand: operand.iri):
        kind = f"{each.type}{', set' if each.many else ''}{f', {_unit(each)}' if each.unit else ''}"
        source = f"`{each.credential}`" if each.credential else each.source
        phases = "all" if each.phases == PHASES else ", ".join(each.phases)
        operators = " ".join(sorted(each.operators))
        rows.append(f"| `{each.iri}` | {text(each)} | {kind} | {operators} | {source} | {phases} |")
    return "\n".join(rows) + "\n"


def _unit(operand: Operand) -> str:
    return "currency (ISO 4217)" if operand.unit == "currency" else f"{operand.unit}: {' '.join(codes(operand.unit))}"


def registered() -> set[str]:
    """The operands of every shipped profile and of ODRL."""
    return {each.iri for registry in (Registry([]), *(load(name).operands for name in shipped())) for each in registry}
