"""What is in the database stays: storage, backup and restore, and each when it fails."""

import re
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.support.processes import Running, wait_until
from tests.support.project import Project
from tests.support.rich_database import MORE_ROLES, RICH, state_of

pytestmark = pytest.mark.stack

BIG_TABLE = """
CREATE TABLE big AS SELECT n, repeat(md5(n::text), 20) AS x FROM generate_series(1, 400000) AS n;
CREATE INDEX ON big (x);
"""


def backup(project: Project, *words: str) -> str:
    """Make a backup; return its name as restore takes it."""
    printed = project.run("make", "backup", *words).stdout
    return re.search(r"^Made (backups/\S+) \(\S+\)$", printed, re.MULTILINE)[1]


def restore(project: Project, name: str, *words: str, check: bool = True):
    """Restore a backup."""
    return project.run("make", "restore", f"FILE={name}", *words, check=check)


def backups(project: Project) -> list[str]:
    """Return what is in backups/, unfinished ones too."""
    return sorted(
        path.name for path in (project.path / "backups").iterdir() if path.name != ".gitignore"
    )


def databases(project: Project) -> set[str]:
    """Return the databases of the server, without its own; what a restore replaced as `before`."""
    names = project.admin_sql("SELECT datname FROM pg_database WHERE NOT datistemplate").split()
    return {re.sub(r"_before_\d{8}_\d{6}$", "_before", name) for name in names} - {"postgres"}


def in_db(project: Project, script: str, *arguments: str, **environment: str):
    """Run a script for the data directly, with other variables than the container has."""
    options = [word for item in environment.items() for word in ("-e", "=".join(item))]
    command = ("exec", "-T", *options, "db", "sh", f"/scripts/{script}.sh", *arguments)
    return project.compose(*command, check=False)


@pytest.fixture(scope="module")
def shared(bake_once) -> Iterator[Project]:
    """One stack for the tests that leave it as they found it: db and an app that reads it."""
    project = bake_once(project_slug=Project.unused_slug())
    project.choose_port()
    project.add_views()
    try:
        project.up()
        project.admin_sql(MORE_ROLES + RICH)
        yield project
    finally:
        project.remove_from_engine()


@pytest.fixture
def project(shared) -> Iterator[Project]:
    """The shared stack, without other databases and backups than at the start."""
    yield shared
    for name in shared.admin_sql(
        "SELECT datname FROM pg_database WHERE datname ~ '_before_|_restoring'"
    ).split():
        shared.admin_sql(f'DROP DATABASE "{name}" WITH (FORCE)', "postgres")
    for name in backups(shared):
        path = shared.path / "backups" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


# Storage


@pytest.mark.parametrize("version", ["18", "17"])
def test_a_folder_of_the_project_keeps_the_rows(start_stack, version):
    project = start_stack(postgres_storage="bind_mount", postgres_version=version)
    project.sql("CREATE TABLE kept AS SELECT 1 AS row")
    project.compose("down", "--volumes")
    assert (project.path / "postgres_data" / version).is_dir()
    kinds = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}{{end}}{{end}}'
    project.up()
    assert project.inspect("db", kinds) == [""]
    assert project.sql("SELECT * FROM kept") == "1"
    project.run("git", "init", "--quiet")
    assert "postgres_data" not in project.run("git", "status", "--short").stdout


@pytest.mark.parametrize("version", ["18", "17"])
def test_memory_is_for_trials_and_says_so(start_stack, version):
    project = start_stack(postgres_storage="tmpfs", postgres_version=version)
    assert project.sql("SHOW fsync") == "off"
    assert project.inspect("db", '{{range .Mounts}}{{if eq .Type "volume"}}x{{end}}{{end}}') == [""]
    assert "Throw-away" in project.read("compose.yaml")
    project.sql("CREATE TABLE gone AS SELECT 1 AS row")
    project.compose("down")
    project.up()
    assert project.sql("SELECT to_regclass('gone') IS NULL") == "t"


