"""What policies cost: a decision, the biggest policy of the public test suite, reading one, keeping one, a catalog.

A decision is measured whole: the request is made, facts are read in the form in which they come from credentials, the answer and
both masks are there. Rounds are repeated and the best is kept, since the machine is shared.
"""

import gc
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import orjson

from catalog.dcat import Asset, OfferTerms
from catalog.offers import Shelf
from policies.odrl import KZ, PURPOSE, Policy, Registry, Request, evaluate, next_change, parse
from policies.profiles import load
from tests.perf.measure import Measure, at_most

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
FACTS = {
    KZ + "recognised": "true",
    KZ + "membership": "active",
    KZ + "memberOf": ("space.example",),
    KZ + "role": ("packMaker", "recycler"),
    KZ + "corporateNumber": ("5010101023456",),
    KZ + "participant": "did:web:packs.example",
    PURPOSE: ("passport.assembly:1",),
}
ROUNDS = 7


async def measures() -> AsyncIterator[Measure]:
    """All figures of policies."""
    profile = load("battery")
    five, ten = _template(profile), _ten(profile)
    for name, document in (("5 constraints", five), ("10 constraints", ten)):
        policy = profile.policy(document)
        assert len(policy.atoms()) == int(name.split()[0])
        p50, p99 = _decisions(policy)
        yield at_most(f"decision, {name}, p50", p50, "µs", 5)
        yield at_most(f"decision, {name}, p99", p99, "µs", 50)
    for each in _big():
        yield each
    yield at_most(
        "ingest, 10 constraints", _best(lambda: parse(orjson.loads(_bytes(ten)), operands=profile.operands)) * 1e3, "ms", 2
    )
    yield at_most("memory of a compiled policy, 5 constraints", _memory(profile), "kB", 5)
    yield at_most("catalog, 10,000 offers, 100 policies", _catalog(profile) * 1e3, "ms", 5)
    yield at_most("catalog, 10,000 offers, 100 policies, a product each", _products(profile) * 1e3, "ms", 5)


def _template(profile, space="space.example"):
    return profile.offer(
        "passport-one-up", role=["packMaker", "oem"], dataSpace=space, until="2030-01-01T00:00:00+09:00"
    )[1]  # fmt: skip


def _ten(profile):
    found = orjson.loads(orjson.dumps(_template(profile)))
    more = [
        {"leftOperand": KZ + "recognised", "operator": "eq", "rightOperand": "true"},
        {"leftOperand": KZ + "corporateNumber", "operator": "isNoneOf", "rightOperand": ["4012300045678"]},
        {"leftOperand": KZ + "participant", "operator": "isNoneOf", "rightOperand": ["did:web:other.example"]},
        {"leftOperand": KZ + "role", "operator": "isNoneOf", "rightOperand": ["trader"]},
        {"leftOperand": "dateTime", "operator": "gteq", "rightOperand": "2026-01-01T00:00:00+09:00"},
    ]
    found["permission"][0]["constraint"] += more
    return found


def _decisions(policy: Policy, count: int = 10_000) -> tuple[float, float]:
    """Median and 99th percentile of one decision in µs, of the best round each."""
    assert evaluate(policy, Request("use", "negotiation", FACTS, NOW)).permitted
    clock = time.perf_counter_ns
    rounds = []
    for _ in range(ROUNDS):
        taken = []
        for _ in range(count):
            began = clock()
            evaluate(policy, Request("use", "negotiation", FACTS, NOW, party="did:web:packs.example", target="urn:uuid:1"))
            taken.append(clock() - began)
        taken.sort()
        rounds.append((taken[count // 2] / 1e3, taken[count * 99 // 100] / 1e3))
    return min(each[0] for each in rounds), min(each[1] for each in rounds)


def _big() -> Iterator[Measure]:
    """The shape of the suite's big policy: 262 weekdays of a year as alternatives, 524 atomic constraints."""
    policy = parse(big_policy(), operands=Registry([]))
    assert len(policy.atoms()) == 524
    now = datetime(2024, 2, 12, 11, 20, tzinfo=UTC)
    assert evaluate(policy, Request("read", "transfer", {}, now, party="ex:alice", target="ex:x")).permitted
    seconds = _best(lambda: evaluate(policy, Request("read", "transfer", {}, now, party="ex:alice", target="ex:x")))
    yield at_most("decision, big policy of the suite", seconds * 1e6, "µs", 1000)
    seconds = _best(lambda: next_change(policy, Request("read", "transfer", {}, now, party="ex:alice", target="ex:x")), 3)
    yield at_most("next change, big policy of the suite", seconds * 1e3, "ms", 50)


def big_policy() -> dict:
    days = [datetime(2024, 1, 1, 8, tzinfo=UTC) + timedelta(days=n) for n in range(366)]
    windows = [
        {
            "and": [
                {"leftOperand": "dateTime", "operator": "gt", "rightOperand": day.isoformat()},
                {"leftOperand": "dateTime", "operator": "lt", "rightOperand": (day + timedelta(hours=9)).isoformat()},
            ]
        }
        for day in days
        if day.weekday() < 5
    ]
    return {"permission": [{"action": "read", "assignee": "ex:alice", "target": "ex:x", "constraint": [{"or": windows}]}]}


def _memory(profile) -> float:
    """kB of one compiled policy among many: what reading 500 distinct ones from bytes leaves behind."""
    documents = [_bytes(_template(profile, f"space-{n}.example")) for n in range(500)]
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [parse(orjson.loads(each), operands=profile.operands) for each in documents]
    gc.collect()
    found = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return found / len(kept) / 1000


def _shelf(profile, policies, products=lambda _: ()) -> Shelf:
    """One with 10,000 offers, each of a dataset of its own."""
    shelf = Shelf(profile)
    for n in range(10_000):
        asset = Asset(
            id=f"urn:a:{n:05}", participant="p", profile="battery", schema="", title={}, size=1, sha256="", source="", created="", products=products(n),
        )  # fmt: skip
        shelf.put(OfferTerms(id=f"urn:o:{n}", asset=asset.id, access=policies[n % len(policies)], contract={}), asset)
    return shelf


def _catalog(profile) -> float:
    """Seconds from asking to the first dataset that may be seen: every distinct policy is decided by then."""
    shelf = _shelf(profile, [profile.offer("members", dataSpace=f"space-{n}.example")[0] for n in range(100)])
    facts = FACTS | {KZ + "memberOf": ("space-42.example",)}
    assert len(list(shelf.visible(facts, NOW))) == 100
    return _best(lambda: list(islice(shelf.visible(facts, NOW), 1)))


def _products(profile) -> float:
    """The same where the policies read the product, every dataset has its own, and the caller buys a hundred of them; nothing is known of the caller before."""
    policies = [profile.offer("footprint-one-up", role="packMaker", dataSpace=f"space-{n}.example")[0] for n in range(100)]
    shelf = _shelf(profile, policies, lambda n: (f"product-{n:05}",))
    bought = tuple(f"customer:product-{n:05}" for n in range(42, 10_000, 100))
    facts = FACTS | {KZ + "memberOf": tuple(f"space-{n}.example" for n in range(100))}
    assert len(list(shelf.visible(facts, NOW, relations=bought))) == 100
    return _best(lambda: list(islice(shelf.visible(dict(facts), NOW, relations=bought), 1)))


def _best(call: Callable[[], object], count: int = 30) -> float:
    """Seconds of one call, of the best of several rounds."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(count):
            call()
        found.append((time.perf_counter() - began) / count)
    return min(found)


def _bytes(document) -> bytes:
    return orjson.dumps(document)
