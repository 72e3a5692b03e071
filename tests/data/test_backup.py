"""A backup is complete, or there is none."""

import contextlib
import re
import shlex
import shutil
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.backups import backup, backups, databases, restore
from tests.support.processes import wait_until
from tests.support.rich_database import state_of

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("data")]


def test_backup_and_restore_keep_everything(project):
    before = state_of(project)

    name = backup(project)

    folder = project.path / name
    assert re.fullmatch(rf"backups/{project.slug}-\d{{8}}T\d{{6}}Z-pg18\.\d+", name)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_uid == (project.path / "backups").stat().st_uid
        # The folder itself keeps others from the uploads, which are as the site has them.
        assert "media" in path.parts or not path.stat().st_mode & 0o077
    assert re.search(
        rf"^\S+\s+\d{{4}}-\d\d-\d\d \d\d:\d\d\s+{name}$",
        project.run("make", "backups").stdout,
        re.MULTILINE,
    )

    project.admin_sql("DELETE FROM purchase; SELECT lo_unlink(4711); DROP SEQUENCE invoice")
    project.admin_sql("CREATE TABLE later AS SELECT 1; ALTER TABLE customer OWNER TO writer")
    project.admin_sql(
        'ALTER DATABASE :"DBNAME" RESET ALL; GRANT CONNECT ON DATABASE :"DBNAME" TO writer'
    )
    printed = restore(project, name).stdout

    assert state_of(project) == before
    assert databases(project) == {project.slug, f"{project.slug}_before"}
    replaced = re.search(r"kept as the database (\S+) \(\d+ MB\)", printed)[1]
    assert project.admin_sql("SELECT count(*) FROM later", replaced) == "1"
    assert project.read("secrets/postgres_password").strip() not in printed + project.logs()
    project.wait_until(lambda: project.status_over_https("/health/ready") == 200)
    assert project.restarts() == 0

    # The restored data is on disk: it is there after the server is killed at once.
    project.sql("CREATE TABLE later AS SELECT 1")
    restore(project, name)
    (id,) = project.compose("ps", "--quiet", "db").stdout.split()
    project.run("docker", "kill", id)
    project.up("db")
    assert state_of(project) == before
    assert project.admin_sql("SELECT to_regclass('later') IS NULL") == "t"


def test_the_line_that_make_prints_for_the_list_works_in_a_shell(project):
    *_, line = project.run("make", "--dry-run", "backups").stdout.strip().splitlines()

    # A command follows it: the line must not end the user's shell.
    process = project.run("sh", "-c", f"{line} || exit 1; echo still here")

    assert process.stdout.endswith("still here\n")


def test_only_1_lets_a_superuser_restore(project):
    for value, option in {"1": ["1"], "0": [], "no": []}.items():
        task = ("restore", "FILE=backups/x", "OWNER=ada", f"SUPERUSER={value}")
        *_, line = project.run("make", "--dry-run", *task).stdout.strip().splitlines()
        assert shlex.split(line)[-len(option) - 2 :] == ["backups/x", "ada", *option]


def test_backups_made_at_once_get_different_names(project):
    with ThreadPoolExecutor(4) as pool:
        names = set(pool.map(lambda _: backup(project), range(4)))
    assert len(names) == 4
    assert {name.removeprefix("backups/") for name in names} == set(backups(project))


def aged(project, name: str, days: float) -> str:
    """Give a backup the name that it would have if it were so old; return its name."""
    time_in_name = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y%m%dT%H%M%SZ")
    folder = project.path / "backups" / name.removeprefix("backups/")
    new = folder.with_name(re.sub(r"\d{8}T\d{6}Z", time_in_name, folder.name))
    shutil.copytree(folder, new)
    return new.name


def test_keep_is_a_number_of_days_and_of_backups_that_always_stay(project):
    first = backup(project).removeprefix("backups/")
    within = [aged(project, first, days) for days in (0.1, 0.2, 0.3, 1.9)]
    old = [aged(project, first, days) for days in (2.1, 3, 400)]
    # Made by hand, of another database, and by a wrong clock.
    by_hand = ["mine.dump", f"{project.slug}-zzz", "other-20200101T000000Z-pg18.1"]
    for kept in by_hand:
        (project.path / "backups" / kept).mkdir()
    future = [aged(project, first, -400), aged(project, first, -401)]

    newest = backup(project, "KEEP=2").removeprefix("backups/")

    expected = {*by_hand, *future, *within, first, newest}
    assert set(backups(project)) == expected
    for name in (first, newest, *within):
        shutil.rmtree(project.path / "backups" / name)
    old = [aged(project, future[0], days) for days in (10, 20, 30)]
    newest = backup(project, "KEEP=3").removeprefix("backups/")
    assert set(backups(project)) == {*by_hand, *future, *old[:2], newest}
    before = backups(project)
    for keep in ("0", "-1", "two"):
        process = project.run("make", "backup", f"KEEP={keep}", check=False)
        assert process.returncode != 0 and "KEEP is a whole number" in process.stdout
    process = project.run("make", "backup", check=False, env={"LOCK_TIMEOUT": "soon"})
    assert process.returncode != 0
    assert "LOCK_TIMEOUT is a number of seconds, not 'soon'" in process.stdout
    assert backups(project) == before


