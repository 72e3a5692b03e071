"""A stack that cannot come up reports the reason in one line, within a time limit."""

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("outages")]


@pytest.fixture
def project(stack):
    """The shared stack, running."""
    stack.up()
    return stack


def test_a_changed_password_is_one_line_and_keeps_the_data(project):
    project.sql("CREATE TABLE kept AS SELECT 1 AS row")
    right = project.setting("POSTGRES_PASSWORD")
    project.compose("down")
    project.replace(".env", right, "another")

    process = project.compose("up", "--detach", "--wait", check=False)

    assert process.returncode != 0
    log = project.logs("app")
    lines = [line for line in log.splitlines() if "wrong password" in line]
    assert len(lines) == 1
    # It ended at once, not at the end of its time, and is not repeated.
    assert " after " not in lines[0]
    assert "A volume keeps the password it was initialised with: put that one back" in lines[0]
    assert "Traceback" not in log
    assert project.inspect("app", "{{.State.Status}} {{.State.ExitCode}}") == ["exited 1"]
    project.replace(".env", "another", right)
    project.up()
    assert project.sql("SELECT * FROM kept") == "1"
    project.sql("DROP TABLE kept")


def test_a_dropped_database_is_reported_with_the_command_that_creates_it(project):
    name = project.setting("POSTGRES_DB")
    drop = f'psql -U postgres -c "DROP DATABASE {name} WITH (FORCE)"'
    project.exec("db", "sh", "-c", drop)
    assert project.status("/health/ready") == 503
    assert project.status("/health/live") == 200
    project.compose("stop", "app")

    process = project.compose("up", "--detach", "--wait", check=False)

    assert process.returncode != 0
    way_out = f"no such database. Create it with: docker compose exec db createdb -U postgres -O django {name}"
    assert way_out in project.logs("app")
    project.run(*way_out.partition("with: ")[2].split())
    project.up()
    assert project.status("/health/ready") == 200


def test_a_database_that_exits_at_once_shows_its_output(project):
    env = project.read(".env")
    project.add_to_compose(
        "services: {db: {entrypoint: ['sh', '-c', 'echo broken >&2; exit 3']}}\n"
    )
    project.compose("down")
    try:
        process = project.compose("up", "--detach", "--wait", check=False)
        log = project.logs()
    finally:
        (project.path / ".env").write_text(env)
    assert process.returncode != 0
    assert "exited (3)" in process.stdout
    assert "broken" in log
    assert "Traceback" not in log


def test_a_database_that_never_appears_ends_the_wait(project):
    project.compose("down")
    process = project.compose(
        *("run", "--rm", "-T", "--no-deps", "app"),
        *("python", "manage.py", "wait_for_db", "--timeout=2"),
        check=False,
    )
    assert process.returncode == 1
    name = project.setting("POSTGRES_DB")
    tried = f"Cannot use the database {name} on db:5432 as django after 2 s: host not found."
    assert tried in process.stdout
    assert "Traceback" not in process.stdout
