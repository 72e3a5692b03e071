"""A backup is complete, or there is none."""

import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.backups import backup, backups, databases, restore
from tests.support.processes import wait_until
from tests.support.rich_database import state_of

pytestmark = pytest.mark.stack


def test_backup_and_restore_keep_everything(project):
    before = state_of(project)

    name = backup(project)

    folder = project.path / name
    assert re.fullmatch(rf"backups/{project.slug}-\d{{8}}T\d{{6}}Z-pg18\.\d+", name)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_uid == (project.path / "backups").stat().st_uid
        assert not path.stat().st_mode & 0o077
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
    assert project.setting("POSTGRES_PASSWORD") not in printed + project.logs()
    project.wait_until(lambda: project.status("/health/ready") == 200)
    assert project.restarts() == 0

    # The restored data is on disk: it is there after the server is killed at once.
    project.sql("CREATE TABLE later AS SELECT 1")
    restore(project, name)
    (id,) = project.compose("ps", "--quiet", "db").stdout.split()
    project.run("docker", "kill", id)
    project.up()
    assert state_of(project) == before
    assert project.admin_sql("SELECT to_regclass('later') IS NULL") == "t"


def test_backups_made_at_once_get_different_names(project):
    with ThreadPoolExecutor(4) as pool:
        names = set(pool.map(lambda _: backup(project), range(4)))
    assert len(names) == 4
    assert {name.removeprefix("backups/") for name in names} == set(backups(project))


def test_only_old_backups_are_removed_and_never_the_new_one(project):
    folder = project.path / "backups"
    first = folder / backup(project).removeprefix("backups/")
    name = project.slug
    # Made by hand, of another database, a dump of another server, and by a wrong clock.
    by_hand = [
        f"{name}-before-migration-pg18.dump",
        "mine.dump",
        f"{name}-zzz",
        "other-20200101T000000Z-pg18.1",
        f"{name}-20200101T000000Z-pg17.1.dump",
    ]
    by_hand.append(f"{name}-20200101T000000Z-pg18.1")
    for kept in by_hand:
        (folder / kept).mkdir()
    first.rename(folder / f"{name}-20991231T000000Z-pg18.1")

    newest = backup(project, "KEEP=2").removeprefix("backups/")

    # KEEP=2 counts the backup with the date in the future as the second one.
    assert set(backups(project)) == {*by_hand, newest, f"{name}-20991231T000000Z-pg18.1"}
    newest = backup(project, "KEEP=1").removeprefix("backups/")
    assert set(backups(project)) == {*by_hand, newest}
    for keep in ("0", "-1", "two"):
        process = project.run("make", "backup", f"KEEP={keep}", check=False)
        assert process.returncode != 0 and "KEEP is a whole number" in process.stdout
    process = project.run("make", "backup", check=False, env={"LOCK_TIMEOUT": "soon"})
    assert (
        process.returncode != 0
        and "LOCK_TIMEOUT is a number of seconds, not 'soon'" in process.stdout
    )
    assert set(backups(project)) == {*by_hand, newest}


def test_a_backup_names_the_session_that_locks_a_table(project):
    lock = "BEGIN; LOCK TABLE customer; SELECT pg_sleep(600)"
    psql = [
        "docker",
        "compose",
        "exec",
        "-T",
        "db",
        "psql",
        "-U",
        "django",
        "-d",
        project.slug,
        "-c",
    ]
    session = project.start(*psql, lock, env={})
    locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND database <> 0"
    try:
        wait_until(lambda: project.admin_sql(locked) != "0", 120, session.printed)
        process = project.run("make", "backup", check=False, env={"LOCK_TIMEOUT": "1"})
        assert process.returncode != 0
        (line,) = [line for line in process.stdout.splitlines() if line.startswith("Session ")]
        assert "of django has locked 1 table(s)" in line
        # The statement that it suggests ends the session.
        statement = re.search(r'-c "(SELECT .*)"$', line)[1]
        assert project.admin_sql(statement) == "t"
        session.end()
    finally:
        session.process.kill()
    assert backups(project) == []
    backup(project)


def test_timeouts_of_a_role_do_not_break_backup_and_restore(project):
    for role in ("postgres", "django"):
        project.admin_sql(f"ALTER ROLE {role} SET statement_timeout = '1ms'")
    try:
        restore(project, backup(project))
    finally:
        for role in ("postgres", "django"):
            project.admin_sql(
                f"SET statement_timeout = 0; ALTER ROLE {role} RESET statement_timeout"
            )


def test_a_backup_that_fails_leaves_nothing_and_prunes_nothing(project):
    backup(project)
    before = backups(project)
    env = project.read(".env")
    # backups/ on a disk of 100 kB.
    project.add_to_compose(
        "services: {db: {volumes: [{type: tmpfs, target: /backups, tmpfs: {size: 102400}}]}}\n"
    )
    try:
        # A container that replaces another one would keep its mount.
        project.compose("down")
        project.up()
        process = project.run("make", "backup", "KEEP=1", check=False)
        assert process.returncode != 0
        assert "No space left on device" in process.stdout
        assert "No backup was made" in process.stdout
        left = project.compose("exec", "-T", "db", "find", "/backups", "-type", "f").stdout
        assert left == ""
    finally:
        (project.path / ".env").write_text(env)
        project.compose("down")
        project.up()
    assert backups(project) == before


def test_a_task_that_needs_the_database_says_how_to_start_it(project):
    name = backup(project)
    before = backups(project)
    project.compose("stop", "db")
    # A one-off container of the service is not the live database.
    run = ("run", "--detach", "--no-deps", "--entrypoint", "sleep", "db", "600")
    id = project.compose(*run).stdout.split()[-1]
    try:
        for task in (("backup",), ("restore", f"FILE={name}"), ("backups",)):
            process = project.run("make", *task, check=False)
            assert process.returncode != 0
            message = "The database is not running. Start it with: docker compose up"
            assert message in process.stdout
    finally:
        project.run("docker", "rm", "--force", "--volumes", id)
        project.up()
    assert backups(project) == before
