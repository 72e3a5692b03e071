"""A restore brings everything back, or changes nothing."""

import re
import shutil

import pytest

from tests.support.backups import backup, databases, databases_before, restore
from tests.support.project import Project
from tests.support.rich_database import state_of

pytestmark = pytest.mark.stack


def test_the_replaced_database_stays_until_it_is_deleted_by_name(project):
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
        drop = ("sh", "scripts/db.sh", "backups", "--drop-replaced", other)
        refused = project.run(*drop, check=False)
        assert refused.returncode != 0 and "Nothing was deleted" in refused.stdout
    assert databases(project) == {project.slug, f"{project.slug}_before"}


def restore_fails(project: Project, name: str, says: str, *words: str) -> None:
    """Fail unless a restore prints its reason in one line and changes nothing."""
    before = state_of(project), databases(project)
    process = restore(project, name, *words, check=False)
    assert process.returncode != 0, name
    lines = [line for line in process.stdout.splitlines() if "Nothing was restored" in line]
    assert len(lines) == 1 and says in lines[0], process.stdout
    assert (state_of(project), databases(project)) == before


def test_a_restore_that_fails_changes_nothing(project):
    good = backup(project)
    folder = project.path / "backups"
    for name in ("truncated", "corrupt", "incomplete", "huge", "without_roles"):
        shutil.copytree(project.path / good, folder / name)
    (folder / "without_roles/SHA256SUMS").unlink()
    (folder / "without_roles/roles.sql").unlink()
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
        "backups/it's": "there is no backups/it's",
        "backups/../../etc/passwd": "FILE is a name in backups/, as in FILE=backups/NAME",
        f"{good}/data": "FILE is a name in backups/, as in FILE=backups/NAME",
        "backups/without_roles": "has no roles. To give everything in it to this project's role: OWNER=django",
        "": "say what, as in FILE=backups/NAME",
    }.items():
        restore_fails(project, name, says)
    restore_fails(project, good, "there is no role 'nobody'", "OWNER=nobody")

    # A database of that name that holds tables belongs to the user.
    restoring = f"{project.slug}_restoring"
    project.admin_sql(f"CREATE DATABASE {restoring}")
    project.admin_sql("CREATE TABLE mine (id integer)", restoring)
    restore_fails(project, good, f"the name of the database {restoring} is needed")
    assert project.admin_sql("SELECT count(*) FROM mine", restoring) == "0"
    project.admin_sql(f"DROP DATABASE {restoring}")

    assert project.status("/health/ready") == 200


def test_a_restore_that_fails_drops_no_role_that_it_did_not_make(project):
    project.admin_sql("CREATE ROLE aaa LOGIN PASSWORD 'secret'")
    try:
        name = backup(project)
        roles = project.path / name / "roles.sql"
        # As if a role of the server were not known to it.
        roles.write_text(roles.read_text().replace("CREATE ROLE aaa;", 'CREATE ROLE "aaa";'))
        sums = project.path / name / "SHA256SUMS"
        lines = [line for line in sums.read_text().splitlines() if "roles.sql" not in line]
        sums.write_text("\n".join(lines) + "\n")
        process = project.run("make", "restore", f"FILE={name}", check=False)
        assert process.returncode != 0 and "the roles could not be made" in process.stdout
        assert project.admin_sql("SELECT count(*) FROM pg_roles WHERE rolname = 'aaa'") == "1"
    finally:
        project.admin_sql("DROP ROLE IF EXISTS aaa")


def test_a_dump_of_another_host_goes_to_the_role_that_is_named(project):
    dump = f"pg_dump -U postgres -Fc -f /backups/other.dump {project.slug}"
    project.admin_sql("DROP POLICY own ON secret")
    try:
        project.compose("exec", "-T", "db", "sh", "-c", dump)
    finally:
        project.admin_sql("CREATE POLICY own ON secret TO reader USING (owner = current_user)")
    restore_fails(project, "backups/other.dump", "has no roles.")
    restore(project, "backups/other.dump", "OWNER=django")
    owners = (
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace"
    )
    assert project.admin_sql(owners) == "django"
    assert project.sql("SELECT count(*) FROM purchase") == "100000"
    (replaced,) = databases_before(project)
    project.admin_sql(f"DROP DATABASE {project.slug} WITH (FORCE)", "postgres")
    project.admin_sql(f"ALTER DATABASE {replaced} RENAME TO {project.slug}", "postgres")


def test_a_restore_on_an_empty_server_brings_the_roles_along(project, start_stack):
    before = state_of(project)
    name = backup(project)
    other = start_stack(postgres_driver="psycopg")
    shutil.copytree(project.path / name, other.path / name)
    # The other project's database has another name.
    printed = restore(other, name).stdout
    assert 'Making the roles that are missing here: "odd \\role",reader,writer' in printed
    assert state_of(other) == before.replace(project.slug, other.slug)
    login = "PGPASSWORD='of the writer' psql -h 127.0.0.1 -U writer -d postgres -XAtc 'SELECT 1'"
    assert other.compose("exec", "-T", "db", "sh", "-c", login).stdout.strip() == "1"
    other.wait_until(lambda: other.status("/health/ready") == 200)

    # A failed restore leaves none of the roles that it made.
    other.admin_sql("DROP OWNED BY writer")
    other.sql("SELECT 1")
    broken = next((other.path / name / "data").glob("*.dat*"))
    broken.unlink()
    (other.path / name / "SHA256SUMS").unlink()
    other.admin_sql("DROP ROLE writer")
    assert restore(other, name, check=False).returncode != 0
    assert other.admin_sql("SELECT count(*) FROM pg_roles WHERE rolname = 'writer'") == "0"


def run_in_db(project: Project, script: str, *arguments: str, **environment: str):
    """Run a script in the db container with other environment variables than it has."""
    options = [word for item in environment.items() for word in ("-e", "=".join(item))]
    command = ("exec", "-T", *options, "db", "sh", f"/scripts/{script}.sh", *arguments)
    return project.compose(*command, check=False)


@pytest.mark.parametrize("length", [62, 63])
def test_a_database_with_a_long_name_is_backed_up_and_restored(project, length):
    name = ("d" * length)[:length]
    project.admin_sql(f"CREATE DATABASE {name} OWNER django")
    project.admin_sql("SET ROLE django; CREATE TABLE django_migrations AS SELECT 1 AS row", name)
    try:
        made = run_in_db(project, "backup", POSTGRES_DB=name)
        file = re.search(r"^Made (backups/\S+)", made.stdout, re.MULTILINE)[1]
        project.admin_sql("UPDATE django_migrations SET row = 2", name)
        restored = run_in_db(project, "restore", file, POSTGRES_DB=name)
        assert restored.returncode == 0, restored.stdout
        assert project.admin_sql("SELECT row FROM django_migrations", name) == "1"
        (kept,) = re.findall(r"DB=(\S+)", restored.stdout)
        assert project.admin_sql("SELECT row FROM django_migrations", kept) == "2"
    finally:
        project.admin_sql(f"DROP DATABASE {name}")


def test_a_database_with_a_subscription_can_be_restored_repeatedly(project):
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
        # A restore that fails half-way has made the subscription already, and removes it.
        (project.path / name / "SHA256SUMS").unlink()
        data = project.path / name / "data"
        max(data.glob("*.dat*"), key=lambda path: path.stat().st_size).unlink()
        restore_fails(project, name, "")
    finally:
        project.admin_sql("ALTER SUBSCRIPTION news SET (slot_name = NONE); DROP SUBSCRIPTION news")
