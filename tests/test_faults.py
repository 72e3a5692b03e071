"""What happens on a real engine when something goes wrong: each fault, and how it ends."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.answers import WAITING, name_of
from tests.support.processes import messages_to_clients

pytestmark = pytest.mark.stack

BROKEN_MIGRATION = """
from django.db import migrations


def fail(apps, schema_editor):
    raise RuntimeError("this migration is broken")


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]
    operations = [migrations.RunPython(fail)]
"""


# Coming up


@pytest.mark.parametrize("answers", WAITING, ids=name_of)
def test_every_way_of_waiting_comes_up_the_first_time(make_stack, answers):
    project = make_stack(**answers)
    project.up()
    assert project.status("/") == 200
    assert project.restarts() == 0
    assert "Traceback" not in project.logs()
    assert "FATAL" not in messages_to_clients(project.logs("db"))


@pytest.mark.parametrize(("answers", "seconds"), [(WAITING[0], 20), (WAITING[-1], 5)])
def test_a_database_that_takes_seconds_longer(make_stack, answers, seconds):
    project = make_stack(**answers)
    script = project.path / "slow.sh"
    script.write_text(f"sleep {seconds}\n")
    where = "/docker-entrypoint-initdb.d/slow.sh"
    project.add_to_compose(f"services: {{db: {{volumes: ['./slow.sh:{where}:ro']}}}}\n")
    project.up()
    assert project.status("/") == 200
    assert project.restarts() == 0
    assert "Traceback" not in project.logs()


def test_waits_by_itself_where_compose_does_not_order_the_start(make_stack):
    project = make_stack()
    project.compose("build")
    project.compose("up", "--detach", "--no-deps", "app", "db")
    project.wait_until(lambda: "migrations are not applied" in project.logs("app"))
    assert project.status("/") == 0
    project.compose("run", "--rm", "-T", "--no-deps", "migrate")
    project.wait_until(lambda: project.status("/") == 200)
    assert project.restarts() == 0
    assert "Traceback" not in project.logs()


@pytest.mark.parametrize("answers", [{}, {"postgres_version": "17"}, {"postgres_version": "15"}])
def test_role_and_database_are_never_missing_over_tcp(make_stack, answers):
    """The official image makes them in its first start, while it listens on its socket only."""
    project = make_stack(**answers)
    project.compose("build")
    script = """
import os, psycopg2, time
names = dict(host="db", user=os.environ["POSTGRES_USER"], dbname=os.environ["POSTGRES_DB"],
             password=os.environ["POSTGRES_PASSWORD"])
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    try:
        psycopg2.connect(**names)
        print("CONNECTED")
        break
    except psycopg2.OperationalError as error:
        print(str(error).strip().splitlines()[0].rpartition("failed: ")[2])
