"""A site on three nodes: it keeps answering while releases, nodes and the database fail."""

import datetime
import itertools
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.backups import backup
from tests.support.processes import Running
from tests.support.project import DEPLOY
from tests.support.swarm import (
    change_page,
    containers,
    last_line,
    load,
    nothing_was_lost,
    running,
    uploaded,
)

pytestmark = [pytest.mark.swarm, pytest.mark.git, pytest.mark.xdist_group("swarm")]

MIGRATION = """from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]
    operations = [migrations.RunSQL("SET lock_timeout = 0; SELECT pg_advisory_xact_lock(1)")]
"""


def test_the_first_release_migrates_once_and_answers_from_outside(site):
    printed = site.first_release.stdout

    assert printed.endswith("Released.\n")
    assert printed.count("Applying core.0001_initial") == 1
    # Swarm could run it again.
    assert "site_migrate" not in site.swarm.docker("service", "ls")
    assert site.sql("SELECT count(*) FROM django_migrations WHERE app = 'core'") == "1"
    assert site.request("/health/ready").status == 200
    assert "<title>" in site.request("/").text
    nodes = [node for node, _ in site.tasks("app")]
    assert len(nodes) == len(set(nodes)) == 2
    assert [node for node, _ in site.tasks("db")] == ["node2"]


def test_secrets_are_files_and_the_database_is_on_a_network_without_internet(site):
    values = [
        (site.path / "secrets" / name).read_text().strip()
        for name in ("secret_key", "postgres_password")
    ]
    names = site.swarm.docker("service", "ls", "--format", "{{.Name}}").split()
    visible = site.swarm.docker("service", "inspect", *names)
    assert not [value for value in values if value in visible]
    internal = ("network", "inspect", "-f", "{{.Internal}}", "site_backend")
    assert site.swarm.docker(*internal) == "true"


def test_traffic_between_the_nodes_is_encrypted(site):
    if not site.swarm.encrypts():
        pytest.skip("this kernel has no rfc4106(gcm(aes)), which encrypted overlays need")
    for network in ("site_frontend", "site_backend"):
        options = site.swarm.docker("network", "inspect", "-f", "{{json .Options}}", network)
        assert '"encrypted"' in options


def test_an_upload_on_one_node_is_read_on_another(site):
    stored = json.loads(site.request("/upload", "POST", b"kept").text)
    readers = set()

    def another_has_read_it() -> bool:
        answer = uploaded(site, stored["name"])
        assert answer["text"] == "kept"
        readers.add(answer["container"])
        return bool(readers - {stored["container"]})

    site.wait_until(another_has_read_it, 60)


def test_containers_that_wait_are_not_stopped(site):
    before = containers(site, "app", "db", "nginx")
    node = site.db_node
    db = site.container("db", node)
    # The engine may be unable to freeze a process at that moment.
    site.wait_until(lambda: site.swarm.docker("pause", db, node=node, check=False) == db, 60)
    try:
        # A health check waits for the database, as it waits for threads that are busy.
        time.sleep(40)
    finally:
        site.swarm.docker("unpause", db, node=node)
    site.wait_until(lambda: site.status_over_https("/health/ready") == 200, 60)
    assert containers(site, "app", "db", "nginx") == before


