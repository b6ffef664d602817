"""kizuna policy fmt | lint | test | explain | simulate | diff | analyze | render | new | schema | bench: what authors see."""

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import example, given, settings
from typer.testing import CliRunner

from kernel.cli import application
from kernel.errors import BadInput
from policies.odrl import KZ, Operand, PolicyError, Registry, digest, parse
from policies.profiles import load, shipped
from policies.tools import cases
from policies.tools.author import schema
from policies.tools.classes import constraint_class
from policies.tools.facts import moment, named
from policies.tools.fmt import formatted
from policies.tools.lint import catalogue, linted
from tests.property.test_policies import REGISTRY, json_values, policies

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
MEMBER = {"leftOperand": KZ + "membership", "operator": "eq", "rightOperand": "active"}


@pytest.fixture(scope="module")
def base():
    return load("base")


def kizuna(*words):
    return CliRunner().invoke(application(), ["policy", *map(str, words)])


def file(place, value, name="policy.json"):
    found = place / name
    found.write_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return found


def offer(*constraints, **more):
    return {"@id": "urn:uuid:1", "@type": "Offer", "permission": [{"action": "use", "constraint": list(constraints)}]} | more


# fmt -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(policies | json_values)
@example({"constraint": [[None, False]]})
def test_formatting_twice_changes_nothing_and_the_terms_stay(value):
    try:
        once = formatted(value)
    except PolicyError:
        return
    assert formatted(json.loads(once)) == once
    assert digest(json.loads(once)) == digest(value)
    try:
        before = parse(value, operands=REGISTRY)
    except PolicyError:
        return
    assert parse(json.loads(once), operands=REGISTRY).digest == before.digest


def test_fmt_writes_and_checks(tmp_path):
    untidy = file(tmp_path, {"permission": [{"odrl:action": "odrl:use", "constraint": [MEMBER]}], "@type": "odrl:Offer"})
    assert kizuna("fmt", "--check", untidy).exit_code == 1
    assert kizuna("fmt", untidy).output.strip() == str(untidy)
    assert kizuna("fmt", "--check", untidy).exit_code == 0
    assert untidy.read_text().startswith('{\n  "@type": "Offer",\n  "permission": [\n    {\n      "action": "use",')


# lint ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [key for key, entry in catalogue().items() if entry.example])
def test_the_example_of_a_lint_has_it_and_the_mended_one_has_not(key, base):
    entry = catalogue()[key]
    assert key in {each.id for each in linted(entry.example, base, NOW)}
    mended = linted(entry.mended, base, NOW)
    assert key not in {each.id for each in mended}
    assert not [each for each in mended if each.level == "error"]


def test_lints_without_an_example_in_the_catalogue(base):
    many = {"or": [MEMBER | {"operator": "eq"} for _ in range(1001)]}
    assert "P060" in {each.id for each in linted(offer(many), base, NOW)}
    silent = Registry([Operand(iri=KZ + "rumour")])
    assert (
        constraint_class(parse(offer(MEMBER | {"leftOperand": KZ + "rumour"}), operands=silent).permissions[0].constraints[0])
        == "L"
    )
    assert {key for key, entry in catalogue().items() if not entry.example} == {"P029", "P040", "P060"}


def test_every_lint_has_both_languages_and_stands_on_the_page():
    page = (Path(__file__).parents[3] / "docs/reference/lints.md").read_text(encoding="utf-8")
    for key, entry in catalogue().items():
        assert set(entry.title) == set(entry.mend) == {"en", "ja"}, key
        assert f"## {key}" in page


def test_shipped_templates_have_no_errors():
    for name in shipped():
        profile = load(name)
        for template, found in profile.templates.items():
            given_ = {key: value for key, each in found.parameters.items() if (value := each.trial()) is not None}
            for policy in profile.offer(template, **given_):
                assert not [each for each in linted(policy, profile, NOW) if each.level in ("error", "warning")], template


def test_lint_prints_place_id_and_mend_and_its_exit_code_tells(tmp_path):
    path = file(tmp_path, offer(MEMBER, MEMBER | {"operator": "neq"}))
    done = kizuna("lint", path, "--lang", "en")
    assert done.exit_code == 1
    assert "/permission/0: P010 error" in done.output
    assert "->" in done.output
    assert "どのような事実" in kizuna("lint", path, "--lang", "ja").output
    (found, _) = json.loads(kizuna("lint", path, "--json").output)["findings"]
    assert (found["id"], found["level"], found["path"]) == ("P010", "error", "/permission/0")
    open_ = file(tmp_path, {"@id": "urn:x", "@type": "Offer", "permission": [{"action": "use"}]}, "open.json")
    assert kizuna("lint", open_).exit_code == 0
    assert kizuna("lint", "--strict", open_).exit_code == 1


