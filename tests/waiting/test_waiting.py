"""wait_for_db and the entrypoint on a real server, in each state that a server can be in."""

import contextlib
import os
import re
import signal
import socket
import textwrap
from itertools import pairwise

import pytest

from tests.support.answers import DRIVERS_WITH_WHEELS
from tests.support.embedded_postgres import free_port

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("waiting")]

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


def assert_fails(waiting, message, server):
    """Assert that the command ended with one line that has the text, and without the password."""
    assert waiting.end() == 1, waiting.printed()
    assert message in waiting.printed().splitlines()[-1]
    assert "Traceback" not in waiting.printed()
    assert server.password not in waiting.printed()


def assert_becomes_ready(waiting, cause):
    """Fail unless the command printed the cause, none twice in a row, and ended with status 0."""
    assert waiting.end() == 0, waiting.printed()
    assert cause in waiting.printed()
    # A server that restarts may close a connection in between.
    causes = [line.rpartition(": ")[2] for line in waiting.printed().splitlines()]
    assert all(one != other for one, other in pairwise(causes)), waiting.printed()
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
    waiting.wait_for("Still waiting for the database: connection refused.\n")
    running.start()
    assert_becomes_ready(waiting, "the server is shutting down")
    for line in waiting.printed().splitlines():
        assert re.search(
            "shutting down|the server closed the connection|refused|starting up|ready", line
        )


def test_waits_for_a_server_that_recovers_from_a_crash(project, server, running):
    # A stopped process keeps the server in crash recovery for five seconds: wait_for_db may need as long to start on a
    # busy machine, so it starts before, where no connection is free.
    sessions = [running.open_session() for _ in range(8)]
    stopped, crashed, *_ = sessions
    waiting = start_waiting(project, running)
    waiting.wait_for("too many connections")
    os.kill(stopped.pid_of_backend, signal.SIGSTOP)
    os.kill(crashed.pid_of_backend, signal.SIGKILL)
    waiting.wait_for("the server is in recovery")
    os.kill(stopped.pid_of_backend, signal.SIGCONT)
    assert_becomes_ready(waiting, "the server is in recovery")
    for session in sessions:
        session.kill()


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
    assert_fails(waiting, message, running)
    assert f"127.0.0.1:{running.port} as {user}" in waiting.printed()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("POSTGRES_PASSWORD", "not this one", "wrong password. A volume keeps the password"),
        # With scram-sha-256 the server does not tell a missing role from a wrong password.
        ("POSTGRES_USER", "nobody_here", "A volume keeps the password"),
        ("POSTGRES_DB", "not_made", "no such database. Create it with: docker compose exec db "),
    ],
)
def test_a_permanent_cause_ends_the_wait(project, server, running, setting, value, message):
    waiting = start_waiting(project, running, **{setting: value})
    assert_fails(waiting, message, running)
    assert len(waiting.printed().splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("sslmode=require", "the server has no encryption, and sslmode insists on it. Switch on"),
        ("sslmood=require", 'invalid connection option "sslmood". Waiting does not change that.'),
    ],
)
def test_a_connection_option_that_fails_is_explained(project, server, running, option, message):
    login = f"{running.user}:{running.password}@127.0.0.1:{running.port}"
    url = f"postgres://{login}/postgres?{option}"
    assert_fails(start_waiting(project, running, DATABASE_URL=url), message, running)


def test_the_timeout_reports_an_unknown_host(project, server, running):
    waiting = start_waiting(project, running, "--timeout=0", POSTGRES_HOST="nowhere.invalid")
    assert_fails(waiting, "after 0 s: host not found.", running)


def test_the_timeout_reports_a_server_that_does_not_answer(project, server, running):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        waiting = start_waiting(project, running, "--timeout=0", POSTGRES_PORT=port)
        assert_fails(waiting, "after 0 s: connection timed out.", running)


def test_verbosity_0_prints_nothing(project, server, running):
    running.stop()
    waiting = start_waiting(project, running, "--verbosity=0")
    running.start()
    assert waiting.end() == 0
    assert waiting.printed() == ""


def test_the_timeout_reports_unapplied_migrations(project, server, running):
    database = f"migrated_by_nobody_{free_port()}"
    running.sql(f"CREATE DATABASE {database}")
    options = ("--migrations", "--timeout=0")
    waiting = start_waiting(project, running, *options, POSTGRES_DB=database)
    applies = "migrations are not applied (python manage.py migrate applies them)."
    assert_fails(waiting, f"after 0 s: {applies}", running)


