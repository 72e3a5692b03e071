"""A restore brings everything back, or changes nothing."""

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.backups import backup, databases, databases_before, restore
from tests.support.project import Project
from tests.support.rich_database import state_of

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("data")]


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
        refused = project.run("make", "drop-replaced", f"DB={other}", check=False)
        assert refused.returncode != 0 and "Nothing was deleted" in refused.stdout
    assert databases(project) == {project.slug, f"{project.slug}_before"}


def dump(project: Project, database: str, name: str, *options: str) -> None:
    """Dump a database as somebody else would, into backups/."""
    pg_dump = ("pg_dump", "-U", "postgres", "-Fc", "-f", f"/backups/{name}", *options, database)
    project.exec("backup", *pg_dump)


def is_refused(project: Project, name: str, says: str, *words: str) -> None:
    """Fail unless a restore prints its reason in one line."""
    process = restore(project, name, *words, check=False)
    assert process.returncode != 0, name
    lines = [line for line in process.stdout.splitlines() if "Nothing was restored" in line]
    assert len(lines) == 1 and says in lines[0], process.stdout


def restore_fails(project: Project, name: str, says: str, *words: str) -> None:
    """Fail unless a restore prints its reason in one line and changes nothing."""
    before = state_of(project), databases(project)
    is_refused(project, name, says, *words)
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
    about = folder / "huge/about.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"bytes": 10**15}))
    (folder / "huge/SHA256SUMS").unlink()
    (folder / "text.dump").write_text("CREATE TABLE x (y integer);\n")
    (folder / "empty.dump").write_bytes(b"")
    (folder / "folder").mkdir()
    dump(project, "postgres", "foreign.dump")
    (folder / "packed.sql.gz").write_bytes(gzip.compress(b"CREATE TABLE x (y integer);\n"))
    project.exec(
        *("backup", "pg_dump", "-U", "postgres", "-Ft", "-f", "/backups/mine.tar", project.slug)
    )

    before = state_of(project), databases(project)
    for name, says in {
        "backups/truncated": "is not what make backup wrote: data/",
        "backups/corrupt": "is not what make backup wrote: data/",
        "backups/incomplete": "is not what make backup wrote: data/",
        "backups/emptied": "is not what make backup wrote: data/",
        "backups/huge": "needs about 1100001000 MB on the database's disk, which has",
        "backups/text.dump": "is SQL text, which psql reads. Load it into an empty database",
        "backups/packed.sql.gz": "is packed by gzip, so pg_restore cannot read it: unpack it",
        "backups/mine.tar": "is a tar file, which is too slow to restore: use pg_dump --format=custom",
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
        is_refused(project, name, says)
    is_refused(project, good, "there is no role 'nobody'", "OWNER=nobody")
    assert (state_of(project), databases(project)) == before

    # A database of that name that holds tables belongs to the user.
    restoring = f"{project.slug}_restoring"
    project.admin_sql(f"CREATE DATABASE {restoring}")
    project.admin_sql("CREATE TABLE mine (id integer)", restoring)
    restore_fails(project, good, f"the name of the database {restoring} is needed")
    assert project.admin_sql("SELECT count(*) FROM mine", restoring) == "0"
    project.admin_sql(f"DROP DATABASE {restoring}")

    # What a killed restore has left goes before room for the next one is looked for.
    project.admin_sql(f"CREATE DATABASE {restoring}")
    mark = "Filled by make restore, not complete"
    project.admin_sql(f"COMMENT ON DATABASE {restoring} IS '{mark}'")
    project.admin_sql("CREATE TABLE half (id integer)", restoring)
    is_refused(project, "backups/huge", "needs about 1100001000 MB")
    assert restoring not in databases(project)

    assert project.status_over_https("/health/ready") == 200


def test_a_dump_of_another_host_goes_to_the_role_that_is_named(project):
    project.admin_sql("DROP POLICY own ON secret")
    try:
        dump(project, project.slug, "other.dump")
    finally:
        project.admin_sql("CREATE POLICY own ON secret TO reader USING (owner = current_user)")
    restore_fails(project, "backups/other.dump", "has no roles.")
    restore(project, "backups/other.dump", "OWNER=django")
    owners = (
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace"
    )
    assert project.admin_sql(owners) == "django"
    assert project.sql("SELECT count(*) FROM purchase") == "20000"
    (replaced,) = databases_before(project)
    project.admin_sql(f"DROP DATABASE {project.slug} WITH (FORCE)", "postgres")
    project.admin_sql(f"ALTER DATABASE {replaced} RENAME TO {project.slug}", "postgres")


def test_a_dump_with_objects_of_a_superuser_says_how_to_restore_it(project):
    project.admin_sql("CREATE DATABASE elsewhere", "postgres")
    everything = """
    CREATE TABLE django_migrations (name text); CREATE EXTENSION pg_stat_statements;
    CREATE FUNCTION look() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    CREATE EVENT TRIGGER look ON ddl_command_end EXECUTE FUNCTION look();
    COMMENT ON EVENT TRIGGER look IS 'a comment';
    CREATE PUBLICATION everything FOR ALL TABLES;
    """
    try:
        project.admin_sql(everything, "elsewhere")
        dump(project, "elsewhere", "all.dump")
        project.admin_sql("DROP EVENT TRIGGER look", "elsewhere")
        dump(project, "elsewhere", "publication.dump")
        project.admin_sql("DROP PUBLICATION everything", "elsewhere")
        dump(project, "elsewhere", "extension.dump")
    finally:
        project.admin_sql("DROP DATABASE elsewhere", "postgres")
    for name, says in {
        "all": "only a superuser can restore EVENT TRIGGER",
        "publication": "must be superuser to create FOR ALL TABLES publication",
    }.items():
        restore_fails(project, f"backups/{name}.dump", says, "OWNER=django")
        restore_fails(project, f"backups/{name}.dump", "SUPERUSER=1", "OWNER=django")
    name = backup(project)
    try:
        restore(project, "backups/extension.dump", "OWNER=django")
        restore(project, "backups/all.dump", "OWNER=django", "SUPERUSER=1")
        found = "SELECT evtname FROM pg_event_trigger UNION SELECT pubname FROM pg_publication"
        assert project.admin_sql(f"{found} ORDER BY 1") == "everything\nlook"
    finally:
        restore(project, name)


# Each of these runs while rows are restored. Who runs it as a superuser has given the server away.
ATTACK = """
CREATE FUNCTION attack(place text) RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN
  EXECUTE 'RESET ROLE';
  EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'cat > /tmp/attack_' || place);
  EXECUTE 'ALTER ROLE django SUPERUSER';
  RETURN true;
EXCEPTION WHEN insufficient_privilege OR invalid_parameter_value THEN RETURN true;
END $f$;
CREATE FUNCTION attack_quietly(n integer, place text) RETURNS integer IMMUTABLE LANGUAGE plpgsql
AS 'BEGIN PERFORM public.attack(place); RETURN n; END';
CREATE FUNCTION attack_row() RETURNS trigger LANGUAGE plpgsql
AS 'BEGIN PERFORM public.attack(''trigger''); RETURN new; END';
CREATE DOMAIN attacked AS integer CHECK (public.attack('domain'));
CREATE TABLE attacks (
    id integer CHECK (public.attack('check')), of_domain attacked,
    generated integer GENERATED ALWAYS AS (public.attack_quietly(id, 'generated')) STORED
);
CREATE INDEX ON attacks (public.attack_quietly(id, 'index'));
CREATE TRIGGER attack BEFORE INSERT ON attacks FOR EACH ROW EXECUTE FUNCTION attack_row();
INSERT INTO attacks VALUES (1, 1);
CREATE MATERIALIZED VIEW attack_view AS SELECT public.attack('view');
"""


def test_a_compromised_application_does_not_become_superuser_by_a_restore(project):
    clean = backup(project)

    def owned() -> str:
        """Return what the attack came to: files of the server, and superusers."""
        files = project.exec("db", "sh", "-c", "ls /tmp | grep attack || :").stdout
        return files + project.admin_sql("SELECT rolname FROM pg_roles WHERE rolsuper ORDER BY 1")

    project.sql(ATTACK)
    # The application owns the database, and may set this.
    injected = "public;ALTER/**/ROLE/**/django/**/SUPERUSER;--"
    project.sql(
        f"SELECT set_config('search_path', '{injected}', false);"
        f"ALTER DATABASE {project.slug} SET search_path FROM CURRENT"
    )
    try:
        name = backup(project)
        restore(project, name)
        assert owned() == "postgres"
        assert project.sql("SELECT id FROM public.attacks") == "1"
        restore(project, name, "OWNER=django")
        assert owned() == "postgres"
        assert project.admin_sql("SELECT count(*) FROM pg_roles WHERE rolname ~ '^ops'") == "0"
        # The attack is a real one: a superuser who runs it is lost.
        restore(project, name, "SUPERUSER=1")
        assert "attack_check\n" in owned() and "\ndjango\n" in owned()
    finally:
        project.admin_sql("ALTER ROLE django NOSUPERUSER")
        project.exec("db", "sh", "-c", "rm -f /tmp/attack_*")
        restore(project, clean)


def test_a_role_with_the_rights_of_a_superuser_is_not_lent_to_a_restore(project):
    project.admin_sql("CREATE ROLE boss; GRANT postgres TO boss; CREATE TABLE of_boss AS SELECT 1")
    project.admin_sql("ALTER TABLE of_boss OWNER TO boss")
    try:
        assert "table public.of_boss" in project.run("make", "backup").stdout
        name = f"backups/{max(path.name for path in (project.path / 'backups').glob('*-pg*'))}"
        restore_fails(project, name, "only a superuser can restore table public.of_boss")
        restore(project, name, "SUPERUSER=1")
        assert (
            project.admin_sql("SELECT tableowner FROM pg_tables WHERE tablename = 'of_boss'")
            == "boss"
        )
    finally:
        for database in (project.slug, *databases_before(project)):
            project.admin_sql("DROP OWNED BY boss", database)
        project.admin_sql("DROP ROLE boss")


def test_a_restore_on_an_empty_server_brings_the_roles_along(project, make_stack):
    before = state_of(project)
    name = backup(project)
    other = make_stack(deployment="compose", ci="none")
    other.to_production()
    other.up("--build", "db")
    other.compose("up", "--detach", "--build", "backup")
    shutil.copytree(project.path / name, other.path / name)
    # The other project's database has another name.
    printed = restore(other, name).stdout
    assert "Made the roles that were missing here: odd \\role, reader, writer" in printed
    assert state_of(other) == before.replace(project.slug, other.slug)
    login = "PGPASSWORD='of the writer' psql -h 127.0.0.1 -U writer -d postgres -XAtc 'SELECT 1'"
    assert other.exec("db", "sh", "-c", login).stdout.strip() == "1"

    # A failed restore leaves none of the roles that it made, and all others.
    for database in (other.slug, *databases_before(other)):
        other.admin_sql("DROP OWNED BY writer", database)
    other.admin_sql("DROP ROLE writer; CREATE ROLE aaa")
    next((other.path / name / "data").glob("*.dat*")).unlink()
    (other.path / name / "SHA256SUMS").unlink()
    assert restore(other, name, check=False).returncode != 0
    assert (
        other.admin_sql("SELECT rolname FROM pg_roles WHERE rolname IN ('aaa', 'writer')") == "aaa"
    )


def in_backup(project: Project, module: str, *arguments: str, database: str):
    """Run a part of ops for another database."""
    command = ("exec", "-T", "-e", f"POSTGRES_DB={database}", "backup", "python3", "-m")
    return project.compose(*command, f"ops.{module}", *arguments, check=False)


@pytest.mark.parametrize("name", ["\N{SNOWMAN}" * 21, "Shop (old) 1's"])
def test_a_database_with_an_odd_name_is_backed_up_and_restored(project, name):
    project.admin_sql(f'CREATE DATABASE "{name}" OWNER django')
    project.admin_sql("SET ROLE django; CREATE TABLE django_migrations AS SELECT 1 AS row", name)
    try:
        made = in_backup(project, "backup", database=name)
        file = re.search(r"^Made (backups/\S+) ", made.stdout, re.MULTILINE)[1]
        project.admin_sql("UPDATE django_migrations SET row = 2", name)
        restored = in_backup(project, "restore", file, database=name)
        assert restored.returncode == 0, restored.stdout
        assert project.admin_sql("SELECT row FROM django_migrations", name) == "1"
        (kept,) = re.findall(r"kept as the database (.*) \(\d", restored.stdout)
        assert project.admin_sql("SELECT row FROM django_migrations", kept) == "2"
        in_backup(project, "listing", "--drop-replaced", kept, database=name)
        assert kept not in project.run("make", "backups").stdout
    finally:
        project.admin_sql(f'DROP DATABASE "{name}"')


def test_a_database_with_a_subscription_is_not_replaced(project):
    subscribe = (
        "CREATE SUBSCRIPTION news CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)"
    )
    project.admin_sql(subscribe)
    try:
        name = backup(project)
        restore_fails(
            project, name, "the database has subscriptions, which have to end first: news."
        )
    finally:
        project.admin_sql("ALTER SUBSCRIPTION news SET (slot_name = NONE); DROP SUBSCRIPTION news")
    assert "Subscriptions are not restored: news." in restore(project, name).stdout
    assert project.admin_sql("SELECT count(*) FROM pg_subscription") == "0"


def test_a_backup_of_an_older_release_is_restored_with_roles_and_uploads(project):
    (sample,) = (Path(__file__).parents[1] / "samples/backups").iterdir()
    clean = backup(project)
    shutil.copytree(sample, project.path / "backups" / sample.name)
    project.admin_sql('DROP ROLE IF EXISTS "odd, role"')
    try:
        printed = restore(project, f"backups/{sample.name}").stdout
        assert "This backup is older" in printed
        assert "Made the roles that were missing here: odd, role\n" in printed
        assert project.sql("SELECT text FROM notes") == "kept since the old format"
        owners = (
            "SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
        assert (
            project.admin_sql(owners) == "django_migrations|django\nnotes|django\nof_reader|reader"
        )
        role = "SELECT rolconnlimit, pg_has_role(oid, 'reader', 'MEMBER') FROM pg_roles"
        assert project.admin_sql(f"{role} WHERE rolname = 'odd, role'") == "3|t"
        upload = ("exec", "-T", "backup", "cat", "/srv/media/notes/one.txt")
        assert project.compose(*upload).stdout == "an upload\n"
    finally:
        project.exec("backup", "rm", "-rf", "/srv/media/notes")
        restore(project, clean)
        project.admin_sql('DROP ROLE IF EXISTS "odd, role"')
