"""make backup and make restore in development: complete or not at all."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.processes import Running, wait_until
from tests.support.project import Project

pytestmark = pytest.mark.stack

GROUP = pytest.mark.xdist_group("development_data")

# Under load, Docker can lose the end of the input of `docker exec`, so that a program which waits for
# it never ends: https://github.com/containerd/containerd/pull/9423
LOSES_THE_END_OF_THE_INPUT = """#!{python}
import subprocess, sys, threading

def copy():
    for part in iter(lambda: sys.stdin.buffer.read1(65536), b""):
        docker.stdin.write(part)
        docker.stdin.flush()

docker = subprocess.Popen(["{docker}", *sys.argv[1:]], stdin=subprocess.PIPE)
threading.Thread(target=copy, daemon=True).start()
sys.exit(docker.wait())
"""


@pytest.fixture(scope="module")
def shared(bake_once):
    """A running default project with a row and an upload."""
    project = bake_once(project_slug=Project.unused_slug(), description="Data of development.")
    project.choose_port()
    project.add_views()
    try:
        project.up()
        project.sql("CREATE TABLE written (id integer PRIMARY KEY)")
        (project.path / "media/upload.txt").write_text("of a user")
        yield project
    finally:
        project.remove_from_engine()


@pytest.fixture
def project(shared):
    """The shared project; backups and replaced databases are removed after the test."""
    shared.sql("DELETE FROM written")
    yield shared
    for name in shared.admin_sql(
        "SELECT datname FROM pg_database WHERE datname ~ '_before_|restoring'", "postgres"
    ).split():
        shared.admin_sql(f'DROP DATABASE "{name}" WITH (FORCE)', "postgres")
    for path in (shared.path / "backups").iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".gitignore":
            path.unlink()


def backup(project: Project) -> str:
    """Make a backup; return its name, as in backups/NAME."""
    return re.search(r"Made (\S+)", project.run("make", "backup").stdout)[1]


def restore(project: Project, name: str, check: bool = True):
    """Restore a backup."""
    return project.run("make", "restore", f"FILE={name}", check=check)


def rows(project: Project) -> list[int]:
    """Return the rows of the test's table."""
    return [int(row) for row in project.sql("SELECT id FROM written ORDER BY id").split()]


def databases(project: Project) -> set[str]:
    """Return the databases of the server."""
    return set(project.admin_sql("SELECT datname FROM pg_database", "postgres").split())


def restoring(project: Project) -> list[str]:
    """Return the new databases of restores that have not ended."""
    return [name for name in databases(project) if name.startswith("restoring_")]


@GROUP
def test_uploads_are_in_the_project_folder(project):
    save = (
        "from django.core.files.base import ContentFile;"
        "from django.core.files.storage import default_storage as storage;"
        "print(storage.save('saved.txt', ContentFile(b'hello')))"
    )
    project.exec("app", "python", "manage.py", "shell", "-c", save)
    assert project.read("media/saved.txt") == "hello"
    assert project.get("/media/saved.txt") == (200, "hello")
    assert project.run("git", "init", "--quiet")
    assert "saved.txt" not in project.run("git", "status", "--short", "media").stdout
    shutil.rmtree(project.path / ".git")
    (project.path / "media/saved.txt").unlink()


@GROUP
def test_a_backup_brings_rows_and_uploads_back_and_what_was_replaced_stays(project):
    project.sql("INSERT INTO written VALUES (1), (2)")
    name = backup(project)
    project.sql("DELETE FROM written")
    project.sql("INSERT INTO written VALUES (3)")
    (project.path / "media/upload.txt").unlink()
    (project.path / "media/newer.txt").write_text("newer")

    printed = restore(project, name).stdout

    assert rows(project) == [1, 2]
    assert project.read("media/upload.txt") == "of a user"
    assert project.read("media/newer.txt") == "newer"
    (kept,) = re.findall(r"kept as the database (\S+)", printed)
    assert project.admin_sql("SELECT id FROM written", kept) == "3"
    # The role of the application still owns everything and goes on.
    assert project.status("/write?id=4") == 200
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert project.admin_sql(owners) == "django"


