"""An upgrade of PostgreSQL moves the data of the site, or leaves the old server in use."""

import re
from collections.abc import Iterator

import pytest

from tests.support.processes import wait_until
from tests.support.project import Project
from tests.support.rich_database import MORE_ROLES, RICH, state_of

pytestmark = pytest.mark.stack


def upgrade(project: Project, check: bool = True):
    """Run the upgrade to what the files name."""
    return project.run("make", "upgrade-postgres", check=check)


def version(project: Project) -> str:
    """Return the major version of the server that answers."""
    return project.sql("SHOW server_version").partition(".")[0]


def without_new_rights(text: str) -> str:
    """Return a state without the privilege MAINTAIN, which PostgreSQL 17 has added for owners."""
    return text.replace("arwdDxtm", "arwdDxt")


def volumes(project: Project) -> set[str]:
    """Return the names of the project's volumes."""
    names = project.run("docker", "volume", "ls", "--format", "{{.Name}}").stdout.split()
    return {name.removeprefix(f"{project.stack}_") for name in names if project.stack in name}


def assert_nothing_is_left(project: Project) -> None:
    """Fail if an upgrade has left a container, a volume or a mark of its own."""
    names = project.run("docker", "ps", "--all", "--format", "{{.Names}}").stdout.split()
    assert not [name for name in names if name.startswith(project.stack) and "-run-" in name]
    assert not [name for name in volumes(project) if "upgrade" in name]
    assert "UPGRADING" not in project.read(".env")


def test_an_upgrade_keeps_everything_and_the_old_volume(make_site):
    project = make_site(postgres_version="15", use_redis=True)
    project.admin_sql(MORE_ROLES + RICH)
    project.admin_sql(
        "ALTER ROLE django CONNECTION LIMIT 77; ALTER ROLE reader SET work_mem = '7MB'"
    )
    project.admin_sql("SELECT nextval('invoice')")
    roles = """SELECT rolname, rolconnlimit, rolpassword, setconfig FROM pg_authid
        LEFT JOIN pg_db_role_setting ON setrole = pg_authid.oid WHERE rolname !~ '^(pg_|postgres)' ORDER BY 1, 4"""
    before = without_new_rights(state_of(project)), project.admin_sql(roles)

    project.name_postgres("18")
    printed = upgrade(project).stdout

    assert version(project) == "18"
    assert (without_new_rights(state_of(project)), project.admin_sql(roles)) == before
    # The next one finds no setting that initdb has not written.
    reasons = "from ops.upgrade import CANNOT_MOVE, LIVE; print([LIVE.names(q) for q in CANNOT_MOVE.values()])"
    assert project.exec("backup", "python3", "-c", reasons).stdout == "[[], [], [], [], [], []]\n"
    project.wait_until(lambda: project.status_over_https("/health/ready") == 200)
    assert f"The old data stays until you delete it: {project.stack}_db_data_15" in printed
    assert {"db_data_15", "db_data_18"} <= volumes(project)
    assert project.setting("LIVE_DATA") == "db_data_18"
    assert_nothing_is_left(project)
    # The programs of backup follow the server.
    assert "-pg18" in project.run("make", "backup").stdout
    # What a release takes back is a setting, and not the place of the data.
    command = 'command: ["postgres"]\n'
    project.replace("compose.production.yaml", command, 'command: ["postgres", "-c", "x=y"]\n')
    assert "db has its old settings again." in project.deploy(check=False).stdout
    assert version(project) == "18"
    project.replace("compose.production.yaml", 'command: ["postgres", "-c", "x=y"]\n', command)
    assert "\nReleased. https://" in project.deploy().stdout
    project.compose("down")
    project.up()
    assert (without_new_rights(state_of(project)), project.admin_sql(roles)) == before
    assert "already exists but" not in project.compose("up", "--detach").stdout


@pytest.mark.long
def test_an_upgrade_of_a_bind_mount_with_images_of_other_names(make_stack):
    project = make_stack(
        deployment="compose", postgres_storage="bind_mount", postgres_version="17", ci="none"
    )
    images = {"17": f"{project.slug}:17.99-mine", "18": f"{project.slug}:18-mine"}
    for major, image in images.items():
        project.run("docker", "tag", f"postgres:{major}-trixie", image)
    try:
        project.to_production()
        for file in ("compose.yaml", "ops/Dockerfile"):
            project.replace(file, "postgres:17-trixie", images["17"])
        project.deploy()
        project.sql("CREATE TABLE kept AS SELECT n FROM generate_series(1, 1000) n")

        for file in ("compose.yaml", "ops/Dockerfile"):
            project.replace(file, images["17"], "postgres:17-trixie")
        project.name_postgres("18")
        for file in ("compose.yaml", "ops/Dockerfile"):
            project.replace(file, "postgres:18-trixie", images["18"])
        printed = upgrade(project).stdout

        assert version(project) == "18"
        assert project.sql("SELECT count(*) FROM kept") == "1000"
        assert re.search(r"stays until you delete it: /\S+/postgres_data/17\n", printed)
        assert (project.path / "postgres_data/17").is_dir()
        assert project.setting("LIVE_DATA") == "postgres_data/18"
        assert_nothing_is_left(project)
    finally:
        project.remove_from_engine()
        project.run("docker", "image", "rm", *images.values())


