"""What backup=continuous costs, and going back to a moment."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import OURS, Group
from benchmarks.measuring import (
    LARGE_DATA,
    ROUNDS,
    in_turns,
    released,
    requests_per_second,
    seconds,
)

# The tier of the tests whose service it needs.
NEEDS = "stack"


def measure(group: Group, folder: Path, rows: int = 1_700_000) -> None:
    """Measure what backup=continuous costs, and how long it takes to go back to a moment."""
    with released(folder / "recovery", "backup=continuous") as project:
        project.sql("CREATE TABLE written (id integer)")
        url = f"https://localhost:{project.port}/write?id=1"
        trust = project.trusting()

        def with_service(do: str, synchronous: str = "false") -> float:
            """Return how many rows clients write while wal runs, or does not."""
            env = project.read(".env")
            setting = f"BACKUP_SYNCHRONOUS={synchronous}"
            (project.path / ".env").write_text(re.sub("BACKUP_SYNCHRONOUS=.*", setting, env))
            if project.sql("SHOW synchronous_standby_names"):
                # Only its start takes the setting back.
                project.compose("up", "--detach", "--no-deps", "wal")
                project.wait_until(lambda: not project.sql("SHOW synchronous_standby_names"))
            project.compose(*do.split(), "wal")
            standby = "wal" if synchronous == "true" else ""
            project.wait_until(lambda: project.sql("SHOW synchronous_standby_names") == standby)
            return requests_per_second(url, trust)

        start = "up --detach --no-deps"
        subjects = {
            OURS: lambda: with_service(start),
            "without it (backup=dump)": lambda: with_service("stop"),
            "with BACKUP_SYNCHRONOUS": lambda: with_service(start, "true"),
        }
        # The turns differ by a tenth, and the goal is a twentieth.
        taken = in_turns(*subjects.values(), rounds=2 * ROUNDS)
        samples = dict(zip(subjects, taken, strict=True))
        group.add("pages that write a row, per second", "", samples, more_is_better=True)
        with_service(start)

        position = "SELECT pg_current_wal_lsn() - '0/0'"
        archive = ("sh", "-c", "cat backups/archive/*/wal/*.zst | wc -c")
        project.admin_sql("SELECT pg_switch_wal()")
        incoming = "backups/archive/*/incoming/*[0-9A-F]"
        project.wait_until(lambda: not list(project.path.glob(incoming)))
        before = int(project.admin_sql(position)), int(project.run(*archive).stdout)
        project.admin_sql(
            "SET ROLE django;" + LARGE_DATA.replace("CHECKPOINT;", "").format(rows=rows)
        )
        written = int(project.admin_sql(position)) - before[0]
        project.admin_sql("SELECT pg_switch_wal()")
        time.sleep(5)
        project.wait_until(lambda: not list(project.path.glob(incoming)))
        kept = int(project.run(*archive).stdout) - before[1]
        group.add(
            "kept for each GB that the log has grown",
            "MB",
            {OURS: [kept / written * 1000], "the log as it is": [1000]},
        )

        size = int(project.sql("SELECT pg_database_size(current_database())")) / 1e6

        def drop_replaced() -> None:
            for word in project.run("make", "backups").stdout.split():
                if word.startswith("DB="):
                    project.run("make", "drop-replaced", word)
            project.admin_sql("CHECKPOINT")

        def restore_to() -> float:
            # What a restore writes is not replayed by the next one.
            make_base = ("exec", "-T", "backup", "python3", "-m", "ops.archive", "base")
            project.compose(*make_base, timeout=900)
            moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            command = ("make", "restore-to", f"TIME={moment}")
            took = seconds(lambda: project.run(*command, timeout=900))
            drop_replaced()
            return took

        def backup_and_restore() -> float:
            def both() -> None:
                name = project.run("make", "backup", timeout=900).stdout.split("backups/")[1]
                project.run("make", "restore", f"FILE=backups/{name.split()[0]}", timeout=900)

            took = seconds(both)
            drop_replaced()
            return took

        ours, floor = in_turns(restore_to, backup_and_restore, rounds=2)
        group.add(
            f"make restore-to of {size:.0f} MB",
            "s",
            {OURS: ours, "make backup and make restore": floor},
        )