@pytest.mark.parametrize("version", ["18", "17", "15"])
def test_what_users_upload_is_kept_and_writable_in_production(make_stack, version):
    project = make_stack(postgres_version=version)
    compose = ("-f", "compose.yaml")
    run = (*compose, "run", "--rm", "-T", "--no-deps", "-e", "SKIP_WAIT=1", "app", "sh", "-c")
    project.compose(*compose, "build")
    project.compose(*run, "id -u; echo hello > $MEDIA_ROOT/upload")
    project.compose(*compose, "down")
    assert project.compose(*run, "cat $MEDIA_ROOT/upload").stdout.splitlines()[-1] == "hello"


def test_what_users_upload_lies_in_the_project_in_development(start_stack):
    project = start_stack()
    save = (
        "from django.core.files.base import ContentFile;"
        "from django.core.files.storage import default_storage as storage;"
        "print(storage.save('upload.txt', ContentFile(b'hello')))"
    )
    project.compose("exec", "-T", "app", "python", "manage.py", "shell", "-c", save)
    assert project.read("media/upload.txt") == "hello"
    assert project.get("/media/upload.txt") == (200, "hello")
    assert project.run("git", "init", "--quiet")
    assert "upload.txt" not in project.run("git", "status", "--short", "media").stdout


# Backup


