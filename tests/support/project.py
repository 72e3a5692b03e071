"""A rendered project, and what tests do with it."""

import http.client
import os
import re
import secrets
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.embedded_postgres import free_port
from tests.support.processes import InTerminal, Running, wait_until

ROOT = Path(__file__).resolve().parents[2]
# What `make deploy` runs, in a project for one host.
DEPLOY = (sys.executable, "-B", "-m", "ops.host", "deploy")

# Added to the URLs of a project: pages that are slow, that read or write a row, and that receive a
# body.
TEST_VIEWS = """

import sys  # noqa: E402
import time  # noqa: E402

from django.db import connection  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402


@csrf_exempt
def slow(request):
    print("A slow request begins", file=sys.stderr, flush=True)
    time.sleep(float(request.GET["seconds"]))
    return HttpResponse("finished")


def sleep_in_database(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.5)")
    return HttpResponse("slept")


def write(request):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO written VALUES (%s)", [request.GET["id"]])
    return HttpResponse("written")


def read(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM django_migrations WHERE id = 1")
        return HttpResponse(cursor.fetchone()[0])


@csrf_exempt
def receive(request):
    return HttpResponse(len(request.read()))


def address(request):
    return HttpResponse(request.build_absolute_uri())


urlpatterns += [
    path("address", address),
    path("read", read),
    path("receive", receive),
    path("slow", slow),
    path("sleep-in-database", sleep_in_database),
    path("write", write),
]
"""