# test ----------------------------------------------------------------------------------------------------------------

CASES = """
policy = "policy.json"
[[case]]
name = "a member"
claims = { MembershipCredential = [{ memberOf = "x" }] }
expect = "permitted"
owed = []
because = ["/permission/0"]
[[case]]
name = "a stranger"
expect = "denied"
missing = ["membership"]
"""


def test_cases_pass_and_a_wrong_expectation_is_told(tmp_path):
    file(tmp_path, offer(MEMBER))
    path = file(tmp_path, CASES, "policy.cases.toml")
    done = kizuna("test", tmp_path, "--coverage")
    assert done.exit_code == 0, done.output
    assert "2 passed, 0 failed" in done.output
    path.write_text(CASES.replace('"permitted"', '"denied"').replace('["membership"]', "[]"))
    done = kizuna("test", path)
    assert done.exit_code == 1
    assert "a member: expected denied, is permitted" in done.output
    assert "a stranger: missing: expected nothing" in done.output


def test_coverage_names_what_no_case_decided_both_ways(tmp_path):
    second = {"leftOperand": KZ + "role", "operator": "eq", "rightOperand": "x"}
    file(tmp_path, offer(MEMBER, second))
    file(
        tmp_path,
        CASES.replace('expect = "permitted"\nowed = []\nbecause = ["/permission/0"]', 'expect = "denied"'),
        "policy.cases.toml",
    )
    _, covered = cases.run(tmp_path / "policy.cases.toml", load("base"))
    assert covered.never_held == ("/permission/0/constraint/1",)


@pytest.mark.parametrize(
    "text",
    [
        "no toml",
        'policy = "x"\n',
        CASES.replace("expect = ", "hope = "),
        CASES.replace("policy.json", "nowhere.json"),
        CASES.replace('policy = "policy.json"', ""),
        CASES.replace('["membership"]', '["moon"]'),
        CASES.replace('name = "a stranger"', 'name = "a stranger"\nnow = "2026-01-01T00:00:00"'),
    ],
)
def test_a_file_of_cases_that_cannot_be_read(tmp_path, text):
    file(tmp_path, offer(MEMBER))
    with pytest.raises(BadInput):
        cases.run(file(tmp_path, text, "policy.cases.toml"), load("base"))


def test_the_cases_of_shipped_templates_pass_and_decide_every_constraint():
    root = Path(load.__code__.co_filename).parent
    for name in shipped():
        profile, tested = load(name), set()
        for path in sorted((root / name).rglob(f"*{cases.ENDING}")):
            outcomes, covered = cases.run(path, profile)
            assert outcomes
            assert not [each for each in outcomes if each.faults]
            assert (covered.never_held, covered.never_failed) == ((), ()), path
            found = tomllib.loads(path.read_text(encoding="utf-8"))
            tested.add((found["template"], found.get("part", "contract")))
        own = {path.stem for path in (root / name / "templates").glob("*.json")}
        assert {template for template, _ in tested} >= own, f"{name}: templates without cases"


# explain, simulate ---------------------------------------------------------------------------------------------------


def test_explain_says_why_in_two_languages(tmp_path):
    path = file(tmp_path, offer(MEMBER, {"leftOperand": "odrl:elapsedTime", "operator": "lt", "rightOperand": "P30D"}))
    done = kizuna("explain", path, "--lang", "en", "--phase", "transfer", "--now", "2026-11-24T09:00:00+09:00")
    assert done.exit_code == 1
    assert "denied" in done.output
    assert "30 days" in done.output
    assert "a MembershipCredential would supply it" in done.output
    japanese = kizuna("explain", path, "--lang", "ja", "--phase", "transfer").output
    assert "不許可" in japanese
    assert "30日" in japanese
    who = file(tmp_path, {"did": "did:web:a.example", "claims": {"MembershipCredential": [{"memberOf": "x"}]}}, "who.json")
    fact = "elapsedTime=2026-11-01T00:00:00+09:00"
    done = kizuna(
        "explain", path, "--who", who, "--fact", fact, "--phase", "transfer", "--now", "2026-11-24T09:00:00+09:00", "--json"
    )
    assert done.exit_code == 0
    assert json.loads(done.output)["permitted"] is True
    assert isinstance(kizuna("explain", path, "--phase", "dream").exception, BadInput)
    with pytest.raises(BadInput, match="no zone"):
        moment("2026-11-24T09:00:00")


