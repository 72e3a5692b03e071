"""What docs/tasks.md promises of the queue, in development, with the drivers of both generations."""

import json
import re

import pytest

from tests.queue.conftest import make_queue
from tests.support.project import Project

pytestmark = pytest.mark.stack
STACKS = [
    {"django_version": "5.2", "postgres_driver": "psycopg2-binary"},
    {"django_version": "6.1", "postgres_driver": "psycopg", "use_wait_for_db": False},
]

# Stops the process that watchfiles has started.
STOP = """
import os, pathlib, signal
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    if path.read_bytes().startswith(b"python\\0manage.py\\0ox_worker"):
        os.kill(int(path.parent.name), signal.SIGSTOP)
"""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(STACKS[0], marks=pytest.mark.xdist_group("queue")),
        # test_production.py has the most important ones with this driver, too.
        pytest.param(STACKS[1], marks=[pytest.mark.xdist_group("queue 6.1"), pytest.mark.long]),
    ],
    ids=lambda answers: answers["django_version"],
)
def shared(request, bake_once, mail_server):
    """A project in development; its tests restore what they change."""
    project = bake_once(project_slug=Project.unused_slug(), use_tasks=True, **request.param)
    project.choose_port()
    project.add_views()
    with open(project.path / ".env", "a", encoding="utf-8") as env:
        env.write(f"EMAIL_URL=smtp://{mail_server.host}:{mail_server.port}\n")
    queue = make_queue(project)
    project.replace(
        "app/config/settings.py",
        '"SCHEDULES": {',
        '"SCHEDULES": {\n"often": {"task": "core.work.record", "every": 1, "args": ["a tick"]},',
    )
    try:
        project.up()
        project.sql("CREATE TABLE done (id serial, note text)")
        yield queue
    finally:
        project.remove_from_engine()


@pytest.fixture
def queue(shared):
    """The queue, empty."""
    shared.forget()
    return shared


def test_a_task_runs_after_its_transaction_and_never_if_that_is_rolled_back(queue):
    queue.python(
        "from django.db import connection, transaction\n"
        "import time\n"
        "def enqueue(text, fail):\n"
        "    with transaction.atomic():\n"
        "        work.record.enqueue(text)\n"
        "        time.sleep(2)\n"
        "        work.note(f'end of {text}')\n"
        "        if fail: raise SystemExit\n"
        "enqueue('kept', False)\n"
        "try: enqueue('dropped', True)\n"
        "except SystemExit: pass\n"
    )
    queue.wait_for("kept")
    queue.enqueue("record", "after it")
    queue.wait_for("after it")
    noted = [note for note in queue.done() if note != "a tick"]
    assert noted == ["end of kept", "kept", "after it"]


def test_a_result_is_there_and_a_wrong_payload_is_refused_at_once(queue):
    name = queue.enqueue("record", "tea")
    queue.wait_for("tea")
    read = f"print(work.record.get_result('{name}').return_value)"
    queue.project.wait_until(lambda: queue.task("record")["status"] == "SUCCESSFUL")
    assert queue.python(read) == "tea"

    code = "work.record.enqueue(object())"
    shell = ("python", "manage.py", "shell", "-c", f"from core import work\n{code}")
    refused = queue.project.exec("app", *shell, check=False)
    assert refused.returncode != 0 and "TypeError" in refused.stdout.strip().splitlines()[-1]


def test_tasks_run_by_priority_and_at_their_time(queue):
    queue.project.compose("stop", "worker")
    try:
        queue.python(
            "from django.utils import timezone\n"
            "from datetime import timedelta\n"
            "later = timezone.now() + timedelta(seconds=4)\n"
            "work.record.using(run_after=later, priority=-20).enqueue('later')\n"
            "work.record.using(priority=-10).enqueue('low')\n"
            "work.record.enqueue('middle')\n"
            "work.record.using(priority=10).enqueue('high')\n"
        )
    finally:
        queue.project.compose("start", "worker")
    queue.wait_for("later")
    assert [note for note in queue.done() if note != "a tick"] == ["high", "middle", "low", "later"]
    early = "SELECT count(*) FROM django_ox_oxtask WHERE started_at < run_after"
    assert queue.project.sql(early) == "0"


