"""With backup=continuous, production goes back to any moment, and loses next to nothing."""

import datetime
import json
import os
import re
import shutil
import subprocess
import threading
import time
import zoneinfo
from pathlib import Path
from typing import Self

import pytest

from tests.support.processes import wait_until
from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("point_in_time")]


@pytest.fixture(scope="module")
def site(bake_once, store) -> Project:
    """One site in production, whose log is received."""
    answers = {"deployment": "compose", "ci": "none", "backup": "continuous"}
    answers |= {"timezone": "Asia/Kathmandu"}
    project = bake_once(project_slug=Project.unused_slug(), **answers)
    project.add_views()
    # What is due is noticed within seconds.
    project.replace("ops/schedule.py", "min(10 * 2", "min(2 * 2")
    project.to_production()
    try:
        assert "\nReleased. https://" in project.deploy().stdout
        project.sql("CREATE TABLE written (id integer PRIMARY KEY, at timestamptz DEFAULT now())")
        wait_for_health(project)
        yield project
    finally:
        project.remove_from_engine()


def in_backup(site, *words: str, check: bool = True):
    return site.exec("backup", *words, check=check)


def health(site, service: str = "backup") -> str:
    """Return why a service is unhealthy, or nothing."""
    module = {"backup": "schedule", "wal": "wal"}[service]
    command = ("python3", "-m", f"ops.{module}", "--healthy")
    process = site.exec(service, *command, check=False)
    assert not process.returncode or process.stdout, process.stdout
    return process.stdout.strip() if process.returncode else ""


def wait_for_health(site, service: str = "backup") -> None:
    """Return when a service is healthy. A drill that a test has cut off is repeated after some minutes."""
    wait_until(
        lambda: not health(site, service),
        360,
        lambda: f"{health(site, service)}\n{site.logs()}",
    )


class Writer:
    """Writes a row after the other, and knows which were acknowledged, and when."""

    def __init__(self, site, begin: int):
        self.acknowledged: list[tuple[float, int]] = []
        words = ["docker", "compose", "exec", "-T", "db", "psql", "-XAtq", "-U", "postgres"]
        self.process = subprocess.Popen(
            [*words, "-v", "ON_ERROR_STOP=1", "-d", site.setting("POSTGRES_DB")],
            cwd=site.path,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.next = begin
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                statement = f"INSERT INTO written VALUES ({self.next}) RETURNING id;\n"
                self.process.stdin.write(statement)
                self.process.stdin.flush()
                answer = self.process.stdout.readline()
            except OSError:
                return
            if not answer:
                return
            self.acknowledged.append((time.time(), int(answer)))
            self.next += 1

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        self.thread.join(60)
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def wait_for_rows(self, number: int) -> None:
        """Return when so many more rows are acknowledged."""
        wanted = len(self.acknowledged) + number
        wait_until(
            lambda: len(self.acknowledged) >= wanted,
            120,
            lambda: f"row {self.next} is not acknowledged",
        )

    def until(self, moment: float) -> list[int]:
        """Return the rows that were acknowledged until then."""
        return [row for at, row in self.acknowledged if at <= moment]


def utc(moment: float) -> str:
    """Return a time as restore-to takes it."""
    return f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d %H:%M:%S.%f}"


def restore_to(site, time: str, check: bool = True):
    return site.run("make", "restore-to", f"TIME={time}", check=check)


def rows(site) -> list[int]:
    return [int(row) for row in site.sql("SELECT id FROM written ORDER BY 1").split()]


