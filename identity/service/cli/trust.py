"""`kizuna trust show | diff | publish`: whom the members believe. The draft is `trust.toml` in the service's data directory."""

from typing import Annotated

import typer

from identity.service.cli.local import SAY, Address, Json, KeyFile, MaybeDirectory, client, show

Sequence = Annotated[int, typer.Argument(metavar="NUMBER", min=0, help=SAY("trust_number"))]


def commands() -> typer.Typer:
    """The group `trust`."""
    group = typer.Typer(no_args_is_help=True, help=SAY("trust_help"))
    group.command("show", help=SAY("trust_show_help"))(show_list)
    group.command("diff", help=SAY("trust_diff_help"))(diff)
    group.command("publish", help=SAY("trust_publish_help"))(publish)
    return group


def show_list(
    directory: MaybeDirectory = None, management: Address = "", key_file: KeyFile = None, *, as_json: Json = False
) -> None:
    found = client(directory, management, key_file).get("/v1/trust-list")
    lines = [SAY("trust_shown", sequence=found["sequence"], until=found["until"])]
    lines += [f"  {each['did']}: {', '.join(each['types'])}" for each in found["content"]["issuers"]]
    lines += [f"  {each['authority']} >> {', '.join(each['types'])}" for each in found["content"].get("bridges", ())]
    show(found, "\n".join(lines), as_json=as_json)


def diff(directory: MaybeDirectory = None, management: Address = "", key_file: KeyFile = None, *, as_json: Json = False) -> None:
    found = client(directory, management, key_file).get("/v1/trust-list/diff")
    lines = [*found["changes"], SAY("trust_next", sequence=found["sequence"])] if found["changes"] else [SAY("trust_same")]
    show(found, "\n".join(lines), as_json=as_json)


def publish(
    sequence: Sequence,
    directory: MaybeDirectory = None,
    management: Address = "",
    key_file: KeyFile = None,
    *,
    as_json: Json = False,
) -> None:
    found = client(directory, management, key_file).post("/v1/trust-list", {"replaces": sequence})
    show(found, SAY("trust_published", sequence=found["sequence"], until=found["until"]), as_json=as_json)