def test_a_task_that_fails_is_tried_again_and_then_shown_in_the_admin(queue, page_of_admin):
    queue.enqueue("fail", "try")
    queue.project.wait_until(lambda: queue.task("fail")["status"] == "FAILED")
    assert [note for note in queue.done() if note != "a tick"] == ["try 1", "try 2", "try 3"]
    assert "1 failed; a worker runs" in queue.project.get("/")[1]

    listed = page_of_admin("/admin/django_ox/oxtask/?status__exact=FAILED")
    assert "core.work.fail" in listed
    shown = page_of_admin(f"/admin/django_ox/oxtask/{queue.task('fail')['id']}/change/")
    assert "the kettle broke" in shown
    queue.forget_notes()
    page_of_admin(
        "/admin/django_ox/oxtask/",
        action=re.search(r'<option value="(\w*retry\w*)"', listed)[1],
        _selected_action=queue.task("fail")["id"],
    )
    queue.wait_for("try 4")


def test_a_task_ends_at_its_time_limit_and_others_go_on(queue):
    queue.enqueue("hang")
    queue.enqueue("record", "after it")
    queue.wait_for("after it")
    task = queue.task("hang")
    assert task["status"] == "FAILED"
    assert task["errors"][0]["exception_class_path"].endswith(".TaskTimeout")


def test_every_task_runs_though_the_worker_and_the_database_are_killed(queue):
    names = [f"task {number}" for number in range(300)]
    queue.python("for n in range(300): work.record.enqueue(f'task {n}', 0.02)")
    for number in (20, 80, 140):
        queue.project.wait_until(lambda n=number: len(queue.done()) >= n)
        queue.kill()
    queue.project.run("docker", "kill", *queue.project.containers("db"))
    queue.project.compose("up", "--detach", "--wait", "db")
    queue.wait_for(*names)
    # A task may run again if the worker was killed between its end and the note of that.
    again = [note for note in queue.done() if note != "a tick"]
    assert len(again) - len(names) <= 4
    left = "SELECT count(*) FROM django_ox_oxtask WHERE status <> 'SUCCESSFUL'"
    queue.project.wait_until(lambda: queue.project.sql(left) == "0")


def test_two_workers_take_no_task_twice_and_a_schedule_is_kept_once(queue):
    queue.project.compose(
        "up", "--detach", "--wait", "--no-recreate", "--scale", "worker=2", "worker"
    )
    try:
        queue.forget()
        queue.python("for n in range(200): work.record.enqueue(f'task {n}', 0.02)")
        queue.wait_for(*(f"task {number}" for number in range(200)))
        noted = [note for note in queue.done() if note != "a tick"]
        assert len(noted) == len(set(noted)) == 200
        workers = "SELECT count(DISTINCT worker_ids->>0) FROM django_ox_oxtask"
        assert queue.project.sql(workers) == "2"
        ticks = "SELECT count(*), count(DISTINCT scheduled_for) FROM django_ox_oxscheduletick"
        queue.project.wait_until(lambda: int(queue.project.sql(ticks).split("|")[0]) > 2)
        all_ticks, times = queue.project.sql(ticks).split("|")
        assert int(all_ticks) == int(times) > 2
    finally:
        queue.project.compose("up", "--detach", "--wait", "--scale", "worker=1", "worker")


def test_a_worker_that_was_paused_beyond_its_lease_records_nothing(queue):
    scale = ("up", "--detach", "--wait", "--no-recreate", "--scale")
    queue.project.compose(*scale, "worker=2", "worker")
    try:
        queue.enqueue("record", "slow", 15)
        queue.project.wait_until(lambda: queue.task("record")["status"] == "RUNNING")
        # It begins with the name of the host, which is the id of the container.
        old = queue.task("record")["locked_by"][:12]
        with queue.project.paused(old):
            queue.project.wait_until(lambda: queue.task("record")["status"] == "SUCCESSFUL")
            before = queue.task("record")
        # Its own attempt ends, too, and counts for nothing.
        queue.project.wait_until(lambda: queue.done().count("slow") == 2)
        assert before["attempts"] == 2 and queue.task("record") == before
    finally:
        # Its health check failed meanwhile.
        queue.project.compose("up", "--detach", "--scale", "worker=1", "worker")


