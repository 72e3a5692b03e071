"""wait_for_db and the entrypoint on a real server, in each state that a server can be in."""

import contextlib
import os
import signal

import pytest

from tests.support.answers import DRIVERS_WITH_WHEELS
from tests.support.embedded_postgres import free_port

pytestmark = pytest.mark.postgres

# Each has its mark: a shell may be missing.
SHELLS = [
    pytest.param(["dash"], id="dash", marks=pytest.mark.dash),
    pytest.param(["busybox", "ash"], id="busybox", marks=pytest.mark.busybox),
    pytest.param(["bash"], id="bash", marks=pytest.mark.bash),
]
READY = "Found the database ready after"


@pytest.fixture(scope="module")
def server(make_server):
    """A server that the tests of this file stop, start and fill."""
    server = make_server(max_connections="8", superuser_reserved_connections="1")
    yield server
    with contextlib.suppress(RuntimeError):
        server.stop("immediate")


@pytest.fixture
def running(server):
    """The server, running, with its first pg_hba.conf; both are restored after the test."""
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    server.restart()
    yield server
    rules.write_text(before)
    server.restart()


@pytest.fixture(params=DRIVERS_WITH_WHEELS)
def project(request, bake, python_for):
    """The default project with each driver; `python` is its interpreter."""
    project = bake(postgres_driver=request.param)
    project.python = python_for(django_version="5.2", postgres_driver=request.param)
    return project


def start_waiting(project, server, *arguments, **environment):
    """Start wait_for_db on the server's own database."""
    environment = server.environment("postgres") | environment
    return project.start(
        project.python, "manage.py", "wait_for_db", *arguments, env=environment, cwd="app"
    )


def assert_becomes_ready(waiting, cause):
    """Fail unless the command printed the cause once and ended with status 0."""
    assert waiting.end() == 0, waiting.printed()
    assert waiting.printed().count(cause) == 1
    assert READY in waiting.printed().splitlines()[-1]
    assert "Traceback" not in waiting.printed()


def test_waits_for_a_server_that_is_not_up_yet(project, server, running):
    running.stop()
    waiting = start_waiting(project, running)
    waiting.wait_for("connection refused")
    running.start()
    assert_becomes_ready(waiting, "connection refused")


def test_waits_for_a_server_that_starts_up(project, server, running):
    # A slow restore_command keeps the server in archive recovery.
    running.stop()
    (running.data / "recovery.signal").touch()
    hold = running.data / "hold"
    hold.touch()
    restore = f"while [ -e {hold} ]; do sleep 0.1; done; false"
    running.start(wait=False, restore_command=restore, hot_standby="off")
    waiting = start_waiting(project, running)
    waiting.wait_for("the server is starting up")
    hold.unlink()
    assert_becomes_ready(waiting, "the server is starting up")


def test_waits_for_a_server_that_shuts_down(project, server, running):
    # A smart shutdown waits for open sessions.
    session = running.open_session()
    running.stop("smart", wait=False)
    waiting = start_waiting(project, running)
    waiting.wait_for("the server is shutting down")
    session.kill()
    waiting.wait_for("connection refused")
    running.start()
    assert_becomes_ready(waiting, "the server is shutting down")


def test_waits_for_a_server_that_recovers_from_a_crash(project, server, running):
    # A stopped process keeps the server in crash recovery for some seconds.
    stopped, crashed = running.open_session(), running.open_session()
    os.kill(stopped.pid_of_backend, signal.SIGSTOP)
    os.kill(crashed.pid_of_backend, signal.SIGKILL)
    waiting = start_waiting(project, running)
    waiting.wait_for("the server is in recovery")
    os.kill(stopped.pid_of_backend, signal.SIGCONT)
    assert_becomes_ready(waiting, "the server is in recovery")
    stopped.kill()
    crashed.kill()


def test_waits_for_a_server_without_a_free_connection(project, server, running):
    sessions = [running.open_session() for _ in range(8)]
    waiting = start_waiting(project, running)
    waiting.wait_for("too many connections")
    for session in sessions:
        session.kill()
    assert_becomes_ready(waiting, "too many connections")


@pytest.mark.parametrize(
    ("rule", "user", "message"),
    [
        ("hostssl all all all scram-sha-256", "django", "does not let this client in without enc"),
        ("host none all all scram-sha-256", "django", "does not let this client in"),
        ("host all all all trust", "nobody_here", "no such role. A volume keeps the role"),
    ],
)
def test_a_server_that_refuses_the_client_ends_the_wait(
    project, server, running, rule, user, message
):
    (running.data / "pg_hba.conf").write_text(rule + "\n")
    running.restart(wait=False)
    waiting = start_waiting(project, running, POSTGRES_USER=user)
    assert waiting.end() == 1
    last = waiting.printed().splitlines()[-1]
    assert message in last and f"127.0.0.1:{running.port} as {user}" in last
    assert running.password not in waiting.printed()