class Project:
    """A rendered project in `path`."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.slug = self.path.name
        self.port: int | None = None
        # The Compose names that it has had: production and development have different ones.
        self.stacks: set[str] = set()
        # The certificate of the site, from the last look into the container of nginx.
        self.authority = ""

    @staticmethod
    def unused_slug() -> str:
        """Return a project_slug that no other stack on this engine has."""
        return f"test_{secrets.token_hex(4)}"

    def read(self, name: str) -> str:
        """Return the text of a file of the project."""
        return (self.path / name).read_text(encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace text in a file of the project; fail if the file does not contain it."""
        text = self.read(name)
        assert old in text, f"{old!r} is not in {name}"
        (self.path / name).write_text(text.replace(old, new), encoding="utf-8", newline="\n")

    def files(self) -> dict[str, Path]:
        """Return all files by their path in the project, written with /."""
        found = sorted(path for path in self.path.rglob("*") if path.is_file())
        return {path.relative_to(self.path).as_posix(): path for path in found}

    def setting(self, name: str) -> str:
        """Return the value of a name in .env."""
        for line in self.read(".env").splitlines():
            if line.startswith(f"{name}="):
                return line.partition("=")[2]
        raise KeyError(name)

    def run(
        self,
        *command: object,
        check: bool = True,
        env: dict[str, str] | None = None,
        cwd: str = ".",
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project, stderr in stdout; a failure shows the whole output."""
        process = subprocess.run(
            [str(word) for word in command],
            cwd=self.path / cwd,
            env=os.environ | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout,
        )
        if check:
            assert process.returncode == 0, f"{command}: {process.returncode}\n{process.stdout}"
        return process

    def start(self, *command: object, env: dict[str, str], cwd: str = ".") -> "Running":
        """Start a command in the project; return while it runs."""
        return Running([str(word) for word in command], self.path / cwd, os.environ | env)

    # The stack

    @property
    def stack(self) -> str:
        """Return the Compose name, with which names of containers and volumes begin."""
        name = self.setting("COMPOSE_PROJECT_NAME")
        self.stacks.add(name)
        return name

    def compose(self, *words: object, **options) -> subprocess.CompletedProcess[str]:
        """Run docker compose with these arguments in the project's folder."""
        return self.run("docker", "compose", *words, **options)

    def exec(self, service: str, *words: object, **options) -> subprocess.CompletedProcess[str]:
        """Run a command in the container of a service."""
        return self.run(*self.executing(service), *words, **options)

    def choose_port(self) -> None:
        """Publish the site on a free port instead of 8000."""
        assert self.stack
        self.port = free_port()
        self.replace(".env", f"APP_PORT={self.setting('APP_PORT')}", f"APP_PORT={self.port}")

    def up(self, *words: str) -> str:
        """Start the stack; return what Compose printed when all is healthy, or fail with the logs."""
        process = self.compose("up", "--detach", "--wait", *words, check=False)
        assert process.returncode == 0, f"{process.stdout}\n{self.logs()}"
        return process.stdout

    def logs(self, *words: str) -> str:
        """Return the output of the containers, without the colors that a terminal shows."""
        printed = self.compose("logs", "--no-color", *words, check=False).stdout
        return re.sub(r"\x1b\[[0-9;]*m", "", printed)

    def sql(self, statement: str) -> str:
        """Run a statement in the db service; return the rows, unaligned."""
        # The role of app needs its password, also over the Unix socket.
        psql = (
            'export PGPASSWORD="${POSTGRES_PASSWORD:-$(cat "$POSTGRES_PASSWORD_FILE")}"; '
            "PATH=/usr/lib/postgresql/$PG_MAJOR/bin:$PATH; exec psql -XAt"
            ' -v ON_ERROR_STOP=1 -U "${APP_USER:-$POSTGRES_USER}" -d "$POSTGRES_DB" -c "$0"'
        )
        return self.exec("db", "sh", "-c", psql, statement).stdout.strip()

    def containers(self, service: str, *options: str) -> list[str]:
        """Return the ids of the containers of a service, without those of `docker compose run`.

        `docker compose ps` fails where a container is removed while it looks.
        """
        labels = {"project": self.stack, "service": service, "oneoff": "False"}
        filters = [f"--filter=label=com.docker.compose.{name}={labels[name]}" for name in labels]
        return self.run("docker", "ps", "--quiet", *options, *filters).stdout.split()

    def executing(self, service: str) -> list[str]:
        """Return the words of `docker exec` for a service: docker compose takes several times as long."""
        found = self.containers(service)
        # Compose says what is missing.
        missing = ["docker", "compose", "exec", "-T", service]
        return ["docker", "exec", "-i", *found[:1]] if found else missing

    def admin_sql(self, statement: str, database: str | None = None) -> str:
        """Run SQL, psql's own commands included, as the server's superuser; return the rows."""
        process = subprocess.run(
            [*self.executing("db"), "sh", "-c"]
            + ['PATH=/usr/lib/postgresql/$PG_MAJOR/bin:$PATH; exec psql "$@"', "sh"]
            + [
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-d",
                database or self.setting("POSTGRES_DB"),
            ],
            # The engine can lose the end of the input under load.
            input=f"{statement}\n;\n\\q\n",
            cwd=self.path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, f"{statement}\n{process.stdout}{process.stderr}"
        return process.stdout.strip()

    def in_terminal(self, *command: str) -> InTerminal:
        """Start a command in the project, in a terminal of its own."""
        return InTerminal(list(command), self.path)

    def get(self, path: str = "/", timeout: float = 60) -> tuple[int, str]:
        """Return status and body of a page; status 0 without an answer."""
        try:
            url = f"http://127.0.0.1:{self.port}{path}"
            with urllib.request.urlopen(url, timeout=timeout) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        # A server that starts again may end in the middle of its answer.
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)

    def wait_until(self, condition: Callable[[], object], seconds: float = 300) -> None:
        """Return when the condition holds; after so many seconds, fail with the logs."""
        wait_until(condition, seconds, self.logs)

    @contextmanager
    def paused(self, container: str) -> Iterator[None]:
        """Freeze the container's processes for a while.

        runc gives up, "unable to freeze", where a process of it is uninterruptible at that moment, such as in a vfork of a
        health check.
        """
        self.wait_until(
            lambda: self.run("docker", "pause", container, check=False).returncode == 0, 30
        )
        try:
            yield
        finally:
            self.run("docker", "unpause", container)

    def status(self, path: str) -> int:
        """Return the status of a page, 0 without an answer."""
        return self.get(path)[0]

    def add_views(self) -> None:
        """Add the URLs that only tests use."""
        with open(self.path / "app/config/urls.py", "a", encoding="utf-8") as urls:
            urls.write(TEST_VIEWS)

    def add_tests(self) -> None:
        """Add tests/in_project, which are too detailed for a rendered project."""
        for file in (ROOT / "tests/in_project").glob("*.py"):
            shutil.copy(file, self.path / "app/core/tests" / f"test_in_project_{file.name}")

    def to_production(self, **settings: str) -> None:
        """Set the project up for production, on localhost and ports of its own."""
        assert self.stack
        env = self.read(".env.production.example").replace("\nDOMAIN=\n", "\nDOMAIN=localhost\n")
        self.port = free_port()
        settings |= {"HTTP_PORT": str(free_port()), "HTTPS_PORT": str(self.port)}
        for name, value in settings.items():
            env = re.sub(rf"^{name}=.*\n", "", env, flags=re.MULTILINE) + f"{name}={value}\n"
        (self.path / ".env").write_text(env, encoding="utf-8")
        self.run(sys.executable, "scripts/make_secrets.py")

    def name_postgres(self, new: str) -> None:
        """Let the files name another version of PostgreSQL, as the line of docs/data.md does in development."""
        old = re.search(r"image: postgres:(\d+)", self.read("compose.yaml"))[1]
        for name in ("compose.yaml", "compose.production.yaml", "ops/Dockerfile"):
            text = self.read(name).replace(f"postgres:{old}-", f"postgres:{new}-")
            text = re.sub(rf"(db_data_|postgres_data\}}?/){old}", rf"\g<1>{new}", text)
            if (int(old) < 18) != (int(new) < 18):
                text = re.sub(
                    r"lib/postgresql(/data)?$",
                    rf"lib/postgresql{'/data' * (int(new) < 18)}",
                    text,
                    flags=re.MULTILINE,
                )
            (self.path / name).write_text(text)

    def deploy(self, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Release the project, after to_production."""
        return self.run(*DEPLOY, check=check, env=environment)

    def trusting(self) -> ssl.SSLContext:
        """Return a TLS context that trusts the certificate that the site has signed itself."""
        read = ("openssl", "x509", "-in", "/certificates/localhost.pem")
        self.authority = self.exec("nginx", *read).stdout
        return ssl.create_default_context(cadata=self.authority)

    def request(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        """Return the response over HTTPS, with its `text`; _ in a header's name stands for -."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        known = bool(self.authority)
        context = ssl.create_default_context(cadata=self.authority) if known else self.trusting()
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=60, context=context
        )
        try:
            connection.connect()
        except ssl.SSLCertVerificationError:
            if not known:
                raise
            # A new volume has a new certificate.
            self.authority = ""
            return self.request(path, method, body, **headers)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.text = response.read().decode(errors="replace")
        connection.close()
        return response

    def status_over_https(self, path: str) -> int:
        """Return the status of a page over HTTPS, 0 without an answer."""
        try:
            return self.request(path).status
        except (AssertionError, OSError, http.client.HTTPException):
            return 0

    def add_to_compose(self, text: str) -> None:
        """Make every compose command of the project read one more file."""
        (self.path / "compose.fault.yaml").write_text(text, encoding="utf-8")
        with open(self.path / ".env", "a", encoding="utf-8") as env:
            env.write("COMPOSE_FILE=compose.yaml:compose.override.yaml:compose.fault.yaml\n")

    def inspect(self, service: str, template: str) -> list[str]:
        """Return the result of a docker inspect template for each container of a service."""
        ids = self.containers(service, "--all")
        if not ids:
            return []
        # A template may print several lines.
        end = "<end of a container>"
        inspect = ("docker", "inspect", "--format", template + end, *ids)
        process = self.run(*inspect, check=False)
        if "No such object" in process.stdout:
            # It was replaced meanwhile.
            return self.inspect(service, template)
        printed = process.stdout
        assert process.returncode == 0, printed
        return [text.strip() for text in printed.split(f"{end}\n")[:-1]]

    def restarts(self) -> int:
        """Return how often containers of the stack were restarted by the engine."""
        ids = self.compose("ps", "--all", "--quiet").stdout.split()
        counts = self.run("docker", "inspect", "--format", "{{.RestartCount}}", *ids).stdout
        return sum(map(int, counts.split()))

    def remove_from_engine(self) -> None:
        """Remove all its stacks from the engine; fail if something stays."""
        for stack in {self.stack, *self.stacks}:
            self.remove_stack(stack)

    def remove_stack(self, stack: str) -> None:
        """Remove one stack from the engine; fail if something stays."""
        mine = ("--filter", f"label=com.docker.compose.project={stack}")

        def left() -> list[str]:
            found = []
            for kind in ("container", "volume", "network", "image"):
                everything = ("--all",) if kind in ("container", "image") else ()
                listed = self.run("docker", kind, "ls", *everything, "--quiet", *mine).stdout
                found += [f"{kind} {name}" for name in listed.split()]
            return found

        # Most projects have had one stack, and two names for it.
        if not left():
            return
        # Compose keeps the volumes without a name that a container has from the one before it.
        ids = self.run("docker", "ps", "--all", "--quiet", *mine).stdout.split()
        names = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
        inspect = ("docker", "inspect", "--format", names)
        nameless = set(re.findall(r"[0-9a-f]{64}", self.run(*inspect, *ids).stdout if ids else ""))
        # At once: the data goes, too.
        down = ("down", "--volumes", "--remove-orphans", "--timeout", "0")
        if self.compose("-p", stack, *down, check=False).returncode:
            # Something was being removed or started at that moment.
            self.compose("-p", stack, *down, check=False)
        nameless &= set(self.run("docker", "volume", "ls", "--quiet").stdout.split())
        if nameless:
            self.run("docker", "volume", "rm", "--force", *nameless)
        # Compose does not remove images, nor volumes that no service uses any more.
        for kind, listing in (("image", ("--all",)), ("volume", ())):
            unused = self.run("docker", kind, "ls", *listing, "--quiet", *mine).stdout.split()
            if unused:
                self.run("docker", kind, "rm", "--force", *set(unused))
        assert not left(), f"left on the engine: {left()}"
