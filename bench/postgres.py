"""A real PostgreSQL: started in a directory of its own, on a free port, and ended again.

It refuses to run as root, so then it runs as the user `postgres`. The tests use it too.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import psycopg

from .servers import free_port

DEADLINE = 60

# Of the role `app`, which must show its password. All others are trusted.
PASSWORD = "Hkn:Yh/u7 6'2$yh\\di<4"  # noqa: S105

# Waits for the end of its input; then ends the servers in a directory, and removes it.
_CLEANER = """\
cat
for file in "$1"/data/postmaster.pid "$1"/*/data/postmaster.pid; do
    [ -f "$file" ] || continue
    pid=$(head -n 1 "$file")
    kill -QUIT "$pid"
    for _ in $(seq 50); do kill -0 "$pid" || break; sleep 0.1; done
    kill -KILL "$pid"
done 2>/dev/null
rm -rf "$1"
"""

_HBA = """\
host all app 127.0.0.1/32 scram-sha-256
local all all trust
host all all 127.0.0.1/32 trust
host all all 10.231.0.0/16 trust
host replication all 127.0.0.1/32 trust
"""


def directory_of_programs() -> Path | None:
    """Find the programs of a server."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if pg_config := shutil.which("pg_config"):
        found = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=True)  # noqa: S603
        candidates.insert(0, Path(found.stdout.strip()))
    return next((path for path in candidates if (path / "initdb").exists()), None)


@attrs.define(eq=False)
class Server:
    """A server, running or not."""

    programs: Path
    directory: Path
    port: int = attrs.Factory(free_port)
    settings: Mapping[str, object] = {}
    _process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        """Return a superuser's URL of a database, perhaps through another port."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """Connect to a database as superuser."""
        return psycopg.connect(self.url(database), autocommit=True)

    def create(self, database: str) -> str:
        """Make a database; return its URL."""
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{database}" OWNER app'.encode())
        return self.url(database)

    def make(self) -> None:
        """Make the files of a server."""
        if os.getuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        self._run("initdb", "--pgdata", "data", "--encoding=UTF8", "--no-locale", "--no-sync")
        (self.directory / "data/pg_hba.conf").write_text(_HBA)

    def copy(self, primary: "Server") -> None:
        """Make a standby of a server that runs."""
        if os.getuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        arguments = f"-h 127.0.0.1 -p {primary.port} -U postgres -D data -R -c fast --no-sync"
        self._run("pg_basebackup", *arguments.split())

    def promote(self) -> None:
        """Make a standby a primary, and return when it is one."""
        self._run("pg_ctl", "promote", "-D", "data")

    def start(self, *, is_standby: bool = False) -> None:
        """Start it, and wait until it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.directory,
            "max_connections": 200,
            **self.settings,
        }
        arguments = [part for item in settings.items() for part in ("-c", "{}={}".format(*item))]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [self.programs / "postgres", "-D", "data", *arguments],
                **self._as_user(),
                # Not with the tests, at a ^C: they end it themselves.
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait()
        if is_standby:
            return
        with self.connect() as connection:
            if connection.execute("SELECT FROM pg_roles WHERE rolname = 'app'").fetchone() is None:
                role = psycopg.sql.SQL("CREATE ROLE app LOGIN PASSWORD {}").format(PASSWORD)
                connection.execute(role)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: quickly, or with SIGQUIT as if it had crashed."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(DEADLINE)
            self._process = None

    def kill(self) -> None:
        """End it and all its processes at once, as a machine that dies does."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self.stop(signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def log(self) -> str:
        """Return what it has written."""
        return (self.directory / "log").read_text()

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return self.connect().close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(  # noqa: S603
            [self.programs / program, *arguments],
            **self._as_user(),
            check=True,
            capture_output=True,
        )

    def _as_user(self) -> dict[str, Any]:
        if os.getuid() != 0:
            return {"cwd": self.directory}
        return {
            "cwd": self.directory,
            "user": "postgres",
            "group": "postgres",
            "extra_groups": [],
        }


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Make a directory for servers, which are killed and removed however this process ends."""
    # Not below a directory that only root may enter.
    path = Path(tempfile.mkdtemp(prefix="sse-trio-postgres-", dir="/tmp"))
    path.chmod(0o755)
    # Its input ends when this process does, be it by a kill.
    with subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", _CLEANER, "sh", path], stdin=subprocess.PIPE, start_new_session=True
    ):
        yield path


@contextlib.contextmanager
def running(programs: Path, settings: Mapping[str, object] | None = None) -> Iterator[Server]:
    """Run a server of one's own, which has just been made."""
    with directory() as path:
        server = Server(programs, path, settings=settings or {})
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)
