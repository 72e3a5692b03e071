"""An upgrade of PostgreSQL moves all data, or leaves the old server in use."""

import re

import pytest

from tests.support.processes import wait_until
from tests.support.project import Project
from tests.support.rich_database import MORE_ROLES, RICH, state_of

pytestmark = pytest.mark.stack

# Beside the database of the project.
REST_OF_THE_SERVER = r"""
CREATE DATABASE "other one" OWNER writer;
COMMENT ON DATABASE "other one" IS 'of the writer';
ALTER SYSTEM SET log_min_duration_statement = '4321ms';
ALTER SYSTEM SET search_path = "$user", public, "Odd schema";
\c template1
CREATE EXTENSION hstore;
\c postgres
CREATE TABLE in_postgres AS SELECT 1 AS row;
\c "other one"
SET ROLE writer;
CREATE TABLE theirs AS SELECT n FROM generate_series(1, 1000) n;
"""


def upgrade(project: Project, to: str, *words: str, check: bool = True):
    """Run the upgrade."""
    return project.run("make", "upgrade-postgres", f"TO={to}", *words, check=check)


def version(project: Project) -> str:
    """Return the major version of the server that answers."""
    return project.sql("SHOW server_version").partition(".")[0]


def volume_is_there(project: Project, major: str) -> bool:
    """Return whether the engine has the volume of a major version."""
    name = f"{project.stack}_db_data_{major}"
    return project.run("docker", "volume", "inspect", name, check=False).returncode == 0


def without_new_rights(text: str) -> str:
    """Return a state without the privilege MAINTAIN, which PostgreSQL 17 has added for owners."""
    return text.replace("arwdDxtm", "arwdDxt")


def assert_nothing_is_left(project: Project) -> None:
    """Fail if an upgrade has left a file, a container or a volume of its own."""
    assert not list(project.path.glob("compose.upgrade*"))
    names = project.run("docker", "ps", "--all", "--format", "{{.Names}}").stdout.split()
    assert not [name for name in names if name.startswith(f"{project.stack}-upgrade")]
    assert not [name for name in names if name.startswith(f"{project.stack}-db-run")]
    volumes = project.run("docker", "volume", "ls", "--format", "{{.Name}}").stdout.split()
    assert f"{project.stack}_upgrade" not in volumes


def assert_a_newer_server_names_the_command(project: Project, old: str, new: str) -> None:
    """Start a newer server on the data; fail unless it names the command, and the old one starts again."""
    compose = project.read("compose.yaml")
    image = re.search(r"image: (.*)", compose.partition("\n  db:")[2])[0]
    project.replace("compose.yaml", image, f"image: postgres:{new}-trixie")
    process = project.compose("up", "--detach", check=False)
    assert process.returncode != 0
    lines = [line for line in project.logs("db").splitlines() if "The data is of" in line]
    assert len(lines) == 1
    assert f"The data is of PostgreSQL {old} and this server is {new}" in lines[0]
    assert lines[0].endswith(f"run: make upgrade-postgres TO={new}")
    # Also remove the anonymous volume that the newer image creates at its own path.
    project.compose("rm", "--stop", "--force", "--volumes", "db")
    (project.path / "compose.yaml").write_text(compose, encoding="utf-8")
    project.up()