def test_a_dropped_table_and_its_uploads_come_back_as_they_were_the_second_before(site):
    in_uploads = ("exec", "-T", "app", "sh", "-c")
    site.compose(*in_uploads, "echo one > /srv/media/one.txt")
    site.run("make", "backup")
    # This one is in a later backup only.
    site.compose(*in_uploads, "echo two > /srv/media/two.txt")
    with Writer(site, 1) as writer:
        writer.wait_for_rows(200)
        moment = time.time()
        writer.wait_for_rows(200)
        site.run("make", "backup")
        site.sql("DROP TABLE written")
        site.compose(*in_uploads, "rm /srv/media/one.txt /srv/media/two.txt")

    printed = restore_to(site, utc(moment)).stdout

    before = writer.until(moment)
    kept = rows(site)
    # The last row may have been committed before that time and acknowledged after it.
    assert kept[: len(before)] == before and len(kept) <= len(before) + 1
    local = datetime.datetime.fromtimestamp(moment, zoneinfo.ZoneInfo("Asia/Kathmandu"))
    said = f"The moment is {utc(moment)} UTC, {local:%Y-%m-%d %H:%M:%S} in Asia/Kathmandu."
    assert printed.index(said) < printed.index("Recovering from backups/archive/")
    assert f"Recovered the database of {utc(moment)} UTC; its last transaction was at " in printed
    assert "Put 2 uploads back that were missing." in printed
    assert "No backup of uploads is as old" not in printed
    assert site.request("/media/one.txt").text == "one\n"
    assert site.request("/media/two.txt").text == "two\n"
    replaced = re.search(r"kept as the database (\S+)", printed)[1]
    assert site.admin_sql("SELECT to_regclass('written') IS NULL", replaced) == "t"
    assert site.request("/read").status == 200
    # Nothing of the recovery stays.
    left = in_backup(site, "ls", "-A", "/var/tmp", "/backups").stdout.split()
    assert "moment" not in left
    site.run("make", "drop-replaced", f"DB={replaced}")


@pytest.mark.long
def test_a_moment_without_a_backup_of_uploads_before_it_is_named(site):
    kept = [path for path in site.path.glob("backups/*-pg18*") if (path / "media").exists()]
    with Writer(site, max(rows(site), default=0) + 1) as writer:
        writer.wait_for_rows(1)
        moment = time.time()
        writer.wait_for_rows(1)
    for path in kept:
        path.rename(path.with_name(f".{path.name}"))
    try:
        said = restore_to(site, utc(moment)).stdout
    finally:
        for path in kept:
            path.with_name(f".{path.name}").rename(path)
    assert "No backup of uploads is as old as that moment: some that were deleted since" in said


def test_a_moment_that_cannot_be_reached_is_refused_with_the_range(site):
    said = site.run("make", "restore-to").stdout
    line = r"  (\S+ \S+) UTC until now, of PostgreSQL 18\n"
    assert re.search(line, said)
    in_an_hour = utc(time.time() + 3600)
    for wrong, hint in {
        "2020-01-01 10:00:00": "2020-01-01 10:00:00 UTC is not one of these moments.",
        in_an_hour: f"{in_an_hour} UTC is not one of these moments.",
        # Only a time of this form: no part of the day, no sum, no zone.
        "01:48:00 + 1 hour": "TIME is a time in UTC, as in TIME='",
        f"{in_an_hour}+05": "TIME is a time in UTC, as in TIME='",
        "--restore": "TIME is a time in UTC, as in TIME='",
    }.items():
        process = restore_to(site, wrong, check=False)
        assert process.returncode != 0
        assert f"Nothing was restored: {hint}" in process.stdout, process.stdout
        assert bool(re.search(line, process.stdout)) == ("is not one" in hint)


def destroy_database(site) -> None:
    """Kill db, and delete its volume."""
    site.compose("kill", "db")
    site.compose("rm", "--force", "db")
    site.run("docker", "volume", "rm", f"{site.stack}_db_data_18")


def histories(site) -> list[Path]:
    return sorted((site.path / "backups/archive").glob("[0-9]*"))


@pytest.fixture(params=[False, True], ids=["asynchronous", "synchronous"])
def synchronous(site, request):
    """Whether a commit waits for the archive."""
    if request.param:
        site.replace(".env", "BACKUP_SYNCHRONOUS=false", "BACKUP_SYNCHRONOUS=true")
        site.compose("up", "--detach", "--no-deps", "wal")
        site.wait_until(lambda: site.sql("SHOW synchronous_standby_names") == "wal", 60)
    yield request.param
    if request.param:
        site.replace(".env", "BACKUP_SYNCHRONOUS=true", "BACKUP_SYNCHRONOUS=false")
        site.compose("up", "--detach", "--no-deps", "wal")
        site.wait_until(lambda: not site.sql("SHOW synchronous_standby_names"), 60)
        wait_for_health(site)


