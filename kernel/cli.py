"""The `kizuna` command: each package registers its sub-commands by the entry point group `kizuna.commands`.

Rules: results go to standard output, as JSON with `--json`; errors go to standard error as cause and next step, with an exit code
of their own (0 done, 1 refused or failed, 2 bad input, 3 settings, 4 newer data, 5 in use). No stack trace for an error
that has a name.
"""

import http.client
import ssl
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import typer

from kernel import wire
from kernel.errors import BadInput, KizunaError, UnavailableError

GROUP = "kizuna.commands"


class Refused(KizunaError):
    """A service answered with a problem."""

    code: ClassVar[str] = "refused"


class ManagementClient:
    """A management API, called synchronously by commands. Raises `Refused` for problems, `UnavailableError` for silence."""

    def __init__(self, address: str, key: str) -> None:
        self._address = urlsplit(address)
        self._key = key

    def get(self, path: str, *, wait: float = 0) -> Any:
        return self._call("GET", _waiting(path, wait), None, wait + 30)

    def items(self, path: str, after: str = "") -> Iterator[Any]:
        """All items of a list, page after page."""
        while True:
            found = self.get(f"{path}{'&' if '?' in path else '?'}limit=1000" + (f"&after={quote(after)}" if after else ""))
            yield from found["items"]
            last, after = after, found["next"]
            if not after or after == last:
                return

    def post(self, path: str, body: Any, *, wait: float = 0, timeout: float = 30) -> Any:
        return self._call("POST", _waiting(path, wait), wire.dumps(body), wait + timeout)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path, None, 30)

    def upload(self, path: str, file: Path) -> Any:
        """POST the file's bytes."""
        with file.open("rb") as stream:
            return self._call("POST", path, stream, 3600, str(file.stat().st_size))

    def _call(self, method: str, path: str, body: Any, timeout: float, length: str = "") -> Any:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection = self._connection(timeout)
        try:
            connection.request(method, path, body, headers | ({"Content-Length": length} if length else {}))
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(
                f"nothing answers on {self._address.netloc} ({error})", next_step="start the service first"
            ) from error
        finally:
            connection.close()
        return _result(answer.status, data)

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=timeout)


def _waiting(path: str, wait: float) -> str:
    return f"{path}{'&' if '?' in path else '?'}wait={wait:g}" if wait else path


def _result(status: int, data: bytes) -> Any:
    if status < 400:
        return wire.loads(data, limit=1 << 30, depth=200) if data else {}
    try:
        body = wire.loads(data)
    except BadInput:
        body = None
    found = body if isinstance(body, dict) else {}  # a proxy in between answers as it likes
    error = Refused(str(found.get("detail") or found.get("title") or status), next_step=str(found.get("nextStep", "")))
    error.code = str(found.get("code", "refused"))  # type: ignore[misc]
    error.status = status  # type: ignore[misc]
    raise error


def print_result(value: Any, *, as_json: bool) -> None:
    """Show a result: JSON for machines, a table or lines for people."""
    if as_json:
        typer.echo(wire.dumps(value).decode())
        return
    if isinstance(value, str):
        typer.echo(value)
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(soft_wrap=True, markup=False, width=None if sys.stdout.isatty() else 240)  # values come from others
    if isinstance(value, dict):
        width = max(map(len, value), default=0)
        for name, each in value.items():
            console.print(f"{name:<{width}}  {_plain(each)}", highlight=False)
    elif value:
        columns = list(value[0])
        table = Table(*columns, box=None, pad_edge=False)
        for row in value:
            table.add_row(*(_plain(row.get(column)) for column in columns))
        console.print(table)
    elif isinstance(value, list):
        console.print("nothing there")


def _plain(value: Any) -> str:
    """A value without the braces and quotes of a programming language."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}".rstrip() for name, each in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_plain, value))
    return "" if value is None else str(value)


def report(error: KizunaError) -> None:
    """Cause and next step, for people."""
    typer.echo(f"kizuna: {error.detail or error.code}", err=True)
    if error.next_step:
        typer.echo(f"  next: {error.next_step}", err=True)


def application(first: str = "") -> typer.Typer:
    """The application with the commands of all packages; of one alone where `first` is its name, so that the others need not be loaded."""
    found = entry_points(group=GROUP)
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    for each in sorted([each for each in found if each.name == first] or found, key=lambda found: found.name):
        each.load()(app)
    return app


def main() -> None:
    """Entry point of `kizuna`."""
    try:
        application(sys.argv[1] if len(sys.argv) > 1 else "")()
    except KizunaError as error:
        report(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