# A role, an extension with rows that only a superuser could make, and a table whose check, run by a
# superuser, would make the role of the application one.
PRODUCTION = """
CREATE ROLE shop_owner; CREATE ROLE reader; CREATE SCHEMA tools;
CREATE EXTENSION pg_visibility SCHEMA tools; COMMENT ON EXTENSION pg_visibility IS 'ours';
CREATE FUNCTION is_order(integer) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE TABLE orders (id integer CHECK (is_order(id))); INSERT INTO orders VALUES (1);
CREATE OR REPLACE FUNCTION is_order(integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  RESET ROLE; ALTER ROLE django SUPERUSER; RETURN true;
EXCEPTION WHEN insufficient_privilege THEN RETURN true; END $$;
ALTER TABLE orders OWNER TO shop_owner; GRANT SELECT ON orders TO reader;
"""
PRODUCTION_GONE = """
DROP TABLE orders; DROP FUNCTION is_order; DROP SCHEMA tools CASCADE; DROP ROLE shop_owner, reader;
"""


@GROUP
def test_a_backup_of_production_becomes_that_of_development(project):
    project.admin_sql(PRODUCTION)
    # As the service `backup` makes it.
    dump = (
        "mkdir /backups/production && pg_dump -U postgres -Fd -Z zstd -f /backups/production/data"
    )
    project.exec("db", "sh", "-c", f'{dump} "$POSTGRES_DB"')
    (project.path / "backups/production/about.json").write_text("{}")
    project.admin_sql(PRODUCTION_GONE)

    restore(project, "backups/production")

    assert project.sql("SELECT * FROM orders") == "1"
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert project.admin_sql(owners) == "django"
    assert project.admin_sql("SELECT all_visible FROM tools.pg_visibility_map_summary('orders')")
    role = "SELECT rolsuper, pg_has_role(oid, 'pg_write_all_data', 'member') FROM pg_roles WHERE rolname = 'django'"
    assert project.admin_sql(role) == "f|f"


@GROUP
def test_what_needs_a_superuser_comes_back_when_asked_for(project):
    project.admin_sql("CREATE PUBLICATION everything FOR ALL TABLES")
    name = backup(project)
    project.admin_sql("DROP PUBLICATION everything")

    assert "must be superuser" in restore(project, name, check=False).stdout
    project.run("make", "restore", f"FILE={name}", "SUPERUSER=1")

    assert project.admin_sql("SELECT pubname FROM pg_publication") == "everything"
    project.admin_sql("DROP PUBLICATION everything")
    assert project.status("/") == 200


@GROUP
def test_a_restore_gets_past_an_open_session(project):
    project.sql("INSERT INTO written VALUES (1)")
    name = backup(project)
    sleeper = project.start(
        *("docker", "compose", "exec", "-T", "db", "sh", "-c"),
        'psql -U "$APP_USER" "$POSTGRES_DB" -c "BEGIN; SELECT * FROM written; SELECT pg_sleep(600)"',
        env={},
    )
    project.wait_until(
        lambda: (
            project.admin_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep\\(600'"
            )
            != "0"
        )
    )
    restore(project, name)
    assert rows(project) == [1]
    sleeper.end()


