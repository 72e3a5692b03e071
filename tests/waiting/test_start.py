"""The stack comes up the first time, also when something is slow, scaled or unordered; it stops at once."""

import time

import pytest

from tests.support.answers import WAITING, name_of
from tests.support.processes import messages_to_clients
from tests.support.project import Project

pytestmark = pytest.mark.stack

# Seconds on a very busy machine. What ignores SIGTERM takes its whole stop_grace_period, 35 s.
AT_ONCE = 20
BROKEN_MIGRATION = """
from django.db import migrations


def fail(apps, schema_editor):
    raise RuntimeError("this migration is broken")


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]
    operations = [migrations.RunPython(fail)]
"""


# How many seconds longer the first start of the database takes.
@pytest.mark.parametrize(
    ("answers", "seconds"),
    [
        pytest.param(answers, seconds, id=name_of(answers))
        for answers, seconds in zip(WAITING, (8, 0, 0, 5), strict=True)
    ],
)
def test_every_way_of_waiting_comes_up_the_first_time_and_stops_at_once(
    make_stack, answers, seconds
):
    project = make_stack(**answers)
    if seconds:
        # A slow database delays the start and does not fail it.
        (project.path / "slow.sh").write_text(f"sleep {seconds}\n")
        where = "/docker-entrypoint-initdb.d/slow.sh"
        project.add_to_compose(f"services: {{db: {{volumes: ['./slow.sh:{where}:ro']}}}}\n")
    project.up()
    assert project.status("/") == 200
    assert project.restarts() == 0
    assert "Traceback" not in project.logs()
    fatal = [
        line for line in messages_to_clients(project.logs("db")).splitlines() if "FATAL" in line
    ]
    # wait_for_db may have asked in the moment between listening and being ready.
    assert [line for line in fatal if "the database system is starting up" not in line] == []

    assert stop_app(project) < AT_ONCE
    # It starts again, with its data.
    project.up()
    assert project.status("/") == 200
    assert project.restarts() == 0
    # docker/compose#9572: `up --wait` fails if a one-shot service ends while Compose looks.
    if seconds:
        project.compose("down")
        project.up()
        assert project.status("/") == 200
    if answers == {"use_wait_for_db": False, "use_entrypoint": True}:
        assert_a_failed_migration_stops_the_start(project)


def assert_a_failed_migration_stops_the_start(project: Project) -> None:
    """Without wait_for_db, the service `migrate` shows why, and app does not start."""
    project.compose("down")
    (project.path / "app/core/migrations/0002_broken.py").write_text(BROKEN_MIGRATION)
    process = project.compose("up", check=False)
    assert process.returncode != 0
    # `up` may end before it has shown the last lines.
    assert "RuntimeError: this migration is broken" in project.logs("migrate")
    assert 'service "migrate" didn\'t complete successfully' in process.stdout
    assert project.inspect("app", "{{.State.Status}}") == ["created"]


def stop_app(project: Project) -> float:
    """Stop app; return how many seconds that took."""
    start = time.monotonic()
    project.compose("stop", "app")
    return time.monotonic() - start


def test_one_off_commands_and_app_run_where_compose_does_not_order_the_start(make_stack):
    project = make_stack()
    project.compose("build")
    run = ("run", "--rm", "-T")
    echo = ("python", "-c", "import sys; print(sys.argv[1:])", "two words", 'it\'s "quoted"')
    printed = project.compose(*run, "--no-deps", "app", *echo).stdout
    assert str(["two words", 'it\'s "quoted"']) in printed
    assert project.compose("ps", "--quiet").stdout == ""
    shell = ("python", "manage.py", "shell", "-c", "print(User.objects.count(), 'users')")
    assert "0 users" in project.compose(*run, "app", *shell).stdout
    project.compose("down", "--volumes")

    # Without the database, app waits, and stops meanwhile.
    project.compose("up", "--detach", "--no-deps", "app")
    project.wait_until(lambda: "Waiting for the database" in project.logs("app"))
    assert stop_app(project) < AT_ONCE

    project.compose("up", "--detach", "--no-deps", "app", "db")
    project.wait_until(lambda: project.status("/") == 200)
    assert project.restarts() == 0
    assert "Traceback" not in project.logs()


