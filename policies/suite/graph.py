"""Reading the ODRL Test Suite: Turtle files into cases with a policy in JSON, a request, a state of the world and an expected report.

Every reference is looked up in the files of the directory; nothing is fetched. A policy keeps the IRI of each node by its JSON
Pointer, so that a report can name what it is about.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from kernel.errors import BadInput
from policies.odrl.evaluate import DutyState
from policies.odrl.vocabulary import ODRL
from policies.suite.report import REPORT, Tree, tree

if TYPE_CHECKING:
    from rdflib import Graph
    from rdflib.term import Node

EX: Final = "http://example.org/"
NOW: Final = "http://example.com/request/currentTime"
DC: Final = "http://purl.org/dc/terms/"
RDF_TYPE: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
TOP_ACTIONS: Final = ["use", "transfer"]
_LOGICAL: Final = ("and", "or", "xone", "andSequence")
_DUTY: Final[dict[str, DutyState]] = {"Fulfilled": "fulfilled", "Violated": "overdue", "NonSet": "inactive"}


class Source(Struct, frozen=True):
    """A policy as JSON, with the IRI of each node by its pointer and the nodes that rules state by themselves."""

    iri: str
    value: dict[str, Any]
    nodes: dict[str, str]
    states: dict[str, frozenset[str]]


class Question(Struct, frozen=True):
    """One permission of a request."""

    policy: str
    rule: str
    party: str
    action: str
    target: str


class World(Struct, frozen=True):
    """A state of the world. `duties` maps the IRI of a duty to the IRI of its report and its state."""

    now: datetime
    written: str
    part_of: dict[str, frozenset[str]]
    duties: dict[str, tuple[str, DutyState]]


class Case(Struct, frozen=True):
    """A test case."""

    name: str
    title: str
    policy: Source
    question: Question
    world: World
    expected: Tree

    @property
    def number(self) -> str:
        return self.name.split("-")[1]


class Suite(Struct, frozen=True):
    """All cases of a directory."""

    cases: list[Case]

    @classmethod
    def read(cls, directory: Path) -> "Suite":
        """Read a suite directory; raises `BadInput` where it is not one."""
        policies = {each.iri: each for graph in _graphs(directory / "policies") for each in _policies(graph)}
        questions = {each.policy: each for graph in _graphs(directory / "requests") for each in _questions(graph)}
        worlds = dict(each for graph in _graphs(directory / "sotw") for each in _worlds(graph))
        cases = []
        for file in sorted((directory / "test_cases").glob("*.ttl")):
            graph = _graph(file)
            for node in _typed(graph, EX + "TestCase"):
                wanted = {name: _one(graph, node, EX + name) for name in ("policy", "request", "sotw", "expectedReport")}
                try:
                    parts = policies[wanted["policy"]], questions[wanted["request"]], worlds[wanted["sotw"]]
                except KeyError as error:
                    raise BadInput(f"{file.name}: {error} is in no file of the suite") from error
                expected = tree(list(_triples(graph)), wanted["expectedReport"])
                cases.append(Case(file.stem, _one(graph, node, DC + "title"), *parts, expected))
        if not cases:
            raise BadInput(
                f"no test case in {directory}", next_step="give the directory that holds policies, requests and test_cases"
            )
        return cls(cases)


def _graphs(directory: Path) -> Iterator["Graph"]:
    for file in sorted(directory.glob("*.ttl")):
        yield _graph(file)


def _graph(file: Path) -> "Graph":
    from rdflib import Graph  # noqa: PLC0415  loaded only where RDF is read

    try:
        return Graph().parse(file, format="turtle")
    except Exception as error:  # rdflib raises what its parsers raise
        raise BadInput(f"{file.name} is not Turtle: {error}") from error


def _triples(graph: "Graph") -> Iterator[tuple[str, str, str]]:
    for subject, predicate, value in graph:
        yield str(subject), str(predicate), str(value)


def _all(graph: "Graph", node: str, predicate: str) -> list[str]:
    from rdflib import URIRef  # noqa: PLC0415

    return [str(each) for each in sorted(graph.objects(URIRef(node), URIRef(predicate)), key=str)]


def _one(graph: "Graph", node: str, predicate: str) -> str:
    found = _all(graph, node, predicate)
    return found[0] if found else ""


def _typed(graph: "Graph", type_: str) -> list[str]:
    from rdflib import URIRef  # noqa: PLC0415

    found: list[Node] = list(graph.subjects(URIRef(RDF_TYPE), URIRef(type_)))
    return sorted(str(each) for each in found)


# policies --------------------------------------------------------------------------------------------------------------


def _policies(graph: "Graph") -> Iterator[Source]:
    for iri in _typed(graph, ODRL + "Set"):
        source = Source(iri, {"@id": iri, "@type": "Set"}, {}, {})
        for kind in ("permission", "prohibition"):
            rules = [_rule(graph, node, f"/{kind}/{n}", source) for n, node in enumerate(_all(graph, iri, ODRL + kind))]
            if rules:
                source.value[kind] = rules
        yield source


def _rule(graph: "Graph", node: str, path: str, source: Source) -> dict[str, Any]:
    source.nodes[path] = node
    found: dict[str, Any] = {"action": _all(graph, node, ODRL + "action") or TOP_ACTIONS}
    for name in ("target", "assignee"):
        entities = [_entity(graph, each) for each in _all(graph, node, ODRL + name)]
        if entities:
            found[name] = entities
    source.states[path] = frozenset(name for name in ("action", "target", "assignee") if _all(graph, node, ODRL + name))
    constraints = _all(graph, node, ODRL + "constraint")
    found["constraint"] = [_constraint(graph, each, f"{path}/constraint/{n}", source) for n, each in enumerate(constraints)]
    for n, duty in enumerate(_all(graph, node, ODRL + "duty")):
        source.nodes[f"{path}/duty/{n}"] = duty
        found.setdefault("duty", []).append({"action": _one(graph, duty, ODRL + "action")})
    return found


def _entity(graph: "Graph", node: str) -> Any:
    types = {each.removeprefix(ODRL) for each in _all(graph, node, RDF_TYPE)} & {"AssetCollection", "PartyCollection"}
    if not types:
        return node
    source = _one(graph, node, ODRL + "source")
    return {"@type": types.pop(), "@id": node} | ({"source": source} if source else {})


def _constraint(graph: "Graph", node: str, path: str, source: Source) -> dict[str, Any]:
    source.nodes[path] = node
    for kind in _LOGICAL:
        parts = _all(graph, node, ODRL + kind)
        if parts:
            return {kind: [_constraint(graph, each, f"{path}/{kind}/{n}", source) for n, each in enumerate(parts)]}
    return {name: _one(graph, node, ODRL + name) for name in ("leftOperand", "operator", "rightOperand")}


# requests and worlds ---------------------------------------------------------------------------------------------------


def _questions(graph: "Graph") -> Iterator[Question]:
    for iri in _typed(graph, ODRL + "Request"):
        for rule in _all(graph, iri, ODRL + "permission"):
            party, action, target = (_one(graph, rule, ODRL + name) for name in ("assignee", "action", "target"))
            yield Question(iri, rule, party, action, target)


def _worlds(graph: "Graph") -> Iterator[tuple[str, World]]:
    members = {str(each) for each in graph.subjects()}
    part_of = {each: frozenset(_all(graph, each, ODRL + "partOf")) for each in members if _all(graph, each, ODRL + "partOf")}
    duties = {
        _one(graph, each, REPORT + "rule"): (each, _DUTY[_one(graph, each, REPORT + "deonticState").removeprefix(REPORT)])
        for each in _typed(graph, REPORT + "DutyReport")
    }
    written = _one(graph, NOW, DC + "issued")
    for iri in _typed(graph, EX + "Sotw"):
        yield iri, World(datetime.fromisoformat(written), written, part_of, duties)
