"""Tasks that the tests of the group `queue` enqueue, and what they share."""

import json
import re
import subprocess
import urllib.parse
import urllib.request

import pytest

from tests.support.mail_server import MailServer
from tests.support.project import Project

# Added to a project: each task notes in a table that it ran.
WORK = '''"""Tasks of the tests."""

import os
import time
from datetime import timedelta

from django.db import connection
from MODULE import task


def note(text):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO done (note) VALUES (%s)", [text])


@task
def record(text, seconds=0):
    time.sleep(seconds)
    note(text)
    return text


@task(takes_context=True, max_attempts=3, backoff=lambda error, result: timedelta(seconds=1))
def fail(context, text):
    note(f"{text} {context.attempt}")
    raise ValueError("the kettle broke")


@task(timeout=1, max_attempts=1)
def hang():
    while True:
        time.sleep(0.1)


@task(max_attempts=2, backoff=lambda error, result: 1)
def eat(text):
    note(text)
    with open("/tmp/much", "wb") as file:
        while True:
            file.write(os.urandom(1_000_000))
'''
VIEW = """

def enqueue(request):
    from core import work
    work.record.enqueue(request.GET["text"])
    return HttpResponse("enqueued")


urlpatterns.append(path("enqueue", enqueue))
"""


def add_work(project: Project) -> None:
    """Add the tasks of the tests to a project that is not started yet, and a short lease."""
    django = "django_tasks" if "django-csp" in project.read("requirements.in") else "django.tasks"
    (project.path / "app/core/work.py").write_text(WORK.replace("MODULE", django))
    project.replace("app/config/settings.py", '"LOCK_TIMEOUT": 60', '"LOCK_TIMEOUT": 4')


class Queue:
    """A project with tasks, and what a test asks of its queue."""

    def __init__(self, project: Project):
        self.project = project

    def python(self, code: str) -> str:
        """Run code in a container of app; return what it prints."""
        code = f"from core import work\nfrom django_ox.models import OxTask\n{code}"
        shell = ("python", "manage.py", "shell", "--verbosity", "0", "--command", code)
        return self.project.exec("app", *shell).stdout.strip()

    def enqueue(self, task: str, *arguments: object, **options: object) -> str:
        """Enqueue a task; return its id."""
        using = f".using(**{options!r})" if options else ""
        return self.python(f"print(work.{task}{using}.enqueue(*{list(arguments)!r}).id)")

    def done(self) -> list[str]:
        """Return what tasks have noted since the last `forget`, in that order."""
        return self.project.sql("SELECT note FROM done ORDER BY id").splitlines()

    def forget(self) -> None:
        """Begin with an empty queue, and nothing noted. The worker may lock the same tables."""
        truncate = "TRUNCATE done, django_ox_oxtask CASCADE"
        psql = [*self.project.executing("db"), "psql", "-q", "-U", "postgres", "-d"]
        psql += [self.project.setting("POSTGRES_DB"), "-c", truncate]
        self.project.wait_until(lambda: not self.project.run(*psql, check=False).returncode)

    def forget_notes(self) -> None:
        """Begin with nothing noted."""
        self.project.sql("TRUNCATE done")

    def task(self, name: str) -> dict:
        """Return the row of the newest task with this name."""
        query = f"SELECT row_to_json(t) FROM django_ox_oxtask t WHERE task_path LIKE '%.{name}'"
        query += " AND args <> '[\"a tick\"]'"
        return json.loads(self.project.sql(f"{query} ORDER BY enqueued_at DESC LIMIT 1"))

    def wait_for(self, *notes: str) -> None:
        """Return when tasks have noted all of these."""
        self.project.wait_until(lambda: set(notes) <= set(self.done()))

    def kill(self) -> None:
        """Kill the worker, which has no time to do anything, and start it again."""
        for container in self.project.containers("worker"):
            self.project.run("docker", "kill", container)
            self.project.run("docker", "start", container)


def make_queue(project: Project) -> Queue:
    """Return the queue of a project that is not started yet."""
    add_work(project)
    with open(project.path / "app/config/urls.py", "a", encoding="utf-8") as urls:
        urls.write(VIEW)
    return Queue(project)


@pytest.fixture
def page_of_admin(shared):
    """Return a function that opens a page of the admin as a superuser, or posts a form to it."""
    site = f"http://127.0.0.1:{shared.project.port}"
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def open_page(path: str, **form: str) -> str:
        text = opener.open(site + path, timeout=30).read().decode()
        if not form:
            return text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', text)[1]
        body = urllib.parse.urlencode(form | {"csrfmiddlewaretoken": token}).encode()
        return opener.open(site + path, body, timeout=30).read().decode()

    make = (
        "python",
        "manage.py",
        "createsuperuser",
        "--noinput",
        "--username=ada",
        "--email=a@b.example",
    )
    create = ["docker", "exec", "--env=DJANGO_SUPERUSER_PASSWORD=ada's own password"]
    create += [*shared.project.containers("app"), *make]
    shared.project.run(*create, check=False)
    open_page("/admin/login/?next=/admin/", username="ada", password="ada's own password")
    return open_page


@pytest.fixture(scope="module")
def mail_server():
    """A mail server that containers reach."""
    template = "{{(index .IPAM.Config 0).Gateway}}"
    inspect = ["docker", "network", "inspect", "--format", template, "bridge"]
    host = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()
    with MailServer(host=host) as server:
        yield server
