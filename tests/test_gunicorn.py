"""The project as gunicorn serves it behind a proxy."""

import http.client
import json
import os
import runpy
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.embedded_postgres import EmbeddedPostgres, free_port
from tests.support.processes import Running, wait_as_a_person_does, wait_until
from tests.support.project import Project

PASSWORD = "correct horse"
LIMIT = 10
# gunicorn.conf.py: two processes of four threads.
AT_ONCE = 8
ATTACKER, OWNER = "203.0.113.7", "198.51.100.8"
TOKEN = "a" * 32


@dataclass
class Site:
    """The project as gunicorn serves it; the test acts as the trusted proxy."""

    port: int
    server: Running
    database: EmbeddedPostgres
    manage: Callable[..., str]

    def request(self, path: str, body: str | None = None, **headers: str) -> int:
        """Return the status of a page; _ in a header's name stands for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST" if body else "GET", path, body, {"Host": "localhost"} | headers)
        status = connection.getresponse().status
        connection.close()
        return status

    def login(self, client: str, password: str = "wrong") -> int:
        """Return the status: 302 for a login, 200 for the form again, 429 for a refusal."""
        form = {"username": "ada", "password": password, "csrfmiddlewaretoken": TOKEN}
        return self.request(
            "/admin/login/",
            urlencode(form),
            Content_Type="application/x-www-form-urlencoded",
            Cookie=f"csrftoken={TOKEN}",
            Referer="https://localhost/",
            X_Forwarded_For=client,
            X_Forwarded_Proto="https",
        )


@pytest.fixture(scope="module")
def serve(bake_once, python_for, make_server):
    """Serve the project: `with serve(LOG_FORMAT="json") as site`."""
    project: Project = bake_once(project_slug="logins")
    python = python_for(django_version="5.2", postgres_driver="psycopg2-binary")
    # A server of its own, since a test stops it.
    server = make_server().start()
    server.sql("CREATE DATABASE logins")
    database = server.environment("logins")
    production = {"DEBUG": "false", "SECRET_KEY": "x", "ALLOWED_HOSTS": "localhost"}

    def manage(*words: str, **environment: str) -> str:
        env = database | production | environment
        return project.run(python, "manage.py", *words, cwd="app", env=env).stdout

    manage("migrate")
    manage("collectstatic", "--noinput")
    words = ("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org")
    manage(*words, DJANGO_SUPERUSER_PASSWORD=PASSWORD)

    @contextmanager
    def started(**environment: str) -> Iterator[Site]:
        port = free_port()
        env = database | production | {"WEB_CONCURRENCY": "2"} | environment
        command = (python, "-m", "gunicorn", "config.wsgi", f"--bind=127.0.0.1:{port}")
        running = project.start(*command, env=env, cwd="app")
        try:
            # Both workers: one that is still starting ignores the signal to stop.
            wait_until(lambda: running.printed().count("Booting worker") == 2, 120, running.printed)
            yield Site(port, running, server, manage)
        finally:
            running.process.terminate()
            running.end(60)

    yield started
    server.stop("immediate")


@pytest.mark.postgres
@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize(("proxies", "logged"), [("*", ATTACKER), ("192.0.2.1", "127.0.0.1")])
def test_the_access_log_has_the_client_and_trusts_only_the_proxy(
    serve, log_format, proxies, logged
):
    with serve(LOG_FORMAT=log_format, FORWARDED_ALLOW_IPS=proxies) as site:
        for path in ("/health/live", "/nowhere"):
            site.request(path, X_Forwarded_For=ATTACKER)
            site.server.wait_for(path + " HTTP" if log_format == "text" else f"GET {path} ")
            lines = [line for line in site.server.printed().splitlines() if f"GET {path} " in line]
            if log_format == "json":
                assert {json.loads(line)["client"] for line in lines} == {logged}
            else:
                assert [line.split()[0] for line in lines] == [logged]


@pytest.mark.postgres
def test_parallel_login_attempts_pass_the_limit_only_by_those_in_flight(serve):
    with serve(FORWARDED_ALLOW_IPS="*") as site:
        with ThreadPoolExecutor(50) as pool:
            statuses = Counter(pool.map(site.login, [ATTACKER] * 50))

        assert statuses.keys() == {200, 429} and statuses[200] < LIMIT
        line = f"WARNING core.logins: failed login for 'ada' from {ATTACKER}"
        failures = [log for log in site.server.printed().splitlines() if log.startswith(line)]
        assert len(failures) == 50
        checked = failures.count(line)
        assert LIMIT <= checked < LIMIT + AT_ONCE
        assert site.manage("axes_list_attempts") == f"{ATTACKER}\tada\t{checked}\n"

        assert site.login(ATTACKER, PASSWORD) == 429
        assert site.login(OWNER, PASSWORD) == 302
        assert "removed" in site.manage("axes_reset_ip_username", ATTACKER, "ada")
        assert site.login(ATTACKER, PASSWORD) == 302


@pytest.mark.postgres
def test_refused_login_attempts_add_nothing_to_the_database(serve):
    size = "from axes.models import AccessAttempt as A, AccessLog as L;"
    size += "print([len(a.post_data) for a in A.objects.all()], L.objects.count())"
    with serve(FORWARDED_ALLOW_IPS="*") as site:
        assert site.login(OWNER, PASSWORD) == 302
        for _ in range(LIMIT):
            site.login(ATTACKER)
        before = site.manage("shell", "-v0", "-c", size)
        assert {site.login(ATTACKER) for _ in range(LIMIT)} == {429}
        assert site.manage("shell", "-v0", "-c", size) == before
        assert before.endswith("] 0\n")


@pytest.mark.postgres
def test_a_database_failure_is_logged_once_and_its_end_once(serve):
    with serve() as site, ThreadPoolExecutor(AT_ONCE) as pool:

        def assert_answers(status: int) -> None:
            assert site.request("/health/ready") == status
            # Enough requests to reach both processes.
            assert set(pool.map(site.request, ["/health/ready"] * 50)) == {status}

        assert_answers(200)
        site.database.stop("immediate")
        try:
            assert_answers(503)
        finally:
            site.database.start()
        assert_answers(200)

        lines = site.server.printed().splitlines()
        failed, again = [line for line in lines if line.startswith(("ERROR", "WARNING"))]
        assert failed.startswith("ERROR core.health: the database fails: OperationalError: ")
        assert "Connection refused" in failed and site.database.password not in failed
        assert again == "WARNING core.health: the database answers again"


def test_gunicorn_starts_one_process_per_processor_and_at_least_two(bake, monkeypatch):
    config = bake().path / "app/gunicorn.conf.py"
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    for limit, workers in (("400000 100000", 4), ("50000 100000", 2), ("250000 100000", 2)):
        monkeypatch.setattr(Path, "read_text", lambda path, limit=limit, **options: limit)
        assert runpy.run_path(config)["workers"] == workers
    monkeypatch.setattr(Path, "read_text", lambda path, **options: "max 100000")
    assert runpy.run_path(config)["workers"] == max(2, os.cpu_count())
    monkeypatch.setenv("WEB_CONCURRENCY", "7")
    assert runpy.run_path(config)["workers"] == 7


def test_a_module_that_hangs_is_shown_in_development_until_it_is_corrected(bake, python_for):
    project: Project = bake()
    project.port = free_port()
    views = project.path / "app/core/views.py"
    correct = views.read_text(encoding="utf-8")
    views.write_text(f"{correct}\nwhile True:\n    pass\n", encoding="utf-8")
    python = python_for(django_version="5.2", postgres_driver="psycopg2-binary")
    development = {"DEBUG": "true", "POSTGRES_HOST": "", "DATABASE_URL": ""}
    # A shorter timeout than gunicorn's 30 s.
    arguments = f"--reload --workers=1 --timeout=8 --bind=127.0.0.1:{project.port}"
    running = project.start(
        *(python, "-m", "gunicorn", "config.wsgi"),
        env=development | {"GUNICORN_CMD_ARGS": arguments},
        cwd="app",
    )
    try:
        wait_until(lambda: "while True" in project.get("/health/live")[1], 120, running.printed)
        wait_as_a_person_does()
        views.write_text(correct, encoding="utf-8")
        wait_until(lambda: project.status("/health/live") == 200, 120, running.printed)
    finally:
        running.process.terminate()
        running.end(60)