@pytest.mark.parametrize(("old", "new"), [("15", "17"), ("17", "18"), ("15", "18")])
def test_an_upgrade_keeps_everything_and_a_newer_server_on_the_data_names_it(make_stack, old, new):
    project = make_stack(postgres_version=old)
    images = []
    if (old, new) == ("17", "18"):
        # Images with other names, and with a minor version in the tag.
        for major, tag in ((old, f"{old}.99-mine"), (new, f"{new}-mine")):
            images.append(f"{project.slug}:{tag}")
            project.run("docker", "tag", f"postgres:{major}-trixie", images[-1])
        project.replace("compose.yaml", f"postgres:{old}-trixie", f'"{images[0]}"')
    try:
        project.up()
        project.admin_sql(MORE_ROLES + RICH + REST_OF_THE_SERVER)
        before = without_new_rights(state_of(project))
        assert_a_newer_server_names_the_command(project, old, new)
        assert without_new_rights(state_of(project)) == before

        printed = upgrade(project, new).stdout

        assert version(project) == new
        assert without_new_rights(state_of(project)) == before
        assert project.admin_sql("SHOW log_min_duration_statement") == "4321ms"
        assert project.admin_sql("SELECT count(*) FROM theirs", "other one") == "1000"
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'other one'"
        assert project.admin_sql(owner) == "writer"
        assert project.admin_sql("SELECT row FROM in_postgres", "postgres") == "1"
        assert project.admin_sql("SELECT 'a=>1'::hstore", "template1") == '"a"=>"1"'
        project.wait_until(lambda: project.status("/health/ready") == 200)
        assert "Compared 4 databases" in printed
        assert f"docker volume rm {project.stack}_db_data_{old}" in printed
        assert volume_is_there(project, old)
        mounts = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}{{end}}{{end}}'
        assert project.inspect("db", mounts) == [f"{project.stack}_db_data_{new}"]
        assert_nothing_is_left(project)
        assert f"is on PostgreSQL {new} already" in upgrade(project, new, check=False).stdout
        project.compose("down")
        project.up()
        assert without_new_rights(state_of(project)) == before
        assert project.sql("SELECT nextval('invoice')") == "1002"
        if images:
            assert f'image: "{images[1]}"' in project.read("compose.yaml")
    finally:
        project.remove_from_engine()
        if images:
            project.run("docker", "image", "rm", *images)


def test_an_upgrade_of_a_bind_mount(start_stack):
    project = start_stack(postgres_storage="bind_mount", postgres_version="15")
    project.sql("CREATE TABLE kept AS SELECT n FROM generate_series(1, 1000) n")
    # A setting that the newer server does not have is reported before anything is copied.
    project.admin_sql("ALTER SYSTEM SET old_snapshot_threshold = '1h'")
    process = upgrade(project, "17", check=False)
    assert process.returncode != 0
    assert 'unrecognized configuration parameter "old_snapshot_threshold"' in process.stdout
    assert "it does not know a setting of the old one" in process.stdout
    assert version(project) == "15" and project.sql("SELECT count(*) FROM kept") == "1000"
    assert not list((project.path / "postgres_data").glob("17/*"))
    project.admin_sql("ALTER SYSTEM RESET old_snapshot_threshold")

    printed = upgrade(project, "17").stdout

    assert "the folder 15 in POSTGRES_DATA" in printed
    assert version(project) == "17"
    assert project.sql("SELECT count(*) FROM kept") == "1000"
    assert (project.path / "postgres_data/15").is_dir()
    assert_nothing_is_left(project)


@pytest.fixture(scope="module")
def old_stack(bake_once):
    """One stack on PostgreSQL 17 for upgrades that fail or are interrupted."""
    project = bake_once(project_slug=Project.unused_slug(), postgres_version="17")
    project.choose_port()
    project.add_views()
    try:
        project.up()
        project.sql("CREATE TABLE kept AS SELECT 1 AS row")
        # A table that takes seconds to copy.
        project.sql(
            "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 20) AS x "
            "FROM generate_series(1, 300000) AS n; CREATE INDEX ON big (x)"
        )
        yield project
    finally:
        project.remove_from_engine()


def contents(project: Project) -> dict[str, bytes]:
    """Return the files of the project."""
    return {name: path.read_bytes() for name, path in project.files().items()}


def assert_as_it_was(project: Project, files: dict[str, bytes]) -> None:
    """Fail unless the old server runs with its data and nothing of the new one is left."""
    assert version(project) == "17" and project.sql("SELECT row FROM kept") == "1"
    project.wait_until(lambda: project.status("/health/ready") == 200)
    assert contents(project) == files
    assert_nothing_is_left(project)
    assert not volume_is_there(project, "18")


