"""The built wheel, in an empty environment outside the checkout, has the command line, the profiles, the stories and the units."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.ports import free_ports

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)], cwd=ROOT, check=True, capture_output=True
    )
    return next(place.glob("*.whl"))


def test_the_wheel_carries_its_data_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "policies/profiles/battery/profile.toml",
        "policies/profiles/steel/texts/ja.toml",
        "deploy/pilots/battery/dataspace.toml",
        "deploy/systemd/kizuna-connector@.service",
        "connector/store/migrations/versions/v0001_first.py",
        "connector/dsp/contexts.toml",
        "connector/texts/ja.toml",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]


def test_an_installed_wheel_makes_and_runs_a_connector_outside_the_checkout(wheel, tmp_path):
    """The packages it needs are lent by this environment; the product itself comes from the wheel alone."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    lent = next(path for path in sys.path if path.endswith("site-packages"))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{site}{os.pathsep}{tmp_path / 'lent'}", "KIZUNA_LANGUAGE": "en"}
    (tmp_path / "lent").mkdir()
    for package in Path(lent).iterdir():
        if "kizuna" not in package.name:
            (tmp_path / "lent" / package.name).symlink_to(package)
    code = "from identity.tls.web import WebCa; import pathlib; ca=WebCa.create(); c,k=ca.issue(['localhost']);" \
           "[pathlib.Path(n).write_bytes(d) for n,d in (('c.pem',c),('r.pem',ca.certificate_pem))];" \
           "p=pathlib.Path('k.pem'); p.touch(mode=0o600); p.write_bytes(k)"  # fmt: skip
    run(environment, tmp_path, "-c", code)
    public, member, management = map(str, free_ports(3))
    run(environment, tmp_path, "-m", "kernel.cli", "connector", "init", "--dir", "node", "--name", "Wheel KK", "--profile", "battery",
        "--authority", "did:web:a.example", "--tls-cert", "c.pem", "--tls-key", "k.pem", "--roots", "r.pem",
        "--public-port", public, "--member-port", member, "--management-port", management)  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", f"import sys; sys.path[:0]={[str(site), str(tmp_path / 'lent')]!r};"
         "sys.argv=['connector','--dir','node']; import runpy; runpy.run_module('connector', run_name='__main__')"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for line in process.stderr:
            if '"ready"' in line:
                break
        else:
            pytest.fail("it did not become ready")
        where = run(environment, tmp_path, "-c", "import connector; print(connector.__file__)")
        assert str(site) in where
        status = run(environment, tmp_path, "-m", "kernel.cli", "connector", "status", "--dir", "node")
        assert "Wheel KK" in status
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stderr.close()


def run(environment, place, *arguments):
    done = subprocess.run([sys.executable, "-P", *arguments],
                          cwd=place, env=environment, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_units_start_what_exists():
    for unit, command in (("kizuna-connector@.service", "connector run"), ("kizuna-identity@.service", "identity run")):
        text = (ROOT / "deploy/systemd" / unit).read_text(encoding="utf-8")
        assert f"bin/kizuna {command} --dir" in text
        assert "RestartPreventExitStatus=2 3 4 5" in text
