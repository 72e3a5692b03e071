"""The start and the stop of the development stack."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from benchmarks.figures import OURS, Group
from benchmarks.measuring import in_turns, render, seconds, wait_for_page
from benchmarks.peers import PEERS, PeerStack
from tests.support.project import ROOT, Project

# The tier of the tests whose service it needs.
NEEDS = "stack"

# With data, the database is ready before any Python is: the floor is the same server without waiting.
BARE = """services:
  app:
    entrypoint: []
    command: python manage.py runserver 0.0.0.0:8000
"""


@contextmanager
def up(project: Project, keep: bool = False, **environment: str) -> Iterator[float]:
    """Start a stack; yield the seconds to its first page; remove it, with or without its data."""
    start = time.perf_counter()
    project.compose("up", "--detach", env=environment)
    wait_for_page(f"http://127.0.0.1:{project.port}/")
    yield time.perf_counter() - start
    down = ["down"] if keep else ["down", "--volumes"]
    project.compose(*down, "--timeout", "5", env=environment)


def first_page(project: Project, keep: bool = False, **environment: str) -> float:
    """Return the seconds from `up` to the first page."""
    with up(project, keep, **environment) as took:
        return took


def page_and_connection(project: Project, keep: bool = False) -> tuple[float, float]:
    """Return the seconds from `up` to the first page, and until db accepts connections over TCP."""
    start = time.time()
    with up(project, keep) as took:
        log = project.compose("logs", "--no-log-prefix", "--timestamps", "db").stdout
    ready = [line for line in log.splitlines() if "ready to accept connections" in line]
    return took, datetime.fromisoformat(ready[-1].split()[0]).timestamp() - start


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


def measure_page(
    group: Group,
    project: Project,
    floor: Callable[[], float],
    peers: dict[str, PeerStack],
    keep: bool,
) -> None:
    """Measure the first page of all in turns, on an empty volume or on the one of the round before."""
    own, least, *others = in_turns(
        lambda: page_and_connection(project, keep),
        floor,
        *(functools.partial(first_page, peer, keep) for peer in peers.values()),
    )
    pages, connections = (list(column) for column in zip(*own, strict=True))
    samples = {OURS: pages, "its db accepts connections": connections}
    samples["its runserver, without waiting" if keep else "no framework, no health checks"] = least
    samples |= dict(zip(peers, others, strict=True))
    where = "with data" if keep else "on an empty volume"
    group.add(f"docker compose up {where}, to the first page", "s", samples)


def measure(group: Group, folder: Path) -> None:
    """Measure the start and the stop of the development stack."""
    project = Project(render(ROOT, folder / "stack", f"project_slug={Project.unused_slug()}"))
    floor = Project(ROOT / "benchmarks" / "floor_stack")
    project.choose_port()
    floor.port = project.port + 1
    environment = {"IMAGE": f"{project.stack}:development", "APP_PORT": str(floor.port)}
    (project.path / "compose.bare.yaml").write_text(BARE, encoding="utf-8")
    files = "compose.yaml:compose.override.yaml:compose.bare.yaml"
    peers = {}
    try:
        project.compose("build")
        for peer in PEERS:
            group.add_peer(peer.subject, peer.commit, peer.answers)
            peers[peer.subject] = peer.stack(folder)
        measure_page(group, project, lambda: first_page(floor, **environment), peers, keep=False)
        bare = functools.partial(first_page, project, keep=True, COMPOSE_FILE=files)
        measure_page(group, project, bare, peers, keep=True)
        group.add("docker compose stop, idle", "s", measure_stop(project))
    finally:
        floor.compose("down", "--volumes", "--timeout", "5", env=environment, check=False)
        for stack in peers.values():
            stack.compose("down", "--volumes", "--rmi", "local", "--timeout", "5", check=False)
        project.remove_from_engine()
