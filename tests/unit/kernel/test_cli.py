"""kernel.cli: problems become errors with cause, next step and exit code; silence says what to do; results for people and machines."""

import asyncio
import json
import socket
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import typer
from aiohttp import web

from kernel import cli
from kernel.cli import ManagementClient, Refused
from kernel.errors import BadInput, Conflict, InUse, KizunaError, Misconfigured, NewerData, UnavailableError
from kernel.web import problem


class Service:
    """A management API that gives the answer put into it and remembers what it was asked."""

    def __init__(self):
        self.answer, self.asked = web.Response, []

    async def handle(self, request):
        body = await request.read()
        self.asked.append((request.method, request.path_qs, body, dict(request.headers)))
        return self.answer()

    def gives(self, body, status=200, kind="application/json"):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answer = lambda: web.Response(body=raw, status=status, content_type=kind)


@pytest.fixture
async def service():
    found = Service()
    runner = web.ServerRunner(web.Server(found.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.client = ManagementClient(f"http://127.0.0.1:{runner.addresses[0][1]}", "the-key")
    yield found
    await runner.cleanup()


async def get(service, path="/x", **more):
    return await asyncio.to_thread(lambda: service.client.get(path, **more))


async def test_every_call_carries_the_key_and_its_body(service, tmp_path):
    service.gives({"done": True})
    file = tmp_path / "file"
    file.write_bytes(b"bytes" * 1000)
    assert await get(service, "/a") == {"done": True}
    await asyncio.to_thread(service.client.post, "/b", {"one": 1})
    await asyncio.to_thread(service.client.delete, "/c")
    await asyncio.to_thread(service.client.upload, "/d", file)
    assert [each[:3] for each in service.asked] == [
        ("GET", "/a", b""),
        ("POST", "/b", b'{"one":1}'),
        ("DELETE", "/c", b""),
        ("POST", "/d", b"bytes" * 1000),
    ]
    assert {each[3]["Authorization"] for each in service.asked} == {"Bearer the-key"}


@pytest.mark.parametrize(
    ("path", "wait", "expected"),
    [("/x", 0, "/x"), ("/x", 5, "/x?wait=5"), ("/x?a=1", 2.5, "/x?a=1&wait=2.5"), ("/x", 10.0, "/x?wait=10")],
)
async def test_waiting_is_told_to_the_service(service, path, wait, expected):
    service.gives({})
    await get(service, path, wait=wait)
    assert service.asked[0][1] == expected


async def test_an_empty_answer_is_an_empty_result(service):
    service.gives(b"", 204)
    assert await get(service) == {}


@pytest.mark.parametrize("error", [Conflict("it is taken", next_step="choose another"), BadInput("no"), UnavailableError("later")])
async def test_a_problem_becomes_an_error_with_its_code_status_cause_and_next_step(service, error):
    service.answer = lambda: problem(None, error)
    with pytest.raises(Refused) as caught:
        await get(service)
    found = caught.value
    assert (found.code, found.status, found.detail, found.next_step) == (error.code, error.status, error.detail, error.next_step)
    assert found.exit_code == 1
    assert Refused.code == "refused"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Bad Gateway</html>", "text/html"),
        (b"", "text/plain"),
        (b"[]", "application/json"),
        (b'"text"', "application/json"),
        (b"null", "application/json"),
        (b"{}", "application/json"),
        (b'{"detail":null,"code":7}', "application/json"),
        (b"\xff\xfe", "application/json"),
    ],
)
async def test_a_failure_of_somebody_in_between_is_an_error_with_its_status(service, body, kind):
    service.gives(body, 502, kind)
    with pytest.raises(Refused) as caught:
        await get(service)
    assert caught.value.status == 502
    assert caught.value.detail


async def test_an_answer_that_is_no_json_has_a_name_and_no_stack_trace(service):
    service.gives(b"<html>", 200, "text/html")
    with pytest.raises(KizunaError):
        await get(service)


