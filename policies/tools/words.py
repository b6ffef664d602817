"""Policies in words, English or Japanese: names of actions, operands and values, and constraints as sentences.

A profile's own texts come first (`operand.<name>`, `<name>.<value>`), then those of this package, then the name itself. Nothing of a
policy is left out, and nothing is put into a text that is code.
"""

import re
from typing import Final

from kernel.texts import Texts, texts
from policies.odrl.model import Atomic, Constraint
from policies.odrl.vocabulary import iri
from policies.profiles import Profile

_DURATION: Final = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_UNITS: Final = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")


class Words:
    """Words of one language, for policies of one profile."""

    def __init__(self, language: str, profile: Profile) -> None:
        self.language = language
        self.say: Texts = texts("policies.tools", language)
        self._profile = profile

    def action(self, name: str) -> str:
        return self._named("action", name)

    def actions(self, names: frozenset[str]) -> str:
        return self.say("values").join(self.action(each) for each in sorted(names))

    def operand(self, name: str) -> str:
        return self._named("operand", name)

    def value(self, operand: str, text: str, unit: str = "") -> str:
        """A right operand: a value of the profile by its text, a duration in words, a number with its unit."""
        key = f"{_local(operand)}.{text}"
        known = self._profile.text(key, self.language)
        if known != key:
            return f"{known} ({text})"
        found = _DURATION.fullmatch(text)
        if found and any(found.groups()):
            return " ".join(self._amounts(found))
        return f"{text} {unit}" if unit else text

    def constraint(self, found: Constraint) -> str:
        """A constraint as a sentence without a full stop."""
        if not isinstance(found, Atomic):
            return self.say(found.kind, parts=self.say("between").join(self.constraint(each) for each in found.parts))
        return self.comparison(found.operand.iri, found.operator, found.right, found.unit)

    def comparison(self, left: str, operator: str, right: tuple[str, ...], unit: str = "") -> str:
        """The sentence of one comparison."""
        values = self.say("values").join(self.value(left, each, unit) for each in right)
        return self.say(f"operator.{operator}", left=self.operand(left), right=values)

    def _amounts(self, found: re.Match[str]) -> list[str]:
        amounts = dict(zip(_UNITS, (int(each or 0) for each in found.groups()), strict=True))
        amounts["days"] += 7 * amounts.pop("weeks")
        return [self.say(unit, n=number) for unit, number in amounts.items() if number]

    def _named(self, kind: str, name: str) -> str:
        key = f"{kind}.{_local(iri(name))}"
        known = self._profile.text(key, self.language)
        if known != key:
            return known
        try:
            return self.say(key)
        except KeyError:
            return name


def _local(name: str) -> str:
    return re.split(r"[#/:]", name)[-1]
