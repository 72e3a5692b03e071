"""Measure what users wait for, as ratios to a floor that does the least possible.

Each pair is measured in turns in one run, so that a slow machine is slow for both; the median
counts. `make bench` prints the table; benchmarks/README.md keeps the last one.
"""

import os
import random
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg2

from tests.support.embedded_postgres import EmbeddedPostgres
from tests.support.engine import engine_answers
from tests.support.load import Load
from tests.support.project import ROOT, Project

ROUNDS = 5


def row(what: str, ours: float, floor: float, unit: str, beside: str) -> None:
    """Print one line: ours, the floor and their ratio."""
    print(f"{what:<44} {ours:8.2f} {unit:<3} {floor:8.2f} {unit:<3} {ours / floor:6.2f}  {beside}")


def in_turns(*measures: Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """Return the median of each measure (seconds), taken in turns, after one round of warm-up."""
    taken = [[measure() for measure in measures] for _ in range(rounds + 1)][1:]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def render(template: Path, folder: Path, *answers: str) -> Path:
    """Render a template with its defaults; return the project's folder."""
    command = ["cookiecutter", str(template), "--no-input", "--overwrite-if-exists"]
    environment = os.environ | {"COOKIECUTTER_CONFIG": os.devnull}
    subprocess.run(
        [*command, "--output-dir", str(folder), *answers],
        check=True,
        capture_output=True,
        env=environment,
    )
    return max(folder.iterdir(), key=lambda path: path.stat().st_mtime)


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def wait_for_page(url: str) -> None:
    """Return when a page answers 200; raise TimeoutError after two minutes."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=1) as response:
            if response.status == 200:
                return
        time.sleep(0.01)
    raise TimeoutError(url)


def first_answer(project: Project, **environment: str) -> float:
    """Return the seconds from `up` on an empty volume to the first 200."""
    project.compose("down", "--volumes", "--timeout", "5", env=environment)
    start = time.perf_counter()
    project.compose("up", "--detach", env=environment)
    wait_for_page(f"http://127.0.0.1:{project.port}/")
    return time.perf_counter() - start


# What others do, as commands of the same project.
OTHER_COMMANDS = {
    # The one that is taught: connections[...] is lazy, so nothing is tried.
    "taught": "connections['default']",
    # One that does try, once a second.
    "poll": "connections['default'].ensure_connection()",
}
OTHER_COMMAND = """
import time

from django.core.management.base import BaseCommand
from django.db import OperationalError, connections


class Command(BaseCommand):
    def handle(self, *args, **options):
        while True:
            try:
                {attempt}
                break
            except OperationalError:
                time.sleep(1)
"""


def reaction(project: Project, python: Path, server: EmbeddedPostgres, command: str) -> float:
    """Return the seconds from the server's first accepted connection to the end of a command."""
    server.stop()
    waiting = project.start(
        python, "manage.py", command, cwd="app", env=server.environment("postgres")
    )
    # Past its start, and at no fixed point between two of its tries.
    time.sleep(2 + random.random())
    server.start(wait=False)
    while True:
        with suppress(psycopg2.OperationalError):
            psycopg2.connect(
                host="127.0.0.1",
                port=server.port,
                user=server.user,
                dbname="postgres",
                password=server.password,
            ).close()
            break
        time.sleep(0.002)
    accepted = time.perf_counter()
    if waiting.end():
        raise RuntimeError(waiting.printed())
    return time.perf_counter() - accepted


def bench_waiting(folder: Path) -> None:
    """Measure wait_for_db beside a poll once a second and the command that is taught."""
    project = Project(render(ROOT, folder / "waiting"))
    python = folder / "venv" / "bin" / "python"
    for words in (
        ["venv", folder / "venv"],
        ["pip", "install", "--require-hashes", "--compile-bytecode", "--python", python]
        + ["-r", project.path / "requirements.txt"],
    ):
        project.run("uv", *words)
    for name, attempt in OTHER_COMMANDS.items():
        path = project.path / "app/core/management/commands" / f"{name}.py"
        path.write_text(OTHER_COMMAND.format(attempt=attempt), encoding="utf-8")
    for parent in [folder, *folder.parents[:-1]]:
        parent.chmod(parent.stat().st_mode | 0o011)
    server = EmbeddedPostgres(folder / "server").start()
    try:
        ours, poll = in_turns(
            lambda: reaction(project, python, server, "wait_for_db"),
            lambda: reaction(project, python, server, "poll"),
            rounds=9,
        )
        row("wait_for_db, from ready to its end", ours, poll, "s", "a poll once a second")
    finally:
        server.stop("immediate")
    environment = server.environment("postgres")
    taught = seconds(lambda: project.run(python, "manage.py", "taught", cwd="app", env=environment))
    print(f"the command that is taught ends well after {taught:.2f} s, with no server at all")


def bench_stop(project: Project) -> None:
    """Measure an idle stop beside that of a shell that stays process 1."""
    (project.path / "compose.taught.yaml").write_text(
        """services:
  app:
    init: false
    entrypoint: []
    command: sh -c "python manage.py migrate && python manage.py runserver 0.0.0.0:8000"
    stop_grace_period: 10s
""",
        encoding="utf-8",
    )
    files = "compose.yaml:compose.override.yaml:compose.taught.yaml"

    def stop(**environment: str) -> float:
        project.compose("up", "--detach", "--wait", env=environment)
        return seconds(lambda: project.compose("stop", "app", env=environment))

    ours, taught = in_turns(stop, lambda: stop(COMPOSE_FILE=files), rounds=2)
    row("docker compose stop, idle", ours, taught, "s", "a shell that does not exec its server")


def image_size(project: Project, image: str) -> float:
    """Return the megabytes of an image."""
    return int(project.run("docker", "image", "inspect", "-f", "{{.Size}}", image).stdout) / 1e6


def bench_stack(project: Project, floor: Project) -> None:
    """Measure what needs a Docker engine."""
    project.choose_port()
    floor.port = project.port + 1
    environment = {"IMAGE": f"{project.stack}:development", "APP_PORT": str(floor.port)}
    try:
        project.compose("build")
        ours, least = in_turns(
            lambda: first_answer(project), lambda: first_answer(floor, **environment)
        )
        row("first HTTP 200 on an empty volume", ours, least, "s", "no framework, no health checks")
        bench_stop(project)
    finally:
        floor.compose("down", "--volumes", "--timeout", "5", env=environment, check=False)
        project.remove_from_engine()


def bench_images(folder: Path) -> None:
    """Measure the production image of each driver, and building it again after an edit."""
    base = image_size(Project(folder), "python:3.14-slim-trixie")
    for driver in ("psycopg2-binary", "psycopg2", "psycopg"):
        answers = [f"project_slug={Project.unused_slug()}", f"postgres_driver={driver}"]
        project = Project(render(ROOT, folder / driver, *answers))
        try:
            project.run("make", "build")
            size = image_size(project, project.stack)
            beside = f"its base; {size - base:.0f} MB above it"
            row(f"production image, {driver}", size, base, "MB", beside)
            if driver == "psycopg2-binary":
                edits = iter(range(100))

                def edit(project: Project = project, edits: Iterator[int] = edits) -> float:
                    with open(project.path / "app/core/views.py", "a", encoding="utf-8") as views:
                        views.write(f"# {next(edits)}\n")
                    return seconds(lambda: project.run("make", "build"))

                def nothing(project: Project = project) -> float:
                    return seconds(lambda: project.run("make", "build"))

                edited, unchanged = in_turns(edit, nothing)
                row("image again, after an edit", edited, unchanged, "s", "nothing edited")
        finally:
            project.remove_from_engine()


def requests_per_second(url: str, context: ssl.SSLContext | None = None) -> float:
    """Return how many pages eight clients, who keep their connections, get each second."""
    headers = {"Host": "localhost", "X-Forwarded-Proto": "https"}
    with Load(url, keep_alive=True, context=context, headers=headers) as load:
        time.sleep(5)
    if set(load.answers) != {200}:
        raise RuntimeError(f"{url}: {load.answers}")
    return load.answers[200] / load.seconds


def bench_production(folder: Path) -> None:
    """Measure the pages of the production stack, and what a release under load loses."""
    answers = [f"project_slug={Project.unused_slug()}"]
    project = Project(render(ROOT, folder / "production", *answers))
    project.add_views()
    project.to_production(APP_CPUS="2", DB_CPUS="2")
    # The same image, settings and database, with other servers.
    others = {
        "runserver": "python manage.py runserver --insecure 0.0.0.0:8000",
        "bare gunicorn": "gunicorn --config /dev/null --forwarded-allow-ips * "
        "--worker-tmp-dir /dev/shm --bind 0.0.0.0:8000 config.wsgi",
    }
    try:
        project.deploy()
        trust = project.trusting()

        def measure(command: str | None) -> float:
            if command is None:
                (id,) = project.compose("ps", "--quiet", "app").stdout.split()
            else:
                project.compose("stop", "app")
                # They do not know what to make of X-Forwarded-Proto.
                plain = ("--env", "SECURE_SSL_REDIRECT=false")
                run = ("run", "--detach", "--no-deps", *plain, "app")
                id = project.compose(*run, *command.split()).stdout.split()[-1]
            network = (
                f'{{{{(index .NetworkSettings.Networks "{project.stack}_frontend").IPAddress}}}}'
            )
            address = project.run("docker", "inspect", "-f", network, id).stdout.strip()
            try:
                wait_for_page(f"http://{address}:8000/health/live")
                return requests_per_second(f"http://{address}:8000/read")
            finally:
                if command is not None:
                    project.run("docker", "rm", "--force", id)
                    project.compose("start", "app")

        taken = [
            [measure(None), *(measure(command) for command in others.values())] for _ in range(3)
        ]
        ours, *floors = (statistics.median(column) for column in zip(*taken, strict=True))
        for name, floor in zip(others, floors, strict=True):
            row("a page that reads a row, each second", ours, floor, "", f"{name}; more is better")
        url = f"https://localhost:{project.port}"
        behind = requests_per_second(f"{url}/read", trust)
        row("the same over HTTPS, behind Caddy", behind, ours, "", "without Caddy; more is better")

        changes = {
            "code": ("app/core/views.py", "import platform", "import platform  # a change"),
            "a setting of app": (".env", "SECONDS=3600", "SECONDS=7200"),
            "the Caddyfile": ("docker/caddy/Caddyfile", "camera=()", "midi=(), camera=()"),
            "MAX_BODY_SIZE": (".env", "MAX_BODY_SIZE=10MB", "MAX_BODY_SIZE=9MB"),
            "a setting of db": ("compose.yaml", "shm_size: 256mb", "shm_size: 192mb"),
        }
        for name, change in changes.items():
            project.replace(*change)
            kinds = [("GET", False), ("GET", True), ("POST", False)]
            loads = [
                Load(f"{url}/receive", 3, method, keep_alive, trust) for method, keep_alive in kinds
            ]
            with loads[0], loads[1], loads[2]:
                took = seconds(project.deploy)
            answered = sum(load.answers[200] for load in loads)
            lost = sum(sum(load.answers.values()) for load in loads) - answered
            print(
                f"a release of {name}: {lost} requests lost of {answered + lost}, in {took:.0f} s"
            )
    finally:
        project.remove_from_engine()


# About 1 GB: rows, some of them large, and three indexes.
DATA = """
CREATE TABLE big AS
SELECT n, md5(n::text) || md5((n + 1)::text) AS x, repeat(md5(n::text), 6) AS y, now() AS z
FROM generate_series(1, {rows}) AS n;
ALTER TABLE big ADD PRIMARY KEY (n);
CREATE INDEX ON big (x);
CREATE TABLE second AS SELECT n + 1 AS n, x, y FROM big WHERE n % 2 = 0;
CREATE INDEX ON second (x);
CHECKPOINT;
"""


def bench_data(folder: Path, rows: int = 1_700_000) -> None:
    """Measure a restore and an upgrade beside PostgreSQL's own programs."""
    answers = [f"project_slug={Project.unused_slug()}", "postgres_version=17"]
    project = Project(render(ROOT, folder / "data", *answers))
    project.choose_port()
    name = project.setting("POSTGRES_DB")

    def in_db(*command: str) -> float:
        line = ("exec", "-T", "db", *command)
        return seconds(lambda: project.compose(*line, timeout=900))

    def restore(backup: str) -> float:
        took = seconds(
            lambda: project.run("make", "restore", f"FILE=backups/{backup}", timeout=900)
        )
        listed = project.run("make", "backups").stdout
        for word in listed.split():
            if word.startswith("DB="):
                project.run("make", "drop-replaced", word)
        project.admin_sql("CHECKPOINT")
        return took

    def bare_restore(dump: str) -> float:
        in_db("createdb", "-U", "postgres", "bare")
        took = in_db("pg_restore", "-U", "postgres", "-j", "2", "-d", "bare", dump)
        in_db("dropdb", "-U", "postgres", "bare")
        project.admin_sql("CHECKPOINT")
        return took

    try:
        project.up()
        project.admin_sql("SET ROLE django;" + DATA.replace("CHECKPOINT;", "").format(rows=rows))
        size = int(project.sql("SELECT pg_database_size(current_database())")) / 1e6
        print(f"a database of {size:.0f} MB:")
        made = project.run("make", "backup", timeout=900).stdout
        backup = made.split("backups/")[1].split()[0]
        ours, bare = in_turns(
            lambda: restore(backup), lambda: bare_restore(f"/backups/{backup}/data"), rounds=2
        )
        row("make restore", ours, bare, "s", "pg_restore -j 2")
        copy = ("pg_dump", "-U", "postgres", "-Fd", "-j", "2", "-f", "/tmp/bare", name)
        bare_copy = in_db(*copy) + bare_restore("/tmp/bare")
        in_db("rm", "-r", "/tmp/bare")
        upgrade = ("make", "upgrade-postgres", "TO=18")
        ours = seconds(lambda: project.run(*upgrade, timeout=1800))
        row("make upgrade-postgres", ours, bare, "s", "pg_restore -j 2 alone")
        row("make upgrade-postgres", ours, bare_copy, "s", "pg_dump -j 2 and pg_restore -j 2")
    finally:
        project.remove_from_engine()


def main() -> None:
    """Print the table; with the argument `data`, only what concerns backups, or `production`."""
    print(f"{'':<44} {'ours':>12} {'floor':>12} {'ratio':>6}  floor is")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {"data": bench_data, "production": bench_production}
        if sys.argv[1:]:
            return parts[sys.argv[1]](folder)
        floor_template = ROOT / "benchmarks" / "floor_template"
        ours, least = in_turns(
            lambda: seconds(lambda: render(ROOT, folder / "ours")),
            lambda: seconds(lambda: render(floor_template, folder / "floor")),
        )
        row("rendering the template", ours, least, "s", "a template of one file, no hooks")
        bench_waiting(folder)
        if engine_answers():
            slug = Project.unused_slug()
            project = Project(render(ROOT, folder / "stack", f"project_slug={slug}"))
            bench_stack(project, Project(ROOT / "benchmarks" / "floor_stack"))
            bench_images(folder)
            bench_production(folder)
            bench_data(folder)
        else:
            print("no Docker engine answers: the stack is not measured")


if __name__ == "__main__":
    main()