def test_backup_and_restore_keep_all_there_is(project):
    before = state_of(project)

    name = backup(project)

    folder = project.path / name
    assert re.fullmatch(rf"backups/{project.slug}-\d{{8}}T\d{{6}}Z-pg18\.\d+", name)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_uid == (project.path / "backups").stat().st_uid
        assert not path.stat().st_mode & 0o077
    assert re.search(
        rf"^{name} +\S+ +0 d  0 h old$", project.run("make", "backups").stdout, re.MULTILINE
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
    project.wait_until(lambda: project.status("/health/ready") == 200, seconds=10)
    assert project.restarts() == 0

    # What it says is so even when the server is killed at once.
    project.sql("CREATE TABLE later AS SELECT 1")
    restore(project, name)
    (id,) = project.compose("ps", "--quiet", "db").stdout.split()
    project.run("docker", "kill", id)
    project.up()
    assert state_of(project) == before
    assert project.admin_sql("SELECT to_regclass('later') IS NULL") == "t"


def test_what_a_restore_replaced_stays_until_it_is_deleted_by_name(project):
    name = backup(project)
    project.sql("CREATE TABLE live AS SELECT 1")
    printed = [restore(project, name).stdout, restore(project, name).stdout]

    first, second = (re.search(r"make drop-replaced DB=(\S+)", text)[1] for text in printed)
    assert project.admin_sql("SELECT count(*) FROM live", first) == "1"
    assert f"database {first}" in (listed := project.run("make", "backups").stdout)
    assert f"database {second}" in listed
    project.run("make", "drop-replaced", f"DB={first}")
    assert first not in (listed := project.run("make", "backups").stdout) and second in listed
    for other in (project.slug, "postgres", "", "x'; DROP TABLE customer"):
        refused = project.run("make", "drop-replaced", f"DB={other}", check=False)
        assert refused.returncode != 0 and "Nothing was deleted" in refused.stdout
    assert databases(project) == {project.slug, f"{project.slug}_before"}


def test_backups_at_once(project):
    with ThreadPoolExecutor(4) as pool:
        names = set(pool.map(lambda _: backup(project), range(4)))
    assert len(names) == 4
    assert {name.removeprefix("backups/") for name in names} == set(backups(project))


def test_only_old_backups_are_removed_and_never_the_new_one(project):
    folder = project.path / "backups"
    first = folder / backup(project).removeprefix("backups/")
    name = project.slug
    # By hand, of another database, from the time when a backup was a file, and of a clock that was wrong.
    by_hand = [
        f"{name}-before-migration-pg18.dump",
        "mine.dump",
        f"{name}-zzz",
        "other-20200101T000000Z-pg18.1",
    ]
    by_hand.append(f"{name}-20200101T000000Z-pg18.1")
    for kept in by_hand:
        (folder / kept).mkdir()
    (folder / f"{name}-20200101T000000Z-pg17.1.dump").write_text("a backup of long ago")
    first.rename(folder / f"{name}-20991231T000000Z-pg18.1")

    newest = backup(project, "KEEP=2").removeprefix("backups/")

    # The one of the future is the other one that counts.
    assert set(backups(project)) == {*by_hand, newest, f"{name}-20991231T000000Z-pg18.1"}
    newest = backup(project, "KEEP=1").removeprefix("backups/")
    assert set(backups(project)) == {*by_hand, newest}
    for keep in ("0", "-1", "two"):
        process = project.run("make", "backup", f"KEEP={keep}", check=False)
        assert process.returncode != 0 and "KEEP is a whole number" in process.stdout
    assert set(backups(project)) == {*by_hand, newest}


def test_a_backup_names_the_session_that_locks_a_table(project):
    lock = "BEGIN; LOCK TABLE customer; SELECT pg_sleep(60)"
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
        wait_until(lambda: project.admin_sql(locked) != "0", 30, session.printed)
        process = project.run("make", "backup", check=False, env={"LOCK_TIMEOUT": "1"})
        assert process.returncode != 0
        (line,) = [line for line in process.stdout.splitlines() if line.startswith("Session ")]
        assert "of django has locked 1 table(s)" in line
        # What it says to do helps.
        statement = re.search(r'-c "(SELECT .*)"$', line)[1]
        assert project.admin_sql(statement) == "t"
        session.end()
    finally:
        session.process.kill()
    assert backups(project) == []
    backup(project)


def test_limits_of_a_role_do_not_break_backup_and_restore(project):
    for role in ("postgres", "django"):
        project.admin_sql(f"ALTER ROLE {role} SET statement_timeout = '1ms'")
    try:
        restore(project, backup(project))
    finally:
        for role in ("postgres", "django"):
            project.admin_sql(
                f"SET statement_timeout = 0; ALTER ROLE {role} RESET statement_timeout"
            )


def test_a_backup_that_fails_leaves_nothing_and_prunes_nothing(start_stack):
    project = start_stack()
    project.sql(
        "CREATE TABLE noise AS SELECT sha512(n::text::bytea) FROM generate_series(1, 9999) n"
    )
    backup(project)
    before = backups(project)
    # A disk of 100 kB.
    project.add_to_compose(
        "services: {db: {volumes: [{type: tmpfs, target: /backups, tmpfs: {size: 102400}}]}}\n"
    )
    project.compose("down")
    project.up()
    process = project.run("make", "backup", "KEEP=1", check=False)
    assert process.returncode != 0
    assert "No space left on device" in process.stdout
    assert "No backup was made" in process.stdout
    left = project.compose("exec", "-T", "db", "find", "/backups", "-type", "f").stdout
    assert left == ""
    assert backups(project) == before

    project.compose("stop", "db")
    # Another container of the service is not the live database.
    project.compose("run", "--detach", "--no-deps", "--entrypoint", "sleep", "db", "60")
    for task in (("backup",), ("restore", f"FILE=backups/{before[0]}"), ("backups",)):
        process = project.run("make", *task, check=False)
        assert process.returncode != 0
        assert "The database is not running. Start it with: docker compose up" in process.stdout
    assert backups(project) == before


# Restore


def restore_fails(project: Project, name: str, says: str, *words: str) -> None:
    """Restore, and fail unless that says why in one line and changes nothing."""
    before = state_of(project), databases(project)
    process = restore(project, name, *words, check=False)
    assert process.returncode != 0, name
    lines = [line for line in process.stdout.splitlines() if "Nothing was restored" in line]
    assert len(lines) == 1 and says in lines[0], process.stdout
    assert (state_of(project), databases(project)) == before


def test_a_restore_that_fails_changes_nothing(project):
    good = backup(project)
    folder = project.path / "backups"
    for name in ("truncated", "corrupt", "incomplete", "huge"):
        shutil.copytree(project.path / good, folder / name)
    biggest = max((folder / "corrupt/data").glob("*.dat*"), key=lambda path: path.stat().st_size)
    content = biggest.read_bytes()
    middle = len(content) // 2
    biggest.write_bytes(content[:middle] + bytes(1000) + content[middle + 1000 :])
    (folder / "truncated/data" / biggest.name).write_bytes(content[:middle])
    (folder / "incomplete/data" / biggest.name).unlink()
    shutil.copytree(project.path / good, folder / "emptied")
    (folder / "emptied/data" / biggest.name).write_bytes(b"")
    about = folder / "huge/about.txt"
    about.write_text(re.sub(r"bytes=.*", f"bytes={10**15}", about.read_text()))
    (folder / "huge/SHA256SUMS").unlink()
    (folder / "text.dump").write_text("CREATE TABLE x (y integer);\n")
    (folder / "empty.dump").write_bytes(b"")
    (folder / "folder").mkdir()
    foreign = "pg_dump -U postgres -Fc -f /backups/foreign.dump postgres"
    project.compose("exec", "-T", "db", "sh", "-c", foreign)

    for name, says in {
        "backups/truncated": "is not what make backup wrote: data/",
        "backups/corrupt": "is not what make backup wrote: data/",
        "backups/incomplete": "is not what make backup wrote: data/",
        "backups/emptied": "is not what make backup wrote: data/",
        "backups/huge": "needs about 1100001000 MB on the database's disk, which has",
        "backups/text.dump": "is damaged, of a newer PostgreSQL, or not made by make backup",
        "backups/empty.dump": "is damaged, of a newer PostgreSQL, or not made by make backup",
        "backups/folder": "is damaged, of a newer PostgreSQL, or not made by make backup",
        "backups/foreign.dump": "is a backup, but not of a Django project",
        "backups/missing": "there is no backups/missing",
        "": "say what, as in FILE=backups/NAME",
    }.items():
        restore_fails(project, name, says)
    restore_fails(project, good, "there is no role 'nobody'", "OWNER=nobody")

    # Such a database with something in it is the user's.
    restoring = f"{project.slug}_restoring"
    project.admin_sql(f"CREATE DATABASE {restoring}")
    project.admin_sql("CREATE TABLE mine (id integer)", restoring)
    restore_fails(project, good, f"the name of the database {restoring} is needed")
    assert project.admin_sql("SELECT count(*) FROM mine", restoring) == "0"
    project.admin_sql(f"DROP DATABASE {restoring}")

    assert project.status("/health/ready") == 200


def test_a_backup_from_when_it_was_a_file_can_be_restored(project):
    before = state_of(project)
    old = f"pg_dump -U postgres -Fc -f /backups/old.dump {project.slug}"
    project.compose("exec", "-T", "db", "sh", "-c", old)
    project.sql("DELETE FROM purchase")
    restore(project, "backups/old.dump")
    assert state_of(project) == before

    # It holds no roles: which are missing is said before anything is done.
    project.admin_sql("DROP POLICY own ON secret")
    project.compose("exec", "-T", "db", "sh", "-c", old.replace("old.dump", "no_policy.dump"))
    project.admin_sql("DROP OWNED BY writer; REASSIGN OWNED BY reader TO django")
    project.admin_sql('DROP OWNED BY reader; DROP OWNED BY "odd \\role"')
    for name in databases_before(project):
        project.run("make", "drop-replaced", f"DB={name}")
    project.admin_sql('DROP ROLE "odd \\role"; DROP ROLE reader')
    process = restore(project, "backups/no_policy.dump", check=False)
    assert 'roles are missing here: "odd \\role",reader.' in process.stdout, process.stdout
    assert databases(project) == {project.slug}
    restore(project, "backups/no_policy.dump", "OWNER=django")
    owners = (
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace"
    )
    assert project.admin_sql(owners) == "django"
    assert project.sql("SELECT count(*) FROM purchase") == "100000"

    project.admin_sql("DROP ROLE writer;" + MORE_ROLES)
    restore(project, "backups/old.dump")

    def without_hashes(text: str) -> str:
        return re.sub(r"SCRAM[^|]*", "", text)

    assert without_hashes(state_of(project)) == without_hashes(before)


def start_restore(project: Project, name: str) -> Running:
    """Start a restore; return when it is copying rows."""
    restoring = project.start("make", "restore", f"FILE={name}", env={})
    wait_for_copy(project, restoring.printed)
    return restoring


def wait_for_copy(project: Project, explain) -> None:
    """Return when a restore is copying rows."""
    copying = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND "
        f"datname = '{project.slug}_restoring'"
    )
    wait_until(lambda: project.admin_sql(copying) != "0", 30, explain)