def test_a_server_that_is_killed_and_whose_volume_is_deleted_loses_next_to_nothing(
    site, synchronous
):
    wait_for_health(site, "wal")
    before = histories(site)
    begin = max(rows(site), default=0) + 1
    with Writer(site, begin) as writer:
        writer.wait_for_rows(1000)
        site.compose("kill", "db")
    # Compose may say later that it is killed.
    killed, _ = writer.acknowledged[-1]
    destroy_database(site)
    site.compose("up", "--detach", "--wait", "--no-deps", "db")
    site.wait_until(lambda: len(histories(site)) > len(before), 60)
    # The end of the first history.
    *_, said = re.findall(r" to (\S+ \S+) UTC", site.run("make", "restore-to").stdout)

    restore_to(site, said)

    kept = set(rows(site))
    lost = [(killed - at, row) for at, row in writer.acknowledged if row not in kept]
    # What was acknowledged in the last second, or nothing.
    assert all(0 <= age < 1 for age, _ in lost), lost
    assert not synchronous or not lost
    print(f"{len(lost)} of {len(writer.acknowledged)} rows lost")
    site.wait_until(lambda: site.request("/read").status == 200, 60)
    # The new server has a history of its own, and soon a base backup.
    wait_for_health(site)


def write_log(site, megabytes: int) -> None:
    """Make the server write so much of its log."""
    site.admin_sql(
        f"SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))"
        f" FROM generate_series(1, {megabytes}) \\g /dev/null"
    )


def assert_rows(site, begin: int, expected: list[int]) -> None:
    """Assert that the rows from one on are those that were acknowledged, and at most one more."""
    kept = [row for row in rows(site) if row >= begin]
    assert kept[: len(expected)] == expected
    assert len(kept) <= len(expected) + 1


def assert_a_moment_comes_back(site) -> None:
    """Assert that restore-to brings back exactly the rows of a moment between writes."""
    begin = max(rows(site), default=0) + 1
    with Writer(site, begin) as writer:
        writer.wait_for_rows(100)
        moment = time.time()
        writer.wait_for_rows(100)
    restore_to(site, utc(moment))
    assert_rows(site, begin, writer.until(moment))


def test_the_site_goes_on_without_the_archive_and_nothing_is_missing_afterwards(site):
    site.compose("kill", "wal")
    begin = max(rows(site), default=0) + 1
    with Writer(site, begin) as writer:
        writer.wait_for_rows(200)
        write_log(site, 40)
        writer.wait_for_rows(200)
        moment = time.time()
        writer.wait_for_rows(200)
    assert "The write-ahead log is not received" in health(site)
    refused = restore_to(site, utc(time.time()), check=False)
    assert refused.returncode != 0 and "is not one of these moments." in refused.stdout
    before = histories(site)

    site.compose("start", "wal")

    wait_for_health(site)
    assert histories(site) == before
    restore_to(site, utc(moment))
    assert_rows(site, begin, writer.until(moment))


SMALL_ARCHIVE = """
services:
  backup: &small
    volumes: ["small:/backups/archive"]
  wal: *small
volumes:
  small:
    driver_opts: {type: tmpfs, device: tmpfs, o: size=120m}
"""