@pytest.fixture
def nobody():
    """A port on which nobody answers."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        yield found.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_where_nobody_answers_the_address_is_named_and_the_next_step(nobody, scheme):
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{nobody}") as caught:
        ManagementClient(f"{scheme}://127.0.0.1:{nobody}", "key").get("/x")
    assert "start the service" in caught.value.next_step


async def test_a_connection_that_ends_without_an_answer_is_unavailable():
    async def drop(_, writer):
        writer.close()

    async with await asyncio.start_server(drop, "127.0.0.1", 0) as server:
        client = ManagementClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "key")
        with pytest.raises(UnavailableError):
            await asyncio.to_thread(client.get, "/x")


@pytest.mark.parametrize(
    ("error", "code"), [(KizunaError("x"), 1), (BadInput("x"), 2), (Misconfigured("x"), 3), (NewerData("x"), 4), (InUse("x"), 5)]
)
def test_main_ends_with_the_errors_code_and_says_cause_and_next_step_without_a_stack_trace(monkeypatch, capsys, error, code):
    error.detail, error.next_step = "the cause", "the step"
    app = typer.Typer()

    @app.command()
    def fail():
        raise error

    monkeypatch.setattr(cli, "application", lambda _: app)
    monkeypatch.setattr("sys.argv", ["kizuna"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capsys.readouterr()
    assert caught.value.code == code
    assert out == ""
    assert err == "kizuna: the cause\n  next: the step\n"


def test_an_error_without_words_is_named_by_its_code(capsys):
    cli.report(Conflict())
    assert capsys.readouterr().err == "kizuna: conflict\n"


@pytest.mark.parametrize("value", [{"a": 1, "b": ["鍵"]}, [{"a": 1}], [], "text", None])
def test_results_for_machines_are_one_line_of_json(capsys, value):
    cli.print_result(value, as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([{"name": "a", "state": "ACTIVE"}, {"name": "b", "state": "[bold]"}], ["name", "ACTIVE", "[bold]"]),
        ([], ["nothing there"]),
        ({"name": "a", "list": "[red]x[/red]"}, ["name  a", "[red]x[/red]"]),
        ({}, []),
        ("[x] done", ["[x] done"]),
        ("[/x] done", ["[/x] done"]),
    ],
)
def test_results_for_people_show_values_as_they_are(capsys, value, expected):
    cli.print_result(value, as_json=False)
    out = capsys.readouterr().out
    for each in expected:
        assert each in out


def test_rows_with_fewer_columns_are_shown(capsys):
    cli.print_result([{"name": "a", "state": "X"}, {"name": "b"}], as_json=False)
    assert "b" in capsys.readouterr().out


def test_all_packages_register_their_commands():
    names = {each.name for each in cli.application().registered_groups} | {
        each.name for each in cli.application().registered_commands
    }
    assert names


def test_a_package_that_is_named_is_loaded_alone():
    code = "import sys; from kernel.cli import application; application('policy'); print('connector.cli' in sys.modules, 'policies.cli' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]


def test_the_commands_of_a_connector_load_no_server():
    """`connector run` replaces itself by the serving process: what its command line loads before is loaded for nothing."""
    code = "import sys; from kernel.cli import application; application('connector')"
    code += "; print([m for m in ('aiohttp', 'sqlalchemy', 'connector.management', 'connector.settings', 'policies.profiles') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_every_package_registers_stands_under_no_other_packages_name():
    """Else a command would be missing where only the package of that name is loaded."""
    whole, packages = cli.application(), {each.name for each in entry_points(group=cli.GROUP)}
    named = [each for each in whole.registered_groups if each.name in packages]
    for each in named:
        (alone,) = [one for one in cli.application(each.name).registered_groups if one.name == each.name]
        assert len(alone.typer_instance.registered_commands) == len(each.typer_instance.registered_commands)
