"""Why a decision came out as it did, in words of one language. Starts from `policies.odrl.explain.tree`."""

from collections.abc import Iterator

from policies.odrl import Decision, Explanation, tree
from policies.odrl.explain import ConstraintNode, RuleNode
from policies.tools.words import Words


def explained(decision: Decision, words: Words) -> list[str]:
    """Lines, indented by level."""
    return list(_lines(tree(decision), words))


def _lines(found: Explanation, words: Words) -> Iterator[str]:
    say = words.say
    answer = say("permitted" if found.permitted else "denied")
    yield say("head", action=words.action(found.action), phase=say(f"phase.{found.phase}"), answer=answer)
    if not found.known:
        yield f"  {say('unknown_action')}"
    if found.void:
        yield f"  {say('void')}"
    for rule in found.rules:
        yield from _rule(rule, words)
    if not any(rule.covers for rule in found.rules):
        yield f"  {say('no_rule')}"
    for need in found.needs:
        key = "need_credential" if need.credential else "need"
        yield "  " + say(key, operand=words.operand(need.operand), credential=need.credential)


def _rule(rule: RuleNode, words: Words) -> Iterator[str]:
    say = words.say
    if not rule.covers:
        return
    yield "  " + say(f"rule.{rule.kind}.{'yes' if rule.active else 'no'}", path=rule.path)
    for name, state in (("target", rule.target), ("assignee", rule.assignee)):
        if state != "holds":
            yield f"    {say(name)}: {say(f'state.{state}')}"
    for node in rule.constraints:
        yield from _node(node, words, "    ")
    for path, duty in rule.duties:
        yield "    " + say("duty", action=path, state=duty)


def _node(node: ConstraintNode, words: Words, indent: str) -> Iterator[str]:
    say = words.say
    if node.kind:
        yield f"{indent}{say(node.kind, parts='')} : {say(f'state.{node.state}')}"
        for part in node.parts:
            yield from _node(part, words, indent + "  ")
        return
    sentence = words.comparison(node.left, node.operator, node.right, node.unit)
    found = say("found_nothing") if not node.found else say("found", found=say("values").join(node.found))
    yield (
        f"{indent}{sentence}: {say(f'state.{node.state}')} ({found})"
        if node.state != "deferred"
        else (f"{indent}{sentence}: {say('state.deferred')}")
    )
