"""The database of development: the official image, its role, and settings that come from elsewhere."""

import html
import re
import subprocess
import sys

import pytest

from tests.support.processes import wait_as_a_person_does
from tests.support.project import Project

pytestmark = pytest.mark.stack


@pytest.mark.xdist_group("development")
def test_the_application_owns_its_database_and_is_no_superuser(stack):
    attributes = (
        "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'django'"
    )
    assert stack.admin_sql(attributes) == "f|f|t"
    assert (
        stack.sql(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        )
        == "django"
    )
    stack.sql("CREATE EXTENSION hstore")
    stack.sql("DROP EXTENSION hstore")
    # Neither its password nor an empty one is the superuser's.
    for password in (stack.setting("POSTGRES_PASSWORD"), ""):
        login = f"PGPASSWORD='{password}' psql -w -h \"$(hostname)\" -U postgres -c 'SELECT 1'"
        process = stack.exec("db", "sh", "-c", login, check=False)
        assert process.returncode != 0 and "password" in process.stdout


def test_exported_variables_reach_the_database_and_the_application(make_stack):
    project = make_stack()
    exported = {"POSTGRES_DB": "exported", "POSTGRES_USER": "somebody", "POSTGRES_PASSWORD": "else"}
    process = project.compose("up", "--detach", "--wait", env=exported, check=False)
    assert process.returncode == 0, f"{process.stdout}\n{project.logs()}"
    assert project.get("/health/ready") == (200, '{"status": "ok", "database": "ok"}')
    assert "exported" in project.admin_sql("SELECT datname FROM pg_database", "postgres")


def test_secrets_that_begin_with_a_dollar_sign_are_no_references(make_stack):
    project = make_stack()
    for name in ("SECRET_KEY", "POSTGRES_PASSWORD"):
        project.replace(".env", f"{name}={project.setting(name)}", f"{name}='$ecret of {name}'")
    project.up()
    assert project.status("/health/ready") == 200
    shown = project.compose(
        *("exec", "-T", "app", "python", "manage.py", "shell", "-c"),
        "from django.conf import settings; print(settings.SECRET_KEY)",
    )
    assert "$ecret of SECRET_KEY" in shown.stdout


def test_another_place_of_the_data_is_named_where_nobody_overlooks_it(make_stack):
    project = make_stack(postgres_version="17")
    project.up()
    assert "LIVE_DATA" not in project.logs("app")
    project.replace("compose.yaml", "postgres:17-trixie", "postgres:18-trixie")
    project.replace("compose.yaml", "db_data_17", "db_data_18")
    project.replace("compose.yaml", "/var/lib/postgresql/data", "/var/lib/postgresql")
    project.up()
    warning = (
        "compose.yaml puts the data of db into db_data_18. By LIVE_DATA in .env, the data of this "
        "machine is in db_data_17: see docs/data.md."
    )
    assert warning in project.logs("app")
    assert warning in html.unescape(project.get("/")[1])


def test_a_volume_that_the_plain_image_made_is_reported(make_stack):
    project = make_stack()
    plain = "services: {db: {environment: {POSTGRES_USER: other}, configs: !reset []}}\n"
    env = project.read(".env")
    project.add_to_compose(plain)
    project.up("db")
    project.compose("down")
    (project.path / ".env").write_text(env)
    process = project.compose("up", "--detach", "--wait", check=False)
    assert process.returncode != 0
    lines = [line for line in project.logs("app").splitlines() if "Cannot use" in line]
    assert len(lines) == 1 and "docs/data.md" in lines[0]
    assert "Traceback" not in project.logs("app")
    backup = project.run("make", "backup", check=False)
    assert 'role "postgres" does not exist' in backup.stdout
    assert "No backup was made" in backup.stdout


def test_an_interrupted_first_start_names_the_way_out(make_stack):
    project = make_stack()
    project.compose("build", "app")
    for moment in ("running bootstrap", "syncing data", "waiting for server"):
        project.compose("down", "--volumes")
        project.compose("up", "--detach", "--no-deps", "db")
        project.wait_until(lambda: moment in project.logs("db"))  # noqa: B023
        (id,) = project.compose("ps", "--all", "--quiet", "db").stdout.split()
        project.run("docker", "kill", id)
        process = project.compose("up", "--detach", "--wait", check=False)
        log = project.logs("app")
        # It goes on, or one line says where to look, or the server says that its data is incomplete.
        if process.returncode:
            assert "docs/data.md" in log or "FATAL" in project.logs("db"), f"{moment}: {log}"
            assert "Traceback" not in log
    project.compose("down", "--volumes")
    project.up()
    assert project.status("/") == 200


def terminal_of(project: Project):
    """Attach a terminal to app."""
    return project.in_terminal("docker", "compose", "attach", "app")


@pytest.mark.xdist_group("development")
def test_a_breakpoint_stops_in_the_terminal_also_after_a_reload(stack):
    views = stack.path / "app/core/views.py"
    before = views.read_text(encoding="utf-8")
    # Only the page with a query stops: the one without shows that the server runs the edited code.
    stops = r"\1    if request.GET:\n        breakpoint()\n"
    stops = re.sub(r"(?m)^(def home.*\n)", stops, before)
    load = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
    page = f"http://127.0.0.1:{stack.port}/?stop"
    terminal = terminal_of(stack)
    try:
        for name, leave in (("Edited", "c"), ("Edited again", "q"), ("Edited once more", "c")):
            edited = stops.replace("settings.PROJECT_NAME", f'"{name}"')
            views.write_text(edited, encoding="utf-8")
            stack.wait_until(lambda: f"<h1>{name}</h1>" in stack.get("/")[1])  # noqa: B023
            # In a process of its own: it waits until the breakpoint lets it go.
            quietly = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            client = subprocess.Popen([sys.executable, "-c", load, page], **quietly)
            terminal.wait_for("(Pdb)")
            terminal.type("p 6 * 7\n")
            terminal.wait_for("42")
            terminal.type(f"{leave}\n")
            if leave == "c":
                assert f"<h1>{name}</h1>".encode() in client.communicate(timeout=60)[0]
            else:
                terminal.wait_for("Quit anyway?")
                terminal.type("y\n")
                client.communicate(timeout=60)
                # It stops nothing until the code is reloaded.
                assert stack.status("/?stop") == 200
            terminal.shown = ""
            wait_as_a_person_does()
        terminal.close()
    finally:
        views.write_text(before, encoding="utf-8")
    stack.wait_until(lambda: "<h1>My Project</h1>" in stack.get("/")[1])
    assert stack.restarts() == 0
