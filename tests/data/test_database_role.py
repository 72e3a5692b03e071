"""In production, the role of the application owns its database and is no superuser."""

from functools import partial

import pytest

from tests.support.processes import wait_until
from tests.support.project import Project

pytestmark = pytest.mark.stack


@pytest.mark.xdist_group("data")
def test_the_application_owns_its_database_and_is_no_superuser(project):
    attributes = (
        "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    )
    assert project.sql(attributes) == "f|f|f"
    project.sql("CREATE EXTENSION hstore")
    project.sql("DROP EXTENSION hstore")
    with pytest.raises(AssertionError, match="permission denied to create extension"):
        project.sql("CREATE EXTENSION pg_visibility")
    # No password lets the superuser in, nor another user of the system.
    for login in ('-h "$(hostname)"', "-h 127.0.0.1"):
        command = f"PGPASSWORD=$(cat /run/secrets/postgres_password) psql {login} -U postgres -c ''"
        process = project.exec("db", "sh", "-c", command, check=False)
        assert process.returncode != 0 and "rejects connection" in process.stdout
    psql = ("psql", "-U", "postgres", "-c", "")
    other = project.compose("exec", "-T", "--user", "www-data", "db", *psql, check=False)
    assert "Peer authentication failed" in other.stdout
    for user in ("root", "postgres"):
        project.compose("exec", "-T", "--user", user, "db", *psql)


@pytest.mark.xdist_group("data")
def test_a_volume_whose_own_file_lets_everybody_in_does_not(project):
    trust = 'printf "%s all all%s trust\\n" local "" host " all" > "$PGDATA/pg_hba.conf"'
    project.compose("exec", "-T", "--user", "postgres", "db", "sh", "-c", trust)
    project.compose("restart", "db")
    project.up("db")
    psql = ("psql", "-h", "127.0.0.1", "-U", "postgres", "-c", "")
    process = project.exec("db", *psql, check=False)
    assert process.returncode != 0 and "rejects connection" in process.stdout


@pytest.mark.xdist_group("data")
@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (
            "LIVE_DATA=db_data_17",
            "The data of this site is in db_data_17 (LIVE_DATA in .env), and compose.yaml names db_data_18",
        ),
        ("POSTGRES_USER=postgres", "POSTGRES_USER in .env is postgres, the superuser."),
    ],
)
def test_a_server_that_would_be_another_one_does_not_start(project, setting, says):
    process = project.compose("run", "--rm", "--no-deps", "-T", "-e", setting, "db", check=False)
    assert process.returncode == 1
    assert says in process.stdout


def log_has(project: Project, text: str) -> bool:
    """Return whether the log of the database contains a text."""
    return text in project.logs("db")


# While initdb runs, while the temporary server runs, and between it and the real one.
MOMENTS = ("running bootstrap", "server started", "complete;")
OTHERS = ("creating subdirectories", "post-bootstrap")


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(MOMENTS, id="one of each kind"),
        pytest.param(OTHERS, id="others of initdb", marks=pytest.mark.long),
    ],
)
def test_an_interrupted_first_start_can_be_repeated(make_stack, moments):
    project = make_stack(deployment="compose")
    project.to_production()
    for message in moments:
        project.compose("down", "--volumes")
        project.compose("up", "--detach", "--no-deps", "db")
        wait_until(partial(log_has, project, message), 120, lambda: project.logs("db"))
        (id,) = project.compose("ps", "--all", "--quiet", "db").stdout.split()
        project.run("docker", "kill", id)
        project.up("db")
        role = "SELECT count(*) FROM pg_database WHERE pg_get_userbyid(datdba) = 'django'"
        assert project.admin_sql(role, "postgres") == "1", message
    project.deploy()
    assert project.request("/").status == 200
