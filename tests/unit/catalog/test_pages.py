"""Pages as bytes: what is kept never shows anything old, costs do not grow with what is not shown, and no page is larger than the budget."""

import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from catalog import describe
from catalog.dcat import Asset, OfferTerms
from catalog.offers import Shelf
from catalog.pages import LARGEST, Pages, Reader
from kernel.errors import TooLarge
from policies.profiles import load

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
MEMBER = "https://w3id.org/kizuna/policy/1#membership"
FACTS = {MEMBER: "active"}
OPEN = {"permission": [{"action": "use", "constraint": [{"leftOperand": MEMBER, "operator": "eq", "rightOperand": "active"}]}]}
HERE = "https://me.example/dsp"


def during(moment):
    limit = {"leftOperand": "dateTime", "operator": "lt", "rightOperand": moment.isoformat()}
    return {"permission": [{"action": "use", "constraint": [limit]}]}


def closed(number):
    """An access policy that the reader does not meet, unlike any other of these."""
    limit = {"leftOperand": MEMBER, "operator": "eq", "rightOperand": f"other-{number}"}
    return {"permission": [{"action": "use", "constraint": [limit]}]}


def asset(number, **more):
    values = {"title": {"en": "x"}, "size": 1, "sha256": "0", "source": "", "created": "2026-11-24T09:00:00Z"} | more
    return Asset(id=f"a{number:05}", participant="p", profile="", schema="", **values)


def offered(shelf, number, access=OPEN, place=0, **more):
    terms = OfferTerms(
        id=f"o{place}-{number:05}", asset=f"a{number:05}", access=access, contract={"permission": [{"action": "use"}]}
    )
    shelf.put(terms, asset(number, **more))
    return terms.id


def reader(now=NOW, facts=FACTS, endpoint=HERE):
    return Reader(facts, now, "did:web:reader.example", endpoint)


def ids(page):
    return [each["@id"] for each in orjson.loads(b"[" + page.text + b"]")]


@pytest.fixture
def shelf():
    return Shelf(load("base"))


def test_a_page_is_what_the_shelf_shows(shelf):
    for number in range(7):
        offered(shelf, number)
    pages = Pages(shelf)
    first = pages.after(reader(), "", 3)
    assert (ids(first), first.following) == (["a00000", "a00001", "a00002"], "a00002")
    last = pages.after(reader(), "a00003", 3)
    assert (ids(last), last.following) == (["a00004", "a00005", "a00006"], "")
    back = pages.before(reader(), "a00004", 3)
    assert (ids(back), back.previous, back.following) == (["a00001", "a00002", "a00003"], "a00001", "a00003")
    assert ids(pages.at(reader(), 5, 3)) == ["a00005", "a00006"]
    seen = next(iter(shelf.visible(FACTS, NOW)))
    assert orjson.loads(first.text.partition(b',{"@id":"a00001"')[0]) == describe.dataset(*seen, endpoint=HERE)
    assert pages.after(reader(), "a00006", 3).datasets == []


def test_what_is_published_changed_or_taken_away_shows_at_once(shelf):
    one, _ = offered(shelf, 1), offered(shelf, 2)
    pages = Pages(shelf)

    def shown():
        return {
            tuple(ids(page)) for page in (pages.after(reader(), "", 9), pages.before(reader(), "b", 9), pages.at(reader(), 0, 9))
        }

    assert shown() == {("a00001", "a00002")}
    offered(shelf, 3)
    assert shown() == {("a00001", "a00002", "a00003")}
    shelf.drop(one)
    assert shown() == {("a00002", "a00003")}
    offered(shelf, 2, closed(0))
    assert shown() == {("a00003",)}
    offered(shelf, 3, title={"en": "another title"})
    assert b"another title" in pages.after(reader(), "", 9).text


def test_whoever_proves_something_else_gets_another_page(shelf):
    offered(shelf, 1)
    offered(shelf, 2, during(NOW + timedelta(days=1)))
    pages = Pages(shelf)
    assert ids(pages.after(reader(), "", 9)) == ["a00001", "a00002"]
    assert ids(pages.after(reader(facts={MEMBER: "suspended"}), "", 9)) == ["a00002"]
    assert ids(pages.after(reader(facts={}), "", 9)) == ["a00002"]
    assert b"https://else.example/dsp" in pages.after(reader(endpoint="https://else.example/dsp"), "", 9).text
    assert b"https://else.example/dsp" not in pages.after(reader(), "", 9).text