@pytest.mark.long
def test_the_site_goes_on_while_the_disk_of_the_archive_is_full(site):
    files = site.setting("COMPOSE_FILE")
    (site.path / "compose.small.yaml").write_text(SMALL_ARCHIVE)
    site.replace(".env", f"COMPOSE_FILE={files}", f"COMPOSE_FILE={files}:compose.small.yaml")
    site.compose("up", "--detach", "--no-deps", "backup", "wal")
    wait_for_health(site)
    assert "A new history of the log begins" in site.logs("wal")
    begin = max(rows(site), default=0) + 1
    with Writer(site, begin) as writer:
        in_backup(site, "dd", "if=/dev/zero", "of=/backups/archive/full", "bs=1M", check=False)
        writer.wait_for_rows(100)
        write_log(site, 40)
        site.wait_until(lambda: "No space left on device" in site.logs("wal"), 60)
        writer.wait_for_rows(100)
        moment = time.time()
        writer.wait_for_rows(100)
    assert "The write-ahead log is not received" in health(site)
    # Nothing is left that is no segment, and would end a restore.
    short = ("find", "/backups/archive", "-name", "*.partial", "-size", "-16384k")
    site.compose("stop", "wal")
    assert in_backup(site, *short).stdout == ""
    site.compose("start", "wal")
    assert site.request("/read").status == 200
    in_backup(site, "rm", "/backups/archive/full")
    wait_for_health(site)
    restore_to(site, utc(moment))
    assert_rows(site, begin, writer.until(moment))

    # Back on a disk that does not have the log of meanwhile.
    before = histories(site)
    site.replace(".env", ":compose.small.yaml", "")
    site.compose("up", "--detach", "--no-deps", "backup", "wal")
    site.run("docker", "volume", "rm", f"{site.stack}_small")
    site.wait_until(lambda: len(histories(site)) > len(before), 60)
    wait_for_health(site)
    refused = restore_to(site, utc(moment), check=False)
    assert refused.returncode != 0 and "is not one of these moments." in refused.stdout


@pytest.mark.long
def test_a_log_with_a_gap_begins_anew_with_a_base_backup(site):
    settings = "compose.production.yaml"
    site.replace(settings, "max_slot_wal_keep_size=4GB", "max_slot_wal_keep_size=32MB")
    site.compose("up", "--detach", "--wait", "--no-deps", "db")
    wait_for_health(site)
    before = histories(site)
    begin = max(rows(site), default=0) + 1
    with Writer(site, begin) as writer:
        writer.wait_for_rows(100)
        moment = time.time()
        writer.wait_for_rows(1)
        wait_for_health(site, "wal")
        time.sleep(1)
        site.compose("stop", "wal")
        for _ in range(3):
            write_log(site, 60)
            site.admin_sql("CHECKPOINT")
        lost = "SELECT 1 FROM pg_replication_slots WHERE wal_status = 'lost'"
        site.wait_until(lambda: site.admin_sql(lost), 60)
        in_the_gap = time.time()
        site.compose("start", "wal")
        site.wait_until(lambda: len(histories(site)) == len(before) + 1, 60)
        wait_for_health(site)
        later = time.time()
        writer.wait_for_rows(100)
    site.replace(settings, "max_slot_wal_keep_size=32MB", "max_slot_wal_keep_size=4GB")

    refused = restore_to(site, utc(in_the_gap), check=False)
    assert refused.returncode != 0 and "is not one of these moments." in refused.stdout
    for wanted in (moment, later):
        restore_to(site, utc(wanted))
        assert_rows(site, begin, writer.until(wanted))
    site.compose("up", "--detach", "--wait", "--no-deps", "db")


def kill_while_it_runs(site, program: str) -> None:
    """Kill the container of backup while a program runs in it."""
    site.wait_until(lambda: program in site.compose("top", "backup").stdout, 120)
    site.compose("kill", "backup")


@pytest.mark.long
def test_a_backup_service_that_is_killed_in_any_phase_goes_on(site):
    # So that each phase takes some time.
    site.sql("CREATE TABLE large AS SELECT gen_random_uuid() AS u FROM generate_series(1, 2000000)")
    newest = histories(site)[-1]
    for base in newest.glob("base/*"):
        shutil.rmtree(base)
    kill_while_it_runs(site, "pg_basebackup")
    assert not list(newest.glob("base/[0-9]*"))
    site.compose("start", "backup")
    begin = max(rows(site), default=0) + 1
    with Writer(site, begin) as writer:
        site.wait_until(lambda: list(newest.glob("base/[0-9]*")), 120)
        writer.wait_for_rows(100)
        write_log(site, 200)
        kill_while_it_runs(site, "zstd")
        moment = time.time()
        writer.wait_for_rows(100)
    site.compose("start", "backup")
    # Interrupted, it restores nothing, also not what an earlier run has left.
    earlier = "python3", "-m", "ops.moment", utc(time.time())
    wait_for_health(site, "wal")
    in_backup(site, *earlier)
    databases = "SELECT string_agg(datname, ' ' ORDER BY 1) FROM pg_database"
    known = site.admin_sql(databases)
    left = ("sh", "-c", "ls -A /var/tmp /backups")
    for signal_name in ("terminate", "kill"):
        running = site.start("python3", "-m", "ops.host", "restore-to", utc(moment), env={})
        running.wait_for("Recovering from ", 60)
        getattr(running.process, signal_name)()
        assert running.end(60) != 0
        site.wait_until(lambda: "moment\n" not in in_backup(site, *left).stdout, 60)
        assert_rows(site, begin, [row for _, row in writer.acknowledged])
        assert site.admin_sql(databases) == known
    restore_to(site, utc(moment))
    assert_rows(site, begin, writer.until(moment))
    site.wait_until(lambda: not list(newest.glob("incoming/*[0-9A-F]")), 60)
    assert not list(newest.glob("base/.partial"))
    wait_for_health(site)
    site.sql("DROP TABLE large")


