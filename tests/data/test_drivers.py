"""The rendered project on each driver, Django and PostgreSQL: its tests pass, its rows stay."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.answers import DJANGO_ON_THIS_PYTHON, DRIVERS_WITH_WHEELS, name_of


@pytest.fixture(
    params=[(django, driver) for django in DJANGO_ON_THIS_PYTHON for driver in DRIVERS_WITH_WHEELS],
    ids="-".join,
)
def manage(request, bake, python_for, postgres_servers):
    """Run manage.py of a project of these answers on a database of its own on a server."""
    django, driver = request.param
    answers = {"django_version": django, "postgres_driver": driver}
    project = bake(**answers)
    project.add_tests()
    python = python_for(**answers)
    database = f"test_of_{driver.replace('-', '_')}_{django.replace('.', '_')}"
    for server in postgres_servers.values():
        server.sql(f"DROP DATABASE IF EXISTS {database}")
        server.sql(f"CREATE DATABASE {database}")

    def run(version, *words, module=("manage.py",)):
        environment = postgres_servers[version].environment(database)
        return project.run(python, *module, *words, cwd="app", env=environment)

    return run


@pytest.mark.postgres
def test_its_own_tests_pass_with_django_and_with_pytest(manage):
    def with_django() -> None:
        assert "Ran 0 tests" not in manage("16", "test").stdout

    def with_pytest() -> None:
        assert " passed" in manage("18", module=("-m", "pytest")).stdout

    # At once: a part of the time is timeouts. On one server they would use one database.
    with ThreadPoolExecutor() as pool:
        for running in [pool.submit(run) for run in (with_django, with_pytest)]:
            running.result()


@pytest.mark.postgres
@pytest.mark.parametrize("version", ["16", "18"])
def test_it_migrates_and_nothing_is_left_to_migrate(manage, version):
    manage(version, "migrate")
    manage(version, "migrate", "--check")
    manage(version, "makemigrations", "--check")
    manage(version, "check", "--fail-level", "WARNING")
    words = ("--noinput", "--username=ada", "--email=a@b.example")
    assert "Superuser created" in manage(version, "createsuperuser", *words).stdout
    count = "from core.models import User; print(User.objects.count())"
    assert manage(version, "shell", "-c", count).stdout.splitlines()[-1] == "1"


@pytest.mark.postgres
@pytest.mark.parametrize("use_redis", [False, True], ids=["no cache", "cache"])
def test_it_runs_on_sqlite_where_nothing_is_configured(bake, python_for, use_redis):
    project = bake(use_redis=use_redis)
    project.add_tests()
    python = python_for(use_redis=use_redis)

    # The line of the documentation, with the tests in place of the server.
    guide = project.read("docs/development.md")
    (line,) = re.findall(r"^    (cd app && .*) && python manage.py runserver$", guide, re.MULTILINE)
    environment = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    tests = f"{line} && python manage.py test && pytest"
    printed = project.run("sh", "-c", tests, env=environment).stdout

    assert (project.path / "app/db.sqlite3").exists()
    assert "\nOK" in printed and "Ran 0 tests" not in printed and " passed" in printed, printed


# The default driver, Django and Python are those of most other stacks. Both Djangos run on each driver in the
# tests above.
VARIANTS = [
    {"postgres_version": "17", "postgres_driver": "psycopg2", "django_version": "6.1"}
    | {"python_version": "3.13"},
    {"postgres_version": "18", "postgres_driver": "psycopg"},
]


@pytest.mark.stack
@pytest.mark.parametrize("answers", VARIANTS, ids=name_of)
def test_every_driver_passes_the_tests_and_keeps_rows_over_down_and_up(start_stack, answers):
    project = start_stack(**answers)
    printed = project.compose("run", "--rm", "-T", "app", "python", "manage.py", "test").stdout
    assert re.search(r"^OK$", printed, re.MULTILINE), printed
    assert f"{answers['postgres_version']}." in project.get("/")[1]
    add = "from core.models import User; User.objects.create_user('ada')"
    project.exec("app", "python", "manage.py", "shell", "-c", add)

    project.compose("down")
    project.up()

    assert project.sql("SELECT username FROM core_user") == "ada"
    assert project.restarts() == 0
    mounts = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{.Destination}}\n{{end}}{{end}}'
    ((volume, destination),) = [line.split() for line in project.inspect("db", mounts)]
    data = project.exec("db", "sh", "-c", 'echo "$PGDATA"').stdout.strip()
    assert volume == f"{project.stack}_db_data_{answers['postgres_version']}"
    assert data.startswith(destination)