@pytest.mark.long
def test_scaling_under_load_loses_no_request_and_spreads_over_the_nodes(site):
    for number in ("0", "100", "1000000000000", "two"):
        refused = site.run("make", "scale", f"N={number}", check=False)
        assert refused.returncode != 0
        assert (
            f"a whole number from 1 to 99, as in make scale N=4, not '{number}'." in refused.stdout
        )
    with load(site, slow=2) as loads:
        site.run("make", "scale", "N=1")
        assert len(site.tasks("app")) == 1
        scaling = site.start("make", "scale", "N=6", env={})
        scaling.wait_for(" of 6 run", 60)
        # One change at a time, whatever changes it.
        tasks = {("scale", "N=3"): "scaled", ("rollback",): "rolled back", ("deploy",): "released"}
        others = {site.start("make", *task, env={}): done for task, done in tasks.items()}
        for other, done in others.items():
            assert other.end(60) != 0
            assert f"Not {done}: make scale is running, in " in other.printed()
        assert scaling.end(120) == 0, scaling.printed()
        nodes = sorted(node for node, _ in site.tasks("app"))
        assert [nodes.count(node) for node in site.swarm.nodes] == [2, 2, 2]

        site.run("make", "scale", "N=2")
        # More containers take some seconds until they run, fewer may be there at once.
        shown = site.interrupt("make", "scale", "N=4", when=" of 4 run")
        assert "Interrupted: Swarm goes on until 4 run" in shown
        site.wait_until(lambda: len(site.tasks("app")) == 4, 120)
        site.run("make", "scale", "N=2")
    assert nothing_was_lost(loads)
    # The next release keeps the number.
    assert site.setting("APP_REPLICAS") == "2"


def test_settings_that_cannot_be_written_stay_as_they_are(site):
    env = site.path / ".env"
    env.chmod(0o640)
    text, owner = env.read_text(), (env.stat().st_mode, env.stat().st_uid)
    (site.path / ".env.new").mkdir()
    process = site.run(*DEPLOY[:-1], "scale", "3", check=False)
    (site.path / ".env.new").rmdir()
    assert process.returncode == 1
    assert last_line(process).startswith("Not scaled: ") and ".env" in last_line(process)
    assert env.read_text() == text
    assert len(site.tasks("app")) == 2

    site.run("make", "scale", "N=2")
    assert env.read_text() == text
    assert (env.stat().st_mode, env.stat().st_uid) == owner


@contextmanager
def tasks_that_no_kill_loses(site) -> Iterator[None]:
    """Enqueue a hundred tasks, kill the worker, and fail unless all of them are done after the block."""
    site.sql("CREATE TABLE done (id serial, note text)")
    ((node, _), *_) = site.tasks("app")
    code = "from core import work\nfor n in range(100): work.record.enqueue(f'task {n}', 0.2)"
    shell = ("python", "manage.py", "shell", "--command", code)
    try:
        # A database that a test before has restored may lack their tables.
        for words in (("python", "manage.py", "migrate"), shell):
            site.swarm.docker("exec", site.container("app", node), *words, node=node)
        site.wait_until(lambda: int(site.sql("SELECT count(*) FROM done")) > 10, 60)
        ((node, _),) = site.tasks("worker")
        site.swarm.docker("kill", site.container("worker", node), node=node)
        yield
        site.wait_until(lambda: site.sql("SELECT count(DISTINCT note) FROM done") == "100", 120)
        left = "SELECT count(*) FROM django_ox_oxtask WHERE status NOT IN ('SUCCESSFUL')"
        site.wait_until(lambda: site.sql(left) == "0", 60)
    finally:
        site.sql("DROP TABLE done")


def test_a_release_under_load_replaces_only_what_changed_loses_no_task_and_can_be_taken_back(site):
    names = ("secret", "ls", "--format", "{{.Name}}")
    secrets = set(site.swarm.docker(*names).split())
    before = containers(site, "app", "nginx", "db", "redis")
    ((old,)) = {image for _, image in site.tasks("app")}
    change_page(site, "Office 1")
    (site.path / "secrets/email_url").write_text("smtp://mail.example\n")

    with tasks_that_no_kill_loses(site), load(site) as loads:
        printed = site.deploy().stdout
        assert "Office 1" in site.request("/").text

    assert printed.endswith("Released.\n") and "Made backups/" in printed
    assert nothing_was_lost(loads)
    after = containers(site, "app", "nginx", "db", "redis")
    assert len(after["app"]) == 2 and not after.pop("app") & before.pop("app")
    assert after == before
    ((_, new),) = site.tasks("worker")
    assert new != old and new == site.tasks("app")[0][1]
    # The new secret is in the containers, and the old one is removed.
    now = set(site.swarm.docker(*names).split())
    assert len(now - secrets) == len(secrets - now) == 1
    for node, image in site.tasks("app"):
        assert image != old
        file = ("exec", site.container("app", node), "cat", "/run/secrets/email_url")
        assert site.swarm.docker(*file, node=node) == "smtp://mail.example"

    with load(site, slow=1) as loads:
        # The worker was first.
        shown = site.interrupt("make", "rollback", when="app: ")
        assert f"Interrupted: Swarm goes on to {old} for app, make status shows it." in shown
        printed = site.run("make", "scale", "N=2").stdout
        assert "An update of app goes on" in printed
    assert nothing_was_lost(loads)
    assert {image for _, image in site.tasks("app") + site.tasks("worker")} == {old}
    again = site.run("make", "rollback", check=False)
    assert again.returncode != 0 and "no older one is known" in again.stdout


