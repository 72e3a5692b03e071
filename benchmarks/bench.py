"""Measure what users wait for, beside a floor that does the least possible.

All subjects of a measure are measured in turns in one run, so that a slow machine is slow for all;
the median counts. `make bench` prints the figures, writes them to benchmarks/results, and draws
benchmarks/plots. ARGS names the groups to measure, BENCH_PEERS other templates to measure as well.
"""

import functools
import json
import os
import random
import re
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks import plot
from benchmarks.figures import OURS, Group
from tests.support.embedded_postgres import EmbeddedPostgres
from tests.support.load import Load
from tests.support.project import ROOT, Project
from tests.support.store import Store
from tests.support.swarm import HOME, Swarm, SwarmSite, site_ports
from tests.support.tiers import missing_service

ROUNDS = 5


def in_turns(*measures: Callable[[], float], rounds: int = ROUNDS) -> list[list[float]]:
    """Return the samples of each measure, taken in turns, after one round of warm-up."""
    taken = [[measure() for measure in measures] for _ in range(rounds + 1)][1:]
    return [list(column) for column in zip(*taken, strict=True)]


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


def first_answer(project: Project, volumes: bool = True, **environment: str) -> float:
    """Return the seconds from `up` to the first 200, on an empty volume or on the one of before."""
    down = ["down", "--volumes"] if volumes else ["down"]
    project.compose(*down, "--timeout", "5", env=environment)
    start = time.perf_counter()
    project.compose("up", "--detach", env=environment)
    wait_for_page(f"http://127.0.0.1:{project.port}/")
    return time.perf_counter() - start


def first_connection(project: Project, volumes: bool = True) -> float:
    """Return the seconds from `up` until db accepts connections over TCP, as its log says."""
    took = first_answer(project, volumes)
    start = time.time() - took
    log = project.compose("logs", "--no-log-prefix", "--timestamps", "db").stdout
    ready = [line for line in log.splitlines() if "ready to accept connections" in line]
    return datetime.fromisoformat(ready[-1].split()[0]).timestamp() - start


class Peer:
    """Another template, or a project that is used as it is.

    Written as its path, followed by answers: `../other,use_docker=y`.
    """

    def __init__(self, words: str):
        path, *self.answers = words.split(",")
        self.path = Path(path).resolve()
        self.name = self.path.name
        self.template = self.path if (self.path / "cookiecutter.json").exists() else None

    def stack(self, folder: Path) -> Project:
        """Return the project, its images built, with the port that its Compose file publishes."""
        if self.template:
            path = render(self.path, folder / f"peer_{self.name}", *self.answers)
        else:
            path = shutil.copytree(self.path, folder / f"peer_{self.name}")
        project = Project(path)
        if not any(path.glob("*compose.y*ml")):
            # cookiecutter-django names its file after the environment.
            (file,) = path.glob("*compose.local.y*ml")
            file.rename(path / "compose.yaml")
        project.compose("build", timeout=1800)
        config = json.loads(project.compose("config", "--format", "json").stdout)
        published = [
            int(port["published"])
            for service in config["services"].values()
            for port in service.get("ports", [])
            if port["target"] == 8000
        ]
        project.port = published[0]
        return project


PEERS = [Peer(words) for words in os.environ.get("BENCH_PEERS", "").split()]