def test_waits_for_migrations_that_another_process_applies(project, server, running):
    database = f"migrated_by_others_{free_port()}"
    running.sql(f"CREATE DATABASE {database}")
    waiting = start_waiting(project, running, "--migrations", POSTGRES_DB=database)
    waiting.wait_for("migrations are not applied")
    environment = running.environment(database)
    project.run(project.python, "manage.py", "migrate", cwd="app", env=environment)
    assert_becomes_ready(waiting, "migrations are not applied")


def test_the_timeout_reports_what_was_tried(project, server, running):
    port = str(free_port())
    waiting = start_waiting(project, running, "--timeout=4.5", POSTGRES_PORT=port)
    assert waiting.end() == 1
    # On a busy machine, the first try alone may take a second.
    assert len(waiting.printed().splitlines()) == 2
    assert waiting.printed().splitlines()[1] == (
        f"CommandError: Cannot use the database postgres on 127.0.0.1:{port} as django "
        "after 4.5 s: connection refused."
    )


@pytest.mark.parametrize(
    ("number", "status", "last"),
    [(signal.SIGTERM, -signal.SIGTERM, ""), (signal.SIGINT, 130, "CommandError: Interrupted.\n")],
)
def test_signals_end_it_without_a_traceback(project, server, running, number, status, last):
    # Where the tests run in the background of a shell, they and their children ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        waiting = start_waiting(project, running, POSTGRES_PORT=str(free_port()))
    finally:
        signal.signal(signal.SIGINT, before)
    waiting.wait_for("connection refused.\n")
    waiting.process.send_signal(number)
    assert waiting.end() == status
    assert waiting.printed().partition("connection refused.\n")[2] == last


@pytest.mark.parametrize(
    ("option", "message"),
    [
        *(
            (f"--timeout={value}", "a number of seconds, 0 or more")
            for value in ("-1", "nan", "inf")
        ),
        ("--timeout=soon", "invalid float value: 'soon'"),
        ("--database=replica", "invalid choice: 'replica'"),
    ],
)
def test_wrong_options_are_refused_in_one_line(bake, python_for, option, message):
    python = python_for(django_version="5.2", postgres_driver=DRIVERS_WITH_WHEELS[0])
    process = bake().run(python, "manage.py", "wait_for_db", option, cwd="app", check=False)
    assert process.returncode in (1, 2)
    assert message in process.stdout.splitlines()[-1]
    assert "Traceback" not in process.stdout


@pytest.mark.parametrize(
    ("message", "name", "is_final"),
    [
        (
            """connection to server at "localhost" (::1), port 5432 failed: Connection refused
            connection to server at "localhost" (127.0.0.1), port 5432 failed: \
            FATAL:  password authentication failed for user "django" """,
            "wrong password",
            True,
        ),
        (
            """connection to server at "127.0.0.1", port 5432 failed: server closed the connection \
            unexpectedly
            \tThis probably means the server terminated abnormally
            \tbefore or while processing the request.""",
            "the server closed the connection",
            False,
        ),
        ("connection to server failed:\n\tthe moon is full.\n", "the moon is full", False),
        ("", "no reason given", False),
    ],
    ids=["the server's answer counts more", "connection closed", "unknown", "empty"],
)
def test_finds_the_cause_in_a_message(bake, python_for, message, name, is_final):
    python = python_for(django_version="5.2", postgres_driver=DRIVERS_WITH_WHEELS[0])
    script = f"""
        from django.db import OperationalError
        from core.management.commands.wait_for_db import find_cause
        name, advice = find_cause(OperationalError({message!r}))
        print([name, bool(advice)])
    """
    process = bake().run(python, "-c", textwrap.dedent(script), cwd="app")
    assert process.stdout == f"{[name, is_final]}\n"


def test_sqlite_is_ready_at_once(bake, python_for):
    python = python_for(django_version="5.2", postgres_driver=DRIVERS_WITH_WHEELS[0])
    assert READY in bake().run(python, "manage.py", "wait_for_db", cwd="app").stdout


def test_settings_that_do_not_import_fail_with_their_own_message(bake, python_for):
    project = bake()
    python = python_for(django_version="5.2", postgres_driver=DRIVERS_WITH_WHEELS[0])
    project.replace("app/config/settings.py", "import environ", "import environment_of_nobody")
    process = project.run(python, "manage.py", "wait_for_db", cwd="app", check=False)
    assert process.returncode == 1
    assert "No module named 'environment_of_nobody'" in process.stdout


# The entrypoint