def test_a_release_that_fails_leaves_the_old_one_serving(site):
    before = {image for _, image in site.tasks("app")}
    healthy, broken = "return VIEWS.get", "raise OSError\n        return VIEWS.get"
    site.replace("app/config/health.py", healthy, broken)
    try:
        with load(site, slow=1) as loads:
            process = site.deploy(check=False)
    finally:
        site.replace("app/config/health.py", broken, healthy)

    assert process.returncode == 1
    assert last_line(process) == (
        "Not released: the new containers of app failed, see above; Swarm went back to the old ones."
    )
    assert nothing_was_lost(loads)
    assert {image for _, image in site.tasks("app")} == before


@pytest.mark.long
def test_an_image_that_nodes_cannot_pull_leaves_the_old_one_serving(site):
    before = {image for _, image in site.tasks("app")}
    change_page(site, "Office 2")
    refuse = ("OUTPUT", "--protocol=tcp", "--dport=5000", "--jump=REJECT")
    nodes = [site.swarm.nodes[node] for node in ("node2", "node3")]
    for node in nodes:
        site.swarm.outside("exec", node, "iptables", "--insert", *refuse)
    try:
        with load(site, slow=1) as loads:
            process = site.deploy(check=False)
    finally:
        for node in nodes:
            site.swarm.outside("exec", node, "iptables", "--delete", *refuse)
    # Refused by the job `migrate`, or rolled back if that was on the node that has the image.
    assert process.returncode == 1 and last_line(process).startswith("Not released: ")
    assert "No such image" in process.stdout
    assert nothing_was_lost(loads)
    assert {image for _, image in site.tasks("app")} == before


def test_a_registry_that_is_away_stops_the_release_before_anything_changes(site):
    before = containers(site, "app", "nginx", "db")
    change_page(site, "Office 3")
    registry = f"{site.swarm.name}-registry"
    site.swarm.outside("stop", registry)
    try:
        process = site.deploy(check=False)
    finally:
        site.swarm.outside("start", registry)
    assert process.returncode == 1 and "cannot be pushed, see above." in last_line(process)
    assert containers(site, "app", "nginx", "db") == before


@pytest.mark.long
def test_a_release_that_is_killed_blocks_nobody_and_older_code_is_refused(site):
    lock = "SELECT pg_advisory_lock(1), pg_sleep(600)"
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = '{lock}'"
    site.in_background(lock)
    # A migration that waits for the lock.
    migration = site.path / "app/core/migrations/0002_locked.py"
    migration.write_text(MIGRATION)
    first = site.start(*DEPLOY, env={})
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    site.wait_until(lambda: site.sql(waiting) or first.process.poll() is not None, 120)
    second = site.deploy(check=False)
    assert second.returncode == 1
    assert last_line(second).startswith("Not released: make deploy is running, in ")
    first.process.kill()
    first.end()

    # Of the first one, a command may still end.
    def next_one_waits() -> bool:
        nonlocal third
        third = site.start(*DEPLOY, env={})
        site.wait_until(lambda: "They end first." in third.printed() or not running(third), 120)
        return running(third)

    third = None
    site.wait_until(next_one_waits, 60)
    site.sql(ended)
    assert third.end(180) == 0, third.printed()
    assert third.printed().endswith("Released.\n")
    applied = "SELECT count(*) FROM django_migrations WHERE name = '0002_locked'"
    assert site.sql(applied) == "1"

    before = {image for _, image in site.tasks("app")}
    migration.unlink()
    process = site.deploy(check=False)
    assert process.returncode == 1
    assert "migrations that this code does not know: core.0002_locked." in process.stdout
    assert "migrate failed, see above" in last_line(process)
    assert {image for _, image in site.tasks("app")} == before
    assert site.deploy(ALLOW_NEWER_DATABASE="1").stdout.endswith("Released.\n")
    site.sql("DELETE FROM django_migrations WHERE name = '0002_locked'")


