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
from kernel.texts import preferred, texts

SAY = texts("deploy.demo")

Story = Annotated[
    str,
    typer.Argument(help=SAY("help.story")),
]
Keep = Annotated[bool, typer.Option("--keep", help=SAY("help.keep"))]
Json = Annotated[bool, typer.Option("--json", help=SAY("help.json"))]
REVOCATION = "revocation"
Database = Annotated[str, typer.Option(help=SAY("help.database"))]
Directory = Annotated[Path | None, typer.Option("--dir", help=SAY("help.dir"))]


def register(app: typer.Typer) -> None:
    """Called by `kernel.cli` through the entry point `kizuna.commands`."""
    app.command("demo", help=SAY("help.demo"))(demo)
    app.command("demo-certificate", help=SAY("help.certificate"))(certificate)


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
    title = SAY("title.revocation") if story == REVOCATION else space.title[preferred()]
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
    directory: Annotated[Path, typer.Argument(help=SAY("help.directory"), exists=True)],
    output: Annotated[Path, typer.Argument(help=SAY("help.output"))],
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
        trail.chapter(ending["title"])
        trail.step("set-up", SAY("step.set-up"), lambda: _make(world, outsider))
        trail.step("start", SAY("step.start"), lambda: _start(world))
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
        trail.chapter(SAY("title.revocation"))
        trail.step("set-up", SAY("step.set-up"), lambda: _make_members(world, database))
        relay.start()
        trail.step("start", SAY("step.start-apart" if database else "step.start"), lambda: _start(world))
        Revocation(world, trail, relay).tell()
        if keep:
            _keep(trail, place)
    finally:
        for node in reversed(world.nodes):
            node.stop()
        relay.stop()


def _keep(trail: Any, place: Path) -> None:
    trail.chapter(SAY("keep", place=place))
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
