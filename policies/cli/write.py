"""`kizuna policy fmt | new | schema | render`: what writes policies and texts."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import UNSET, to_builtins

from kernel.cli import print_result
from kernel.errors import BadInput
from kernel.texts import LANGUAGES, preferred
from policies.cli.files import SAY, Files, Json, ProfileName, documents
from policies.profiles import load

Language = Annotated[str, typer.Option("--lang", help=SAY("language"))]
Check = Annotated[bool, typer.Option("--check", help=SAY("fmt_check"))]
Template = Annotated[str, typer.Argument(help=SAY("template"))]
Values = Annotated[list[str] | None, typer.Argument(help=SAY("values"))]
From = Annotated[str, typer.Option("--from", help=SAY("convert_from"))]
To = Annotated[str, typer.Option("--to", help=SAY("convert_to"))]
Keep = Annotated[bool, typer.Option("--keep-losing", help=SAY("convert_keep"))]
Access = Annotated[bool, typer.Option("--access", help=SAY("access_part"))]


def register(app: typer.Typer) -> None:
    """Add the commands to `kizuna policy`."""
    app.command("fmt", help=SAY("fmt"))(fmt)
    app.command("new", help=SAY("new"))(new)
    app.command("templates", help=SAY("templates"))(templates)
    app.command("schema", help=SAY("schema"))(schema)
    app.command("render", help=SAY("render"))(render)
    app.command("convert", help=SAY("convert"))(convert)


def language(chosen: str) -> str:
    """A language that there is; raises `BadInput`."""
    found = chosen or preferred()
    if found not in LANGUAGES:
        raise BadInput(SAY("unknown_language", language=found), next_step=", ".join(LANGUAGES))
    return found


def parameters(given: list[str] | None) -> dict[str, Any]:
    """`name=value` words; a name that stands several times has several values. Raises `BadInput`."""
    found: dict[str, Any] = {}
    for each in given or []:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise BadInput(SAY("not_a_value", value=each))
        found[name] = [*_listed(found[name]), value] if name in found else value
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def fmt(files: Files, check: Check = False, as_json: Json = False) -> None:
    from policies.tools.fmt import formatted  # noqa: PLC0415

    changed = []
    for name, value in documents(files):
        text = formatted(value)
        if name == "-":
            sys.stdout.write(text)
        elif text != Path(name).read_text(encoding="utf-8"):
            changed.append(name)
            if not check:
                Path(name).write_text(text, encoding="utf-8")
    if as_json:
        print_result({"changed": changed}, as_json=True)
    else:
        for name in changed:
            typer.echo(name)
    if check and changed:
        raise typer.Exit(1)


def new(template: Template, values: Values = None, profile: ProfileName = "base", access: Access = False) -> None:
    seen, contract = load(profile).offer(template, **parameters(values))
    typer.echo(_pretty(seen if access else contract))


def templates(profile: ProfileName = "base", lang: Language = "", as_json: Json = False) -> None:
    loaded, chosen = load(profile), language(lang)
    rows = [
        {
            "id": name,
            "version": each.version,
            "status": each.status,
            "title": loaded.text(f"template.{name}", chosen),
            "parameters": " ".join(
                key if parameter.optional or parameter.default is not UNSET else f"{key}*"
                for key, parameter in each.parameters.items()
            ),
        }
        | (
            {"terms": loaded.text(f"template.{name}.terms", chosen), "refers": {key: list(to) for key, to in each.refers.items()}}
            if as_json
            else {}
        )
        for name, each in loaded.templates.items()
    ]
    print_result({"templates": rows} if as_json else rows, as_json=as_json)


def schema(profile: ProfileName = "base") -> None:
    from policies.tools.author import schema as made  # noqa: PLC0415

    typer.echo(_pretty(made(load(profile))))


def render(files: Files, profile: ProfileName = "base", lang: Language = "", as_json: Json = False) -> None:
    from policies.tools.render import rendered  # noqa: PLC0415
    from policies.tools.words import Words  # noqa: PLC0415

    loaded = load(profile)
    words = Words(language(lang), loaded)
    for name, value in documents(files):
        text = rendered(loaded.policy(value), words)
        if as_json:
            print_result({"file": name, "language": words.language, "text": text}, as_json=True)
        else:
            typer.echo(text)


def convert(
    file: Annotated[Path, typer.Argument(help=SAY("policy_file"))],
    origin: From = "",
    to: To = "",
    profile: ProfileName = "base",
    keep: Keep = False,
    as_json: Json = False,
) -> None:
    from policies.tools.convert import form, read  # noqa: PLC0415
    from policies.tools.convert import write as written  # noqa: PLC0415

    loaded = load(profile)
    if bool(origin) == bool(to):
        raise BadInput(SAY("convert_one_way"))
    form(origin or to)
    ((_, value),) = documents([file])
    if to:
        loaded.policy(value)
    found = read(value, origin, loaded, keep=keep) if origin else written(value, to, loaded)
    if origin:
        loaded.policy(found.policy)
    if as_json:
        print_result({"policy": found.policy, "losses": to_builtins(found.losses)}, as_json=True)
    else:
        typer.echo(_pretty(found.policy))
        for each in found.losses:
            typer.echo(f"{each.path}: {each.what}: {SAY(f'loss_{each.effect}')}", err=True)
    if any(each.effect != "legal" for each in found.losses):
        raise typer.Exit(1)