def test_the_lock_of_a_lost_manager_is_named(site):
    # Of one with the same name and the same path.
    folder = f"{socket.gethostname()}:{site.path}"
    labels = (f"--label=owner={folder}", f"--label=folder={folder}", "--label=command=deploy")
    site.swarm.docker("config", "create", *labels, "site_release", "/etc/hosts")
    try:
        refused = site.deploy(check=False)
        shown = site.run("make", "status").stdout
    finally:
        site.swarm.docker("config", "rm", "site_release")
    assert refused.returncode == 1
    assert f"make deploy is running, in {folder} since " in last_line(refused)
    assert last_line(refused).endswith("If it was killed: docker config rm site_release")
    assert f"\nmake deploy is running, in {folder} since " in shown


@pytest.mark.long
def test_migrations_on_a_node_that_is_lost_end_the_release_and_the_next_one_works(site):
    lock = "SELECT pg_advisory_lock(1), pg_sleep(600)"
    site.in_background(lock)
    migration = site.path / "app/core/migrations/0002_locked.py"
    migration.write_text(MIGRATION)
    job = "(moby/moby#53632).\n"
    there = f"{job}      placement:\n        constraints: [node.hostname == node3]\n"
    site.replace("stack.yaml", job, there)
    try:
        releasing = site.start(*DEPLOY, env={})
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        site.wait_until(lambda: site.sql(waiting) or not running(releasing), 120)
        with site.swarm.cut_off("node3"):
            assert releasing.end(180) == 1
        assert "site_migrate ran on node3, which is down.\n" in releasing.printed()
        assert "migrate failed, see above; the old containers stay." in releasing.printed()
    finally:
        site.replace("stack.yaml", there, job)
        migration.unlink()
        site.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = '{lock}'")
    site.swarm.wait_for_status("node3", "Ready")
    assert site.deploy(ALLOW_NEWER_DATABASE="1").stdout.endswith("Released.\n")
    site.sql("DELETE FROM django_migrations WHERE name = '0002_locked'")


def backups(site) -> set[str]:
    """Return the names that make backups lists."""
    return set(re.findall(r"backups/\S+", site.run("make", "backups").stdout))


