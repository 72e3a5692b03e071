"""What several groups of the benchmark share."""

import os
import ssl
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.load import Load
from tests.support.project import ROOT, Project

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
# About 1 GB: rows, some of them large, and three indexes.
LARGE_DATA = """
CREATE TABLE big AS
SELECT n, md5(n::text) || md5((n + 1)::text) AS x, repeat(md5(n::text), 6) AS y, now() AS z
FROM generate_series(1, {rows}) AS n;
ALTER TABLE big ADD PRIMARY KEY (n);
CREATE INDEX ON big (x);
CREATE TABLE second AS SELECT n + 1 AS n, x, y FROM big WHERE n % 2 = 0;
CREATE INDEX ON second (x);
CHECKPOINT;
"""


def in_turns(*measures: Callable[[], Any], rounds: int = ROUNDS) -> list[list[Any]]:
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


def wait_for_page(url: str, context: ssl.SSLContext | None = None) -> None:
    """Return when a page answers 200; raise TimeoutError after ten minutes."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=1, context=context) as response:
            if response.status == 200:
                return
        time.sleep(0.01)
    raise TimeoutError(url)


def requested(
    url: str, context: ssl.SSLContext | None, clients: int = 8, duration: float = 5
) -> Load:
    """Return the load of some clients, who keep their connections, when it has ended."""
    headers = {"Host": "localhost", "X-Forwarded-Proto": "https"}
    with Load(url, clients, keep_alive=True, context=context, headers=headers, pause=0) as load:
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
    # A peer's stack can have no HTTPS.
    url = f"http{'s' if trust else ''}://localhost:{project.port}/receive"
    kinds = [("GET", False), ("GET", True), ("POST", False)]
    loads = [Load(url, 3, method, keep_alive, trust, pause=0) for method, keep_alive in kinds]
    with loads[0], loads[1], loads[2]:
        result = action()
    answered = sum(load.answers[200] for load in loads)
    return result, sum(sum(load.answers.values()) for load in loads) - answered, answered


@contextmanager
def released(
    folder: Path, *answers: str, prepare: Callable[[Project], None] | None = None
) -> Iterator[Project]:
    """Release a project in production, with all processors; remove it afterwards.

    prepare: what to do with the project before its image is built.
    """
    answers = (f"project_slug={Project.unused_slug()}", "deployment=compose", *answers)
    project = Project(render(ROOT, folder, *answers))
    project.add_views()
    if prepare:
        prepare(project)
    project.to_production(APP_CPUS="2", DB_CPUS="2")
    try:
        project.deploy()
        yield project
    finally:
        project.remove_from_engine()
