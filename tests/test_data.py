"""What is in the database stays: storage, backup, restore and upgrade, and each when it fails."""

import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from project import Project, Running, wait_until

pytestmark = pytest.mark.stack

# One of each kind of thing that a dump may lose.
SCHEMA = """
CREATE EXTENSION pgcrypto;
CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE purchase (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customer, paid boolean NOT NULL
);
CREATE INDEX unpaid ON purchase (customer_id) WHERE NOT paid;
CREATE SEQUENCE invoice START 1000;
INSERT INTO customer (name) SELECT 'customer ' || n FROM generate_series(1, 1000) AS n;
INSERT INTO purchase (customer_id, paid) SELECT 1 + n % 1000, n % 7 > 0 FROM generate_series(1, 100000) AS n;
SELECT nextval('invoice'), nextval('invoice');
SELECT lo_from_bytea(4711, 'a large object');
"""
STATE = """
SELECT (SELECT count(*) FROM purchase), (SELECT sum(id) FROM purchase),
       (SELECT last_value FROM invoice), (SELECT last_value FROM customer_id_seq),
       (SELECT indexdef FROM pg_indexes WHERE indexname = 'unpaid'),
       (SELECT count(*) FROM pg_constraint WHERE conname = 'purchase_customer_id_fkey'),
       convert_from(lo_get(4711), 'UTF8'), left(crypt('x', '$1$salt$'), 3)
"""

BIG_TABLE = """
CREATE TABLE big AS SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 200000) AS n
"""


def backup(project: Project, *words: str) -> str:
    """Make a backup; return its name as restore takes it."""
    printed = project.run("make", "backup", *words).stdout
    return re.search(r"^Made (backups/\S+\.dump) \(\S+\)$", printed, re.MULTILINE)[1]


def restore(project: Project, name: str, check: bool = True):
    """Restore a backup."""
    return project.run("make", "restore", f"FILE={name}", check=check)


def dumps(project: Project) -> list[str]:
    """Return what is in backups/, half files too."""
    return sorted(
        path.name for path in (project.path / "backups").iterdir() if path.name != ".gitignore"
    )


def databases(project: Project) -> set[str]:
    """Return the databases of the server, without its own."""
    names = project.sql("SELECT datname FROM pg_database WHERE NOT datistemplate").split()
    return set(names) - {"postgres"}


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


def test_backup_and_restore_keep_all_there_is(start_stack):
    project = start_stack()
    project.sql(SCHEMA)
    before = project.sql(STATE)

    name = backup(project)

    file = project.path / name
    assert re.fullmatch(rf"backups/{project.slug}-\d{{8}}T\d{{6}}Z-pg18\.\d+\.dump", name)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_uid == (project.path / "backups").stat().st_uid
    assert re.search(
        rf"^{name} +\S+ +0 d  0 h old$", project.run("make", "backups").stdout, re.MULTILINE
    )
    project.run("git", "init", "--quiet")
    assert ".dump" not in project.run("git", "status", "--short").stdout

    project.sql("DELETE FROM purchase; SELECT lo_unlink(4711); DROP SEQUENCE invoice")
    project.sql("CREATE TABLE later AS SELECT 1")
    printed = restore(project, name).stdout

    assert project.sql(STATE) == before
    assert project.sql("SELECT to_regclass('later') IS NULL") == "t"
    assert databases(project) == {project.slug, f"{project.slug}_before_restore"}
    assert f"in the database {project.slug}_before_restore" in printed
    assert project.setting("POSTGRES_PASSWORD") not in printed + project.logs()
    project.wait_until(lambda: project.status("/health/ready") == 200, seconds=10)
    # A second restore takes the place of the first one's leftover.
    restore(project, name)
    assert databases(project) == {project.slug, f"{project.slug}_before_restore"}
    assert project.restarts() == 0


def test_backups_at_once_and_pruning(start_stack):
    project = start_stack()
    with ThreadPoolExecutor(4) as pool:
        names = set(pool.map(lambda _: backup(project), range(4)))
    assert len(names) == 4
    (project.path / "backups/mine.dump").write_text("kept: not one of ours")
    newest = backup(project, "KEEP=2")
    assert len(dumps(project)) == 3
    assert {"mine.dump", newest.removeprefix("backups/")} < set(dumps(project))
    for keep in ("0", "-1", "two"):
        process = project.run("make", "backup", f"KEEP={keep}", check=False)
        assert process.returncode != 0 and "KEEP is to be a whole number" in process.stdout
    assert len(dumps(project)) == 3


def test_a_backup_that_fails_leaves_nothing_and_prunes_nothing(start_stack):
    project = start_stack()
    project.sql(SCHEMA)
    backup(project)
    before = dumps(project)
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
    assert dumps(project) == before

    project.compose("stop", "db")
    process = project.run("make", "backup", check=False)
    assert process.returncode != 0
    assert dumps(project) == before


