"""A restore that is interrupted, two restores at once, and a restore while the site writes."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.backups import backup, databases, restore
from tests.support.processes import Running, wait_until
from tests.support.project import Project
from tests.support.rich_database import state_of

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("data")]

BIG_TABLE = """
CREATE TABLE big AS SELECT n, repeat(md5(n::text), 20) AS x FROM generate_series(1, 200000) AS n;
CREATE INDEX ON big (x);
"""
RUNNING = "^(python3 -m ops.restore|.*pg_restore)"


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
    wait_until(lambda: project.admin_sql(copying) != "0", 120, explain)


def restores(project: Project) -> list[str]:
    """Return the processes of restores in the container of backup."""
    return project.exec("backup", "pgrep", "-f", RUNNING, check=False).stdout.split()


@pytest.fixture
def big_backup(project) -> Iterator[str]:
    """A backup that takes seconds to restore."""
    project.sql(BIG_TABLE)
    name = backup(project)
    project.sql("DROP TABLE big; CREATE TABLE later AS SELECT 1 AS row")
    yield name
    project.sql("DROP TABLE IF EXISTS big; DROP TABLE IF EXISTS later")


def test_the_second_of_two_restores_is_refused(project, big_backup):
    first = start_restore(project, big_backup)
    pkill = ("exec", "-T", "backup", "pkill", "-f", RUNNING)
    project.compose(*pkill, "--signal", "STOP")
    second = restore(project, big_backup, check=False)
    project.compose(*pkill, "--signal", "CONT")
    assert second.returncode != 0
    assert "Nothing was restored: another restore is running." in second.stdout
    assert first.end(600) == 0, first.printed()
    assert project.sql("SELECT count(*) FROM big") == "200000"


def test_a_restore_that_is_interrupted_changes_nothing(project, big_backup):
    before = state_of(project)

    def nothing_changed(explain: str = "") -> None:
        wait_until(lambda: not restores(project), 120, project.logs)
        assert databases(project) == {project.slug}, explain
        assert state_of(project) == before and project.sql("SELECT * FROM later") == "1"

    terminal = project.in_terminal("make", "restore", f"FILE={big_backup}")
    wait_for_copy(project, terminal.read)
    terminal.wait_for("Restoring: ")
    terminal.press_ctrl_c()
    assert terminal.end() != 0
    assert "Nothing was restored: it was interrupted." in terminal.shown
    # The message came after the last process of the restore had ended.
    assert not restores(project)
    nothing_changed()

    terminal = project.in_terminal("make", "restore", f"FILE={big_backup}")
    wait_for_copy(project, terminal.read)
    terminal.close()
    nothing_changed()

    for pattern, signal in (
        (f"restore FILE={big_backup}", "TERM"),
        (f"ops.host restore {big_backup}", "INT"),
        (f"ops.host restore {big_backup}", "KILL"),
        (f"docker exec -i .*{big_backup}", "KILL"),
    ):
        running = start_restore(project, big_backup)
        project.run("pkill", f"-{signal}", "-f", pattern)
        assert running.end() != 0
        nothing_changed(f"{signal} {pattern}\n{running.printed()}")

    # The processes in the container are killed, then the server: nothing can clean up.
    running = start_restore(project, big_backup)
    kill = ("exec", "-T", "backup", "pkill", "-KILL", "-f", RUNNING)
    project.compose(*kill, check=False)
    assert running.end() != 0
    assert databases(project) >= {project.slug, f"{project.slug}_restoring"}
    listed = project.run("make", "backups").stdout
    assert re.search(rf"not complete\s+database {project.slug}_restoring", listed), listed
    assert project.sql("SELECT * FROM later") == "1"
    running = start_restore(project, big_backup)
    project.compose("kill", "db")
    assert running.end() != 0
    (line,) = [line for line in running.printed().splitlines() if "Nothing was restored" in line]
    assert "server" in line
    project.up("db")

    # The next one drops what they have left, which is not in a backup.
    restore(project, backup(project))
    assert state_of(project) == before
    restore(project, big_backup)
    assert project.sql("SELECT count(*) FROM big") == "200000"
    assert databases(project) == {project.slug, f"{project.slug}_before"}
    assert project.admin_sql("SELECT count(*) FROM pg_roles WHERE rolname = 'ops_restorer'") == "0"


def test_a_restore_while_the_site_writes_loses_no_row(project):
    project.sql("CREATE TABLE written (id integer PRIMARY KEY)")
    project.sql("INSERT INTO written SELECT -n FROM generate_series(1, 1000) n")
    name = backup(project)
    acknowledged, stop = [], []

    def write(client: int) -> None:
        number = client * 100000
        while not stop:
            number += 1
            if project.status_over_https(f"/write?id={number}") == 200:
                acknowledged.append(number)

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(write, client) for client in range(1, 9)]
        try:
            wait_until(lambda: len(acknowledged) > 100, 120, project.logs)
            replaced = re.search(r"kept as the database (\S+)", restore(project, name).stdout)[1]
            count = len(acknowledged)
            wait_until(lambda: len(acknowledged) > count + 100, 120, project.logs)
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