def test_a_drill_also_recovers_a_moment_of_the_last_day(site):
    printed = site.run("make", "drill").stdout

    assert "compared: all rows are equal" in printed
    assert re.search(r"Drill passed: the database of \S+ \S+ UTC; its last transaction", printed)
    assert re.search(r"  recovered in \d+ s, \d+ rows, all of which can be read", printed)
    assert printed.count("Django applied the migrations of this code to it") == 2
    assert not health(site)

    # A file that is missing in the middle is found.
    newest = histories(site)[-1]
    name = site.admin_sql("SELECT pg_walfile_name(pg_switch_wal())")
    segment = newest / f"wal/{name}.zst"
    site.wait_until(segment.exists, 60)
    segment.rename(segment.with_name("away"))
    process = restore_to(site, utc(time.time()), check=False)
    segment.with_name("away").rename(segment)
    assert process.returncode != 0
    assert "Nothing was restored: the log in backups/archive/" in process.stdout
    assert " has a gap after 0000000" in process.stdout
    # So is the one that is arriving, although wal goes on writing to it.
    for partial in newest.glob("incoming/*.partial"):
        partial.unlink()
    process = restore_to(site, utc(time.time()), check=False)
    assert process.returncode != 0 and " has a gap after 0000000" in process.stdout
    site.compose("restart", "wal")
    wait_for_health(site, "wal")
    # So is one that is damaged.
    content = segment.read_bytes()
    segment.write_bytes(content[: len(content) // 2])
    process = restore_to(site, utc(time.time()), check=False)
    segment.write_bytes(content)
    assert process.returncode != 0 and "Nothing was restored: " in process.stdout


@pytest.mark.long
def test_a_clock_that_was_set_back_is_named_with_the_moments(site):
    position = histories(site)[-1] / "position"
    ahead = time.time() + 3600
    os.utime(position, (ahead, ahead))
    site.wait_until(lambda: position.stat().st_mtime < ahead - 60, 60)
    said = site.run("make", "restore-to").stdout
    (position.parent / "twice").unlink()
    span = re.search(r"The clock was set back: (\S+ \S+) UTC to (\S+ \S+) UTC came twice.", said)
    assert abs(datetime.datetime.fromisoformat(f"{span[2]}+00:00").timestamp() - ahead) < 2


@pytest.mark.long
def test_a_server_whose_data_is_put_back_begins_a_new_history(site):
    volume = f"{site.stack}_db_data_18"
    mounts = ("--volume", f"{volume}:/live", "--volume", f"{volume}_copy:/copy")
    copy = ("docker", "run", "--rm", *mounts, "--entrypoint", "sh", f"{site.stack}-backup", "-ec")
    services = ("app", "db", "wal", "backup")
    try:
        site.compose("stop", *services)
        site.run(*copy, "cp -a /live/. /copy")
        site.compose("start", "db", "wal", "backup")
        wait_for_health(site)
        with Writer(site, 1_000_001) as writer:
            writer.wait_for_rows(1000)
            position = histories(site)[-1] / "position"
            noted = position.stat().st_mtime
            site.wait_until(lambda: position.stat().st_mtime > noted + 1, 60)
            writer.wait_for_rows(1)
        before = histories(site)
        # A copy in the archive confuses nobody either.
        shutil.copytree(before[-1], before[-1].with_name(f"{before[-1].name}.copy"))
        site.compose("stop", *services)
        site.run(*copy, "rm -r /live/* && cp -a /copy/. /live")
        site.compose("start", *services)
        site.wait_until(lambda: len(histories(site)) == len(before) + 2, 60)
        wait_for_health(site)
        assert_a_moment_comes_back(site)
    finally:
        site.run("docker", "volume", "rm", f"{volume}_copy", check=False)
        for path in histories(site):
            if path.name.endswith(".copy"):
                shutil.rmtree(path)


@pytest.mark.long
def test_waiting_for_the_archive_can_be_switched_off_while_wal_cannot_run(site):
    site.replace(".env", "BACKUP_SYNCHRONOUS=false", "BACKUP_SYNCHRONOUS=true")
    assert "\nReleased. https://" in site.deploy().stdout
    assert site.sql("SHOW synchronous_standby_names") == "wal"
    site.compose("kill", "wal")
    site.replace(".env", "BACKUP_SYNCHRONOUS=true", "BACKUP_SYNCHRONOUS=false")
    assert "\nReleased. https://" in site.deploy().stdout
    assert site.sql("SHOW synchronous_standby_names") == ""


@pytest.mark.long
def test_what_is_older_than_the_window_is_deleted(site):
    site.compose("stop", "backup")
    newest = histories(site)[-1]
    for base in newest.glob("base/*"):
        shutil.rmtree(base)
    archive = ("run", "--rm", "--no-deps", "-T", "-e", "RECOVERY_WINDOW=3", "backup")
    archive += ("python3", "-m", "ops.archive")

    def make_base() -> Path:
        before = set(newest.glob("base/*"))
        site.compose(*archive, "base")
        (made,) = set(newest.glob("base/*")) - before
        return made

    def named(days: float) -> Path:
        name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - days * 86400))
        return newest / f"base/{name}"

    # A clock that was ahead for a while makes the last one, and a lost history is far in the past.
    first = make_base()
    bases = [shutil.copytree(first, named(days)) for days in (6.9, 5.9, 4.9)]
    shutil.rmtree(first)
    bases.append(make_base().rename(named(3.9)))
    bases += [shutil.copytree(bases[-1], named(days)) for days in (2.9, 1.9, 0.9, -300)]
    site.admin_sql("SELECT pg_switch_wal()")
    site.compose(*archive, "compress")
    # The archive looks as before, so that the logs of older releases can be replayed.
    files = {path.name for path in bases[3].iterdir()}
    assert files == {"about.txt", "backup_manifest", "base.tar.zst"}
    assert {path.name for path in newest.iterdir()} >= {"base", "incoming", "wal", "position"}
    old = [path for path in histories(site) if path != newest]
    assert old
    for path in old[0].rglob("*"):
        subprocess.run(["touch", "--no-dereference", "--date=9 days ago", path], check=True)

    process = site.compose(*archive, "base")

    (made,) = set(newest.glob("base/*")) - set(bases)
    assert sorted(newest.glob("base/*")) == sorted([*bases[3:], made])
    assert [path for path in old if path.exists()] == old[1:]
    assert f"Removed backups/archive/{old[0].name}\n" in process.stdout
    first = re.search("^first=(.*)$", (bases[3] / "about.txt").read_text(), re.MULTILINE)[1]
    segments = sorted(path.name[:24] for path in newest.glob("wal/*.zst"))
    assert segments[0] == first
    site.compose("start", "backup")
    # The oldest one still reaches each moment.
    for base in (*bases[4:], made):
        shutil.rmtree(base)
    assert_a_moment_comes_back(site)