def damaged(project: Project, good: str) -> dict[str, str]:
    """Make files that cannot be restored; return what each restore has to say."""
    folder = project.path / "backups"
    data = (project.path / good / "data").read_bytes()
    (folder / "truncated").write_bytes(data[: len(data) * 2 // 3])
    (folder / "empty").write_bytes(b"")
    (folder / "text").write_text("SELECT 1;\n")
    (folder / "folder").mkdir()
    project.compose(
        *("exec", "-T", "db", "sh", "-c"),
        "createdb -U postgres foreign_one && pg_dump -U postgres -Fc foreign_one > /tmp/f"
        " && dropdb -U postgres foreign_one && cp /tmp/f /backups/foreign && chmod 644 /backups/foreign",
    )
    return {
        "truncated": "end of file",
        "empty": "",
        "text": "does not appear to be a valid archive",
        "folder": "",
        "foreign": 'relation "django_migrations" does not exist',
        "nothing": "FILE is a backup, as in FILE=backups/NAME, not 'backups/nothing'",
    }


@GROUP
def test_a_backup_and_a_restore_end_where_docker_loses_the_end_of_their_input(project, tmp_path):
    script = LOSES_THE_END_OF_THE_INPUT.format(python=sys.executable, docker=shutil.which("docker"))
    (tmp_path / "docker").write_text(script)
    (tmp_path / "docker").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    project.sql("INSERT INTO written VALUES (1)")
    made = project.run("make", "backup", env=env, timeout=120).stdout
    project.sql("DELETE FROM written")

    name = re.search(r"Made (\S+)", made)[1]
    project.run("make", "restore", f"FILE={name}", env=env, timeout=120)

    assert rows(project) == [1]
    assert [path.name for path in (project.path / "backups").glob(".*")] == [".gitignore"]


@GROUP
def test_a_bad_file_changes_nothing(project):
    project.sql("INSERT INTO written VALUES (1)")
    before = databases(project)
    for name, says in damaged(project, backup(project)).items():
        process = restore(project, f"backups/{name}", check=False)
        assert process.returncode != 0, name
        assert says in process.stdout, name
        assert process.stdout.count("Nothing was restored") == 1, process.stdout
        assert databases(project) == before, name
        assert rows(project) == [1]
    assert restore(project, "", check=False).returncode != 0


# A table that is not restored as long as there is a role of this name: all databases see the roles.
HELD = """
CREATE FUNCTION is_free() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  WHILE EXISTS (SELECT FROM pg_roles WHERE rolname = 'hold') LOOP PERFORM pg_sleep(0.05); END LOOP;
  RETURN true; END $$;
CREATE TABLE held (id integer CHECK (is_free())); INSERT INTO held VALUES (1);
"""


@pytest.fixture
def held_backup(project):
    """A backup with many rows, whose restore waits for the end of the role `hold`."""
    project.sql("INSERT INTO written SELECT generate_series(1, 300000)")
    project.sql(HELD)
    name = backup(project)
    project.admin_sql("CREATE ROLE hold")
    yield name
    project.admin_sql("DROP ROLE IF EXISTS hold; DROP TABLE held; DROP FUNCTION is_free")


def is_held(project: Project) -> bool:
    """Return whether a restore waits."""
    query = "FROM pg_stat_activity WHERE datname ~ '^restoring_' AND wait_event = 'PgSleep'"
    return project.admin_sql(f"SELECT count(*) {query}", "postgres") != "0"


@GROUP
@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_an_interrupted_restore_changes_nothing_and_can_be_repeated(project, held_backup, signal):
    project.sql("DELETE FROM written WHERE id > 1")
    words = ("sh", "scripts/data.sh", "restore", held_backup)
    running = project.start(*words, env={})
    wait_until(lambda: is_held(project), 60, running.printed)
    project.run("kill", f"-{signal}", running.process.pid)
    project.admin_sql("DROP ROLE hold")
    assert running.end() != 0
    assert rows(project) == [1]
    assert not [database for database in databases(project) if "_before_" in database]
    # After SIGKILL, pg_restore goes on in the container for a while.
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname ~ '^restoring_'"
    project.wait_until(lambda: project.admin_sql(busy, "postgres") == "0")
    restore(project, held_backup)
    assert len(rows(project)) == 300_000
    assert not restoring(project)


@GROUP
def test_an_interrupted_backup_leaves_nothing(project):
    project.sql("INSERT INTO written SELECT generate_series(1, 300000)")
    # pg_dump waits for this lock, and the shell for pg_dump.
    lock = "BEGIN; LOCK TABLE written; SELECT pg_sleep(600)"
    psql = ("psql", "-U", "postgres", "-d", project.setting("POSTGRES_DB"), "-c", lock)
    holder = project.start("docker", "compose", "exec", "-T", "db", *psql, env={})
    locked = "FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%' AND wait_event = 'PgSleep'"
    wait_until(lambda: project.admin_sql(f"SELECT 1 {locked}"), 60, holder.printed)
    running = project.start("sh", "scripts/data.sh", "backup", env={})
    folder = project.path / "backups"
    wait_until(lambda: list(folder.glob(".partial.*")), 60, running.printed)
    project.run("kill", "-TERM", running.process.pid)
    project.admin_sql(f"SELECT pg_terminate_backend(pid) {locked}")
    holder.end()
    assert running.end() != 0
    assert [path.name for path in folder.iterdir()] == [".gitignore"]


@GROUP
def test_ctrl_c_in_a_terminal_ends_a_restore(project, held_backup):
    terminal = project.in_terminal("make", "restore", f"FILE={held_backup}")
    wait_until(lambda: is_held(project), 60, terminal.read)
    terminal.press_ctrl_c()
    assert terminal.end() != 0
    assert "Nothing was restored" in terminal.read()
    assert not restoring(project)
    assert len(rows(project)) == 300_000


def hold(project: Project, database: str) -> Running:
    """Take a lock that a change of the database's name waits for."""
    statement = f"BEGIN; COMMENT ON DATABASE {database} IS 'held'; SELECT pg_sleep(600)"
    psql = ("docker", "compose", "exec", "-T", "db", "psql", "-U", "postgres", "-c", statement)
    running = project.start(*psql, env={})
    held = f"FROM pg_stat_activity WHERE query LIKE '%{database} IS ''held''%sleep%' AND wait_event = 'PgSleep'"
    project.wait_until(lambda: project.admin_sql(f"SELECT 1 {held}", "postgres"))
    return running


def let_go(project: Project, database: str) -> None:
    """End what `hold` started."""
    held = f"query LIKE '%{database} IS ''held''%' AND wait_event = 'PgSleep'"
    project.admin_sql(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {held}", "postgres"
    )


def waiting(project: Project, statement: str) -> bool:
    """Return whether a statement that begins so waits for a lock."""
    query = f"FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '{statement}%'"
    return project.admin_sql(f"SELECT count(*) {query}", "postgres") == "1"


@GROUP
def test_ctrl_c_during_the_swap_is_told_as_it_is(project):
    project.sql("INSERT INTO written VALUES (1)")
    name = backup(project)
    project.sql("DELETE FROM written")
    # A swap is two ALTER DATABASE in one transaction. Here each of them waits for a lock.
    live = project.setting("POSTGRES_DB")
    first = hold(project, live)
    terminal = project.in_terminal("make", "restore", f"FILE={name}")
    wait_until(lambda: restoring(project), 60, terminal.read)
    (new,) = restoring(project)
    second = hold(project, new)
    project.wait_until(lambda: waiting(project, f'ALTER DATABASE "{live}"'))
    let_go(project, live)
    project.wait_until(lambda: waiting(project, f'ALTER DATABASE "{new}"'))
    terminal.press_ctrl_c()
    project.wait_until(lambda: waiting(project, "DROP DATABASE"))
    let_go(project, new)
    assert terminal.end() != 0
    first.end()
    second.end()
    assert "may have restored" in terminal.read()
    assert "Nothing was restored" not in terminal.read()
    assert rows(project) == [1]


@GROUP
def test_two_restores_at_once_bring_rows_or_change_nothing(project):
    project.sql("INSERT INTO written VALUES (1)")
    name = backup(project)
    both = [project.start("sh", "scripts/data.sh", "restore", name, env={}) for _ in range(2)]
    ends = [running.end() for running in both]
    assert 0 in ends
    assert rows(project) == [1]
    for running, end in zip(both, ends, strict=True):
        assert ("Restored." in running.printed()) == (end == 0), running.printed()


@GROUP
def test_uploads_on_another_disk_and_with_odd_names_come_back(project, tmp_path):
    media = project.path / "media"
    media.rename(tmp_path / "disk")
    media.symlink_to(tmp_path / "disk")
    odd = media / "folder of a user" / "new\nline 'quoted' \"twice\".txt"
    try:
        odd.parent.mkdir()
        odd.write_text("odd")
        name = backup(project)
        shutil.rmtree(odd.parent)
        restore(project, name)
        assert odd.read_text() == "odd"
    finally:
        media.unlink()
        (tmp_path / "disk").rename(media)
        shutil.rmtree(odd.parent, ignore_errors=True)


def commands_of(page: Path, title: str) -> list[str]:
    """Return the commands of a section of a page, as they stand there."""
    section = page.read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    return [line.strip() for line in section.splitlines() if line.startswith("    ")]


def assert_the_folder_keeps_the_rows(project) -> None:
    """From 18 on, the image has its data in another folder."""
    project.compose("down", "--volumes")
    assert (project.path / "postgres_data/17").is_dir()
    kinds = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}{{end}}{{end}}'
    project.up()
    assert project.inspect("db", kinds) == [""]
    assert rows(project) == [1]
    project.run("git", "init", "--quiet")
    assert "postgres_data" not in project.run("git", "status", "--short").stdout


@pytest.mark.parametrize("storage", ["named_volume", "bind_mount"])
def test_the_page_moves_development_to_a_newer_postgresql(start_stack, storage):
    project = start_stack(postgres_version="17", postgres_storage=storage)
    project.sql("CREATE TABLE written AS SELECT 1 AS id")
    if storage == "bind_mount":
        assert_the_folder_keeps_the_rows(project)
    commands = commands_of(project.path / "docs/data.md", "Move to a newer PostgreSQL")
    assert len(commands) == 4
    made = ""
    for command in commands:
        printed = project.run("sh", "-c", command.replace("backups/NAME", made)).stdout
        made = (re.search(r"Made (\S+)", printed) or [None, made])[1]
    project.up()

    assert project.sql("SHOW server_version").startswith("18")
    assert rows(project) == [1]
    assert "LIVE_DATA" not in project.logs("app")
    # The old data stays.
    if storage == "named_volume":
        assert f"{project.stack}_db_data_17" in project.run("docker", "volume", "ls").stdout
    else:
        assert (project.path / "postgres_data/17").is_dir()
