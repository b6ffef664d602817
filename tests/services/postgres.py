"""A PostgreSQL server of our own: a cluster in a folder, under a user without rights, reached by a Unix socket (and on loopback where a port is given).

It is found in PATH or where Debian puts it, else installed with apt-get (`install`, as root). Nothing of the machine's own PostgreSQL is touched: its clusters and ports
are others'.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

USER = "kizuna"
DEBIAN = Path("/usr/lib/postgresql")
NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/kizuna-tests.conf")


def binaries():
    """The folder of `initdb` and `pg_ctl`; None where there is no server."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(DEBIAN.glob("*/bin"), key=lambda folder: -float(folder.parent.name))
    return next((each for each in folders if (each / "initdb").exists() and (each / "postgres").exists()), None)


def install():
    """Get a server with apt-get; raises `RuntimeError` with what to do where that is not possible."""
    if binaries():
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError("no PostgreSQL server here, and no right to install one: apt-get install postgresql")
    NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
    NO_CLUSTER.write_text("create_main_cluster = false\n", encoding="ascii")  # the package would start one of its own
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet)
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "postgresql"], check=True, env=quiet)


class Cluster:
    """A cluster in `place`."""

    def __init__(self, place, port=None):
        self.place, self.port, self._bin = Path(place), port, binaries()

    @classmethod
    def create(cls, port=None):
        """Make and start one in a new temporary folder."""
        made = cls(tempfile.mkdtemp(prefix="kizuna-pg-", dir="/tmp"), port)  # a socket's path may have 107 bytes
        if user := made._user():
            os.chown(made.place, user.pw_uid, user.pw_gid)
        made._run("initdb", "-D", made.data, "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8",
                  "--locale-provider=icu", "--icu-locale=en-US", "--no-sync")  # fmt: skip
        made.start()
        return made

    @property
    def data(self):
        return str(self.place / "data")

    def start(self):
        listen = "127.0.0.1" if self.port else ""
        options = f"-c listen_addresses='{listen}' -c unix_socket_directories='{self.place}' -c max_connections=200 -c shared_buffers=32MB"
        options += f" -c port={self.port}" if self.port else ""
        self._run("pg_ctl", "-D", self.data, "-o", options, "-l", str(self.place / "log"), "-w", "start")

    def stop(self, mode="fast"):
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def remove(self):
        """Stop it and remove the folder."""
        if self.running():
            self.stop("immediate")
        shutil.rmtree(self.place, ignore_errors=True)

    def running(self):
        return self.place.exists() and self._run("pg_ctl", "-D", self.data, "status", check=False).returncode == 0

    def url(self, database="postgres"):
        port = f"&port={self.port}" if self.port else ""
        return f"postgresql://{USER}@/{database}?host={self.place}{port}"

    def create_database(self, name, template="template0"):
        self._run("createdb", *self._where(), "-T", template, name)
        return self.url(name)

    def drop_database(self, name):
        self._run("dropdb", *self._where(), "--force", "--if-exists", name)

    def query(self, database, sql):
        """What `psql` prints, without decoration."""
        return self._run("psql", *self._where(), "-d", database, "-Atqc", sql).stdout

    def _where(self):
        return "-h", str(self.place), "-p", str(self.port or 5432), "-U", USER

    def _user(self):
        """Whom to run as: the server refuses root."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        return None

    def _run(self, name, *arguments, check=True):
        user = self._user()
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "HOME": str(self.place)}
        with Path(os.devnull).open() as nothing, tempfile.TemporaryFile() as out:  # files, since the server keeps what it inherits
            done = subprocess.run(
                [str(self._bin / name), *arguments],
                stdin=nothing,
                stdout=out,
                stderr=out,
                env=environment,
                cwd="/",
                check=False,
                **who,
            )
            out.seek(0)
            done.stdout = out.read().decode("utf-8", "replace")
        if check and done.returncode:
            raise RuntimeError(f"{name} failed: {done.stdout[-2000:]}")
        return done