def test_changed_code_is_used_at_once(queue):
    old, new = "    note(text)\n    return text", "    note(f'new {text}')\n    return text"
    queue.project.replace("app/core/work.py", old, new)
    try:
        queue.project.wait_until(
            lambda: queue.enqueue("record", "code") and "new code" in queue.done(), 30
        )
    finally:
        queue.project.replace("app/core/work.py", new, old)


def test_mail_is_sent_when_the_mail_server_is_back_and_refused_mail_is_given_up(queue, mail_server):
    mail_server.stop()
    mail_server.take()
    try:
        send = "from django.core.mail import EmailMessage, EmailMultiAlternatives\n"
        send += (
            "m = EmailMultiAlternatives('Tea ☕', 'Plain', 'shop@shop.example', ['a@shop.example'],"
        )
        send += " bcc=['b@shop.example'])\n"
        send += "m.attach_alternative('<b>Rich</b>', 'text/html')\n"
        send += "m.attach('leaves.bin', bytes(range(256)), 'application/octet-stream')\n"
        send += "print(m.send())\n"
        assert queue.python(send) == "1"
        queue.project.wait_until(lambda: queue.task("send")["attempts"] >= 2)
    finally:
        mail_server.start()
    queue.project.wait_until(lambda: queue.task("send")["status"] == "SUCCESSFUL")
    (mail,) = mail_server.take()
    assert mail["Subject"] == "Tea ☕"
    assert mail.recipients == ["a@shop.example", "b@shop.example"] and not mail["Bcc"]
    assert mail.get_body(("html",)).get_content().strip() == "<b>Rich</b>"
    assert next(mail.iter_attachments()).get_content() == bytes(range(256))

    mail_server.refuse = "550 No such mailbox"
    try:
        queue.project.exec("app", "python", "manage.py", "sendtestemail", "x@shop.example")
        queue.project.wait_until(lambda: queue.task("send")["status"] == "FAILED")
        assert queue.task("send")["attempts"] == 1
    finally:
        mail_server.refuse = ""


def test_the_home_page_says_that_no_worker_runs_and_how_many_tasks_wait(queue):
    queue.project.compose("stop", "worker")
    try:
        # The worker may have left a tick.
        queue.forget()
        queue.enqueue("record", "later")
        assert "1 waiting, 0 failed; no worker runs" in queue.project.get("/")[1]
    finally:
        queue.project.compose("start", "worker")
    queue.wait_for("later")


def test_a_backup_says_how_many_tasks_wait(queue):
    queue.project.compose("stop", "worker")
    try:
        queue.forget()
        queue.enqueue("record", "later")
        assert "1 task(s) wait now." in queue.project.run("make", "backup").stdout
    finally:
        queue.project.compose("start", "worker")


def test_a_worker_that_hangs_is_unhealthy(queue):
    # The test before has only just started it.
    queue.enqueue("record", "it runs")
    queue.wait_for("it runs")
    (found,) = queue.project.inspect("worker", "{{json .Config.Healthcheck.Test}}")
    check = ("sh", "-c", json.loads(found)[1])
    assert queue.project.exec("worker", *check, check=False).returncode == 0
    # As if nothing had touched the file for two minutes.
    queue.project.exec("worker", "python", "-c", STOP)
    queue.project.exec("worker", "touch", "-d", "2 minutes ago", "/tmp/worker")
    assert queue.project.exec("worker", *check, check=False).returncode == 1
    queue.kill()


@pytest.mark.long
def test_ten_thousand_tasks_of_one_transaction_run(queue):
    queue.python(
        "from django.db import transaction\n"
        "with transaction.atomic():\n"
        "    for n in range(10_000): work.record.enqueue(f'task {n}')\n"
    )
    left = "SELECT count(*) FROM django_ox_oxtask WHERE status <> 'SUCCESSFUL'"
    queue.project.wait_until(lambda: queue.project.sql(left) == "0", 300)
    assert len(set(queue.done()) - {"a tick"}) == 10_000