@pytest.mark.long
def test_an_upgrade_begins_a_new_history_and_the_old_version_reaches_the_old_one(bake_once):
    answers = {"deployment": "compose", "backup": "continuous", "postgres_version": "15"}
    project = bake_once(project_slug=Project.unused_slug(), ci="none", **answers)
    project.to_production()
    old_image = f"{project.stack}-old-backup"
    try:
        project.deploy()
        project.sql("CREATE TABLE written (id integer PRIMARY KEY)")
        wait_for_health(project)
        with Writer(project, 1) as writer:
            writer.wait_for_rows(100)
            moment = time.time()
            writer.wait_for_rows(100)
        printed = restore_to(project, utc(moment)).stdout
        assert_rows(project, 1, writer.until(moment))
        # An upgrade moves no other databases.
        replaced = re.search(r"kept as the database (\S+)", printed)[1]
        project.run("make", "drop-replaced", f"DB={replaced}")
        with Writer(project, 1000) as writer:
            writer.wait_for_rows(100)
            moment = time.time()
            writer.wait_for_rows(100)

        project.name_postgres("17")
        printed = project.run("make", "upgrade-postgres").stdout

        # The slot of wal is no matter of the user.
        assert "Replication slots" not in printed
        wait_for_health(project)
        old, new = histories(project)
        assert "-pg15-" in old.name and "-pg17-" in new.name
        assert health(project, "wal") == ""
        refused = restore_to(project, utc(moment), check=False)
        assert refused.returncode != 0
        assert "this moment is of PostgreSQL 15, and the programs here are of 17" in refused.stdout
        # As in the documentation.
        block = project.read("ops/backups.md").rpartition("\n    sed ")[2]
        commands = "sed " + block.replace("\\\n", "").replace("postgres:17", "postgres:15")
        commands = commands.replace("2026-11-21 10:00:00", utc(moment))
        project.run("sh", "-ec", commands.replace("old-backup", old_image))
        assert_rows(project, 1000, writer.until(moment))
        assert_a_moment_comes_back(project)
    finally:
        project.remove_from_engine()
        project.run("docker", "image", "rm", old_image, check=False)


