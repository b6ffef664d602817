"""A contract text out of a policy: every clause of it in a sentence, and nothing else. English or Japanese.

Each condition carries its class, in brackets: enforced by a connector, monitored while the agreement lives, evidenced by the
recipient, or legal text only (`classes`). What the text does not say is what the policy does not say.
"""

from collections.abc import Iterable, Iterator

from policies.odrl import Constraint, Duty, Permission, Policy, Prohibition
from policies.odrl.model import bearing
from policies.tools.classes import constraint_class, duty_class
from policies.tools.words import Words


def rendered(policy: Policy, words: Words) -> str:
    """The text, as Markdown."""
    return "\n".join(_text(policy, words)) + "\n"


def _text(policy: Policy, words: Words) -> Iterator[str]:
    say = words.say
    yield f"# {say('contract.title')}"
    yield ""
    if policy.assigner or policy.assignee:
        yield say("contract.parties", assigner=policy.assigner or "...", assignee=policy.assignee or "...")
    if policy.target:
        yield say("contract.target", target=policy.target)
    parts = (
        ("permission", [line for each in policy.permissions for line in _permission(each, words)]),
        ("prohibition", [line for each in policy.prohibitions for line in _prohibition(each, words)]),
        ("obligation", list(_duties(policy.obligations, words, "contract.owes"))),
        ("conflict", [say(f"contract.{policy.conflict}"), say("contract.only")]),
    )
    for n, (name, lines) in enumerate(((name, lines) for name, lines in parts if lines), start=1):
        yield ""
        yield f"## {say('contract.article', n=n, title=say(f'contract.{name}'))}"
        yield ""
        yield from lines


def _permission(rule: Permission, words: Words) -> Iterator[str]:
    yield from _rule(rule, words, "contract.permits")
    yield from _duties(rule.duties, words, "contract.duty", "  ")


def _prohibition(rule: Prohibition, words: Words) -> Iterator[str]:
    yield from _rule(rule, words, "contract.forbids")
    yield from _duties(rule.remedies, words, "contract.remedy", "  ")


def _rule(rule: Permission | Prohibition, words: Words, key: str) -> Iterator[str]:
    say = words.say
    conditions = bearing(rule)
    yield "- " + say(f"{key}_if" if conditions else key, actions=words.actions(rule.actions))
    parties = [
        (name, each.id or each.source) for name, found in (("target", rule.targets), ("assignee", rule.assignees)) for each in found
    ]
    yield from (f"  - {say(name)}: {each}" for name, each in parties)
    yield from _conditions(conditions, words, "  ")


def _conditions(found: Iterable[Constraint], words: Words, indent: str) -> Iterator[str]:
    for each in found:
        yield f"{indent}- {words.constraint(each)} {words.say(f'class.{constraint_class(each)}')}"


def _details(found: Iterable[Constraint], words: Words, indent: str) -> Iterator[str]:
    """When and how of a duty: the duty has the class."""
    yield from (f"{indent}- {words.constraint(each)}" for each in found)


def _duties(found: Iterable[Duty], words: Words, key: str, indent: str = "") -> Iterator[str]:
    for each in found:
        conditions = (*each.refinements, *each.constraints)
        named = "contract.owes_if" if key == "contract.owes" and conditions else key
        who = "".join(f" ({name}: {party})" for name, party in each.parties)
        text = words.say(named, actions=words.action(each.action) + who)
        yield f"{indent}- {text} {words.say(f'class.{duty_class(each)}')}"
        yield from _details(conditions, words, indent + "  ")
        yield from _duties(each.consequences, words, "contract.consequence", indent + "  ")
