"""`kizuna policy test | explain | simulate | bench`: policies against facts."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import to_builtins

from kernel.cli import print_result
from kernel.clock import SystemClock
from kernel.errors import BadInput
from policies.cli.files import SAY, Json, ProfileName, documents
from policies.cli.write import Language, Values, language, parameters
from policies.odrl import PHASES, Decision, Request, evaluate, tree
from policies.profiles import Profile, load
from policies.tools import cases
from policies.tools.author import measured
from policies.tools.explain import explained
from policies.tools.facts import Asker, moment
from policies.tools.request import questions
from policies.tools.simulate import Row, simulated
from policies.tools.words import Words

Cases = Annotated[list[Path], typer.Argument(help=SAY("cases"))]
CoverageFlag = Annotated[bool, typer.Option("--coverage", help=SAY("coverage"))]
Policy = Annotated[Path, typer.Argument(help=SAY("policy_file"))]
Who = Annotated[Path | None, typer.Option("--who", help=SAY("who"))]
Fact = Annotated[list[str] | None, typer.Option("--fact", help=SAY("fact"))]
Action = Annotated[str, typer.Option("--action", help=SAY("action"))]
PhaseName = Annotated[str, typer.Option("--phase", help=SAY("phase"))]
Now = Annotated[str, typer.Option("--now", help=SAY("now"))]
Products = Annotated[list[str] | None, typer.Option("--product", help=SAY("product"))]
Template = Annotated[str, typer.Argument(help=SAY("template"))]
Asked = Annotated[Path | None, typer.Option("--request", help=SAY("request"))]
People = Annotated[Path | None, typer.Option("--members", help=SAY("members"))]


def register(app: typer.Typer) -> None:
    """Add the commands to `kizuna policy`."""
    app.command("test", help=SAY("test"))(run_cases)
    app.command("explain", help=SAY("explain"))(explain)
    app.command("simulate", help=SAY("simulate"))(simulate)
    app.command("bench", help=SAY("bench"))(bench)


def run_cases(files: Cases, profile: ProfileName = "base", coverage: CoverageFlag = False, as_json: Json = False) -> None:
    loaded = load(profile)
    outcomes: list[cases.Outcome] = []
    covered: list[cases.Coverage] = []
    for path in _case_files(files):
        done, seen = cases.run(path, loaded)
        outcomes += done
        covered.append(seen)
    failed = [each for each in outcomes if each.faults]
    if as_json:
        shown = {"coverage": to_builtins(covered)} if coverage else {}
        print_result({"passed": len(outcomes) - len(failed), "failed": to_builtins(failed), **shown}, as_json=True)
    else:
        for each in failed:
            typer.echo(f"{each.file}: {each.name}: " + "; ".join(each.faults))
        for seen in covered if coverage else []:
            typer.echo(f"{seen.file}: {SAY('covered', constraints=seen.constraints)}")
            for key, paths in (("never_held", seen.never_held), ("never_failed", seen.never_failed)):
                typer.echo(f"  {SAY(key)}: {', '.join(paths) or '-'}")
        typer.echo(SAY("tested", passed=len(outcomes) - len(failed), failed=len(failed)))
    if failed or not outcomes:
        raise typer.Exit(1)


def _case_files(given: list[Path]) -> list[Path]:
    found = [each for path in given for each in (sorted(path.rglob(f"*{cases.ENDING}")) if path.is_dir() else [path])]
    if not found:
        raise BadInput(SAY("no_cases", ending=cases.ENDING))
    return found


def _decided(
    policy: Path,
    profile: Profile,
    who: Path | None,
    facts: list[str] | None,
    action: str,
    phase: str,
    now: str,
    products: list[str] | None = None,
) -> Decision:
    if not (named := next((each for each in PHASES if each == phase), None)):
        raise BadInput(SAY("unknown_phase", phase=phase), next_step=", ".join(PHASES))
    ((_, value),) = documents([policy])
    asker = _asker(who)
    asker = msgspec.structs.replace(asker, facts=asker.facts | parameters(facts))
    request = asker.request(profile, action, named, _now(now), products=products or ())
    return evaluate(profile.policy(value), request)


def _asker(who: Path | None) -> Asker:
    if who is None:
        return Asker()
    ((name, value),) = documents([who])
    return _read(name, value)


def _read(name: str, value: Any) -> Asker:
    try:
        return msgspec.convert(value, Asker)
    except msgspec.ValidationError as error:
        raise BadInput(f"{name}: {error}") from error


def _now(text: str) -> Any:
    return moment(text) if text else SystemClock().now()


def explain(
    policy: Policy,
    profile: ProfileName = "base",
    who: Who = None,
    fact: Fact = None,
    action: Action = "use",
    phase: PhaseName = "negotiation",
    now: Now = "",
    product: Products = None,
    lang: Language = "",
    as_json: Json = False,
) -> None:
    loaded = load(profile)
    decision = _decided(policy, loaded, who, fact, action, phase, now, product)
    if as_json:
        print_result(to_builtins(tree(decision)), as_json=True)
    else:
        typer.echo("\n".join(explained(decision, Words(language(lang), loaded))))
    if not decision.permitted:
        raise typer.Exit(1)


def simulate(
    template: Template,
    values: Values = None,
    *,
    members: People = None,
    request: Asked = None,
    product: Products = None,
    profile: ProfileName = "base",
    now: Now = "",
    lang: Language = "",
    as_json: Json = False,
) -> None:
    if members is None and request is None:
        raise BadInput(SAY("nobody_asks"), next_step=SAY("nobody_asks_next"))
    loaded = load(profile)
    access, contract = loaded.offer(template, **parameters(values))
    asked = [each for _, value in documents([request]) for each in questions(value, loaded)] if request is not None else []
    words = Words(language(lang), loaded)
    rows = simulated(
        template, loaded.policy(access), loaded.policy(contract), _askers(members), loaded, _now(now), words, asked=asked, products=product or (),
    )  # fmt: skip
    if as_json:
        print_result({"rows": to_builtins(rows)}, as_json=True)
    else:
        print_result([_cells(each) for each in rows], as_json=False)


def _askers(members: Path | None) -> list[Asker]:
    if members is None:
        return []
    ((name, found),) = documents([members])
    if not isinstance(found, list):
        raise BadInput(SAY("not_a_list", path=name))
    return [_read(name, each) for each in found]


def _cells(row: Row) -> dict[str, str]:
    return {
        "participant": row.participant,
        "action": row.action,
        "sees": "x" if row.sees else "-",
        "gets": "x" if row.gets else "-",
        "until": row.until or "-",
        "missing": ", ".join(row.missing),
    }


def bench(
    policy: Policy,
    profile: ProfileName = "base",
    who: Who = None,
    fact: Fact = None,
    action: Action = "use",
    phase: PhaseName = "negotiation",
    now: Now = "",
    as_json: Json = False,
) -> None:
    decision = _decided(policy, load(profile), who, fact, action, phase, now)
    request: Request = decision.request
    print_result(measured(decision.policy, request), as_json=as_json)
