"""The role of the application owns its database and is no superuser."""

from functools import partial

import pytest

from tests.support.processes import wait_until
from tests.support.project import Project

pytestmark = pytest.mark.stack


def test_the_application_owns_its_database_and_is_no_superuser(project):
    attributes = (
        "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    )
    assert project.sql(attributes) == "f|f|t"
    project.sql("CREATE EXTENSION hstore")
    project.sql("DROP EXTENSION hstore")
    refused = project.compose(
        *("exec", "-T", "db", "psql", "-U", "django", project.slug),
        *("-c", "CREATE EXTENSION pg_visibility"),
        check=False,
    )
    assert "permission denied to create extension" in refused.stdout
    # Neither its password nor an empty one is the superuser's.
    for password in (project.setting("POSTGRES_PASSWORD"), ""):
        login = f"PGPASSWORD='{password}' psql -w -h \"$(hostname)\" -U postgres -c 'SELECT 1'"
        process = project.compose("exec", "-T", "db", "sh", "-c", login, check=False)
        assert process.returncode != 0 and ("password" in process.stdout)


def log_has(project: Project, text: str) -> bool:
    """Return whether the log of the database contains a text."""
    return text in project.logs("db")


def test_an_interrupted_first_start_can_be_repeated(make_stack):
    project = make_stack()
    for message in (
        "creating subdirectories",
        "running bootstrap",
        "post-bootstrap",
        "server started",
        "complete;",
    ):
        project.compose("down", "--volumes")
        project.compose("up", "--detach", "--no-deps", "db")
        wait_until(partial(log_has, project, message), 120, lambda: project.logs("db"))
        (id,) = project.compose("ps", "--all", "--quiet", "db").stdout.split()
        project.run("docker", "kill", id)
        project.up("db")
        role = "SELECT count(*) FROM pg_database WHERE pg_get_userbyid(datdba) = 'django'"
        assert project.admin_sql(role, "postgres") == "1", message
    project.up()
    assert project.status("/") == 200