RUNNING = r"""
for process in /proc/[0-9]*; do
  case $(tr '\0' ' ' < "$process/cmdline") in
    /usr/lib/postgresql/*/pg_restore* | "sh /scripts/restore.sh"*) echo "${process#/proc/}" ;;
  esac
done 2> /dev/null
"""


def restores(project: Project) -> list[str]:
    """Return the processes of restores in the database's container. The image has no ps."""
    return project.compose("exec", "-T", "db", "sh", "-c", RUNNING).stdout.split()


@pytest.fixture
def big_backup(project) -> Iterator[str]:
    """A backup that takes seconds to restore."""
    project.sql(BIG_TABLE)
    name = backup(project)
    project.sql("DROP TABLE big; CREATE TABLE later AS SELECT 1 AS row")
    yield name
    project.sql("DROP TABLE IF EXISTS big; DROP TABLE IF EXISTS later")


def test_two_restores_at_once(project, big_backup):
    first = start_restore(project, big_backup)
    first.process.send_signal(19)
    second = restore(project, big_backup, check=False)
    first.process.send_signal(18)
    assert second.returncode != 0
    assert "Nothing was restored: another restore is running." in second.stdout
    assert first.end() == 0, first.printed()
    assert project.sql("SELECT count(*) FROM big") == "400000"