# Other commands that wait, in the same project.
OTHER_COMMANDS = {
    # The command of the tutorials: connections[...] is lazy, so it does not connect.
    "taught": "connections['default']",
    # A command that connects, once a second.
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
    # After its start, and at a random moment between two attempts.
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


def bench_waiting(group: Group, folder: Path) -> None:
    """Measure wait_for_db beside a poll once a second and the command of the tutorials."""
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
    finally:
        server.stop("immediate")
    group.add(
        "wait_for_db, from the first accepted connection to its end",
        "s",
        {OURS: ours, "a poll once a second": poll},
    )
    environment = server.environment("postgres")
    taught = seconds(lambda: project.run(python, "manage.py", "taught", cwd="app", env=environment))
    group.add(
        "until the database is reported as available, without any server",
        "s",
        {"the command of the tutorials": [taught]},
    )


def measure_stop(project: Project) -> dict[str, list[float]]:
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
    return {OURS: ours, "a shell that does not exec its server": taught}


def image_size(project: Project, image: str) -> float:
    """Return the megabytes of an image."""
    return int(project.run("docker", "image", "inspect", "-f", "{{.Size}}", image).stdout) / 1e6


def bench_start(group: Group, folder: Path) -> None:
    """Measure the start and the stop of the development stack."""
    project = Project(render(ROOT, folder / "stack", f"project_slug={Project.unused_slug()}"))
    floor = Project(ROOT / "benchmarks" / "floor_stack")
    project.choose_port()
    floor.port = project.port + 1
    environment = {"IMAGE": f"{project.stack}:development", "APP_PORT": str(floor.port)}
    peers = []
    try:
        project.compose("build")
        for peer in PEERS:
            peers.append(peer.stack(folder))
        ours, connection, least, *others = in_turns(
            lambda: first_answer(project),
            lambda: first_connection(project),
            lambda: first_answer(floor, **environment),
            *(functools.partial(first_answer, peer) for peer in peers),
        )
        samples = {OURS: ours, "no framework, no health checks": least}
        samples["its db accepts connections"] = connection
        samples |= dict(zip([peer.name for peer in PEERS], others, strict=True))
        group.add("docker compose up on an empty volume, to the first page", "s", samples)
        again, connection = in_turns(
            lambda: first_answer(project, volumes=False),
            lambda: first_connection(project, volumes=False),
        )
        samples = {OURS: again, "its db accepts connections": connection}
        group.add("docker compose up with data, to the first page", "s", samples)
        group.add("docker compose stop, idle", "s", measure_stop(project))
    finally:
        floor.compose("down", "--volumes", "--timeout", "5", env=environment, check=False)
        for peer in peers:
            peer.compose("down", "--volumes", "--rmi", "local", "--timeout", "5", check=False)
        project.remove_from_engine()


def bench_images(group: Group, folder: Path) -> None:
    """Measure the production image of each driver, and building it again after an edit."""
    sizes = {"its base image": image_size(Project(folder), "python:3.14-slim-trixie")}
    for driver in ("psycopg2-binary", "psycopg2", "psycopg"):
        answers = [f"project_slug={Project.unused_slug()}", f"postgres_driver={driver}"]
        project = Project(render(ROOT, folder / driver, *answers))
        try:
            project.run("make", "build")
            sizes[f"{OURS}, {driver}"] = image_size(project, project.stack)
            if driver == "psycopg2-binary":
                edits = iter(range(100))

                def edit(project: Project = project, edits: Iterator[int] = edits) -> float:
                    with open(project.path / "app/core/views.py", "a", encoding="utf-8") as views:
                        views.write(f"# {next(edits)}\n")
                    return seconds(lambda: project.run("make", "build"))

                def nothing(project: Project = project) -> float:
                    return seconds(lambda: project.run("make", "build"))

                edited, unchanged = in_turns(edit, nothing)
        finally:
            project.remove_from_engine()
    group.add("production image", "MB", {name: [size] for name, size in sizes.items()})
    group.add("building it again after an edit", "s", {OURS: edited, "nothing edited": unchanged})


def requested(
    url: str, context: ssl.SSLContext | None, clients: int = 8, duration: float = 5
) -> Load:
    """Return the load of some clients, who keep their connections, when it has ended."""
    headers = {"Host": "localhost", "X-Forwarded-Proto": "https"}
    with Load(url, clients, keep_alive=True, context=context, headers=headers) as load:
        time.sleep(duration)
    if set(load.answers) != {200}:
        raise RuntimeError(f"{url}: {load.answers}")
    return load


def requests_per_second(url: str, context: ssl.SSLContext | None = None) -> float:
    """Return how many pages eight clients get each second."""
    load = requested(url, context)
    return load.answers[200] / load.seconds


def milliseconds(url: str, context: ssl.SSLContext | None = None) -> float:
    """Return the median duration of a request of one client, which never waits for another."""
    return statistics.median(requested(url, context, clients=1, duration=3).progress) * 1000


def under_load(project: Project, action: Callable[[], Any]) -> tuple[Any, int, int]:
    """Return what an action returns, and how many requests were lost and answered meanwhile."""
    trust = project.trusting()
    url = f"https://localhost:{project.port}/receive"
    kinds = [("GET", False), ("GET", True), ("POST", False)]
    loads = [Load(url, 3, method, keep_alive, trust) for method, keep_alive in kinds]
    with loads[0], loads[1], loads[2]:
        result = action()
    answered = sum(load.answers[200] for load in loads)
    return result, sum(sum(load.answers.values()) for load in loads) - answered, answered


@contextmanager
def released(folder: Path, *answers: str) -> Iterator[Project]:
    """Release a project in production, with all processors; remove it afterwards."""
    project = Project(render(ROOT, folder, f"project_slug={Project.unused_slug()}", *answers))
    project.add_views()
    project.to_production(APP_CPUS="2", DB_CPUS="2")
    try:
        project.deploy()
        yield project
    finally:
        project.remove_from_engine()


def bench_pages(group: Group, folder: Path) -> None:
    """Measure the pages of the production stack."""
    # The same image, settings and database, with other servers.
    others = {
        "runserver": "python manage.py runserver --insecure 0.0.0.0:8000",
        "gunicorn with its own defaults": "gunicorn --config /dev/null --forwarded-allow-ips * "
        "--worker-tmp-dir /dev/shm --bind 0.0.0.0:8000 config.wsgi",
    }
    with released(folder / "pages") as project:

        def measure(command: str | None) -> float:
            if command is None:
                (id,) = project.compose("ps", "--quiet", "app").stdout.split()
            else:
                project.compose("stop", "app")
                # Neither reads X-Forwarded-Proto, so both would redirect to HTTPS.
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
        columns = [list(column) for column in zip(*taken, strict=True)]
        samples = dict(zip([OURS, *others], columns, strict=True))
        url = f"https://localhost:{project.port}/read"
        samples[f"{OURS} over HTTPS, behind Caddy"] = [requests_per_second(url, project.trusting())]
        group.add("pages that read a row, per second", "", samples, more_is_better=True)


def bench_releases(group: Group, folder: Path) -> None:
    """Measure what a release under load loses."""
    samples, notes = {}, {}
    with released(folder / "releases") as project:
        changes = {
            "code": ("app/core/views.py", "import platform", "import platform  # a change"),
            "a setting of app": (".env", "SECONDS=3600", "SECONDS=7200"),
            "the Caddyfile": ("docker/caddy/Caddyfile", "camera=()", "midi=(), camera=()"),
            "MAX_BODY_SIZE": (".env", "MAX_BODY_SIZE=10MB", "MAX_BODY_SIZE=9MB"),
            "a setting of db": ("compose.yaml", "shm_size: 256mb", "shm_size: 192mb"),
        }
        for name, change in changes.items():
            project.replace(*change)
            took, lost, answered = under_load(project, lambda: seconds(project.deploy))
            samples[f"release of {name}"] = [lost]
            notes[f"release of {name}"] = f"{lost} of {answered + lost:,}, in {took:.0f} s"
    group.add("requests lost", "", samples, notes=notes)


@contextmanager
def released_on_swarm(folder: Path) -> Iterator[SwarmSite]:
    """Release a project on three nodes, with Caddy and the database on the first; remove all afterwards."""
    swarm = Swarm(site_ports())
    try:
        swarm.up()
        swarm.docker("node", "update", "--label-rm", "db", "node2")
        swarm.docker("node", "update", "--label-add", "db=true", "node1")
        with Store(folder / "store", host=swarm.gateway()) as store:
            site = SwarmSite(render(ROOT, folder / "site", "deployment=swarm", "media_storage=s3"))
            site.add_views()
            settings = {"APP_CPUS": "2", "DB_CPUS": "2", "APP_REPLICAS": "3"}
            site.to_swarm(swarm, store, swarm.ports, **settings)
            site.encrypt_if_possible()
            site.deploy()
            yield site
    finally:
        swarm.down()


def place(site: SwarmSite, replicas: int, *options: str) -> list[str]:
    """Run so many containers of app; return their nodes. With options, none of the old ones stays."""
    update = ("service", "update", "--detach")
    if options:
        site.swarm.docker(*update, "--replicas=0", "site_app")
        site.wait_until(lambda: not site.tasks("app"), 120)
    site.swarm.docker(*update, f"--replicas={replicas}", *options, "site_app")
    site.wait_until(lambda: len(site.tasks("app")) == replicas, 120)
    # Caddy asks for their addresses each second.
    time.sleep(2)
    return [node for node, _ in site.tasks("app")]


def pages_on_swarm(site: SwarmSite) -> Iterator[tuple[str, float, float]]:
    """Measure a page with each number of replicas: pages per second, milliseconds for one page."""
    trust = site.trusting()
    caddy = f"https://localhost:{site.port}/read"
    direct = f"http://{site.swarm.docker('info', '--format', '{{.Swarm.NodeAddr}}')}:8000/read"
    # Only one container can have the port of the node.
    port = "mode=host,published=8000,target=8000"
    first = "node.hostname==node1"
    changes = {
        ("1 node", 1): [f"--constraint-add={first}", f"--publish-add={port}"],
        ("1 node", 2): [f"--publish-rm={port}"],
        ("1 node", 4): [],
        ("3 nodes", 1): [f"--constraint-rm={first}"],
        ("3 nodes", 2): [],
        ("3 nodes", 4): [],
    }
    for (where, replicas), options in changes.items():
        nodes = set(place(site, replicas, *options))
        if where == "1 node":
            expected = nodes == {"node1"}
        else:
            # The first ones start where nothing else runs.
            expected = len(nodes) == min(replicas, 3) and ("node1" in nodes) == (replicas > 2)
        if not expected:
            raise RuntimeError(f"{replicas} on {where}: {nodes}")
        name = f"{OURS}, {replicas} on {where}"
        yield name, requests_per_second(caddy, trust), milliseconds(caddy, trust)
        if (where, replicas) == ("1 node", 1):
            yield "1 on 1 node, without Caddy", requests_per_second(direct), milliseconds(direct)


def replaced(site: SwarmSite) -> tuple[float, float]:
    """Kill a node; return the seconds until Swarm notices, and until all replicas run again."""
    start = time.perf_counter()
    site.swarm.kill("node3")
    site.swarm.wait_for_status("node3", "Down")
    noticed = time.perf_counter() - start

    def all_run() -> bool:
        nodes = [node for node, _ in site.tasks("app")]
        return len(nodes) == 3 and "node3" not in nodes

    site.wait_until(all_run, 180)
    return noticed, time.perf_counter() - start


def bench_swarm(group: Group, folder: Path) -> None:
    """Measure a site on three nodes: its pages, a release, and the loss of a node."""
    rates, times, runs = defaultdict(list), defaultdict(list), defaultdict(list)
    with released_on_swarm(folder / "swarm") as site:
        for _ in range(ROUNDS):
            for name, rate, time_of_one in pages_on_swarm(site):
                rates[name].append(rate)
                times[name].append(time_of_one)
        for number in range(3):
            place(site, 3, "--force")
            runs["a killed node"].append(under_load(site, lambda: replaced(site)))
            site.swarm.start("node3")
            with open(site.path / HOME, "a", encoding="utf-8") as page:
                page.write(f"{{# {number} #}}\n")
            runs["make deploy"].append(under_load(site, lambda: seconds(site.deploy)))
            back = under_load(site, lambda: seconds(lambda: site.run("make", "rollback")))
            runs["make rollback"].append(back)
    group.add("pages that read a row, per second", "", rates, more_is_better=True)
    group.add("the same page for one client, p50", "ms", times)
    killed, deploy, rollback = ([result for result, *_ in taken] for taken in runs.values())
    group.add(
        "make deploy of a changed page, under load",
        "s",
        {OURS: deploy, "make rollback, which only replaces containers": rollback},
    )
    noticed, complete = zip(*killed, strict=True)
    group.add(
        "a killed node under load, until all replicas run",
        "s",
        {OURS: complete, "Swarm sees that the node is down": noticed},
    )
    lost = {name: [lost for _, lost, _ in taken] for name, taken in runs.items()}
    notes = {
        name: f"{sum(lost[name])} of {sum(lost + answered for _, lost, answered in taken):,}"
        for name, taken in runs.items()
    }
    group.add("requests lost", "", lost, notes=notes)


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


def bench_data(group: Group, folder: Path, rows: int = 1_700_000) -> None:
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
        made = project.run("make", "backup", timeout=900).stdout
        backup = made.split("backups/")[1].split()[0]
        ours, bare = in_turns(
            lambda: restore(backup), lambda: bare_restore(f"/backups/{backup}/data"), rounds=2
        )
        group.add(f"make restore of {size:.0f} MB", "s", {OURS: ours, "pg_restore -j 2": bare})
        copy = ("pg_dump", "-U", "postgres", "-Fd", "-j", "2", "-f", "/tmp/bare", name)
        bare_copy = in_db(*copy) + bare_restore("/tmp/bare")
        in_db("rm", "-r", "/tmp/bare")
        upgrade = ("make", "upgrade-postgres", "TO=18")
        took = seconds(lambda: project.run(*upgrade, timeout=1800))
        group.add(
            f"make upgrade-postgres of {size:.0f} MB",
            "s",
            {OURS: [took], "pg_dump -j 2 and pg_restore -j 2": [bare_copy]},
        )
    finally:
        project.remove_from_engine()


def bench_recovery(group: Group, folder: Path, rows: int = 1_700_000) -> None:
    """Measure what backup=continuous costs, and how long it takes to go back to a moment."""
    with released(folder / "recovery", "backup=continuous") as project:
        project.sql("CREATE TABLE written (id integer)")
        url = f"https://localhost:{project.port}/write?id=1"
        trust = project.trusting()

        def with_service(do: str, synchronous: str = "false") -> float:
            """Return how many rows clients write while wal runs, or does not."""
            env = project.read(".env")
            setting = f"BACKUP_SYNCHRONOUS={synchronous}"
            (project.path / ".env").write_text(re.sub("BACKUP_SYNCHRONOUS=.*", setting, env))
            if project.sql("SHOW synchronous_standby_names"):
                # Only its start takes the setting back.
                project.compose("up", "--detach", "--no-deps", "wal")
                project.wait_until(lambda: not project.sql("SHOW synchronous_standby_names"))
            project.compose(*do.split(), "wal")
            standby = "wal" if synchronous == "true" else ""
            project.wait_until(lambda: project.sql("SHOW synchronous_standby_names") == standby)
            return requests_per_second(url, trust)

        start = "up --detach --no-deps"
        subjects = {
            OURS: lambda: with_service(start),
            "without it (backup=dump)": lambda: with_service("stop"),
            "with BACKUP_SYNCHRONOUS": lambda: with_service(start, "true"),
        }
        # The turns differ by a tenth, and the goal is a twentieth.
        taken = in_turns(*subjects.values(), rounds=2 * ROUNDS)
        samples = dict(zip(subjects, taken, strict=True))
        group.add("pages that write a row, per second", "", samples, more_is_better=True)
        with_service(start)

        position = "SELECT pg_current_wal_lsn() - '0/0'"
        archive = ("sh", "-c", "cat backups/archive/*/wal/*.zst | wc -c")
        project.admin_sql("SELECT pg_switch_wal()")
        incoming = "backups/archive/*/incoming/*[0-9A-F]"
        project.wait_until(lambda: not list(project.path.glob(incoming)))
        before = int(project.admin_sql(position)), int(project.run(*archive).stdout)
        project.admin_sql("SET ROLE django;" + DATA.replace("CHECKPOINT;", "").format(rows=rows))
        written = int(project.admin_sql(position)) - before[0]
        project.admin_sql("SELECT pg_switch_wal()")
        time.sleep(5)
        project.wait_until(lambda: not list(project.path.glob(incoming)))
        kept = int(project.run(*archive).stdout) - before[1]
        group.add(
            "kept for each GB that the log has grown",
            "MB",
            {OURS: [kept / written * 1000], "the log as it is": [1000]},
        )

        size = int(project.sql("SELECT pg_database_size(current_database())")) / 1e6

        def drop_replaced() -> None:
            for word in project.run("make", "backups").stdout.split():
                if word.startswith("DB="):
                    project.run("make", "drop-replaced", word)
            project.admin_sql("CHECKPOINT")

        def restore_to() -> float:
            # What a restore writes is not replayed by the next one.
            make_base = ("exec", "-T", "backup", "sh", "/scripts/archive.sh", "base")
            project.compose(*make_base, timeout=900)
            moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            command = ("make", "restore-to", f"TIME={moment}")
            took = seconds(lambda: project.run(*command, timeout=900))
            drop_replaced()
            return took

        def backup_and_restore() -> float:
            def both() -> None:
                name = project.run("make", "backup", timeout=900).stdout.split("backups/")[1]
                project.run("make", "restore", f"FILE=backups/{name.split()[0]}", timeout=900)

            took = seconds(both)
            drop_replaced()
            return took

        ours, floor = in_turns(restore_to, backup_and_restore, rounds=2)
        group.add(
            f"make restore-to of {size:.0f} MB",
            "s",
            {OURS: ours, "make backup and make restore": floor},
        )


def bench_rendering(group: Group, folder: Path) -> None:
    """Measure a whole `cookiecutter` process."""
    templates = {
        OURS: (ROOT, []),
        "a template of one file, no hooks": (ROOT / "benchmarks" / "floor_template", []),
    } | {peer.name: (peer.template, peer.answers) for peer in PEERS if peer.template}
    measures = [
        lambda template=template, answers=answers, number=number: seconds(
            lambda: render(template, folder / f"rendering{number}", *answers)
        )
        for number, (template, answers) in enumerate(templates.values())
    ]
    group.add("rendering", "s", dict(zip(templates, in_turns(*measures), strict=True)))


GROUPS = {
    "rendering": bench_rendering,
    "waiting": bench_waiting,
    "start": bench_start,
    "images": bench_images,
    "pages": bench_pages,
    "releases": bench_releases,
    "swarm": bench_swarm,
    "data": bench_data,
    "recovery": bench_recovery,
}
WITHOUT_ENGINE = ("rendering", "waiting")


def missing(name: str) -> str | None:
    """Return how to get what a group needs, or None if it is available."""
    tier = "swarm" if name == "swarm" else "stack"
    return None if name in WITHOUT_ENGINE else missing_service(tier)


def main() -> None:
    """Measure the groups that the arguments name, or all that can be measured here."""
    names = sys.argv[1:] or list(GROUPS)
    if unknown := set(names) - GROUPS.keys():
        sys.exit(f"No such group: {', '.join(unknown)}. There are: {', '.join(GROUPS)}.")
    reasons = {name: reason for name in names if (reason := missing(name))}
    for name, reason in reasons.items():
        print(f"{name} cannot be measured: {reason}", file=sys.stderr)
    if reasons and sys.argv[1:]:
        sys.exit(1)
    print(f"{'':<50} {'median':>24}   ours to it")
    with tempfile.TemporaryDirectory() as folder:
        for name in [name for name in names if name not in reasons]:
            group = Group(name)
            GROUPS[name](group, Path(folder))
            group.save()
    plot.draw_all()


if __name__ == "__main__":
    main()
