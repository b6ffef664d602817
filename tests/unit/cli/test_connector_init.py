"""`kizuna connector init` refuses what would only fail later, and leaves nothing behind."""

import pytest
from typer.testing import CliRunner

from identity.tls.web import WebCa
from kernel.cli import application
from kernel.errors import KizunaError

PINNED = "v7DwP5VbS8sawRKuPAJGUXSIo4XXZr1q-uHKbOyFcpI"


@pytest.fixture
def init(tmp_path):
    certificate, key = WebCa.create().issue(["localhost"])
    (tmp_path / "node.pem").write_bytes(certificate)
    (tmp_path / "node.key").write_bytes(key)

    def run(**given):
        options = {
            "name": "Acme KK", "profile": "base", "authority": "did:web:space.example", "authority-key": PINNED, "public-port": "1",
            "member-port": "2", "management-port": "3", "tls-cert": tmp_path / "node.pem", "tls-key": tmp_path / "node.key",
            "roots": tmp_path / "node.pem", "dir": tmp_path / "acme",
        } | given  # fmt: skip
        words = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return CliRunner().invoke(application("connector"), ["connector", "init", *words])

    return run


def test_what_is_right_is_made(init, tmp_path):
    done = init()
    assert done.exit_code == 0
    assert (tmp_path / "acme/connector.toml").is_file()


@pytest.mark.parametrize(
    "given",
    [{"authority-key": "THUMBPRINT"}, {"authority-key": PINNED[:-1]}, {"profile": "nope"}, {"authority": "space.example"}],
)
def test_what_would_fail_later_is_refused_with_nothing_made(init, tmp_path, given):
    refused = init(**given).exception
    assert isinstance(refused, KizunaError)
    assert next(iter(given.values())) in refused.detail
    assert not (tmp_path / "acme").exists()
