"""The rules of the house that a linter does not know (DESIGN 2): sizes, docstrings, sectors, documentation."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("kernel", "identity", "policies", "catalog", "connector", "deploy")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PRODUCT = [path for path in FILES if path.relative_to(ROOT).parts[0] != "deploy"]
SECTORS = re.compile(r"battery|steel|catena|ouranos", re.IGNORECASE)


def functions(tree):
    return [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.fixture(scope="module")
def trees():
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def test_no_file_over_600_lines():
    assert not {str(path): n for path in FILES if (n := len(path.read_text(encoding="utf-8").splitlines())) > 600}


def test_no_function_over_80_lines(trees):
    allowed = {
        ("connector/app.py", "wire_up"),
        ("identity/service/app.py", "open_service"),
    }  # composition roots read from top to bottom
    long = {
        (str(path.relative_to(ROOT)), each.name)
        for path, tree in trees.items()
        for each in functions(tree)
        if each.end_lineno - each.lineno + 1 > 80
    }
    assert long <= allowed


def test_the_typical_file_and_function_are_small(trees, figure):
    files = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES if path.name != "__init__.py")
    lengths = sorted(each.end_lineno - each.lineno + 1 for tree in trees.values() for each in functions(tree))
    median_file, median_function = files[len(files) // 2], lengths[len(lengths) // 2]
    figure(f"house: {len(FILES)} files, {sum(files):,} lines; median file {median_file}, median function {median_function}")
    assert median_file <= 140
    assert median_function <= 10


def test_every_module_has_a_docstring(trees):
    assert not [str(path) for path, tree in trees.items() if not ast.get_docstring(tree)]


def test_every_function_is_typed(trees):
    def bare(function):
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        return function.returns is None or any(a.annotation is None for a in arguments if a.arg not in ("self", "cls"))

    nested = {id(inner) for tree in trees.values() for f in functions(tree) for inner in ast.walk(f) if inner is not f}
    assert not [(str(p), f.name) for p, t in trees.items() for f in functions(t) if id(f) not in nested and bare(f)]


def test_no_sector_stands_in_product_code():
    assert not [str(path) for path in PRODUCT if SECTORS.search(path.read_text(encoding="utf-8"))]


def test_the_kernel_stays_small():
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "kernel").glob("*.py"))
    assert lines <= 2750, "kernel is shared plumbing only (ADR 0007)"


def test_a_serving_process_does_not_load_what_it_does_not_need():
    code = (
        "import sys, connector.app, identity.service.app;"
        "print([m for m in ('sqlmodel','sqlalchemy','alembic','typer','rdflib','pyld','pydantic') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"


def test_every_table_has_a_participant():
    code = (
        "from connector.store import schema; from sqlmodel import SQLModel;"
        "print([n for n, t in SQLModel.metadata.tables.items() if 'participant' not in t.columns])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"


def test_the_reference_pages_are_current():
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"], capture_output=True, text=True, check=False, cwd=ROOT,
        env={"KIZUNA_LANGUAGE": "en", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, f"run ./run docs: {done.stdout}{done.stderr}"


def test_every_problem_has_a_code_of_its_own_and_says_what_it_means():
    """A reader finds each code in docs/reference/problems.md, and a program can rely on it."""
    from docs.generate import problems

    found = problems()
    assert len(found) > 40
    codes = [each.code for each in found]
    assert sorted(set(codes)) == codes, "two errors share a code"
    for each in found:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", each.code), each.code
        assert 400 <= each.status < 600, each.code
        assert (vars(each).get("__doc__") or "").strip(), f"{each.__name__} has no docstring"
        assert (
            each("because", next_step="do this").problem()["type"].endswith(f"/{each.code}")
            if each.__init__ is found[0].__init__
            else True
        )


def test_no_download_address_stands_in_the_repository():
    locks = [
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")
    ]
    assert not any("://" in text for text in locks)


def test_texts_exist_in_both_languages():
    import tomllib

    for package in ("connector", "identity/service", "identity/access", "policies", "policies/tools", "deploy/demo"):
        en, ja = (tomllib.loads((ROOT / package / "texts" / f"{x}.toml").read_text(encoding="utf-8")) for x in ("en", "ja"))
        assert set(en) == set(ja), package
        for key in en:
            assert set(re.findall(r"{(\w+)}", en[key])) == set(re.findall(r"{(\w+)}", ja[key])), f"{package}: {key}"


def test_every_path_that_a_command_calls_is_a_route():
    """A command whose path is no row of the route tables answers `not found` whatever it is asked for."""
    routes = {
        (method, re.sub(r"{[^}]*}", "{}", path))
        for method, path in re.findall(
            r"^\| (GET|POST|DELETE) \| `([^`]+)`", (ROOT / "docs/reference/routes.md").read_text("utf-8"), re.MULTILINE
        )
    }
    methods = {"get": "GET", "items": "GET", "post": "POST", "upload": "POST", "delete": "DELETE"}
    called = [
        (file.name, methods[verb], re.sub(r"{[^}]*}", "{}", path.partition("?")[0]))
        for folder in ("connector/cli", "identity/service/cli", "identity/access")
        for file in sorted((ROOT / folder).glob("*.py"))
        for verb, path in re.findall(rf"\.({'|'.join(methods)})\(\s*f?\"(/v1/[^\"]*)\"", file.read_text("utf-8"))
        if "waiting else" not in path  # a query that is there or not
    ]
    assert len(called) > 40
    unknown = [each for each in called if not any(each[1] == method and _covers(each[2], path) for method, path in routes)]
    assert unknown == []


def _covers(called: str, path: str) -> bool:
    """Whether a path with blanks (an id, the name of an action) can be this route."""
    return re.fullmatch(re.escape(called).replace(r"\{\}", "[^/]+"), path) is not None