def test_a_page_ends_at_the_instant_at_which_a_policy_changes_its_mind(shelf):
    end = NOW + timedelta(minutes=5)
    offered(shelf, 1)
    offered(shelf, 2, during(end))
    pages = Pages(shelf)
    for now, expected in ((NOW, ["a00001", "a00002"]), (end - timedelta(microseconds=1), ["a00001", "a00002"]), (end, ["a00001"])):
        assert ids(pages.after(reader(now), "", 9)) == expected
    assert ids(pages.after(reader(NOW), "", 9)) == ["a00001", "a00002"], "a clock that was put back"


def test_a_page_is_never_larger_than_the_budget(shelf):
    large = {"en": "x" * (LARGEST // 5)}
    for number in range(23):
        offered(shelf, number, description=large)
    pages, found, place = Pages(shelf), [], ""
    while True:
        page = pages.after(reader(), place, 1000)
        assert 0 < len(page.text) <= LARGEST
        found += ids(page)
        place = page.following
        if not place:
            break
    assert found == [f"a{number:05}" for number in range(23)]
    back, place = [], "b"
    while place:
        page = pages.before(reader(), place, 1000)
        assert len(page.text) <= LARGEST
        back, place = ids(page) + back, page.previous
    assert back == found
    with pytest.raises(TooLarge):
        pages.at(reader(), 0, 1000)
    assert ids(pages.at(reader(), 0, 4)) == found[:4]
    offered(shelf, 99, description={"en": "x" * (2 * LARGEST)})
    assert ids(pages.after(reader(), "a00098", 1)) == ["a00099"], "one alone is shown, however large"


def test_what_is_kept_stays_within_its_bounds(shelf):
    for number in range(3000):
        offered(shelf, number, description={"en": "x" * 2000})
    pages = Pages(shelf)
    for number in range(3000):
        pages.after(reader(), f"a{number:05}", 50)
    kept = sum(len(each.text) for each in pages._pages.values())
    assert kept == pages._bytes <= 8 * 1024 * 1024
    assert len(pages._pages) < 3000


def calls(work):
    """What a piece of work calls, Python and C, by name: its cost without a clock."""
    found = Counter()

    def note(frame, event, argument):
        if event == "call":
            found[frame.f_code.co_name] += 1
        elif event == "c_call":
            found[argument.__name__] += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def test_costs_do_not_grow_with_what_is_not_shown_or_with_the_number_of_the_page():
    """Counted in calls: 50 datasets among 300 or 3,000, alone or each under one of 200 definitions more that do not apply; the first page and one far inside."""
    costs = []
    for count, definitions in ((300, 0), (300, 200), (3000, 200)):
        shelf = Shelf(load("base"))
        for number in range(count):
            offered(shelf, number)
            if definitions:
                offered(shelf, number, closed(number % definitions), place=1)
        pages, who = Pages(shelf), reader()
        for at in range(0, count, 49):
            pages.at(who, at, 49)  # what is decided once for this reader, and made once of each dataset
        costs += [
            calls(lambda p=pages, w=who: p.after(w, "", 50)),
            calls(lambda p=pages, w=who, n=count: p.after(w, f"a{n - 60:05}", 50)),
        ]
        windows = [calls(lambda p=pages, w=who, at=at: p.at(w, at, 50)) for at in (0, count - 60)]
        assert sum(windows[0].values()) == pytest.approx(sum(windows[1].values()), abs=20)
        before = [calls(lambda p=pages, w=who, at=at: p.before(w, f"a{at:05}", 50)) for at in (60, count - 1)]
        assert sum(before[0].values()) == pytest.approx(sum(before[1].values()), abs=20)
    totals = [sum(each.values()) for each in costs]
    assert max(totals) - min(totals) <= 20, totals
    assert all(each["evaluate"] == 0 for each in costs), "decided once for this reader"
    again = calls(lambda: pages.after(who, "", 50))
    assert sum(again.values()) < 30, "a page that is kept"