def test_simulate_says_who_sees_and_gets(tmp_path):
    people = [
        {"name": "A", "claims": {"MembershipCredential": [{"memberOf": "x"}]}},
        {"name": "B"},
    ]
    path = file(tmp_path, people, "members.json")
    rows = json.loads(kizuna("simulate", "members", "--members", path, "--json").output)["rows"]
    assert [(row["participant"], row["sees"], row["gets"]) for row in rows] == [("A", True, True), ("B", False, False)]
    assert rows[1]["missing"]
    assert rows[1]["reason"]
    buyer = {
        "claims": {"MembershipCredential": [{"memberOf": "x"}], "RoleCredential": [{"role": ["packMaker"]}]},
        "purpose": ["cfp.rollup:1"],
    }
    path = file(tmp_path, [buyer], "buyer.json")
    words = ("passport-one-up", "role=packMaker", "purpose=cfp.rollup:1", "until=2099-01-01T00:00:00+09:00")
    done = kizuna("simulate", *words, "--profile", "battery", "--members", path, "--json")
    assert json.loads(done.output)["rows"][0]["until"].startswith("2098-12-31T15:00:00")


BUYER, OTHER = "did:web:buyer.example", "did:web:other.example"


def wanting(**more):
    """A Request of the buyer for one purpose."""
    purpose = {"leftOperand": "purpose", "operator": "eq", "rightOperand": "cfp.rollup:1"}
    return {"@type": "Request", "assignee": BUYER, "permission": [{"action": "use", "constraint": [purpose]}]} | more


def simulation(tmp_path, request, *words):
    people = [
        {
            "did": did,
            "claims": {"MembershipCredential": [{"memberOf": "x"}], "RoleCredential": [{"role": ["packMaker"]}]},
            "purpose": ["other"],
        }
        for did in (BUYER, OTHER)
    ]
    files = ("--members", file(tmp_path, people, "people.json"), "--request", file(tmp_path, request, "request.json"))
    return kizuna(
        "simulate", "passport-one-up", "role=packMaker", "purpose=cfp.rollup:1", "--profile", "battery", *files, *words, "--json"
    )


def test_simulate_and_explain_ask_about_the_product_of_the_dataset(tmp_path):
    claims = {"MembershipCredential": [{"memberOf": "x"}], "RoleCredential": [{"role": ["oem"]}]}
    people = [
        {"name": name, "claims": claims, "purpose": ["cfp.rollup:1"], "relations": relations}
        for name, relations in (("A", ["customer:cell-A"]), ("B", ["customer:cell-B"]), ("all", ["customer"]), ("none", []))
    ]
    members = file(tmp_path, people, "members.json")

    def seen(*words):
        asked = ("simulate", "footprint-one-up", "role=oem", "--profile", "battery", "--members", members, "--json")
        return {row["participant"] for row in json.loads(kizuna(*asked, *words).output)["rows"] if row["sees"] and row["gets"]}

    assert seen("--product", "cell-A") == {"A", "all"}
    assert seen("--product", "cell-A", "--product", "cell-B") == {"A", "B", "all"}
    assert seen() == set(), "a dataset without a product is for nobody"
    policy = kizuna("new", "footprint-one-up", "role=oem", "--profile", "battery").output
    (tmp_path / "offer.json").write_text(policy)
    who = file(tmp_path, people[0], "who.json")
    asked = ("explain", str(tmp_path / "offer.json"), "--profile", "battery", "--who", who, "--lang", "en")
    assert kizuna(*asked, "--product", "cell-A").exit_code == 0
    denied = kizuna(*asked, "--product", "cell-B")
    assert denied.exit_code == 1
    assert "the provider's own ledger of trade relations" in denied.output
    assert "buyer of the product (customer)" in denied.output


