"""`kizuna demo [story | revocation] [--keep] [--json] [--database URL]`."""

import contextlib
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from kernel.errors import KizunaError

Story = Annotated[
    str,
    typer.Argument(help="Which story: the name of a folder in deploy/pilots, or `revocation`: how fast a suspended member is out."),
]
Keep = Annotated[bool, typer.Option("--keep", help="Leave everything running until interrupted, and keep the files.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per step.")]
REVOCATION = "revocation"
Database = Annotated[str, typer.Option(help="PostgreSQL URL: the identity service's roles run apart over it (`revocation` only).")]
Directory = Annotated[Path | None, typer.Option("--dir", help="Where the data directories go (default: a temporary one).")]


def register(app: typer.Typer) -> None:
    """Called by `kernel.cli` through the entry point `kizuna.commands`."""
    app.command("demo", help="Tell the story of two companies, end to end, on this machine.")(demo)
    app.command("demo-certificate", help="A server certificate of a kept demonstration's own CA, for a node that joins it.")(
        certificate
    )


def demo(
    story: Story = "battery", keep: Keep = False, as_json: Json = False, directory: Directory = None, database: Database = ""
) -> None:
    from deploy.demo import report, topology  # noqa: PLC0415  not needed to print a help text

    if database and story != REVOCATION:
        raise typer.BadParameter("only the story `revocation` is told with the roles apart", param_hint="--database")
    space = topology.load("battery" if story == REVOCATION else story)
    told: report.Told = report.ForMachines() if as_json else report.ForPeople()
    trail = report.Trail(told)
    place = directory or Path(tempfile.mkdtemp(prefix="kizuna-demo-"))
    began = time.monotonic()
    title = "How fast a suspended member is out" if story == REVOCATION else space.title["en"]
    ending: dict[str, Any] = {"story": story, "title": title, "ok": False}
    try:
        if story == REVOCATION:
            _run_revocation(place, space, trail, database, keep=keep)
        else:
            _run(place, story, space, trail, ending, keep=keep)
        ending["ok"] = True
    except KizunaError as error:
        ending |= {"error": error.detail, "next": error.next_step, "directory": str(place)}
    finally:
        ending |= {"steps": trail.steps, "seconds": round(time.monotonic() - began, 1)}
        told.end(ending)
        if ending["ok"] and not keep and directory is None:
            shutil.rmtree(place, ignore_errors=True)
    raise typer.Exit(0 if ending["ok"] else 1)


def certificate(
    directory: Annotated[
        Path, typer.Argument(help="Directory of the demonstration (`kizuna demo --keep --dir ...`).", exists=True)
    ],
    output: Annotated[Path, typer.Argument(help="Where to put NAME.pem and NAME.key, without the ending.")],
) -> None:
    from deploy.demo.world import HOST, write_certificate  # noqa: PLC0415
    from identity.tls.web import WebCa  # noqa: PLC0415

    ca = WebCa.load(directory / "roots.pem", directory / "web-ca.key")
    made, key = write_certificate(output, ca.issue([HOST, "127.0.0.1"]))
    typer.echo(f"--tls-cert {made} --tls-key {key} --roots {directory / 'roots.pem'}")


def _run(place: Path, story: str, space: Any, trail: Any, ending: dict[str, Any], *, keep: bool) -> None:
    from deploy.demo.outsider import Outsider  # noqa: PLC0415
    from deploy.demo.processes import own_memory  # noqa: PLC0415
    from deploy.demo.story import Story  # noqa: PLC0415
    from deploy.demo.world import World  # noqa: PLC0415

    world = World(place, story, space)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end like Ctrl-C: whatever was started is stopped
    outsider = Outsider.create(world.directory / "outsider", world.outsider_port, world.roots)
    try:
        trail.chapter(f"{space.title['en']} / {space.title['ja']}")
        trail.step("set-up", "data directories, keys, certificates", lambda: _make(world, outsider))
        trail.step("start", "one identity service and three connectors start", lambda: _start(world))
        outsider.start()
        Story(world, trail, outsider).tell()
        memory = {node.name: round(node.memory(), 1) for node in world.nodes}
        ending["memory"] = memory | {"demonstration": round(own_memory(), 1), "unit": "MB PSS"}
        ending["total_mb"] = round(sum(memory.values()) + own_memory(), 1)
        if keep:
            _keep(trail, place)
    finally:
        outsider.stop()
        for node in reversed(world.nodes):
            node.stop()


def _run_revocation(place: Path, space: Any, trail: Any, database: str, *, keep: bool) -> None:
    from deploy.demo.relay import Relay  # noqa: PLC0415
    from deploy.demo.revocation import Revocation  # noqa: PLC0415
    from deploy.demo.world import World  # noqa: PLC0415

    world = World(place, "battery", space)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    relay = Relay(world.relay_port, world.base)
    try:
        trail.chapter("How fast a suspended member is out / 停止されたメンバーがどれだけ早く締め出されるか")
        trail.step("set-up", "data directories, keys, certificates", lambda: _make_members(world, database))
        relay.start()
        service = "one identity service" if not database else "authority, issuer and CA, each by itself,"
        trail.step("start", f"{service} and three connectors start", lambda: _start(world))
        Revocation(world, trail, relay).tell()
        if keep:
            _keep(trail, place)
    finally:
        for node in reversed(world.nodes):
            node.stop()
        relay.stop()


def _keep(trail: Any, place: Path) -> None:
    trail.chapter(f"Everything keeps running; the data directories are in {place}. Ctrl-C ends it.")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def _make_members(world: Any, database: str) -> dict[str, Any]:
    world.make_identity(relayed=True, database=database)
    for part in world.connectors:
        world.make_connector(part)
    return {"directory": str(world.directory)}


def _make(world: Any, outsider: Any) -> dict[str, Any]:
    world.make_identity()
    outsider.make(world.server_certificate("outsider-server"))
    for part in world.connectors:
        world.make_connector(part, outsider.issuer_did)
    return {"directory": str(world.directory)}


def _start(world: Any) -> dict[str, Any]:
    for node in world.nodes:
        node.start()
    for node in world.nodes:
        node.wait_ready()
    return {node.name: f"log {node.log_file}" for node in world.nodes}
