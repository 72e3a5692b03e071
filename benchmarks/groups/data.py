"""A restore and an upgrade beside PostgreSQL's own programs."""

from pathlib import Path

from benchmarks.figures import OURS, Group
from benchmarks.measuring import LARGE_DATA, in_turns, released, seconds
from tests.support.project import Project

# The tier of the tests whose service it needs.
NEEDS = "stack"


def measure(group: Group, folder: Path, rows: int = 1_700_000) -> None:
    """Measure a restore and an upgrade beside PostgreSQL's own programs."""
    with released(folder / "data", "postgres_version=17") as project:
        measure_on(group, project, rows)


def measure_on(group: Group, project: Project, rows: int) -> None:
    """Measure on a released project, whose data moves to PostgreSQL 18."""
    name = project.setting("POSTGRES_DB")
    # It would drill the first backup meanwhile.
    project.compose("stop", "drill")

    def in_db(*command: str) -> float:
        line = ("exec", "-T", "db", *command)
        return seconds(lambda: project.compose(*line, timeout=900))

    def restore(backup: str) -> float:
        took = seconds(
            lambda: project.run("make", "restore", f"FILE=backups/{backup}", timeout=900)
        )
        listed = project.run("make", "backups").stdout
        for word in listed.split():
            if word.startswith("DB="):
                project.run("make", "drop-replaced", word)
        project.admin_sql("CHECKPOINT")
        return took

    def bare_restore(dump: str) -> float:
        in_db("createdb", "-U", "postgres", "bare")
        took = in_db("pg_restore", "-U", "postgres", "-j", "2", "-d", "bare", dump)
        in_db("dropdb", "-U", "postgres", "bare")
        project.admin_sql("CHECKPOINT")
        return took

    project.admin_sql("SET ROLE django;" + LARGE_DATA.replace("CHECKPOINT;", "").format(rows=rows))
    size = int(project.sql("SELECT pg_database_size(current_database())")) / 1e6
    made = project.run("make", "backup", timeout=900).stdout
    backup = made.split("backups/")[1].split()[0]
    ours, bare = in_turns(lambda: restore(backup), lambda: bare_restore(f"/backups/{backup}/data"))
    group.add(f"make restore of {size:.0f} MB", "s", {OURS: ours, "pg_restore -j 2": bare})
    copy = ("pg_dump", "-U", "postgres", "-Fd", "-j", "2", "-f", "/tmp/bare", name)
    bare_copy = in_db(*copy) + bare_restore("/tmp/bare")
    in_db("rm", "-r", "/tmp/bare")
    project.name_postgres("18")
    upgrade = ("make", "upgrade-postgres")
    took = seconds(lambda: project.run(*upgrade, timeout=1800))
    group.add(
        f"make upgrade-postgres of {size:.0f} MB",
        "s",
        {OURS: [took], "pg_dump -j 2 and pg_restore -j 2": [bare_copy]},
    )