@pytest.mark.parametrize(
    "answers", [{}, pytest.param({"postgres_version": "15"}, marks=pytest.mark.long)]
)
def test_role_and_database_are_never_missing_over_tcp(make_stack, answers):
    """The official image creates them while it listens on its Unix socket only."""
    project = make_stack(**answers)
    project.compose("build")
    script = """
import os, psycopg2, time
names = dict(host="db", user=os.environ["POSTGRES_USER"], dbname=os.environ["POSTGRES_DB"],
             password=os.environ["POSTGRES_PASSWORD"])
deadline = time.monotonic() + 120
while time.monotonic() < deadline:
    try:
        psycopg2.connect(**names)
        print("CONNECTED")
        break
    except psycopg2.OperationalError as error:
        print(str(error).strip().splitlines()[0].rpartition("failed: ")[2])
"""
    # The client has to see the server before it listens, however busy the machine is.
    seen = project.path / "backups/seen"
    (project.path / "slow.sh").write_text("until [ -e /backups/seen ]; do sleep 0.2; done\n")
    mount = "./slow.sh:/docker-entrypoint-initdb.d/99_slow.sh:ro"
    project.add_to_compose(f"services: {{db: {{volumes: ['{mount}']}}}}\n")
    project.compose("up", "--detach", "--no-deps", "db")
    run = ("run", "--rm", "-T", "--no-deps", "app", "python", "-uc", script)
    client = project.start("docker", "compose", *run, env={})
    client.wait_for("Connection refused")
    seen.touch()
    assert client.end() == 0, client.printed()
    printed = client.printed()
    results = [line for line in printed.splitlines() if line and not line.startswith(" ")]
    assert "CONNECTED" in results
    assert "Connection refused" in results
    assert {line for line in results if "does not exist" in line or "auth" in line} == set()


def test_three_replicas_apply_each_migration_once(make_stack):
    project = make_stack()
    ports = f"{project.port}-{project.port + 9}"
    project.replace(".env", f"APP_PORT={project.port}", f"APP_PORT={ports}")
    project.up("--scale", "app=3")
    assert project.logs("app").count(f"Open a port of 127.0.0.1:{ports} ") == 3
    assert project.inspect("app", "{{.State.Health.Status}}") == ["healthy"] * 3
    assert project.restarts() == 0
    assert project.logs("app").count("Applying core.0001_initial") == 1
    applied = "SELECT count(*), count(DISTINCT (app, name)) FROM django_migrations"
    count, distinct = project.sql(applied).split("|")
    assert count == distinct and int(count) > 10
    for number in ("1", "2", "3"):
        address = project.compose("port", "--index", number, "app", "8000").stdout.strip()
        project.port = int(address.rpartition(":")[2])
        assert project.status("/health/ready") == 200


@pytest.mark.xdist_group("outages")
def test_a_failed_migration_ends_the_start_and_the_last_line_says_why(stack):
    project = stack
    project.compose("down")
    (project.path / "app/core/migrations/0002_broken.py").write_text(BROKEN_MIGRATION)
    process = project.compose("up", "--detach", "--wait", check=False)
    assert process.returncode != 0
    log = project.logs("app")
    assert "RuntimeError: this migration is broken" in log
    last = "The migrations failed: this migration is broken"
    assert last in log.strip().splitlines()[-1]
    # It is not tried again for ever.
    assert project.inspect("app", "{{.State.Status}} {{.State.ExitCode}}") == ["exited 1"]
    assert project.restarts() == 0

    (project.path / "app/core/migrations/0002_broken.py").unlink()
    project.up()
    assert project.status("/") == 200
