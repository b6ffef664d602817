"""Compliance reports as trees, and their comparison at three levels.

A report is a graph whose report nodes have ids of no meaning. `tree` writes it canonically: each report node is what it says, sorted;
everything that is not a report node of the same graph (policies, rules, constraints, requests) stays its IRI. Two graphs of report
nodes without sharing are isomorphic exactly when their trees are equal, and this costs O(n log n).
"""

from typing import Final, Literal, Union

REPORT: Final = "https://w3id.org/force/compliance-report#"
RDF_TYPE: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
Level = Literal["activation", "states", "equal"]
LEVELS: Final[tuple[Level, ...]] = ("activation", "states", "equal")
Tree = Union[str, tuple[tuple[str, "Tree"], ...]]  # noqa: UP007  a name in quotes takes no bar
Triple = tuple[str, str, str]
_ACTIVATION: Final = ("rule", "ruleRequest", "attemptState", "activationState")


def tree(triples: list[Triple], root: str) -> Tree:
    """The canonical tree of the graph below a node."""
    said: dict[str, list[tuple[str, str]]] = {}
    for subject, predicate, value in triples:
        said.setdefault(subject, []).append((predicate, value))
    return _node(root, said, frozenset())


def differences(level: Level, found: Tree, expected: Tree) -> list[str]:
    """What differs at a level, in words; empty where nothing does."""
    ours, theirs = _seen(level, found), _seen(level, expected)
    if ours == theirs:
        return []
    return [
        *(f"only here: {each}" for each in ours if each not in theirs),
        *(f"only expected: {each}" for each in theirs if each not in ours),
    ] or [f"{len(ours)} of them here, {len(theirs)} expected"]


def _node(name: str, said: dict[str, list[tuple[str, str]]], above: frozenset[str]) -> Tree:
    """What a report node says; a name that is none, or that stands above itself, stays a name."""
    own = said.get(name)
    reports = own is not None and any(key == RDF_TYPE and value.startswith(REPORT) for key, value in own)
    if own is None or not reports or name in above:
        return name
    return tuple(sorted(((key, _node(value, said, above | {name})) for key, value in own), key=repr))


def _seen(level: Level, report: Tree) -> list[str]:
    if level == "equal":
        return [repr(report)]
    rules = [each for each in _below(report) if _type(each) in ("PermissionReport", "ProhibitionReport")]
    found = [" ".join((_type(each), *(_said(each, name) for name in _ACTIVATION))) for each in rules]
    if level == "states":
        constraints = [each for each in _below(report) if _type(each) == "ConstraintReport"]
        found += [f"{_said(each, 'constraint')} {_said(each, 'satisfactionState')}" for each in constraints]
    return sorted(found)


def _below(report: Tree) -> list[Tree]:
    found: list[Tree] = []
    open_ = [report]
    while open_:
        each = open_.pop()
        if not isinstance(each, str):
            found.append(each)
            open_.extend(value for _, value in each)
    return found


def _type(node: Tree) -> str:
    return "" if isinstance(node, str) else next((str(value).removeprefix(REPORT) for key, value in node if key == RDF_TYPE), "")


def _said(node: Tree, name: str) -> str:
    return "" if isinstance(node, str) else next((str(value) for key, value in node if key == REPORT + name), "")
