"""What tests of catalogs share."""

import pytest

from catalog import offers
from policies.odrl import evaluate


@pytest.fixture
def decisions(monkeypatch):
    """The digests of the policies that were decided, in order."""
    made = []
    monkeypatch.setattr(offers, "evaluate", lambda policy, request: made.append(policy.digest) or evaluate(policy, request))
    return made