def test_waits_for_migrations_that_another_process_applies(project, server, running):
    database = f"migrated_by_others_{free_port()}"
    running.sql(f"CREATE DATABASE {database}")
    waiting = start_waiting(project, running, "--migrations", POSTGRES_DB=database)
    waiting.wait_for("migrations are not applied")
    environment = running.environment(database)
    project.run(project.python, "manage.py", "migrate", cwd="app", env=environment)
    assert_becomes_ready(waiting, "migrations are not applied")


def test_the_timeout_reports_what_was_tried(project, server, running):
    environment = {"POSTGRES_PORT": str(free_port()), "WAIT_FOR_DB_TIMEOUT": "0.5"}
    waiting = start_waiting(project, running, **environment)
    assert waiting.end() == 1
    assert len(waiting.printed().splitlines()) == 2
    port = environment["POSTGRES_PORT"]
    assert waiting.printed().splitlines()[1] == (
        f"CommandError: Cannot use the database postgres on 127.0.0.1:{port} as django "
        "after 0.5 s: connection refused."
    )


def test_sqlite_is_ready_at_once(bake, python_for):
    python = python_for(django_version="5.2", postgres_driver=DRIVERS_WITH_WHEELS[0])
    assert READY in bake().run(python, "manage.py", "wait_for_db", cwd="app").stdout


def test_settings_that_do_not_import_fail_with_their_own_message(bake, python_for):
    project = bake()
    python = python_for(django_version="5.2", postgres_driver=DRIVERS_WITH_WHEELS[0])
    project.replace("app/config/settings.py", "import environ", "import environment_of_nobody")
    process = project.run(python, "manage.py", "wait_for_db", cwd="app", check=False, timeout=20)
    assert process.returncode == 1
    assert "No module named 'environment_of_nobody'" in process.stdout


# The entrypoint


@pytest.fixture(params=SHELLS)
def shell(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["wait_for_db", "by_itself"])
def entrypoint(request, bake, python_for, shell):
    """Start the entrypoint with a command, in each shell, with each way of waiting."""
    project = bake(use_wait_for_db=request.param)
    python = python_for(django_version="5.2", postgres_driver=DRIVERS_WITH_WHEELS[0])

    def start(*command, **environment):
        path = f"{python.parent}:{os.environ['PATH']}"
        script = project.path / "docker/app/entrypoint.sh"
        return project.start(*shell, script, *command, cwd="app", env={"PATH": path} | environment)

    return start


def test_entrypoint_waits_then_becomes_its_command(entrypoint, server, running):
    running.stop()
    started = entrypoint(
        "printf", "<%s>", "two words", 'it\'s "$HOME"', "", "*", **running.environment("postgres")
    )
    started.wait_for("refused")
    running.start()
    assert started.end() == 0
    assert started.printed().splitlines()[-1] == '<two words><it\'s "$HOME"><><*>'


def test_entrypoint_becomes_its_command_and_does_not_fork_it(entrypoint, server, running):
    started = entrypoint("sh", "-c", "echo $$", **running.environment("postgres"))
    assert started.end() == 0
    assert started.printed().splitlines()[-1] == str(started.process.pid)


def test_entrypoint_stops_on_a_wrong_password(entrypoint, server, running):
    environment = running.environment("postgres") | {"POSTGRES_PASSWORD": "not this one"}
    started = entrypoint("echo", "not reached", **environment)
    assert started.end() == 1
    assert len(started.printed().splitlines()) == 1
    assert "password" in started.printed()


def test_entrypoint_can_skip_the_waiting(entrypoint):
    environment = {"POSTGRES_HOST": "nowhere.invalid", "SKIP_WAIT": "1"}
    started = entrypoint("echo", "at once", **environment)
    assert started.end() == 0
    assert started.printed() == "at once\n"


def test_entrypoint_gives_up_with_the_cause(entrypoint, server, running):
    environment = running.environment("postgres") | {"POSTGRES_PORT": str(free_port())}
    started = entrypoint("echo", "not reached", **environment, WAIT_FOR_DB_TIMEOUT="1")
    assert started.end() == 1
    last = started.printed().splitlines()[-1]
    assert "refused" in last and "1 s" in last