# Restore


def test_a_restore_that_fails_changes_nothing(start_stack):
    project = start_stack()
    project.sql(SCHEMA)
    project.sql("CREATE ROLE reader; GRANT SELECT ON customer TO reader")
    good = backup(project)
    project.sql("REVOKE ALL ON customer FROM reader; DROP ROLE reader")
    before = project.sql(STATE)
    folder = project.path / "backups"
    content = (project.path / good).read_bytes()
    (folder / "truncated.dump").write_bytes(content[: len(content) // 2])
    (folder / "text.dump").write_text("CREATE TABLE x (y integer);\n")
    (folder / "empty.dump").write_bytes(b"")
    middle = len(content) * 2 // 3
    (folder / "corrupt.dump").write_bytes(content[:middle] + bytes(4096) + content[middle + 4096 :])
    foreign = 'pg_dump -U "$POSTGRES_USER" -Fc -f /backups/foreign.dump postgres'
    project.compose("exec", "-T", "db", "sh", "-c", foreign)

    for name, says in {
        "backups/truncated.dump": "",
        "backups/corrupt.dump": "",
        "backups/text.dump": "is damaged, of a newer PostgreSQL, or no dump",
        "backups/empty.dump": "is damaged, of a newer PostgreSQL, or no dump",
        "backups/foreign.dump": "is a dump, but not of a Django project",
        "backups/missing.dump": "there is no file backups/missing.dump",
        "": "say what, as in FILE=backups/NAME",
        good: 'role "reader" does not exist',
    }.items():
        process = restore(project, name, check=False)
        assert process.returncode != 0, name
        lines = [line for line in process.stdout.splitlines() if "Nothing was restored" in line]
        assert len(lines) == 1 and says in lines[0], process.stdout
        assert project.sql(STATE) == before
        assert databases(project) == {project.slug}
    assert project.status("/health/ready") == 200


def start_restore(project: Project, name: str) -> Running:
    """Start a restore; return when it is copying rows."""
    compose = ("docker", "compose", "exec", "-T", "db", "sh", "/scripts/restore.sh")
    restoring = project.start(*compose, name, env={})
    copying = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND "
        f"datname = '{project.slug}_restoring'"
    )
    wait_until(lambda: project.sql(copying) != "0", 30, restoring.printed)
    return restoring


def test_two_restores_at_once(start_stack):
    project = start_stack()
    project.sql(BIG_TABLE)
    name = backup(project)
    first = start_restore(project, name)
    second = restore(project, name, check=False)
    assert second.returncode != 0
    assert "Nothing was restored: another restore is running." in second.stdout
    assert first.end() == 0, first.printed()
    assert project.sql("SELECT count(*) FROM big") == "200000"


def test_a_restore_that_is_killed_changes_nothing(start_stack):
    project = start_stack()
    project.sql(SCHEMA)
    project.sql(BIG_TABLE)
    name = backup(project)
    project.sql("CREATE TABLE later AS SELECT 1 AS row")
    restoring = start_restore(project, name)
    # By /proc alone: the image has no ps.
    kill = r"""
for process in /proc/[0-9]*; do
  id=${process#/proc/}
  case $(tr '\0' ' ' < "$process/cmdline") in
    *pg_restore* | *restore.sh*) [ "$id" = $$ ] || kill -9 "$id" ;;
  esac
done 2> /dev/null
"""
    project.compose("exec", "-T", "db", "sh", "-c", kill, check=False)
    assert restoring.end() != 0

    assert project.sql("SELECT * FROM later") == "1"
    assert project.status("/health/ready") == 200
    restore(project, name)
    assert databases(project) == {project.slug, f"{project.slug}_before_restore"}
    assert project.sql("SELECT count(*) FROM big") == "200000"


def test_a_restore_while_the_site_writes(start_stack):
    project = start_stack()
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
            restore(project, name)
            count = len(acknowledged)
            wait_until(lambda: len(acknowledged) > count + 100, 30, project.logs)
        finally:
            stop.append(True)
        for client in clients:
            client.result()

    now = {int(row) for row in project.sql("SELECT id FROM written").split()}
    psql = 'psql -XAt -U "$POSTGRES_USER" -d "${POSTGRES_DB}_before_restore" -c "$0"'
    rows = project.compose("exec", "-T", "db", "sh", "-c", psql, "SELECT id FROM written").stdout
    then = {int(row) for row in rows.split()}
    assert {-n for n in range(1, 1001)} <= now
    assert set(acknowledged) <= now | then
    assert not {number for number in now & then if number > 0}
    print(f"{len(acknowledged)} rows acknowledged during a restore, 0 lost, 0 doubled")


def test_a_restore_on_another_machine(start_stack):
    project = start_stack()
    project.sql(SCHEMA)
    before = project.sql(STATE)
    name = backup(project)
    other = start_stack()
    (other.path / name).write_bytes((project.path / name).read_bytes())
    restore(other, name)
    assert other.sql(STATE) == before
    other.wait_until(lambda: other.status("/health/ready") == 200, seconds=10)


# Upgrade


@pytest.mark.parametrize(("old", "new"), [("15", "17"), ("17", "18"), ("15", "18")])
def test_an_upgrade_keeps_all_there_is(start_stack, old, new):
    project = start_stack(postgres_version=old)
    project.sql(SCHEMA)
    project.sql("CREATE ROLE reader; GRANT SELECT ON customer TO reader")
    before = project.sql(STATE)

    printed = project.run("make", "upgrade-postgres", f"TO={new}").stdout

    assert project.sql("SHOW server_version").startswith(f"{new}.")
    assert project.sql(STATE) == before
    assert project.sql("SELECT has_table_privilege('reader', 'customer', 'SELECT')") == "t"
    project.wait_until(lambda: project.status("/health/ready") == 200)
    assert f"{new}." in project.get("/")[1]
    assert f"docker volume rm {project.stack}_db_data_{old}" in printed
    project.run("docker", "volume", "inspect", f"{project.stack}_db_data_{old}")
    mounts = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}{{end}}{{end}}'
    assert project.inspect("db", mounts) == [f"{project.stack}_db_data_{new}"]
    assert databases(project) == {project.slug}
    assert not list(project.path.glob("compose.*upgrade*"))
    project.compose("down")
    project.up()
    assert project.sql(STATE) == before
    assert project.sql("SELECT nextval('invoice')") == "1002"


