"""What agreements and claims say is read once, and anew when it is another that says it."""

import pytest
from msgspec.structs import replace

from connector.processes.model import Agreement, Ledger
from connector.usage.decide import RUNNING, Stated, Usage
from kernel.clock import SystemClock, parse_iso
from policies.odrl import KZ, ODRL, PolicyError
from policies.odrl.compiled import Compiled
from policies.profiles import load
from policies.profiles import profile as profiles

ME, PEER, AT = "did:web:me.example", "did:web:peer.example", "2026-11-24T09:00:00.000Z"
PROFILE = load("battery")


class NoRelations:
    def of(self, _partner, _now):
        return ()

    def towards(self, _partner, _now, _products):
        return ()


async def no_asset(_key):
    raise AssertionError("no dataset is asked for")


@pytest.fixture
def usage():
    return Usage(PROFILE, SystemClock(), NoRelations(), no_asset)


@pytest.fixture
def reads(monkeypatch):
    """What is looked up in compiled policies and in claims from now on."""
    found, call, values = [], Compiled.__call__, profiles._values
    monkeypatch.setattr(Compiled, "__call__", lambda self, value: found.append("policy") or call(self, value))
    monkeypatch.setattr(profiles, "_values", lambda *given: found.append("claims") or values(*given))
    return found


def agreement(*values, **more):
    limit = {"leftOperand": "purpose", "operator": "isAnyOf", "rightOperand": list(values)}
    policy = {"@id": "urn:a", "@type": "Agreement", "assigner": ME, "assignee": PEER, "target": "d", "timestamp": AT,
              "permission": [{"action": "use", "constraint": [limit]}]}  # fmt: skip
    return Agreement(**{"id": "urn:a", "participant": ME, "role": "provider", "peer": PEER, "negotiation": "n", "dataset": "d",
                        "policy": policy, "hash": "h", "at": AT} | more)  # fmt: skip


def test_the_same_agreement_and_claims_are_read_once(usage, reads):
    made, claims = agreement("cfp.rollup:1"), {"MembershipCredential": [{"id": PEER, "memberOf": "x"}]}
    first = usage.request(made, Ledger(), claims, "transfer")
    assert reads.count("policy") == 1
    reads.clear()
    second = usage.request(
        replace(made, due=AT), Ledger(), {name: [dict(each) for each in found] for name, found in claims.items()}, "monitoring"
    )
    assert reads == []
    assert (second.facts, second.phase, second.party) == (first.facts, "monitoring", PEER)
    assert second.facts is not first.facts, "nobody changes what is kept"
    assert second.facts[RUNNING[0]] == parse_iso(AT)
    fresh = Usage(PROFILE, SystemClock(), NoRelations(), no_asset).request(made, Ledger(), claims, "monitoring")
    assert second.facts == fresh.facts


def test_what_is_said_otherwise_is_read_otherwise(usage):
    made, claims = agreement("cfp.rollup:1"), {"MembershipCredential": [{"id": PEER, "memberOf": "x"}]}
    before = usage.request(made, Ledger(), claims, "transfer").facts
    other = agreement("cfp.rollup:1", "cfp.audit:1", at="2026-11-23T09:00:00.000Z")
    after = usage.request(other, Ledger(), claims, "transfer").facts
    purpose = ODRL + "purpose"
    assert (set(before[purpose] if isinstance(before[purpose], tuple) else [before[purpose]])) == {"cfp.rollup:1"}
    assert set(after[purpose]) == {"cfp.rollup:1", "cfp.audit:1"}
    assert after[RUNNING[0]] == parse_iso("2026-11-23T09:00:00.000Z")
    assert KZ + "membership" in before
    assert KZ + "membership" not in usage.request(made, Ledger(), {}, "transfer").facts
    stated = usage.request(made, Ledger(), claims, "consumer", stated=Stated(("cfp.audit:1",))).facts
    assert stated[purpose] != before[purpose]
    with pytest.raises(PolicyError):
        usage.request(agreement("cfp.rollup:1", policy={"permission": 1}), Ledger(), claims, "transfer")
