"""The rendered project on a real PostgreSQL server, without containers."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from test_render import CHOICES

pytestmark = pytest.mark.postgres

# psycopg2 from source needs a compiler and libpq's headers: the stack tier builds it in the image.
DRIVERS = [driver for driver in CHOICES["postgres_driver"] if driver != "psycopg2"]
DJANGO = [
    version
    for version in CHOICES["django_version"]
    if version == "5.2" or sys.version_info >= (3, 12)
]


@pytest.fixture(params=[(django, driver) for django in DJANGO for driver in DRIVERS], ids="-".join)
def manage(request, bake, python_for, postgres_servers):
    """Run manage.py of a project of these answers on a database of its own on a server."""
    django, driver = request.param
    answers = {"django_version": django, "postgres_driver": driver}
    project = bake(**answers)
    python = python_for(**answers)
    database = f"test_of_{driver.replace('-', '_')}_{django.replace('.', '_')}"
    for server in postgres_servers.values():
        server.sql(f"DROP DATABASE IF EXISTS {database}")
        server.sql(f"CREATE DATABASE {database}")

    def run(version, *words, module=("manage.py",)):
        environment = postgres_servers[version].environment(database)
        return project.run(python, *module, *words, cwd="app", env=environment)

    return run


def test_its_own_tests_pass_both_ways(manage, postgres_servers):
    def both_ways(version):
        assert "Ran 0 tests" not in manage(version, "test").stdout
        assert " passed" in manage(version, module=("-m", "pytest")).stdout

    # On all servers at once, for half of their time is timeouts; on one server they would meet.
    with ThreadPoolExecutor() as pool:
        list(pool.map(both_ways, postgres_servers))


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


def test_it_runs_on_sqlite_where_nothing_is_configured(bake, python_for):
    project = bake()
    python = python_for(django_version="5.2", postgres_driver="psycopg2-binary")

    project.run(python, "app/manage.py", "migrate")

    assert (project.path / "app/db.sqlite3").exists()
    assert "OK" in project.run(python, "manage.py", "test", cwd="app").stdout