def test_simulate_takes_a_request(tmp_path):
    (row,) = json.loads(simulation(tmp_path, wanting()).output)["rows"]
    assert (row["participant"], row["action"], row["sees"], row["gets"]) == (BUYER, "use", True, True)
    rules = [{"action": ["use", "sell"], "constraint": wanting()["permission"][0]["constraint"]}]
    rows = json.loads(simulation(tmp_path, wanting(permission=rules)).output)["rows"]
    assert [(each["action"], each["gets"]) for each in rows] == [("use", True), ("sell", False)]
    (row,) = json.loads(simulation(tmp_path, wanting(permission=[{"action": "use"}])).output)["rows"]
    assert (row["sees"], row["gets"]) == (True, False), "what the members file says of purposes is not what is asked for"
    everybody = {name: each for name, each in wanting().items() if name != "assignee"}
    rows = json.loads(simulation(tmp_path, everybody).output)["rows"]
    assert [each["participant"] for each in rows] == [BUYER, OTHER]
    (row,) = json.loads(simulation(tmp_path, wanting(assignee="did:web:nobody.example")).output)["rows"]
    assert (row["participant"], row["sees"]) == ("did:web:nobody.example", False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"@type": "Offer"},
        {"permission": []},
        {"prohibition": [{"action": "use"}]},
        {"permission": [{"action": "use", "duty": [{"action": "inform"}]}]},
        {
            "permission": [
                {
                    "action": "use",
                    "constraint": [{"leftOperand": KZ + "role", "operator": "isAnyOf", "rightOperand": ["packMaker"]}],
                }
            ]
        },
        {
            "permission": [
                {
                    "action": "use",
                    "constraint": [{"leftOperand": KZ + "tradeRelation", "operator": "eq", "rightOperand": "customer"}],
                }
            ]
        },
        {
            "permission": [
                {"action": "use", "constraint": [{"leftOperand": "purpose", "operator": "isNoneOf", "rightOperand": ["x"]}]}
            ]
        },
        {"inheritFrom": "https://example.org/x"},
    ],
)
def test_a_request_may_not_state_what_is_not_its_own_to_state(tmp_path, wrong):
    done = simulation(tmp_path, wanting(**wrong))
    assert done.exit_code != 0
    assert not done.stdout.startswith('{"rows')


def test_somebody_has_to_ask(tmp_path):
    assert kizuna("simulate", "members").exit_code != 0


def test_names_of_facts(base):
    assert named(base.operands, "role").iri == KZ + "role"
    assert named(base.operands, KZ + "role").iri == KZ + "role"
    with pytest.raises(BadInput, match="moon"):
        named(base.operands, "moon")


# diff, analyze, render, new, schema, bench -----------------------------------------------------------------------------


def test_diff_tells_the_direction_with_a_case(tmp_path):
    role = {"leftOperand": KZ + "role", "operator": "isAnyOf", "rightOperand": ["a"]}
    before = file(tmp_path, offer(role), "a.json")
    after = file(tmp_path, offer(role | {"rightOperand": ["a", "b"]}), "b.json")
    done = kizuna("diff", before, after)
    assert done.exit_code == 1
    assert "+ use:" in done.output
    assert json.loads(kizuna("diff", after, before, "--json").output)["verdict"] == "stricter"
    assert kizuna("diff", before, before).exit_code == 0


def test_analyze_tells_needed_facts_and_classes(tmp_path):
    path = file(tmp_path, offer(MEMBER))
    done = kizuna("analyze", path, "--json")
    assert done.exit_code == 0
    (report,) = json.loads(done.output)["reports"]
    assert report["credentials"] == ["MembershipCredential"]
    assert report["classes"] == {"/permission/0/constraint/0": "T"}


def test_a_contract_text_has_every_clause(tmp_path):
    profile = load("base")
    made = kizuna("new", "members")
    assert made.exit_code == 0, made.output
    path = file(tmp_path, made.output)
    policy = profile.policy(json.loads(made.output))
    english, japanese = (kizuna("render", path, "--lang", each).output for each in ("en", "ja"))
    assert english.count("  - ") >= len(policy.atoms())
    assert "Article 1" in english
    assert "第1条" in japanese
    assert "[enforced]" in english
    assert "［技術的に強制］" in japanese


def test_the_schema_for_editors_takes_what_the_parser_takes(base):
    validator = jsonschema_rs.validator_for(schema(base))
    for template, found in base.templates.items():
        given_ = {key: value for key, each in found.parameters.items() if (value := each.trial()) is not None}
        for policy in base.offer(template, **given_):
            validator.validate(policy)
    assert not validator.is_valid(offer(MEMBER | {"operator": "like"}))
    assert not validator.is_valid(offer(MEMBER | {"leftOperand": KZ + "moon"}))
    assert not validator.is_valid(offer({"and": [MEMBER], "or": [MEMBER]}))


def test_bench_measures(tmp_path):
    found = json.loads(kizuna("bench", file(tmp_path, offer(MEMBER)), "--json").output)
    assert 0 < found["p50_us"] <= found["p99_us"]


def test_the_profile_of_the_environment_counts_and_an_unknown_one_says_what_to_do(tmp_path, monkeypatch):
    made = kizuna("new", "passport-one-up", "role=packMaker", "--profile", "battery")
    path = tmp_path / "offer.json"
    path.write_text(made.output)
    refused = kizuna("explain", path).exception
    assert isinstance(refused, PolicyError)
    assert "--profile" in refused.next_step
    monkeypatch.setenv("KIZUNA_PROFILE", "battery")
    assert kizuna("check", path).exit_code == 0


def test_what_is_not_json_says_so_once(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text("{")
    assert str(kizuna("explain", path).exception).count("not JSON") == 1