@pytest.fixture(scope="module")
def site(bake_once) -> Iterator[Project]:
    """One site on PostgreSQL 17 for upgrades that fail or are interrupted."""
    project = bake_once(
        project_slug=Project.unused_slug(), deployment="compose", postgres_version="17"
    )
    project.add_views()
    project.to_production()
    try:
        project.deploy()
        project.sql("CREATE TABLE kept AS SELECT 1 AS row")
        # A table that takes seconds to copy.
        project.sql(
            "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 20) AS x "
            "FROM generate_series(1, 100000) AS n; CREATE INDEX ON big (x)"
        )
        yield project
    finally:
        project.remove_from_engine()


def contents(project: Project) -> dict[str, bytes]:
    """Return the files of the project, without its backups."""
    found = project.files().items()
    return {name: path.read_bytes() for name, path in found if not name.startswith("backups/")}


def assert_as_it_was(project: Project, files: dict[str, bytes]) -> None:
    """Fail unless the old server runs with its data and nothing of the new one is left."""
    project.wait_until(lambda: project.status_over_https("/health/ready") == 200)
    assert version(project) == "17" and project.sql("SELECT row FROM kept") == "1"
    assert contents(project) == files
    assert_nothing_is_left(project)
    assert "db_data_18" not in volumes(project)


def started(project: Project) -> list[str]:
    """Return when each container of the site was started."""
    return project.inspect("db", "{{.State.StartedAt}}") + project.inspect(
        "app", "{{.State.StartedAt}}"
    )


@pytest.mark.xdist_group("upgrade")
def test_what_cannot_be_moved_is_refused_before_anything_stops(site):
    project = site
    running = started(project)

    def refused() -> str:
        process = upgrade(project, check=False)
        assert process.returncode != 0 and "Nothing was upgraded: " in process.stdout
        return process.stdout

    assert "the data is in db_data_17, and compose.yaml names db_data_17. After an" in refused()
    project.name_postgres("18")
    before = contents(project)
    project.replace("ops/Dockerfile", "postgres:18-", "postgres:17-")
    assert "compose.yaml names postgres:18-trixie, and ops/Dockerfile another image." in refused()
    project.replace("ops/Dockerfile", "postgres:17-", "postgres:18-")
    project.replace("compose.yaml", ":/var/lib/postgresql\n", ":/var/lib/postgresql/data\n")
    assert "this PostgreSQL has its data in /var/lib/postgresql/18/docker, and" in refused()
    (project.path / "compose.yaml").write_bytes(before["compose.yaml"])
    # Only one of the files was committed.
    project.replace("compose.production.yaml", "db_data_18", "db_data_17")
    says = "compose.yaml names db_data_18, and compose.production.yaml db_data_17: write the same."
    assert says in refused() and says in project.deploy(check=False).stdout
    project.replace("compose.production.yaml", "db_data_17", "db_data_18")
    assert contents(project) == before

    project.admin_sql("CREATE DATABASE other")
    project.admin_sql("CREATE TABLE theirs AS SELECT 1", "other")
    project.admin_sql(
        "CREATE SUBSCRIPTION news CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)"
    )
    project.admin_sql("ALTER SYSTEM SET work_mem = '7MB'", "postgres")
    project.admin_sql("ALTER ROLE ALL SET jit = off")
    project.admin_sql("ALTER ROLE postgres SET log_statement = ddl")
    conf = 'printf "log_min_duration_statement = 4321\nmax_connections = 4321\n" >> "$PGDATA/postgresql.conf"'
    project.exec("db", "sh", "-c", conf)
    printed = refused()
    for says in (
        "subscriptions: news",
        "settings of ALTER SYSTEM: work_mem",
        "settings of ALTER ROLE for ALL or postgres: jit=off, log_statement=ddl",
        "other databases with data, see make backups: other",
        "which belong into the command of db instead: log_min_duration_statement, max_connections",
    ):
        assert says in printed, printed
    project.exec("db", "sh", "-c", 'sed -i "/4321/d" "$PGDATA/postgresql.conf"')
    project.admin_sql("ALTER SYSTEM RESET work_mem", "postgres")
    project.admin_sql("ALTER ROLE ALL RESET jit")
    project.admin_sql("ALTER ROLE postgres RESET log_statement")
    project.admin_sql("ALTER SUBSCRIPTION news SET (slot_name = NONE)")
    project.admin_sql("DROP SUBSCRIPTION news")
    project.admin_sql("DROP DATABASE other", "postgres")

    assert started(project) == running
    assert_as_it_was(project, before)

    # Data that was in use.
    project.run("docker", "volume", "create", f"{project.stack}_db_data_18")
    make_data = ("--volume", f"{project.stack}_db_data_18:/data", "--entrypoint", "touch")
    project.run("docker", "run", "--rm", *make_data, "postgres:18-trixie", "/data/PG_VERSION")
    assert f"there is data in {project.stack}_db_data_18 already." in refused()
    project.run("docker", "volume", "rm", f"{project.stack}_db_data_18")
    assert_as_it_was(project, before)