def test_an_upgrade_that_fails_leaves_the_old_one_running(old_stack):
    project = old_stack
    before = contents(project)
    for to, says in {
        "": "TO is the major version to move to, as in TO=18, not ''.",
        "9" * 20: "TO is the major version to move to, as in TO=18, not '9",
        "17": "the project is on PostgreSQL 17 already, and TO=17 is not newer.",
        "99": "Nothing was upgraded: there is no image postgres:99-trixie.",
        "18 IMAGE=nobody/has:18": "there is no image nobody/has:18. Name the one of PostgreSQL 18: IMAGE=",
    }.items():
        process = upgrade(project, *to.split(" "), check=False)
        assert process.returncode != 0 and says in process.stdout, process.stdout
        assert_as_it_was(project, before)

    # What cannot be copied is named.
    folder = "mkdir -p /tmp/space && chown postgres /tmp/space"
    project.compose("exec", "-T", "db", "sh", "-c", folder)
    project.admin_sql("CREATE TABLESPACE space LOCATION '/tmp/space'")
    project.admin_sql("CREATE DATABASE closed ALLOW_CONNECTIONS false")
    process = upgrade(project, "18", check=False)
    assert process.returncode != 0 and "there are tablespaces: space." in process.stdout
    assert "databases do not allow connections: closed." in process.stdout
    project.admin_sql("DROP DATABASE closed")
    project.admin_sql("DROP TABLESPACE space")
    assert_as_it_was(project, before)

    # The comparison finds a difference even where the number of rows is the same.
    script = "docker/db/upgrade.sh"
    compare = "  data_is_equal"
    for change, says in {
        "UPDATE kept SET row = 2": "the data of the database",
        "CREATE VIEW extra AS SELECT 1": "the objects of the database",
        "ALTER ROLE django CONNECTION LIMIT 3": "roles or databases differ",
    }.items():
        tamper = f'  [ "$name" != {project.slug} ] || new_sql -d "$name" -c "{change}"\n'
        project.replace(script, compare, tamper + compare)
        process = upgrade(project, "18", check=False)
        (project.path / script).write_bytes(before[script])
        assert process.returncode != 0 and says in process.stdout, process.stdout
        assert_as_it_was(project, before)

    env = project.read(".env")
    project.add_to_compose(
        "volumes: {db_data_18: {driver_opts: {type: tmpfs, device: tmpfs, o: size=100m}}}\n"
    )
    small = contents(project)
    process = upgrade(project, "18", check=False)
    assert "MB for a while, and its disk has 105 MB free." in process.stdout, process.stdout
    assert_as_it_was(project, small)
    (project.path / ".env").write_text(env)
    (project.path / "compose.fault.yaml").unlink()

    project.replace(
        "compose.yaml", "image: postgres:17-trixie", "image: ${IMAGE:-postgres:17-trixie}"
    )
    changed = contents(project)
    process = upgrade(project, "18", check=False)
    assert "compose.yaml has to say 'image: postgres:17-trixie'" in process.stdout
    assert_as_it_was(project, changed)
    (project.path / "compose.yaml").write_bytes(before["compose.yaml"])


def test_an_upgrade_that_is_interrupted_leaves_the_old_one(old_stack):
    project = old_stack
    before = contents(project)
    terminal = project.in_terminal("make", "upgrade-postgres", "TO=18")
    terminal.wait_for("Copying: ")
    terminal.press_ctrl_c()
    assert terminal.end() != 0
    assert "Nothing was upgraded: the project is on PostgreSQL 17, as it was." in terminal.shown
    assert_as_it_was(project, before)

    terminal = project.in_terminal("make", "upgrade-postgres", "TO=18")
    terminal.wait_for("Copying: ")
    terminal.close()
    wait_until(lambda: not (project.path / "compose.upgrade.yaml").exists(), 120, project.logs)
    released = ("flock", "--nonblock", ".", "true")
    wait_until(lambda: project.run(*released, check=False).returncode == 0, 120, project.logs)
    assert_as_it_was(project, before)

    # After a kill, the next upgrade cleans up, and a plain start before it works.
    for start_first in (True, False):
        running = project.start("sh", "scripts/upgrade_postgres.sh", "18", env={})
        running.wait_for("Copying: ")
        running.process.kill()
        assert running.end() != 0
        if start_first:
            names = ("docker", "ps", "--quiet", "--filter", f"name={project.stack}-upgrade")
            wait_until(lambda: not project.run(*names).stdout, 120, project.logs)  # noqa: B023
            # Without --wait: app had no server for so long that it may still be unhealthy.
            project.compose("up", "--detach")
            project.wait_until(lambda: project.status("/health/ready") == 200)
            assert version(project) == "17" and project.sql("SELECT row FROM kept") == "1"
    tamper = "exit 1\n"
    script = project.read("docker/db/upgrade.sh")
    (project.path / "docker/db/upgrade.sh").write_text(tamper)
    assert upgrade(project, "18", check=False).returncode != 0
    (project.path / "docker/db/upgrade.sh").write_text(script)
    assert_as_it_was(project, before)


