"""Development on engines without root: rootless Docker, and Podman through its Docker socket.

Each engine runs as an ordinary user in a container that has booted systemd.
"""

import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from typing import IO

import pytest

from tests.support.processes import wait_until
from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.rootless, pytest.mark.long]

# For each engine: its systemd unit, its socket, and the settings that docs/development.md gives.
ENGINES = {
    "docker": ("docker.service", "docker.sock", {}),
    "podman": ("podman.socket", "podman/podman.sock", {"DOCKER_BUILDKIT": "0"}),
}


class Machine:
    """A container with a rootless engine, and a project in the home of its user."""

    def __init__(self, id: str, environment: dict[str, str]):
        self.id = id
        self.environment = environment
        self.folder = "/home/dev"

    def run(self, *words: str, stdin: IO[bytes] | None = None, check: bool = True) -> str:
        """Run a command as the user, in the project's folder; return its outputs as one text."""
        options = [f"--env={name}={value}" for name, value in self.environment.items()]
        process = subprocess.run(
            ["docker", "exec", "--interactive", "--user=dev", f"--workdir={self.folder}"]
            + [*options, self.id, *words],
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=300,
        )
        printed = process.stdout.decode()
        assert not check or process.returncode == 0, f"{words}: {process.returncode}\n{printed}"
        return printed.strip()

    def shell(self, script: str) -> str:
        """Run a script; return what it printed."""
        return self.run("sh", "-euc", script)

    def take(self, project: Project) -> None:
        """Copy a project there as git clones it: without .env, owned by the user."""
        with tempfile.TemporaryFile() as files:
            with tarfile.open(fileobj=files, mode="w") as archive:
                archive.add(project.path, project.slug)
            files.seek(0)
            self.run("tar", "--extract", "--no-same-owner", stdin=files)
        self.folder += f"/{project.slug}"
        self.run("rm", ".env")

    def load(self, *images: str) -> None:
        """Copy images of this machine's engine to the rootless engine."""
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved:
            self.run("docker", "load", stdin=saved.stdout)
        assert saved.returncode == 0
        if "podman" in self.environment["DOCKER_HOST"]:
            for image in images:
                self.run("podman", "tag", f"localhost/{image}", f"docker.io/library/{image}")

    def status(self, path: str) -> str:
        """Return the status of a page, 000 where nothing answers."""
        show = ("--silent", "--output", "/dev/null", "--write-out", "%{http_code}")
        return self.run("curl", *show, f"http://127.0.0.1:8000{path}", check=False)

    def wait_for_page(self, path: str) -> None:
        """Return when a page is there."""
        logs = ("docker", "compose", "logs", "--no-color")
        wait_until(lambda: self.status(path) == "200", 120, lambda: self.run(*logs, check=False))

    def sql(self, statement: str) -> str:
        """Run a statement in the db service; return the rows, unaligned."""
        psql = 'psql -XAtq -v ON_ERROR_STOP=1 -U "$APP_USER" "$POSTGRES_DB" -c "$0"'
        return self.run("docker", "compose", "exec", "-T", "db", "sh", "-c", psql, statement)

    def owner(self, path: str) -> str:
        """Return the name of the owner of a file of the project."""
        return self.run("stat", "--format=%U", path)


@pytest.fixture(params=ENGINES)
def machine(request) -> Iterator[Machine]:
    """A machine on which the rootless engine runs."""
    unit, socket, settings = ENGINES[request.param]
    runtime = "/run/user/1000"
    environment = settings | {
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus",
        "DOCKER_HOST": f"unix://{runtime}/{socket}",
        "XDG_RUNTIME_DIR": runtime,
    }
    process = subprocess.run(
        ["docker", "run", "--detach", "--privileged", "--cgroupns=private"]
        + ["--tmpfs=/run", "--tmpfs=/tmp", "rootless-engines"],
        capture_output=True,
        text=True,
        check=True,
    )
    id = process.stdout.strip()
    machine = Machine(id, environment)
    try:
        wait_until(
            lambda: (
                "running" in machine.run("systemctl", "--user", "is-system-running", check=False)
            ),
            60,
            lambda: machine.run("systemctl", "--no-pager", "--failed", check=False),
        )
        machine.run("systemctl", "--user", "start", unit)
        yield machine
    finally:
        subprocess.run(
            ["docker", "rm", "--force", "--volumes", id], stdout=subprocess.DEVNULL, check=True
        )


def test_development_works_without_root_on_the_host(machine, bake_once):
    project = bake_once(project_slug="my_project")
    machine.take(project)
    # The images that Compose would pull.
    images = re.findall(
        r"^ *(?:FROM|image:) (python:\S+|postgres:\S+)",
        project.read("Dockerfile") + project.read("compose.yaml"),
        re.MULTILINE,
    )
    machine.load(*set(images))

    machine.run("make", "env")
    assert machine.owner(".env") == "dev"
    # The user is root in the containers.
    assert machine.shell("grep -x 'HOST_[UG]ID=.*' .env") == "HOST_UID=0\nHOST_GID=0"

    machine.run("docker", "compose", "up", "--build", "--detach")
    machine.wait_for_page("/health/ready")
    assert machine.status("/") == machine.status("/admin/login/") == "200"

    # An edit shows at once, and files that the container writes belong to the user.
    machine.run("sed", "-i", 's|path("", |path("moved/", |', "app/config/urls.py")
    machine.wait_for_page("/moved/")
    machine.run(
        "docker", "compose", "exec", "-T", "app", "touch", "core/made.py", "/srv/media/made"
    )
    assert machine.owner("app/core/made.py") == machine.owner("media/made") == "dev"

    machine.sql("CREATE TABLE kept AS SELECT 'a row' AS text")
    machine.run("make", "backup")
    backup = machine.shell("ls -d backups/*")
    assert machine.owner(backup) == "dev"
    machine.sql("DROP TABLE kept")
    machine.run("make", "restore", f"FILE={backup}")
    assert machine.sql("TABLE kept") == "a row"

    machine.run("docker", "compose", "down")
    machine.run("docker", "compose", "up", "--detach")
    machine.wait_for_page("/moved/")
    assert machine.sql("TABLE kept") == "a row"