def test_a_backup_and_a_restore_under_load(site):
    site.sql("CREATE TABLE notes (text text)")
    site.sql("INSERT INTO notes VALUES ('kept')")
    with load(site, slow=1) as loads:
        printed = site.run("make", "backup").stdout
    assert nothing_was_lost(loads)
    name = re.search(r"^Made (backups/\S+) ", printed, re.MULTILINE)[1]
    assert name in backups(site)
    site.sql("UPDATE notes SET text = 'lost'")

    with load(site, slow=1) as loads:
        printed = site.run("make", "restore", f"FILE={name}").stdout
    assert f"Restored {name}." in printed
    # For some seconds, all sessions are closed.
    assert all(each.answers[200] > each.answers.total() / 2 for each in loads)
    assert site.sql("SELECT text FROM notes") == "kept"
    replaced = re.search(r"make drop-replaced (DB=\S+)", printed)[1]
    assert "Deleted the database" in site.run("make", "drop-replaced", replaced).stdout
    assert "Drill passed: backups/" in site.run("make", "drill").stdout
    # Only off-site.
    copied = f"off-site\t{name}"
    site.wait_until(lambda: copied in site.run("make", "backups").stdout, 60)
    remove = ("exec", site.container("db", site.db_node), "rm", "-r", f"/{name}")
    site.swarm.docker(*remove, node=site.db_node)
    printed = site.run("make", "restore", f"FILE={name}").stdout
    assert f"Fetched {name}." in printed and f"Restored {name}." in printed
    missing = site.run("make", "restore", "FILE=backups/none", check=False)
    assert missing.returncode != 0 and "there is no backups/none" in missing.stdout

    # And from the log, the second before a mistake.
    site.wait_until(lambda: "until now" in site.run("make", "restore-to").stdout, 60)
    site.sql("INSERT INTO notes VALUES ('a row later')")
    moment = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S.%f}"
    site.sql("DROP TABLE notes")
    printed = site.run("make", "restore-to", f"TIME={moment}").stdout
    assert f"Recovered the database of {moment} UTC" in printed
    assert site.sql("SELECT text FROM notes ORDER BY 1") == "a row later\nkept"
    assert "recovered in" in site.run("make", "drill").stdout
    refused = site.run("make", "restore-to", "TIME=2020-01-01 10:00:00", check=False)
    assert refused.returncode != 0 and "is not one of these moments" in refused.stdout
    site.sql("DROP TABLE notes")


@contextmanager
def backup_that_waits(site) -> Iterator[Running]:
    """Start a backup that waits for a lock, which ends with the block."""
    site.sql("CREATE TABLE locked (id bigint)")
    site.in_background("BEGIN; LOCK TABLE locked; SELECT pg_sleep(600)")
    site.wait_until(lambda: site.sql("SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock'"))
    running = site.start("python3", "-m", "ops.host", "backup", env={"LOCK_TIMEOUT": "300"})
    running.wait_for("Dumping", 60)
    yield running
    site.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'"
    )
    site.sql("DROP TABLE locked")


def test_an_interrupted_backup_leaves_nothing(site):
    before = backups(site)
    with backup_that_waits(site) as running:
        running.process.terminate()
        assert running.end(60) == 143
        assert "Interrupted" in running.printed()
        assert not site.swarm.docker("service", "ls", "--quiet", "--filter", "name=site_job")
        partial = ("exec", site.container("db", site.db_node), "ls", "-A", "/backups")
        site.wait_until(
            lambda: ".partial" not in site.swarm.docker(*partial, node=site.db_node), 60
        )
        assert backups(site) == before


# The managers need processors to elect one: where others use them all, that takes minutes.
@pytest.mark.long
def test_a_backup_is_made_once_although_the_managers_elect_a_leader_anew(site):
    before = backups(site)
    leader = ("node", "inspect", "--format", "{{.ManagerStatus.Leader}}")
    with backup_that_waits(site) as running:
        cut_off = next(n for n in site.swarm.nodes if site.swarm.docker(*leader, n) == "true")
        with site.swarm.cut_off(cut_off):
            other = "node3" if cut_off != "node3" else "node1"
            site.wait_until(
                lambda: "true" in site.swarm.docker(*leader, other, node=other, check=False), 240
            )
            time.sleep(40)
        site.swarm.wait_for_status(cut_off, "Ready")
    assert running.end(120) == 0, running.printed()

    assert running.printed().count("Made backups/") == 1
    assert len(backups(site) - before) == 1
    # A second start of the same run ends at once.
    run = ("exec", "--env", "OPS_TOKEN=tried", site.container("backup", site.db_node))
    once = (*run, "python3", "-m", "ops.backup")
    assert "Made backups/" in site.swarm.docker(*once, node=site.db_node)
    assert "Nothing is done twice." in site.swarm.docker(*once, node=site.db_node)
    assert len(backups(site) - before) == 2


