"""The project as gunicorn serves it behind a proxy."""

import http.client
import json
import re
import runpy
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest

from tests.support.embedded_postgres import EmbeddedPostgres, free_port
from tests.support.processes import Running, wait_until
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
    project: Project = bake_once(project_slug="logins", deployment="compose")
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


@pytest.mark.xdist_group("gunicorn")
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
                assert [line.split()[2] for line in lines] == [logged]


@pytest.mark.xdist_group("gunicorn")
@pytest.mark.postgres
def test_every_line_is_json_and_has_the_parts_of_a_request(serve):
    nasty = 'a "quoted" \\ back\tslash'
    with serve(LOG_FORMAT="json") as site:
        site.request("/health/live?a=b", User_Agent=nasty)
        site.request("/admin/reset/MQ/the-key-of-a-mail/", X_Forwarded_Proto="https")
        site.server.wait_for("/reset/MQ/...")
        lines = site.server.printed().splitlines()
    # gunicorn's first lines, too.
    assert any("Booting worker" in line for line in lines)
    entries = [json.loads(line) for line in lines]
    (entry,) = [entry for entry in entries if entry.get("path") == "/health/live?a=b"]
    assert (entry["method"], entry["status"]) == ("GET", 200)
    assert 0 <= entry["seconds"] < 60 and entry["bytes"] > 0 and entry["user_agent"] == nasty
    assert (entry["level"], entry["logger"]) == ("INFO", "gunicorn.access") and entry["time"]
    (reset,) = [entry for entry in entries if "/reset/" in entry.get("path", "")]
    assert reset["path"] == "/admin/reset/MQ/.../"
    assert not [line for line in lines if "the-key-of-a-mail" in line]


@pytest.mark.xdist_group("gunicorn")
@pytest.mark.postgres
def test_parallel_login_attempts_pass_the_limit_only_by_those_in_flight(serve):
    with serve(FORWARDED_ALLOW_IPS="*") as site:
        with ThreadPoolExecutor(50) as pool:
            statuses = Counter(pool.map(site.login, [ATTACKER] * 50))

        assert statuses.keys() == {200, 429} and statuses[200] < LIMIT
        failure = re.compile(
            rf"^WARNING axes\S+: .* failure by 'ada' from {ATTACKER}\.", re.MULTILINE
        )
        checked = len(failure.findall(site.server.printed()))
        assert LIMIT <= checked < LIMIT + AT_ONCE
        assert site.manage("axes_list_attempts") == f"{ATTACKER}\tada\t{checked}\n"

        assert site.login(ATTACKER, PASSWORD) == 429
        assert site.login(OWNER, PASSWORD) == 302
        assert "removed" in site.manage("axes_reset_ip_username", ATTACKER, "ada")
        assert site.login(ATTACKER, PASSWORD) == 302


@pytest.mark.xdist_group("gunicorn")
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


@pytest.mark.xdist_group("gunicorn")
@pytest.mark.postgres
def test_the_cause_of_a_database_failure_is_logged_in_one_line(serve):
    with serve() as site, ThreadPoolExecutor(AT_ONCE) as pool:

        def assert_answers(status: int) -> None:
            # Enough requests to reach both processes.
            assert set(pool.map(site.request, ["/health/ready"] * 50)) == {status}

        assert_answers(200)
        site.database.stop("immediate")
        try:
            assert_answers(503)
        finally:
            site.database.start()
        assert_answers(200)

        printed = site.server.printed()
        failed = [line for line in printed.splitlines() if line.startswith(("ERROR", "WARNING"))]
        assert len(failed) == 50
        for line in failed:
            assert line.startswith("ERROR config.health: The database fails: OperationalError: ")
        assert "Connection refused" in printed and site.database.password not in printed
        assert "Traceback" not in printed


def test_gunicorn_starts_two_processes_or_as_many_as_are_set(bake, monkeypatch):
    config = bake(deployment="compose").path / "app/gunicorn.conf.py"
    for value, workers in ((None, 2), ("", 2), ("7", 7)):
        if value is None:
            monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
        else:
            monkeypatch.setenv("WEB_CONCURRENCY", value)
        assert runpy.run_path(config)["workers"] == workers


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_without_gunicorn_the_project_works_and_logs(bake, python_for, tmp_path, log_format):
    # As on Windows, where `import gunicorn` ends in: No module named 'fcntl'.
    project: Project = bake()
    (tmp_path / "gunicorn.py").write_text("raise ImportError('fcntl')\n", encoding="utf-8")
    python = python_for(django_version="5.2", postgres_driver="psycopg2-binary")
    env = {"DEBUG": "true", "POSTGRES_HOST": "", "DATABASE_URL": "", "LOG_FORMAT": log_format}
    env["PYTHONPATH"] = str(tmp_path)
    log = "import logging; logging.getLogger('shop').warning('the kettle boils')"

    project.run(python, "manage.py", "check", cwd="app", env=env)
    printed = project.run(python, "manage.py", "shell", "-v0", "-c", log, cwd="app", env=env)

    (line,) = [line for line in printed.stdout.splitlines() if "kettle" in line]
    if log_format == "json":
        assert json.loads(line)["message"] == "the kettle boils"
    else:
        assert line == "WARNING shop: the kettle boils"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_server_of_development_logs_no_key_of_a_password_reset(bake, python_for, log_format):
    project: Project = bake()
    project.port = free_port()
    python = python_for(django_version="5.2", postgres_driver="psycopg2-binary")
    env = {"DEBUG": "true", "POSTGRES_HOST": "", "DATABASE_URL": "", "LOG_FORMAT": log_format}
    project.run(python, "manage.py", "migrate", cwd="app", env=env)
    address = f"127.0.0.1:{project.port}"
    running = project.start(
        python, "manage.py", "runserver", "--noreload", address, cwd="app", env=env
    )
    try:
        wait_until(lambda: project.status("/health/live") == 200, 120, running.printed)
        # The page of a key that is wrong, and an address that does not exist.
        assert project.status("/admin/reset/MQ/the-key-of-a-mail/") == 200
        assert project.status("/reset/MQ/the-key-of-a-mail/") == 404
        running.wait_for("Not Found: /reset/MQ/...")
        wait_until(lambda: running.printed().count("/reset/MQ/...") >= 2, 60, running.printed)
        assert "the-key-of-a-mail" not in running.printed()
        if log_format == "json":
            lines = [line for line in running.printed().splitlines() if "reset" in line]
            assert {json.loads(line)["logger"] for line in lines} == {
                "django.server",
                "django.request",
            }
    finally:
        running.process.terminate()
        running.end(60)
