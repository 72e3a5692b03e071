"""Tasks in production on one host: releases, kills, backups and restores."""

import re
import threading
from collections.abc import Iterator

import pytest

from tests.queue.conftest import Queue, add_work, make_queue
from tests.support.backups import backup, restore
from tests.support.production import assert_lean
from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("queue in production")]


@pytest.fixture(scope="module")
def shared(bake_once, mail_server) -> Iterator[Queue]:
    """A site with tasks; its tests restore what they change."""
    answers = {"django_version": "6.1", "postgres_driver": "psycopg", "deployment": "compose"}
    project = bake_once(project_slug=Project.unused_slug(), use_tasks=True, **answers)
    project.add_views()
    queue = make_queue(project)
    project.to_production(APP_MEMORY="200m", GRACE_PERIOD="20")
    email_url = f"smtp://{mail_server.host}:{mail_server.port}\n"
    (project.path / "secrets/email_url").write_text(email_url)
    try:
        queue.first_release = project.deploy().stdout
        project.sql("CREATE TABLE done (id serial, note text)")
        yield queue
    finally:
        project.remove_from_engine()


@pytest.fixture
def queue(shared) -> Queue:
    """The queue, empty."""
    shared.forget()
    return shared


def test_the_production_image_has_no_build_tools_and_is_not_root(queue):
    """That of psycopg2, which is compiled, is in the test of the preset `production`."""
    assert_lean(queue.project, "psycopg")


class Visitors:
    """A thread that requests a page which enqueues a task, again and again; `names` were acknowledged."""

    def __init__(self, project: Project):
        self.project, self.names, self.ended = project, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        """Request the page until the context ends."""
        for number in range(10_000):
            name = f"visit-{number}"
            response = self.project.request(f"/enqueue?text={name}")
            assert response.status == 200
            self.names.append(name)
            if self.ended.wait(0.2):
                break

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.ended.set()
        self.thread.join()


def test_a_release_loses_and_doubles_no_task(queue):
    project = queue.project
    assert "\nReleased. https://" in queue.first_release
    old = project.containers("worker")
    queue.enqueue("record", "before", 4)
    with Visitors(project) as visitors:
        # The task has a new name, under which the queue does not know it yet.
        project.replace("app/core/work.py", "def record(", "def noted(")
        project.replace(
            "app/core/work.py", "@task(takes_context", "record = noted\n\n\n@task(takes_context"
        )
        printed = project.deploy().stdout
    assert "\nReleased. https://" in printed
    assert project.containers("worker") != old
    queue.wait_for("before", *visitors.names)
    assert len(queue.done()) == len(set(queue.done())) == len(visitors.names) + 1
    # What the new code enqueues has the new name.
    queue.enqueue("record", "after")
    queue.wait_for("after")
    assert queue.task("noted")["status"] == "SUCCESSFUL"


def test_a_task_that_the_code_does_not_have_waits_for_the_code_that_has_it(queue):
    code = (
        "from django.db import connection, transaction\n"
        "with transaction.atomic():\n"
        "    name = work.record.enqueue('renamed').id\n"
        "    change = \"UPDATE django_ox_oxtask SET task_path = 'core.work.gone' WHERE id = %s\"\n"
        "    connection.cursor().execute(change, [name])\n"
        "print(name)\n"
    )
    name = queue.python(code)
    row = f"SELECT status FROM django_ox_oxtask WHERE id = '{name}' AND attempts > 0"
    queue.project.wait_until(lambda: queue.project.sql(row) == "READY")
    queue.enqueue("record", "others go on")
    queue.wait_for("others go on")
    # As a release with the name does.
    queue.project.sql(
        f"UPDATE django_ox_oxtask SET task_path = 'core.work.record' WHERE id = '{name}'"
    )
    queue.wait_for("renamed")


def test_a_worker_out_of_memory_is_started_again_and_other_tasks_run(queue):
    queue.enqueue("eat", "ate")
    for number in range(5):
        queue.enqueue("record", f"task {number}")
    queue.wait_for(*(f"task {number}" for number in range(5)))
    queue.project.wait_until(lambda: queue.task("eat")["status"] in ("LOST", "FAILED"))
    assert queue.done().count("ate") == 2
    assert int(queue.project.inspect("worker", "{{.RestartCount}}")[0]) >= 1


def test_tasks_of_a_backup_run_again_after_a_restore_and_no_other_is_lost(queue):
    project = queue.project
    queue.enqueue("record", "ended before the backup")
    queue.wait_for("ended before the backup")
    project.compose("stop", "worker")
    queue.enqueue("record", "waits in the backup")
    printed = project.run("make", "backup").stdout
    assert "1 task(s) wait in it" in printed
    name = re.search(r"Made (backups/\S+)", printed)[1]
    project.compose("start", "worker")
    queue.wait_for("waits in the backup")

    restore(project, name)

    # In the restored database, only the first one has run.
    queue.wait_for("ended before the backup", "waits in the backup")
    queue.enqueue("record", "after it")
    queue.wait_for("after it")
    assert sorted(queue.done()) == ["after it", "ended before the backup", "waits in the backup"]
    assert backup(project)


def test_a_new_address_of_the_mail_server_can_be_tried_before_the_worker_uses_it(
    queue, mail_server
):
    page = queue.project.read("ops/README.md").partition("before the site uses it:\n")[2]
    command = page.strip().splitlines()[0]
    mail_server.take()
    queue.project.run("sh", "-c", command)
    (mail,) = mail_server.take()
    assert mail["Subject"] == "Test" and mail.recipients == ["you@example.org"]
    # This goes through the worker.
    queue.project.exec("app", "python", "manage.py", "sendtestemail", "eve@example.org")
    queue.project.wait_until(lambda: queue.task("send")["status"] == "SUCCESSFUL")
    (mail,) = mail_server.take()
    assert mail.recipients == ["eve@example.org"]


@pytest.mark.long
def test_an_upgrade_under_work_loses_no_task(make_stack):
    answers = {"deployment": "compose", "postgres_version": "17", "use_tasks": True}
    project = make_stack(**answers)
    add_work(project)
    project.to_production()
    project.deploy()
    project.sql("CREATE TABLE done (id serial, note text)")
    queue = Queue(project)
    queue.python("for n in range(300): work.record.enqueue(f'task {n}', 0.2)")
    queue.wait_for("task 3")

    project.name_postgres("18")
    project.run("make", "upgrade-postgres")

    assert project.sql("SHOW server_version").startswith("18")
    project.wait_until(lambda: len(set(queue.done())) == 300, 180)