def test_a_lost_server_comes_back_with_what_was_written_after_its_last_backup(
    site, store, tmp_path
):
    for name, value in {
        "BACKUP_REPOSITORY": f"s3:{store.url}/{store.bucket.name}/site",
        "BACKUP_ACCESS_KEY": store.key,
    }.items():
        site.replace(".env", f"\n{name}=\n", f"\n{name}={value}\n")
    with open(site.path / ".env", "a") as env:
        env.write("BACKUP_CA_FILE=/project/authority.pem\n")
    (site.path / "secrets/backup_secret_key").write_text(f"{store.secret}\n")
    shutil.copy(store.authority, site.path / "authority.pem")
    site.run("make", "backup")
    site.compose("up", "--detach", "--no-deps", "--force-recreate", "backup")
    listing = ("make", "backups")
    line = "off-site\tthe log up to"
    site.wait_until(lambda: line in site.run(*listing, check=False).stdout, 120)
    wait_for_health(site)
    begin = max(rows(site), default=0) + 1
    with Writer(site, begin) as writer:
        writer.wait_for_rows(100)
    # A quarter of an hour later.
    forget = "from ops import offsite; offsite.remember(log=1)"
    in_backup(site, "python3", "-c", forget)
    memory = site.path / "backups/.copies.json"
    site.wait_until(lambda: json.loads(memory.read_text())["log"] > 1, 60)
    with Writer(site, begin + 1000) as later:
        later.wait_for_rows(100)
    repository = site.setting("BACKUP_REPOSITORY")
    site.compose("down", "--volumes", "--timeout", "5")
    new = Project(tmp_path / site.slug)
    shutil.copytree(site.path, new.path, ignore=shutil.ignore_patterns(".env", "backups"))
    for path in (new.path / "secrets").glob("[!.]*"):
        if path.name not in ("backup_key", "backup_secret_key"):
            path.unlink()
    (new.path / "backups").mkdir()
    account = {"BACKUP_ACCESS_KEY": store.key, "BACKUP_CA_FILE": "/project/authority.pem"}
    try:
        printed = new.run("make", "recover", f"FROM={repository}", env=account).stdout

        assert "Recovered the database of the end of the log" in printed
        assert (
            "The log after it was replayed to its end; what was written after that is lost."
            in printed
        )
        assert [row for row in rows(new) if row >= begin] == writer.until(time.time())
        new.port = int(new.setting("HTTPS_PORT"))
        assert new.request("/health/ready").status == 200
        wait_for_health(new)
    finally:
        new.remove_from_engine()