"""
    project.compose("up", "--detach", "--no-deps", "db")
    printed = project.compose(
        *("run", "--rm", "-T", "--no-deps", "-e", "SKIP_WAIT=1", "app", "python", "-c", script)
    ).stdout
    said = [line for line in printed.splitlines() if line and not line.startswith(" ")]
    assert said[-1] == "CONNECTED"
    assert said.count("Connection refused") > 20
    assert {line for line in said[:-1] if "does not exist" in line or "auth" in line} == set()


def test_three_replicas_and_each_migration_once(make_stack):
    project = make_stack()
    project.replace(".env", f"APP_PORT={project.port}", "APP_PORT=0")
    project.up("--scale", "app=3")
    assert project.inspect("app", "{{.State.Health.Status}}") == ["healthy"] * 3
    assert project.restarts() == 0
    assert project.logs("migrate").count("Applying core.0001_initial") == 1
    applied = "SELECT count(*), count(DISTINCT (app, name)) FROM django_migrations"
    count, distinct = project.sql(applied).split("|")
    assert count == distinct and int(count) > 10
    for number in ("1", "2", "3"):
        address = project.compose("port", "--index", number, "app", "8000").stdout.strip()
        project.port = int(address.rpartition(":")[2])
        assert project.status("/health/ready") == 200


def test_a_failed_migration_stops_the_start_and_shows_why(make_stack):
    project = make_stack()
    (project.path / "app/core/migrations/0002_broken.py").write_text(BROKEN_MIGRATION)
    process = project.compose("up", check=False)
    assert process.returncode != 0
    assert "RuntimeError: this migration is broken" in process.stdout
    assert 'service "migrate" didn\'t complete successfully' in process.stdout
    assert project.inspect("app", "{{.State.Status}}") == ["created"]


def test_a_checkout_with_crlf_and_without_execute_bits(make_stack):
    project = make_stack()
    script = project.path / "docker/app/entrypoint.sh"
    script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    script.chmod(0o644)
    project.up()
    assert project.status("/") == 200


def test_one_off_commands(make_stack):
    project = make_stack()
    project.compose("build")
    run = ("run", "--rm", "-T")
    echo = ("python", "-c", "import sys; print(sys.argv[1:])", "two words", 'it\'s "quoted"')
    skip = ("--no-deps", "-e", "SKIP_WAIT=1")
    printed = project.compose(*run, *skip, "app", *echo).stdout
    assert str(["two words", 'it\'s "quoted"']) in printed
    assert project.compose("ps", "--quiet").stdout == ""

    shell = ("python", "manage.py", "shell", "-c", "print(User.objects.count(), 'users')")
    assert "0 users" in project.compose(*run, "app", *shell).stdout


# Failing to come up: one clear line, in bounded time


def test_a_changed_password_over_a_volume(make_stack):
    project = make_stack()
    project.up()
    project.sql("CREATE TABLE kept AS SELECT 1 AS row")
    right = project.setting("POSTGRES_PASSWORD")
    project.compose("down")
    project.replace(".env", right, "another")

    process = project.compose("up", check=False, timeout=15)

    assert process.returncode != 0
    lines = [line for line in process.stdout.splitlines() if "wrong password" in line]
    assert len(lines) == 1
    assert "A volume keeps the password it was initialised with: put that one back" in lines[0]
    assert "Traceback" not in process.stdout
    project.replace(".env", "another", right)
    project.up()
    assert project.sql("SELECT * FROM kept") == "1"


def test_a_database_that_was_dropped(make_stack):
    project = make_stack()
    project.up()
    name = project.setting("POSTGRES_DB")
    drop = f'psql -U postgres -c "DROP DATABASE {name} WITH (FORCE)"'
    project.compose("exec", "-T", "db", "sh", "-c", drop)
    assert project.status("/health/ready") == 503
    assert project.status("/health/live") == 200
    project.compose("stop", "app")

    process = project.compose("up", check=False, timeout=60)

    assert process.returncode != 0
    way_out = f"no such database. Create it with: docker compose exec db createdb -U postgres -O django {name}"
    assert way_out in process.stdout
    project.compose("up", "--detach", "--no-deps", "db")
    project.run(*way_out.partition("with: ")[2].split())
    project.up()
    assert project.status("/health/ready") == 200


def test_a_database_that_ends_at_once(make_stack):
    project = make_stack()
    project.add_to_compose(
        "services: {db: {entrypoint: ['sh', '-c', 'echo broken >&2; exit 3']}}\n"
    )
    process = project.compose("up", check=False, timeout=60)
    assert process.returncode != 0
    assert "broken" in process.stdout
    assert "dependency failed to start" in process.stdout
    assert "Traceback" not in process.stdout


def test_a_database_that_is_never_there(make_stack):
    project = make_stack()
    project.compose("build")
    process = project.compose(
        *("run", "--rm", "-T", "--no-deps", "-e", "WAIT_FOR_DB_TIMEOUT=2", "app", "true"),
        check=False,
        timeout=60,
    )
    assert process.returncode == 1
    name = project.setting("POSTGRES_DB")
    tried = f"Cannot use the database {name} on db:5432 as django after 2 s: host not found."
    assert tried in process.stdout
    assert "Traceback" not in process.stdout


# Going wrong while it runs


def test_the_database_stops_and_starts_while_the_site_runs(make_stack):
    project = make_stack()
    project.up()
    assert project.status("/admin/login/") == 200

    project.compose("stop", "db")
    project.wait_until(lambda: project.status("/health/ready") == 503, seconds=5)
    assert project.status("/health/live") == 200
    assert "does not answer" in project.get("/")[1]

    project.compose("start", "db")
    project.wait_until(lambda: project.status("/health/ready") == 200, seconds=5)
    pages = ["/admin/login/", "/", "/health/ready"] * 20
    assert {project.status(page) for page in pages} == {200}
    assert project.restarts() == 0


def test_the_database_restarts_between_two_requests(make_stack):
    project = make_stack()
    project.up()
    # At once, so that each thread of the server opens a connection of its own, and keeps it.
    pages = ["/sleep-in-database"] * 8
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda page: project.status(page), pages)) == {200}
        project.compose("restart", "db")
        project.up()
        assert set(pool.map(lambda page: project.status(page), pages)) == {200}
    assert project.restarts() == 0


def test_no_acknowledged_row_is_lost_when_the_database_is_killed(make_stack):
    project = make_stack()
    project.up()
    project.sql("CREATE TABLE written (id integer PRIMARY KEY)")
    acknowledged = []
    enough = threading.Event()

    def write_rows(client: int) -> None:
        for number in range(client * 10, client * 10 + 10):
            if project.status(f"/write?id={number}") == 200:
                acknowledged.append(number)
            if len(acknowledged) > 300:
                enough.set()

    with ThreadPoolExecutor(200) as pool:
        clients = [pool.submit(write_rows, client) for client in range(200)]
        assert enough.wait(60)
        project.compose("kill", "--signal", "SIGKILL", "db")
        project.compose("start", "db")
        for client in clients:
            client.result()
    project.wait_until(lambda: project.status("/health/ready") == 200)

    stored = {int(row) for row in project.sql("SELECT id FROM written").split()}
    assert 300 < len(acknowledged) < 2000
    assert len(set(acknowledged)) == len(acknowledged)
    assert set(acknowledged) - stored == set()
    print(f"{len(acknowledged)} rows acknowledged, {len(stored)} stored, 0 lost")


def test_the_network_to_the_database_is_cut_and_restored(make_stack):
    project = make_stack()
    project.up()
    network = f"{project.stack}_default"
    (database,) = project.inspect("db", "{{.Id}}")

    project.run("docker", "network", "disconnect", network, database)
    project.wait_until(lambda: project.status("/health/ready") == 503, seconds=15)
    assert project.status("/health/live") == 200

    project.run("docker", "network", "connect", "--alias", "db", network, database)
    project.wait_until(lambda: project.status("/health/ready") == 200, seconds=15)
    assert project.restarts() == 0


# Stopping


@pytest.mark.parametrize("answers", WAITING, ids=name_of)
def test_stops_within_a_second_and_lets_requests_finish(make_stack, answers):
    project = make_stack(**answers)
    project.up()

    def stop() -> float:
        start = time.monotonic()
        project.compose("stop", "app")
        return time.monotonic() - start

    idle, busy = [], []
    for _ in range(3):
        # The machine may be busy with something else: what counts is the best of three.
        if idle and min(idle) <= 1 and min(busy) <= 2 + 1:
            break
        idle.append(stop())
        assert project.inspect("app", "{{.State.ExitCode}}") == ["0"]
        project.up()
        with ThreadPoolExecutor(1) as pool:
            start = time.monotonic()
            answer = pool.submit(project.get, "/slow?seconds=2", timeout=20)
            time.sleep(0.3)
            stop()
            stopped = time.monotonic() - start
            assert answer.result() == (200, "finished")
            busy.append(stopped)
        project.up()
    assert min(idle) <= 1
    assert min(busy) <= 2 + 1


def test_stops_while_it_waits(make_stack):
    project = make_stack()
    project.compose("build")
    project.compose("up", "--detach", "--no-deps", "app")
    project.wait_until(lambda: "Waiting for the database" in project.logs("app"))
    start = time.monotonic()
    project.compose("stop", "app")
    assert time.monotonic() - start < 5