def test_a_restore_that_is_interrupted_changes_nothing(project, big_backup):
    before = state_of(project)

    def nothing_changed(explain: str = "") -> None:
        wait_until(lambda: not restores(project), 20, project.logs)
        assert databases(project) == {project.slug}, explain
        assert state_of(project) == before and project.sql("SELECT * FROM later") == "1"

    terminal = project.in_terminal("make", "restore", f"FILE={big_backup}")
    wait_for_copy(project, terminal.read)
    terminal.wait_for("Restoring: ")
    terminal.press_ctrl_c()
    assert terminal.end() != 0
    assert "Nothing was restored: it was interrupted." in terminal.shown
    # It said so when it was over.
    assert not restores(project)
    nothing_changed()

    terminal = project.in_terminal("make", "restore", f"FILE={big_backup}")
    wait_for_copy(project, terminal.read)
    terminal.close()
    nothing_changed()

    for pattern, signal in (
        (f"restore FILE={big_backup}", "TERM"),
        (f"scripts/db.sh restore {big_backup}", "TERM"),
        (f"scripts/db.sh restore {big_backup}", "KILL"),
        (f"exec --interactive .*{big_backup}", "KILL"),
    ):
        running = start_restore(project, big_backup)
        project.run("pkill", f"-{signal}", "-f", pattern)
        assert running.end() != 0
        nothing_changed(f"{signal} {pattern}\n{running.printed()}")

    # The container's own end, and an end without a chance to clean up.
    running = start_restore(project, big_backup)
    project.compose("exec", "-T", "db", "sh", "-c", f"kill -9 $({RUNNING})", check=False)
    assert running.end() != 0
    assert databases(project) >= {project.slug, f"{project.slug}_restoring"}
    assert state_of(project) == before
    running = start_restore(project, big_backup)
    project.compose("down")
    assert running.end() != 0
    project.up()
    wait_until(lambda: databases(project) == {project.slug}, 20, project.logs)
    assert state_of(project) == before

    restore(project, big_backup)
    assert project.sql("SELECT count(*) FROM big") == "400000"
    assert databases(project) == {project.slug, f"{project.slug}_before"}


