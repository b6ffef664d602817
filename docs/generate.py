"""Writes the reference pages that are made from code: settings, state machines, management API, commands. `--check` only compares."""

import importlib
import pkgutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import typer

from connector import settings as connector_settings
from connector.dsp import routes as dsp
from connector.management.routes import Management
from connector.processes import tables
from docs import operands
from identity.access import settings as access_settings
from identity.access.service import Access
from identity.service import settings as identity_settings
from identity.service.management import Management as Operator
from identity.wallet.tokens import TokenEndpoint
from kernel import settings
from kernel.cli import application
from kernel.clock import SystemClock
from kernel.errors import KizunaError
from kernel.web import Route
from policies.tools.fmt import formatted
from policies.tools.lint import catalogue

PLACE = Path(__file__).parent / "reference"


def settings_page() -> str:
    return (
        "# Settings\n\nMade from code by `./run docs`.\n\n## Connector (`connector.toml`)\n\n"
        + settings.reference(connector_settings.Settings, connector_settings.ENVIRONMENT)
        + "\n### `[[issuers]]`\n\n"
        + settings.reference(connector_settings.Issuer, "").replace("| environment ", "| - ")
        + "\n### `[[peers]]`\n\n"
        + settings.reference(connector_settings.Peer, "").replace("| environment ", "| - ")
        + "\n### `[[accepts]]`\n\n"
        + settings.reference(connector_settings.Acceptable, "").replace("| environment ", "| - ")
        + "\n### `[oidc]` and `[[oidc.grants]]`\n\nFor the identity service, too.\n\n"
        + settings.reference(access_settings.Oidc, "").replace("| environment ", "| - ")
        + "\n"
        + settings.reference(access_settings.OidcGrant, "").replace("| environment ", "| - ")
        + "\n## Identity service (`identity.toml`)\n\n"
        + settings.reference(identity_settings.Settings, identity_settings.ENVIRONMENT)
    )


def machines_page() -> str:
    parts = ["# State machines\n\nMade from code by `./run docs`: the tables in `connector/processes/tables.py`.\n"]
    for name, table in tables.TABLES.items():
        parts.append(f"\n## {name}\n\n```mermaid\n{tables.mermaid(table)}```\n\n{tables.markdown(table)}")
    return "".join(parts)


def routes_page() -> str:
    store: Any = None
    access = Access(store, "", SystemClock(), str)
    none: Any = None
    shell: Any = SimpleNamespace(
        commands=None,
        store=None,
        contracts=None,
        rules=SimpleNamespace(relations=None, allotments=None),
        obligations=SimpleNamespace(payments=None),
        access=access,
        keys=None,
        renewal=None,
        tokens=TokenEndpoint(none, none),
    )
    table = _table(Management(shell).routes())
    operator: Any = SimpleNamespace(participant="")
    identity = _table(
        Operator(
            ledger=operator,
            admission=operator,
            standing=operator,
            revocation=operator,
            trust=operator,
            certificates=operator,
            requests=operator,
            access=access,
        ).routes()
    )
    posts = ["| path below `/dsp/2025-1` | message | our role |", "|---|---|---|"]
    posts += [f"| `{path}` | {message.TYPE} | {role or 'either, or a first message'} |" for path, message, _, role in dsp.POSTS]
    return (
        "# Routes\n\nMade from code by `./run docs`. A caller needs the role in the scope (`-`: any); each role contains the ones before it: read, operate,"
        " admin.\n\n## Management API of a connector\n\n"
        + table
        + "\n\n## Management API of the identity service\n\n"
        + identity
        + "\n\n## Dataspace Protocol (POST)\n\n"
        + "\n".join(posts)
        + "\n"
    )


def _table(routes: list[Route]) -> str:
    rows = ["| method | path | role | scope | what |", "|---|---|---|---|---|"]
    rows += [f"| {r.method} | `{r.path}` | {r.role or 'none needed'} | {r.scope or '-'} | {r.summary} |" for r in routes]
    return "\n".join(rows)


def problems() -> list[type[KizunaError]]:
    """Every error with a code of its own, by code."""
    packages = ("kernel", "identity", "policies", "catalog", "connector")
    for package in packages:
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            if ".migrations" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found, waiting = {KizunaError}, [KizunaError]
    while waiting:
        below = set(waiting.pop().__subclasses__()) - found
        found |= below
        waiting += below
    ours = (each for each in found if each.__module__.partition(".")[0] in packages)  # a test may have made others
    return sorted((each for each in ours if "code" in vars(each)), key=lambda each: (each.code, each.__name__))


def problems_page() -> str:
    rows = [
        f"| `{each.code}` | {each.status} | {each.exit_code} | {(vars(each).get('__doc__') or '').strip().splitlines()[0]} |"
        for each in problems()
    ]
    return (
        "# Problems\n\nMade from code by `./run docs`. The management APIs answer errors as RFC 9457 problems (`application/problem+json`):"
        " `type` is `https://w3id.org/kizuna/problem/` and the code, `status` and `code` are those of the table, `detail` is the cause,"
        " `nextStep` what to do about it. Codes are stable. Commands end with the exit code and say cause and next step. Errors of the"
        " Dataspace Protocol carry the same codes in their own bodies; what a peer may not know reads `not-found` there (ADR 0006).\n\n"
        "| code | status | exit code | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def commands_page() -> str:
    root = typer.main.get_command(application())
    lines = ["# Commands\n\nMade from code by `./run docs`. Every command has `--help`; those with results have `--json`.\n"]
    _walk(root, "kizuna", lines)
    return "\n".join(lines) + "\n"


def _walk(command: Any, name: str, lines: list[str]) -> None:
    inner = getattr(command, "commands", None)
    if inner:
        for key in sorted(inner):
            _walk(inner[key], f"{name} {key}", lines)
        return
    options = " ".join(each.opts[0] if each.param_type_name == "option" else f"<{each.name}>" for each in command.params)
    lines.append(f"- `{name}` - {command.help or ''}  \n  {options}")


def lints_page() -> str:
    lines = [
        "# Lints\n\nMade from code by `./run docs`: what `kizuna policy lint` finds, with an example and its mend. An id never changes its meaning.\n"
    ]
    for key, entry in catalogue().items():
        lines += [
            f"## {key}: {entry.title['en']}\n",
            f"{entry.level}. {entry.title['ja']}\n",
            f"Mend: {entry.mend['en']}. {entry.mend['ja']}\n",
        ]
        if entry.example:
            lines += [_policy(entry.example), "mended:\n", _policy(entry.mended)]
    return "\n".join(lines)


def _policy(value: Any) -> str:
    return f"```json\n{formatted(value)}```\n"


PAGES = {
    "problems.md": problems_page,
    "settings.md": settings_page,
    "state-machines.md": machines_page,
    "routes.md": routes_page,
    "commands.md": commands_page,
    "lints.md": lints_page,
    "operands.md": operands.page,
}


def main() -> int:
    """Write the pages; with `--check`, 1 when one is not current."""
    PLACE.mkdir(exist_ok=True)
    stale = []
    for name, make in PAGES.items():
        text, path = make(), PLACE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    print("\n".join(stale) or "all pages are current")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