def test_an_interrupted_restore_changes_nothing_and_leaves_nothing(site):
    # While it is restored, each row takes a minute; here it takes none.
    seconds = "coalesce(current_setting('test.seconds', true), '60')::float"
    site.sql(
        f"SET test.seconds = 0; CREATE TABLE slow (id bigint CHECK (pg_sleep({seconds}) IS NOT NULL));"
        "INSERT INTO slow VALUES (1)"
    )
    name = backup(site)
    site.sql("SET test.seconds = 0; INSERT INTO slow VALUES (2)")
    databases = "SELECT array_agg(datname ORDER BY datname) FROM pg_database"
    before = site.sql(databases)

    command = ("make", "restore", f"FILE={name}")
    restoring = "SELECT 1 FROM pg_database WHERE datname LIKE '%_restoring'"
    shown = site.interrupt(*command, when=lambda: site.sql(restoring))

    assert "Interrupted: restore is stopped" in shown
    site.wait_until(lambda: site.sql(databases) == before, 60)
    assert site.sql("SELECT count(*) FROM slow") == "2"
    assert not site.swarm.docker("service", "ls", "--quiet", "--filter", "name=site_job")
    site.sql("DROP TABLE slow")


def test_a_killed_database_recovers_and_loses_no_acknowledged_row(site):
    site.sql("CREATE TABLE written (id bigint PRIMARY KEY)")
    acknowledged = []
    numbers = itertools.count()

    def write() -> bool:
        number = next(numbers)
        if site.status_over_https(f"/write?id={number}") == 200:
            acknowledged.append(number)
            return True
        return False

    while len(acknowledged) < 20:
        write()
    node = site.db_node
    site.swarm.docker("kill", site.container("db", node), node=node)
    site.wait_until(lambda: not write(), 60)
    site.wait_until(lambda: len(acknowledged) > 40 or (write() and False), 120)

    rows = set(map(int, site.sql("SELECT id FROM written").split()))
    assert set(acknowledged) <= rows
    site.sql("DROP TABLE written")


@pytest.mark.long
def test_after_the_stack_was_removed_a_release_backs_up_first_and_loses_nothing(site):
    site.sql("CREATE TABLE kept AS SELECT 42 AS answer")
    site.swarm.docker("stack", "rm", site.stack_name)
    # At once: Swarm is still removing its networks.
    printed = site.deploy().stdout
    assert 0 < printed.index("Made backups/") < printed.index("Operations to perform")
    assert printed.endswith("Released.\n")
    assert site.sql("SELECT answer FROM kept") == "42"
    site.sql("DROP TABLE kept")


@pytest.mark.long
def test_most_managers_are_lost_and_the_release_says_so(site):
    for node in ("node2", "node3"):
        site.swarm.kill(node)
    try:
        process = site.deploy(check=False)
        assert process.returncode == 1
        assert last_line(process).startswith(
            'Not released: the managers do not answer: see "A node is lost"'
        )
    finally:
        for node in ("node2", "node3"):
            site.swarm.outside("start", site.swarm.nodes[node])
        for node in ("node2", "node3"):
            site.swarm.start(node)
    assert site.deploy().stdout.endswith("Released.\n")


@pytest.mark.long
def test_a_lost_node_of_three_managers(site, record_property):
    site.run("make", "scale", "N=6")
    began = time.monotonic()
    with load(site, slow=1) as loads:
        site.swarm.kill("node3")
        try:
            site.wait_until(lambda: [n for n, _ in site.tasks("app")].count("node3") == 0, 120)
            site.wait_until(lambda: len(site.tasks("app")) == 6, 180)
            seconds = time.monotonic() - began
            # Two of three managers are a majority: releases and backups go on.
            change_page(site, "Office 6")
            assert site.deploy().stdout.endswith("Released.\n")
        finally:
            site.swarm.start("node3")
    lost = sum(each.answers.total() - each.answers[200] for each in loads)
    answered = sum(each.answers[200] for each in loads)
    record_property("seconds until all replicas are back", seconds)
    record_property("requests lost", lost)
    print(
        f"node lost: {lost} requests lost, {answered} answered, all replicas after {seconds:.0f} s"
    )
    assert lost < answered / 10, [each.answers for each in loads]

    with load(site, slow=1) as loads:
        site.run("make", "scale", "N=2")
    assert nothing_was_lost(loads)