def test_data_that_was_in_use_is_never_overwritten(old_stack):
    project = old_stack
    # After the earlier upgrades app may be unhealthy until its next check, and --wait would fail then.
    health = "{{.State.Health.Status}}"
    project.wait_until(lambda: project.inspect("app", health) == ["healthy"])
    before = project.read("compose.yaml")
    newer = before.replace("postgres:17-", "postgres:18-").replace("db_data_17", "db_data_18")
    newer = newer.replace("/var/lib/postgresql/data", "/var/lib/postgresql")
    (project.path / "compose.yaml").write_text(newer)
    project.up()
    project.sql("CREATE TABLE mine AS SELECT 1")
    (project.path / "compose.yaml").write_text(before)
    # A file that a killed upgrade may leave.
    (project.path / "compose.upgrade.yaml").write_text(newer)
    project.up()

    process = upgrade(project, "18", check=False)

    name = f"{project.stack}_db_data_18"
    assert f"If nobody needs it: docker volume rm {name}" in process.stdout
    assert version(project) == "17" and project.sql("SELECT row FROM kept") == "1"
    (project.path / "compose.yaml").write_text(newer)
    project.up()
    assert project.sql("SELECT count(*) FROM mine") == "1"
    (project.path / "compose.yaml").write_text(before)
    project.up()
    project.run("docker", "volume", "rm", name)


WRITER = """
import os, time, {driver}

while True:
    try:
        connection = {driver}.connect(host="db", dbname=os.environ["POSTGRES_DB"],
            user=os.environ["POSTGRES_USER"], password=os.environ["POSTGRES_PASSWORD"])
        connection.autocommit = True
        while True:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE counter SET n = n + 1 RETURNING n")
                print(cursor.fetchone()[0], flush=True)
            time.sleep(0.001)
    except {driver}.OperationalError:
        time.sleep(0.05)
"""


def test_nothing_that_was_acknowledged_is_lost_by_an_upgrade(old_stack):
    project = old_stack
    project.sql(
        "CREATE TABLE counter AS SELECT 0 AS n; CREATE TABLE written (id integer PRIMARY KEY)"
    )
    (project.path / "app/writer.py").write_text(WRITER.format(driver="psycopg2"))
    id = project.compose(
        "run", "--detach", "--no-deps", "app", "python", "writer.py"
    ).stdout.split()[-1]

    def counted() -> int:
        numbers = project.run("docker", "logs", "--tail", "5", id).stdout.split()
        return max([int(word) for word in numbers if word.isdigit()], default=0)

    try:
        wait_until(lambda: counted() > 100, 120, project.logs)
        # Kill it after the point of no return: compose.yaml has changed.
        running = project.start("sh", "scripts/upgrade_postgres.sh", "18", env={})
        wait_until(lambda: "postgres:18" in project.read("compose.yaml"), 120, running.printed)
        running.process.kill()
        running.end()
        acknowledged = counted()
        again = upgrade(project, "18", check=False)
        assert "is on PostgreSQL 18 already" in again.stdout
        wait_until(lambda: counted() > acknowledged + 100, 120, project.logs)
    finally:
        project.run("docker", "rm", "--force", id)
    assert version(project) == "18"
    assert int(project.sql("SELECT n FROM counter")) >= acknowledged
    assert_nothing_is_left(project)
    project.wait_until(lambda: project.status("/health/ready") == 200)