@pytest.fixture(params=SHELLS)
def shell(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["wait_for_db", "by_itself"])
def entrypoint(request, bake, python_for, shell):
    """Start the entrypoint with a command, in each shell, with each way of waiting."""
    project = bake(use_wait_for_db=request.param, deployment="compose")
    python = python_for(django_version="5.2", postgres_driver=DRIVERS_WITH_WHEELS[0])
    script = project.path / "docker/app/entrypoint.sh"

    def start(*command, programs="", **environment):
        environment["PATH"] = f"{programs}:{python.parent}:{os.environ['PATH']}"
        return project.start(*shell, script, *command, cwd="app", env=environment)

    start.waits_for_migrations = request.param
    start.script = script
    return start


# Words of a command that needs the database.
MIGRATE = ("python", "manage.py", "migrate")


def test_entrypoint_waits_then_becomes_its_command(entrypoint, server, running):
    running.stop()
    words = (*MIGRATE, "two words", 'it\'s "$HOME"', "", "*")
    started = entrypoint("printf", "<%s>", *words, **running.environment("postgres"))
    started.wait_for("refused")
    running.start()
    assert started.end() == 0
    printed = "".join(f"<{word}>" for word in words)
    assert started.printed().splitlines()[-1] == printed


def test_entrypoint_becomes_its_command_and_does_not_fork_it(entrypoint, server, running):
    started = entrypoint("sh", "-c", "echo $$", *MIGRATE, **running.environment("postgres"))
    assert started.end() == 0
    assert started.printed().splitlines()[-1] == str(started.process.pid)


def test_entrypoint_stops_on_a_wrong_password(entrypoint, server, running):
    environment = running.environment("postgres") | {"POSTGRES_PASSWORD": "not this one"}
    started = entrypoint("echo", *MIGRATE, **environment)
    assert started.end() == 1
    assert len(started.printed().splitlines()) == 1
    assert "password" in started.printed()


@pytest.mark.parametrize("command", [["ruff"], ["python", "manage.py", "makemigrations"], []])
def test_entrypoint_starts_at_once_what_needs_no_database(entrypoint, command):
    started = entrypoint("echo", *command, POSTGRES_HOST="nowhere.invalid")
    assert started.end() == 0
    assert started.printed() == " ".join(command) + "\n"


def test_entrypoint_applies_migrations_before_a_shell_in_development_only(
    entrypoint, server, running
):
    """In production, a release does it, after a backup. Without wait_for_db, no command does it unasked."""
    for debug in ("false", "", "true"):
        database = f"shell_{free_port()}"
        running.sql(f"CREATE DATABASE {database}")
        environment = running.environment(database) | {"DEBUG": debug, "ALLOWED_HOSTS": "localhost"}
        environment |= {"SECRET_KEY": "x" * 50, "EMAIL_URL": "smtp://localhost"}
        started = entrypoint("echo", "python", "manage.py", "shell", **environment)
        assert started.end() == 0, started.printed()
        applied = running.sql("SELECT to_regclass('django_migrations') IS NOT NULL", database)
        assert applied == ("t" if debug == "true" and entrypoint.waits_for_migrations else "f")


def test_entrypoint_waits_before_the_server(entrypoint, server, running, tmp_path):
    program = tmp_path / "gunicorn"
    program.write_text('#!/bin/sh\necho "serving $*"\n')
    program.chmod(0o755)
    database = f"served_{free_port()}"
    running.sql(f"CREATE DATABASE {database}")
    environment = running.environment(database)
    running.stop()
    started = entrypoint("gunicorn", "config.wsgi", programs=tmp_path, **environment)
    started.wait_for("refused")
    running.start()
    if entrypoint.waits_for_migrations:
        started.wait_for("migrations are not applied")
        entrypoint(*MIGRATE, "--verbosity=0", **environment).end()
    assert started.end() == 0
    assert started.printed().splitlines()[-1].startswith("serving")


def test_entrypoint_gives_up_with_the_cause(entrypoint, server, running):
    # A shorter time than a user has.
    text = entrypoint.script.read_text()
    text = text.replace("TIMEOUT = 60", "TIMEOUT = 1").replace(
        "wait_for_db ;;", "wait_for_db --timeout=1 ;;"
    )
    entrypoint.script.write_text(text)
    environment = running.environment("postgres") | {"POSTGRES_PORT": str(free_port())}
    started = entrypoint("echo", *MIGRATE, **environment)
    assert started.end() == 1
    last = started.printed().splitlines()[-1]
    assert "refused" in last and "1 s" in last
