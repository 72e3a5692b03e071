"""`wait_for_db` beside other commands that wait."""

import random
import time
from contextlib import suppress
from pathlib import Path

import psycopg2

from benchmarks.figures import OURS, Group
from benchmarks.measuring import in_turns, render, seconds
from tests.support.embedded_postgres import EmbeddedPostgres
from tests.support.project import ROOT, Project

# The tier of the tests whose service it needs.
NEEDS = None

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


def measure(group: Group, folder: Path) -> None:
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