def test_a_restore_while_the_site_writes(project):
    project.sql("CREATE TABLE written (id integer PRIMARY KEY)")
    project.sql("INSERT INTO written SELECT -n FROM generate_series(1, 1000) n")
    name = backup(project)
    acknowledged, stop = [], []

    def write(client: int) -> None:
        number = client * 100000
        while not stop:
            number += 1
            if project.status(f"/write?id={number}") == 200:
                acknowledged.append(number)

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(write, client) for client in range(1, 9)]
        try:
            wait_until(lambda: len(acknowledged) > 100, 30, project.logs)
            replaced = re.search(r"kept as the database (\S+)", restore(project, name).stdout)[1]
            count = len(acknowledged)
            wait_until(lambda: len(acknowledged) > count + 100, 30, project.logs)
        finally:
            stop.append(True)
        for client in clients:
            client.result()

    now = {int(row) for row in project.sql("SELECT id FROM written").split()}
    then = {int(row) for row in project.admin_sql("SELECT id FROM written", replaced).split()}
    assert {-n for n in range(1, 1001)} <= now
    assert set(acknowledged) <= now | then
    assert not {number for number in now & then if number > 0}
    project.sql("DROP TABLE written")
    print(f"{len(acknowledged)} rows acknowledged during a restore, 0 lost, 0 doubled")


def test_a_restore_on_an_empty_server_brings_the_roles_along(project, start_stack):
    before = state_of(project)
    name = backup(project)
    other = start_stack(postgres_driver="psycopg")
    shutil.copytree(project.path / name, other.path / name)
    # In the database of another name.
    printed = restore(other, name).stdout
    assert 'Making the roles that are missing here: "odd \\role",reader,writer' in printed
    assert state_of(other) == before.replace(project.slug, other.slug)
    login = "PGPASSWORD='of the writer' psql -h 127.0.0.1 -U writer -d postgres -XAtc 'SELECT 1'"
    assert other.compose("exec", "-T", "db", "sh", "-c", login).stdout.strip() == "1"
    other.wait_until(lambda: other.status("/health/ready") == 200, seconds=10)

    # One that fails leaves none of its roles.
    other.admin_sql("DROP OWNED BY writer")
    other.sql("SELECT 1")
    broken = next((other.path / name / "data").glob("*.dat*"))
    broken.unlink()
    (other.path / name / "SHA256SUMS").unlink()
    other.admin_sql("DROP ROLE writer")
    assert restore(other, name, check=False).returncode != 0
    assert other.admin_sql("SELECT count(*) FROM pg_roles WHERE rolname = 'writer'") == "0"


@pytest.mark.parametrize("length", [62, 63])
def test_a_database_with_a_long_name(project, length):
    name = ("d" * length)[:length]
    project.admin_sql(f"CREATE DATABASE {name} OWNER django")
    project.admin_sql("SET ROLE django; CREATE TABLE django_migrations AS SELECT 1 AS row", name)
    try:
        made = in_db(project, "backup", POSTGRES_DB=name)
        file = re.search(r"^Made (backups/\S+)", made.stdout, re.MULTILINE)[1]
        project.admin_sql("UPDATE django_migrations SET row = 2", name)
        restored = in_db(project, "restore", file, POSTGRES_DB=name)
        assert restored.returncode == 0, restored.stdout
        assert project.admin_sql("SELECT row FROM django_migrations", name) == "1"
        (kept,) = re.findall(r"DB=(\S+)", restored.stdout)
        assert project.admin_sql("SELECT row FROM django_migrations", kept) == "2"
    finally:
        project.admin_sql(f"DROP DATABASE {name}")


def test_a_database_with_a_subscription_is_restored_again_and_again(project):
    subscribe = (
        "CREATE SUBSCRIPTION news CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)"
    )
    project.admin_sql(subscribe)
    try:
        name = backup(project)
        for _ in range(2):
            printed = restore(project, name).stdout
            assert "Subscriptions are disabled: news." in printed
        for kept in databases_before(project):
            project.run("make", "drop-replaced", f"DB={kept}")
        assert databases(project) == {project.slug}
        # Half of a restore has the subscription, too.
        (project.path / name / "SHA256SUMS").unlink()
        data = project.path / name / "data"
        max(data.glob("*.dat*"), key=lambda path: path.stat().st_size).unlink()
        restore_fails(project, name, "")
    finally:
        project.admin_sql("ALTER SUBSCRIPTION news SET (slot_name = NONE); DROP SUBSCRIPTION news")