@pytest.mark.xdist_group("upgrade")
def test_an_upgrade_that_is_interrupted_leaves_the_old_one(site):
    project = site
    project.name_postgres("18")
    before = contents(project)
    terminal = project.in_terminal("make", "upgrade-postgres")
    terminal.wait_for("Dumping")
    terminal.press_ctrl_c()
    assert terminal.end() != 0
    assert "The site is on db_data_17, as it was." in terminal.shown
    assert_as_it_was(project, before)

    # The comparison finds a difference.
    compare = "            drill.compare(new"
    tamper = '        new.execute("DELETE FROM public.kept;", name)\n'
    project.replace("ops/upgrade.py", compare, f"    {tamper}{compare}")
    process = upgrade(project, check=False)
    (project.path / "ops/upgrade.py").write_bytes(before["ops/upgrade.py"])
    assert process.returncode != 0 and "differs from it." in process.stdout
    assert_as_it_was(project, before)

    # The containers of the site are removed meanwhile.
    running = project.start("make", "upgrade-postgres", env={})
    running.wait_for("Restoring backups/")
    project.compose("down")
    running.process.terminate()
    running.end()
    assert "The site is stopped, with its data in db_data_17 (" in running.printed()
    assert_nothing_is_left(project)
    project.name_postgres("17")
    project.deploy()
    project.name_postgres("18")
    assert_as_it_was(project, before)


@pytest.mark.xdist_group("upgrade")
def test_an_upgrade_that_was_killed_is_completed_by_the_next(site):
    project = site
    acknowledged = write_rows(project)
    project.name_postgres("18")
    running = project.start("python3", "-m", "ops.host", "upgrade-postgres", env={})
    running.wait_for("Restoring backups/")
    running.process.kill()
    running.end()

    # The files name the new place, and the data is in the old one.
    process = project.deploy(check=False)
    assert process.returncode == 1
    (line,) = [line for line in process.stdout.splitlines() if line.startswith("Not released")]
    assert "the data of this site is in db_data_17, and compose.yaml names db_data_18." in line
    assert "To move it: make upgrade-postgres." in line
    project.compose("up", "--detach", "db", check=False)
    project.wait_until(lambda: "The data of this site is in db_data_17" in project.logs("db"))

    # Killed again, after the point of no return: a release completes it.
    running = project.start("python3", "-m", "ops.host", "upgrade-postgres", env={})
    wait_until(lambda: "LIVE_DATA=db_data_18" in project.read(".env"), 300, running.printed)
    running.process.kill()
    running.end()
    project.deploy()

    assert version(project) == "18"
    assert {int(row) for row in project.sql("SELECT id FROM written").split()} >= acknowledged
    project.wait_until(lambda: project.status_over_https("/health/ready") == 200)
    assert_nothing_is_left(project)
    # An older commit would show the data of then.
    project.name_postgres("17")
    process = project.deploy(check=False)
    assert process.returncode == 1
    assert "in db_data_18, and compose.yaml names db_data_17. To stay, undo that" in process.stdout
    process = upgrade(project, check=False)
    assert process.returncode != 0 and "and compose.yaml names db_data_17" in process.stdout


def write_rows(project: Project) -> set[int]:
    """Write rows through the site until an upgrade begins; return those that were acknowledged."""
    project.sql("CREATE TABLE written (id integer PRIMARY KEY)")
    return {n for n in range(200) if project.status_over_https(f"/write?id={n}") == 200}