def test_an_upgrade_that_fails_leaves_the_old_one_running(start_stack):
    project = start_stack(postgres_version="17")
    project.sql(SCHEMA)

    def contents() -> dict[str, bytes]:
        files = project.files().items()
        return {name: path.read_bytes() for name, path in files if not name.endswith(".dump")}

    before = contents()

    def upgrade_fails(to: str, says: str) -> None:
        process = project.run("make", "upgrade-postgres", f"TO={to}", check=False)
        assert process.returncode != 0 and says in process.stdout, process.stdout
        assert project.sql("SHOW server_version").startswith("17.")
        assert project.sql("SELECT count(*) FROM purchase") == "100000"
        project.wait_until(lambda: project.status("/health/ready") == 200)
        volume = project.run(
            "docker", "volume", "inspect", f"{project.stack}_db_data_18", check=False
        )
        assert volume.returncode != 0
        assert contents() == before

    upgrade_fails("", "say the major version")
    upgrade_fails("17", "is on PostgreSQL 17 already")
    upgrade_fails("99", "the image of PostgreSQL 99 cannot be started")
    # A count that the two servers cannot agree on.
    counts = project.read("docker/db/counts.sql")
    differ = counts + "SELECT 'version', current_setting('server_version');\n"
    (project.path / "docker/db/counts.sql").write_text(differ)
    before["docker/db/counts.sql"] = differ.encode()
    upgrade_fails("18", "The upgrade failed: the project is on PostgreSQL 17, as it was.")


@pytest.mark.parametrize(("old", "new"), [("15", "17"), ("17", "18")])
def test_a_newer_server_on_older_data_names_the_command(start_stack, old, new):
    project = start_stack(postgres_version=old)
    project.sql("CREATE TABLE kept AS SELECT 1 AS row")
    project.replace("compose.yaml", f"postgres:{old}-", f"postgres:{new}-")
    process = project.compose("up", "--detach", check=False, timeout=60)
    assert process.returncode != 0
    lines = [line for line in project.logs("db").splitlines() if "The data is of" in line]
    assert len(lines) == 1
    assert f"The data is of PostgreSQL {old} and this server is {new}" in lines[0]
    assert lines[0].endswith(f"run: make upgrade-postgres TO={new}")
    # With the anonymous volume that the newer image makes of the path it expects.
    project.compose("rm", "--stop", "--force", "--volumes", "db")
    project.replace("compose.yaml", f"postgres:{new}-", f"postgres:{old}-")
    project.up()
    assert project.sql("SELECT * FROM kept") == "1"


def test_an_upgrade_of_a_folder(start_stack):
    project = start_stack(postgres_storage="bind_mount", postgres_version="15")
    project.sql(SCHEMA)
    printed = project.run("make", "upgrade-postgres", "TO=17").stdout
    assert "the folder 15 in POSTGRES_DATA" in printed
    assert project.sql("SHOW server_version").startswith("17.")
    assert project.sql("SELECT count(*) FROM purchase") == "100000"
    assert (project.path / "postgres_data/15").is_dir()