def databases_before(project: Project) -> list[str]:
    """Return the names of the databases that restores have replaced."""
    return project.admin_sql("SELECT datname FROM pg_database WHERE datname ~ '_before_'").split()


# The role of the application


def test_the_application_owns_its_database_and_is_no_superuser(project):
    attributes = (
        "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    )
    assert project.sql(attributes) == "f|f|t"
    project.sql("CREATE EXTENSION hstore")
    project.sql("DROP EXTENSION hstore")
    refused = project.compose(
        *("exec", "-T", "db", "psql", "-U", "django", project.slug),
        *("-c", "CREATE EXTENSION pg_visibility"),
        check=False,
    )
    assert "permission denied to create extension" in refused.stdout
    # Its password is not the superuser's, nor is an empty one.
    for password in (project.setting("POSTGRES_PASSWORD"), ""):
        login = f"PGPASSWORD='{password}' psql -w -h \"$(hostname)\" -U postgres -c 'SELECT 1'"
        process = project.compose("exec", "-T", "db", "sh", "-c", login, check=False)
        assert process.returncode != 0 and ("password" in process.stdout)


def run_image(project: Project, *words: str, **environment: str) -> str:
    """Start the database's image by itself on the volume of a project; return the container."""
    options = [word for item in environment.items() for word in ("-e", "=".join(item))]
    volume = f"{project.stack}_db_data_18:/var/lib/postgresql"
    run = ("docker", "run", "--detach", "--volume", volume, *options, "postgres:18-trixie", *words)
    return project.run(*run).stdout.split()[-1]


def test_data_from_before_there_was_a_superuser_of_its_own_keeps_working(make_stack):
    project = make_stack()
    project.compose("create", "db")
    # As it was: the role of the application is what the server was initialised with.
    container = run_image(
        project,
        POSTGRES_USER="django",
        POSTGRES_PASSWORD=project.setting("POSTGRES_PASSWORD"),
        POSTGRES_DB=project.setting("POSTGRES_DB"),
    )
    ready = ("docker", "exec", container, "pg_isready", "-h", "127.0.0.1")
    try:
        wait_until(lambda: project.run(*ready, check=False).returncode == 0, 60, project.logs)
        project.run("docker", "stop", container)
    finally:
        project.run("docker", "rm", "--force", container)
    project.up()
    assert project.status("/") == 200
    project.sql("CREATE TABLE kept AS SELECT 1 AS row")
    name = backup(project)
    project.sql("DROP TABLE kept")
    restore(project, name)
    assert project.sql("SELECT row FROM kept") == "1"

    # A new volume, and the role is what it is in a new project.
    project.compose("down", "--volumes")
    project.up()
    restore(project, name)
    assert project.sql("SELECT row FROM kept") == "1"
    assert project.sql("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == "f"
    project.wait_until(lambda: project.status("/health/ready") == 200)


def said_by(project: Project, text: str) -> bool:
    """Return whether the log of the database has a text."""
    return text in project.logs("db")


def test_a_first_start_that_is_cut_off_can_be_repeated(make_stack):
    project = make_stack()
    for said in (
        "creating subdirectories",
        "running bootstrap",
        "post-bootstrap",
        "server started",
        "complete;",
    ):
        project.compose("down", "--volumes")
        project.compose("up", "--detach", "--no-deps", "db")
        wait_until(partial(said_by, project, said), 30, lambda: project.logs("db"))
        (id,) = project.compose("ps", "--all", "--quiet", "db").stdout.split()
        project.run("docker", "kill", id)
        project.up("db")
        role = "SELECT count(*) FROM pg_database WHERE pg_get_userbyid(datdba) = 'django'"
        assert project.admin_sql(role, "postgres") == "1", said
    project.up()
    assert project.status("/") == 200


def test_two_servers_never_run_on_the_same_data(start_stack):
    project = start_stack()
    process = project.compose("run", "--rm", "--no-deps", "db", check=False, timeout=60)
    assert process.returncode != 0
    assert "Another container runs a server on this data" in process.stdout
    assert project.status("/health/ready") == 200