@contextlib.contextmanager
def customers_locked(project):
    """Lock a table of the site: no backup ends meanwhile. Yields the program that holds the lock."""
    lock = "BEGIN; SET ROLE django; LOCK TABLE customer; SELECT pg_sleep(600)"
    psql = ("psql", "-U", "postgres", "-d", project.slug, "-c", lock)
    session = project.start("docker", "compose", "exec", "-T", "db", *psql, env={})
    locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND database <> 0"
    try:
        wait_until(lambda: project.admin_sql(locked) != "0", 120, session.printed)
        yield session
    finally:
        session.process.kill()
        project.admin_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'LOCK TABLE [c]ustomer; SELECT'"
        )


def test_a_backup_names_the_session_that_locks_a_table(project):
    with customers_locked(project) as session:
        process = project.run("make", "backup", check=False, env={"LOCK_TIMEOUT": "1"})
        assert process.returncode != 0
        (line,) = [line for line in process.stdout.splitlines() if line.startswith("Session ")]
        assert "of postgres has locked 1 table(s)" in line
        # The statement that it suggests ends the session.
        statement = re.search(r'-c "(SELECT .*)"$', line)[1]
        assert project.admin_sql(statement) == "t"
        session.end()
    assert backups(project) == []
    backup(project)


def test_timeouts_of_the_server_or_a_role_do_not_break_backup_and_restore(project):
    project.admin_sql("CREATE TABLE slow AS SELECT n FROM generate_series(1, 3000000) AS n")
    project.admin_sql("ALTER TABLE slow OWNER TO django")
    limits = ("statement_timeout", "lock_timeout", "transaction_timeout")
    kinds = ("ALTER SYSTEM", "ALTER ROLE postgres")
    # Each in one session: the limits are for the others.
    set_all = [f"{kind} SET {limit} = '300ms';" for kind in kinds for limit in limits]
    reset_all = [f"SET {limit} = 0;" for limit in limits] + ["DROP TABLE IF EXISTS slow;"]
    reset_all += [f"{kind} RESET {limit};" for kind in kinds for limit in limits]
    try:
        project.admin_sql("\n".join([*set_all, "SELECT pg_reload_conf()"]))
        restore(project, backup(project))
    finally:
        project.admin_sql("\n".join([*reset_all, "SELECT pg_reload_conf()"]))


def test_a_backup_that_fails_leaves_nothing_and_prunes_nothing(project):
    backup(project)
    before = backups(project)
    # backups/ on a disk of 100 kB.
    full = (
        "services: {backup: {volumes: [{type: tmpfs, target: /backups, tmpfs: {size: 102400}}]}}\n"
    )
    (project.path / "compose.full.yaml").write_text(full)
    files = project.setting("COMPOSE_FILE")
    project.replace(".env", files, f"{files}:compose.full.yaml")
    try:
        # A container that replaces another one keeps its mounts.
        project.compose("rm", "--stop", "--force", "backup")
        project.up("backup")
        process = project.run("make", "backup", "KEEP=1", check=False)
        assert process.returncode != 0
        # pg_dump loses the reason where the disk is full at the end of a file only.
        reasons = ("No space left on device", "could not close data file")
        assert any(reason in process.stdout for reason in reasons), process.stdout
        assert "No backup was made" in process.stdout
        left = project.exec("backup", "find", "/backups", "-type", "f").stdout
        assert left == ""
    finally:
        project.replace(".env", f"{files}:compose.full.yaml", files)
        project.compose("rm", "--stop", "--force", "backup")
        project.up("backup")
    assert backups(project) == before


def test_an_interrupted_backup_never_exits_with_0(project):
    before = backups(project)
    with customers_locked(project):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            running = project.start("timeout", "600", "make", "backup", env={})
            running.wait_for("Dumping ")
            running.process.send_signal(number)
            assert running.end() != 0
            running.wait_for("No backup was made: it was interrupted.")
            project.wait_until(lambda: backups(project) == before, 60)
        running = project.start("make", "backup", env={})
        running.wait_for("Dumping ")
        project.exec("backup", "pkill", "-TERM", "-f", "^python3 -m ops.backup")
        assert running.end() != 0
        assert "No backup was made: it was interrupted." in running.printed()
        assert backups(project) == before


def test_a_task_that_needs_the_database_says_so(project):
    name = backup(project)
    before = backups(project)
    project.compose("stop", "db")
    try:
        for task in (("backup",), ("restore", f"FILE={name}"), ("backups",)):
            process = project.run("make", *task, check=False)
            assert process.returncode != 0
            assert "the database does not answer" in process.stdout
        # Of the backups it is known without.
        assert f"\t{name}\n" in process.stdout
    finally:
        project.up("db")
    assert backups(project) == before


def test_what_only_a_superuser_can_restore_is_named_on_the_day_of_the_backup(project):
    assert "superuser" not in project.run("make", "backup").stdout
    project.admin_sql("CREATE TABLE of_postgres AS SELECT 1 AS id")
    project.admin_sql("CREATE PUBLICATION everything FOR ALL TABLES")
    try:
        printed = project.run("make", "backup").stdout
        assert (
            "Only a superuser can restore publication everything, table public.of_postgres"
            in printed
        )
        assert "SUPERUSER=1" in printed
    finally:
        project.admin_sql("DROP TABLE of_postgres; DROP PUBLICATION everything")
