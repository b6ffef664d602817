"""`kizuna policy lint | analyze | diff`: what is said about policies without any facts."""

from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import to_builtins

from kernel.cli import print_result
from kernel.clock import SystemClock
from policies.cli.files import SAY, Files, Json, ProfileName, documents
from policies.cli.write import Language, language
from policies.odrl.analyse import Comparison, Witness, compared, findings
from policies.odrl.vocabulary import readable
from policies.profiles import load
from policies.tools.classes import constraint_class, duty_class
from policies.tools.lint import Found, catalogue, linted

Strict = Annotated[bool, typer.Option("--strict", help=SAY("strict"))]
Before = Annotated[Path, typer.Argument(help=SAY("before"))]
After = Annotated[Path, typer.Argument(help=SAY("after"))]


def register(app: typer.Typer) -> None:
    """Add the commands to `kizuna policy`."""
    app.command("lint", help=SAY("lint"))(lint)
    app.command("analyze", help=SAY("analyze"))(analyze)
    app.command("diff", help=SAY("diff"))(diff)


def lint(files: Files, profile: ProfileName = "base", strict: Strict = False, lang: Language = "", as_json: Json = False) -> None:
    loaded, now, chosen = load(profile), SystemClock().now(), language(lang)
    found = [(name, each) for name, value in documents(files) for each in linted(value, loaded, now)]
    if as_json:
        print_result({"findings": [{"file": name, "level": each.level, **to_builtins(each)} for name, each in found]}, as_json=True)
    else:
        for name, each in found:
            typer.echo(_line(name, each, chosen))
    failing = {"error", "warning"} if strict else {"error"}
    if any(each.level in failing for _, each in found):
        raise typer.Exit(1)


def _line(name: str, found: Found, chosen: str) -> str:
    entry = catalogue()[found.id]
    beside = f" ({found.other})" if found.other else ""
    detail = f" [{readable(found.detail)}]" if found.detail else ""
    case = f"\n    {_case(found.witness)}" if found.witness else ""
    text = f"{name}: {found.path or '/'}{beside}: {found.id} {entry.level}: {entry.title[chosen]}{detail}"
    return f"{text}{case}\n    -> {entry.mend[chosen]}"


def _case(witness: Witness) -> str:
    facts = "; ".join(f"{name} = {value}" for name, value in witness.facts)
    return readable(f"{witness.action}: {facts or '*'}")


def analyze(files: Files, profile: ProfileName = "base", as_json: Json = False) -> None:
    loaded = load(profile)
    reports = []
    for name, value in documents(files):
        policy = loaded.policy(value)
        reports.append(
            {
                "file": name,
                "findings": to_builtins(findings(policy)),
                "facts": sorted({each.operand.iri for each in policy.atoms()}),
                "credentials": sorted({each.operand.credential for each in policy.atoms()} - {""}),
                "constraints": len(policy.atoms()),
                "classes": {each.path: constraint_class(each) for each in policy.atoms()}
                | {each.path: duty_class(each) for each in policy.duties()},
                "digest": policy.digest,
            }
        )
    _reported(reports, as_json=as_json)
    if any(each["kind"] not in ("implied", "covered", "undecided") for report in reports for each in report["findings"]):
        raise typer.Exit(1)


def _reported(reports: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_result({"reports": reports}, as_json=True)
        return
    for report in reports:
        typer.echo(f"{report['file']}: {SAY('analyzed', constraints=report['constraints'], findings=len(report['findings']))}")
        for each in report["findings"]:
            typer.echo(f"  {each['path'] or '/'}: {each['kind']} {each['other']}".rstrip())
        typer.echo(f"  {SAY('facts_needed')}: {', '.join(map(readable, report['facts'])) or '-'}")
        typer.echo(f"  {SAY('credentials_needed')}: {', '.join(report['credentials']) or '-'}")


def diff(before: Before, after: After, profile: ProfileName = "base", as_json: Json = False) -> None:
    loaded = load(profile)
    ((_, old),), ((_, new),) = documents([before]), documents([after])
    found = compared(loaded.policy(old), loaded.policy(new))
    if as_json:
        print_result(to_builtins(found), as_json=True)
    else:
        _compared(found)
    if found.verdict != "equal" or found.duties_added or found.duties_removed:
        raise typer.Exit(1)


def _compared(found: Comparison) -> None:
    typer.echo(SAY(f"verdict_{found.verdict}"))
    for mark, cases in (("+", found.opened), ("-", found.closed)):
        for each in cases:
            typer.echo(f"  {mark} {_case(each)}")
    for mark, duties in (("+", found.duties_added), ("-", found.duties_removed)):
        for text in duties:
            typer.echo(f"  {mark} {SAY('duty')}: {readable(text)}")
