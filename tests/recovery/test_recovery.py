"""Production is backed up every day, off-site as well, and comes back from that alone."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support.embedded_postgres import free_port
from tests.support.mail_server import MailServer
from tests.support.monitor import Monitor
from tests.support.processes import Running, wait_until
from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("recovery")]


@pytest.fixture(scope="module")
def monitor(store) -> Iterator[Monitor]:
    """A service that expects pings."""
    with Monitor(store.host) as monitor:
        yield monitor


@pytest.fixture(scope="module")
def mail_server(store) -> Iterator[MailServer]:
    """The mail server of the site."""
    with MailServer(host=store.host) as server:
        yield server


@pytest.fixture(scope="module")
def site(bake_once, store, monitor, mail_server) -> Iterator[Project]:
    """One site in production with a bucket for its backups, and with somebody who is told."""
    project = bake_once(project_slug=Project.unused_slug(), deployment="compose", ci="none")
    project.add_views()
    # What is due is noticed within seconds. A drill is not: it would meet those of the tests.
    project.replace("ops/schedule.py", "min(10 * 2", "min(2 * 2")
    project.replace("ops/drill.py", "time.sleep(60)", "time.sleep(10)")
    project.to_production(
        BACKUP_REPOSITORY=f"s3:{store.url}/{store.bucket.name}/site",
        BACKUP_ACCESS_KEY=store.key,
        BACKUP_CA_FILE="/project/authority.pem",
        BACKUP_PING_URL=monitor.url,
        ADMINS="admin@shop.example",
    )
    email_url = f"smtp://{mail_server.host}:{mail_server.port}\n"
    (project.path / "secrets/email_url").write_text(email_url)
    (project.path / "secrets/backup_secret_key").write_text(f"{store.secret}\n")
    shutil.copy(store.authority, project.path / "authority.pem")
    try:
        assert "\nReleased. https://" in project.deploy().stdout
        yield project
    finally:
        project.remove_from_engine()


def listed(site) -> str:
    return site.run("make", "backups").stdout


def in_backup(site, *words: str, check: bool = True):
    return site.exec("backup", *words, check=check)


def test_the_first_backup_is_made_at_once_and_copied(site, monitor):
    site.wait_until(lambda: "off-site" in listed(site), 60)
    (name,) = re.findall(r"off-site\t(backups/\S+)", listed(site))
    assert f"Copied {name} off-site." in site.logs("backup")
    for part in ("backup", "copy"):
        site.wait_until(lambda part=part: ("/id", part) in monitor.asked, 60)
        assert ("/id/start", part) in monitor.asked
    site.wait_until(lambda: not health(site), 60)


def make_backup(site) -> str:
    """Make a backup by hand; return its name."""
    printed = site.run("make", "backup").stdout
    return re.search(r"^Made (backups/\S+) ", printed, re.MULTILINE)[1]


def health(site) -> str:
    """Return why backup is unhealthy, or nothing."""
    process = in_backup(site, "python3", "-m", "ops.schedule", "--healthy", check=False)
    assert bool(process.returncode) == bool(process.stdout), process.stdout
    return process.stdout.strip()


def in_uploads(site, command: str) -> str:
    return site.exec("app", "sh", "-c", f"cd /srv/media && {command}").stdout


def test_a_backup_from_off_site_brings_back_rows_and_missing_uploads(site, store):
    site.sql("CREATE TABLE notes AS SELECT 'kept' AS text")
    in_uploads(site, "mkdir -p in && echo one > 'in/a b.txt' && echo two > two.txt")
    # What was just written may still change within the same tick of the clock, and is copied again.
    in_uploads(site, "touch -d '1 minute ago' two.txt")
    name = make_backup(site)
    site.wait_until(lambda: f"off-site\t{name}" in listed(site), 90)
    # A file that did not change takes no space in the next backup.
    again = site.path / make_backup(site) / "media/two.txt"
    assert again.samefile(site.path / name / "media/two.txt")
    stored = b"".join(path.read_bytes() for path in store.bucket.rglob("*") if path.is_file())
    assert b"kept" not in stored and site.setting("POSTGRES_DB").encode() not in stored
    shutil.rmtree(site.path / name)
    site.sql("UPDATE notes SET text = 'lost'")
    in_uploads(site, "rm -r in && echo newer > two.txt && echo three > three.txt")

    printed = site.run("make", "restore", f"FILE={name}").stdout

    assert f"Fetched {name}." in printed and f"Restored {name}." in printed
    assert "Put 1 uploads back that were missing." in printed
    assert site.sql("SELECT text FROM notes") == "kept"
    assert in_uploads(site, "cat 'in/a b.txt' two.txt three.txt") == "one\nnewer\nthree\n"
    assert site.request("/media/in/a%20b.txt").text == "one\n"
    missing = site.run("make", "restore", "FILE=backups/none", check=False)
    assert missing.returncode != 0 and "there is no backups/none" in missing.stdout


def move_in_time(site, name: str, time_in_name: str) -> None:
    """Give a backup another time, as if it had been made then."""
    old = site.path / name
    old.rename(old.with_name(re.sub(r"\d{8}T\d{6}Z", time_in_name, old.name)))


def days_ago(number: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - number * 86400))


def folders(site) -> list[str]:
    return sorted(path.name for path in (site.path / "backups").glob("[!.]*") if path.is_dir())


def in_drill(site, *words: str, check: bool = True):
    return site.exec("drill", *words, check=check)


def drill_result(site) -> str:
    """Return the result of the last drill, or nothing."""
    printed = in_drill(site, "cat", "/var/lib/drill/result.json", check=False).stdout
    return json.loads(printed)["backup"]["text"] if printed.startswith("{") else ""


def test_a_missed_backup_is_made_up_for_and_old_ones_are_removed(site):
    site.compose("stop", "backup")
    first, *others = [f"backups/{name}" for name in folders(site)]
    for name in others:
        shutil.rmtree(site.path / name)
    move_in_time(site, first, days_ago(2))
    (name,) = folders(site)
    for days in range(8, 14):
        copy = site.path / "backups" / re.sub(r"\d{8}T\d{6}Z", days_ago(days), name)
        shutil.copytree(site.path / "backups" / name, copy, symlinks=True)
    # It stays if it is being copied at the moment when the oldest one is removed: let it have a copy.
    memory = site.path / "backups/.copies.json"
    known = json.loads(memory.read_text())
    memory.write_text(json.dumps(known | {"names": [*known["names"], copy.name]}))
    # By a clock that was wrong.
    future = site.path / "backups" / re.sub(r"\d{8}T\d{6}Z", "20990101T000000Z", name)
    shutil.copytree(site.path / "backups" / name, future, symlinks=True)
    ours = site.path / "backups/kept-by-hand"
    shutil.copytree(site.path / "backups" / name, ours, symlinks=True)
    before = folders(site)

    site.compose("start", "backup")
    site.wait_until(lambda: set(folders(site)) - set(before), 60)
    (made,) = set(folders(site)) - set(before)
    # The drill of the last week, by a clock that was wrong.
    result = '{"backup": {"passed": true, "time": "20990101T000000Z", "name": "", "text": ""}}'
    in_drill(site, "sh", "-c", 'echo "$0" > /var/lib/drill/result.json', result)
    site.wait_until(lambda: drill_result(site).startswith(f"Drill passed: backups/{made}"))

    # The newest seven, what is of the future, and what has another name.
    assert len(folders(site)) == 9 and {ours.name, future.name, name, made} < set(folders(site))
    site.wait_until(lambda: not health(site), 60)
    shutil.rmtree(future)
    shutil.rmtree(ours)


def test_a_backup_service_without_a_new_backup_is_unhealthy(site):
    site.compose("stop", "backup")
    for name in folders(site)[:-1]:
        shutil.rmtree(site.path / "backups" / name)
    (name,) = folders(site)
    move_in_time(site, f"backups/{name}", days_ago(27 / 24))
    lock = "LOCK TABLE notes; SELECT pg_sleep(600)"
    holding = site.start(
        *("docker", "compose", "exec", "-T", "db", "psql", "-U", "postgres"),
        *("-d", site.setting("POSTGRES_DB"), "-c", f"BEGIN; {lock}"),
        env={},
    )
    site.wait_until(lambda: site.sql("SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock'"))
    site.compose("start", "backup")
    site.wait_until(lambda: "Dumping" in site.logs("backup").rpartition("Made backups/")[2], 60)
    assert "is older than 26 hours." in health(site)
    # Killed in the middle of a backup: nothing is left that counts, and the next start makes one.
    site.compose("kill", "backup")
    site.admin_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'"
    )
    holding.end(30)
    assert len(folders(site)) == 1
    site.compose("start", "backup")
    site.wait_until(lambda: not health(site), 90)


def in_store(site, command: str) -> subprocess.CompletedProcess[str]:
    """Ask for the copies."""
    return in_backup(site, "python3", "-m", "ops.offsite", command, check=False)


@pytest.mark.long
def test_a_store_that_is_away_or_hangs_keeps_nobody_from_a_backup(
    site, store, monitor, mail_server
):
    os.kill(store.server.process.pid, signal.SIGSTOP)
    try:
        name = make_backup(site)
        # Killed while it copies.
        site.wait_until(lambda: "restic" in site.compose("top", "backup").stdout, 90)
        site.compose("kill", "backup")
    finally:
        os.kill(store.server.process.pid, signal.SIGCONT)
    site.compose("start", "backup")
    site.wait_until(lambda: f"off-site\t{name}" in listed(site), 90)

    note = site.path / "backups/.failing.copy"
    mail_server.take()
    store.stop()
    try:
        name = make_backup(site)
        process = site.run("make", "backups", check=False)
        assert process.returncode != 0 and name in process.stdout
        assert "Off-site: the copies cannot be listed: " in process.stdout
        assert "\nReleased. https://" in site.deploy().stdout
        site.wait_until(note.exists, 90)
        site.wait_until(lambda: [text for path, text in monitor.asked if path == "/id/fail"])
        assert mail_server.take() == []
        # A quarter of an hour later.
        known = json.loads(note.read_text())
        note.write_text(json.dumps(known | {"since": known["since"] - 1000}))
        site.wait_until(lambda: json.loads(note.read_text())["mailed"], 200)
    finally:
        store.start()
    (mail,) = mail_server.take()
    assert mail.recipients == ["admin@shop.example"] and mail["Subject"].endswith("Failed: copy")
    assert "BACKUP_REPOSITORY cannot be used: " in mail.get_content()
    site.wait_until(lambda: f"off-site\t{name}" in listed(site), 300)
    site.wait_until(lambda: not note.exists())
    assert mail_server.take() == []


def test_what_is_wrong_with_the_copies_is_one_line(site):
    for file, hint in {
        "backup_secret_key": "BACKUP_REPOSITORY cannot be used: ",
        "backup_key": "wrong password or no key found",
    }.items():
        secret = site.path / "secrets" / file
        right = secret.read_text()
        secret.chmod(0o644)
        secret.write_text("wrong\n")
        process = in_store(site, "check")
        secret.write_text(right)
        assert process.returncode == 1 and hint in process.stdout
        assert len(process.stdout.splitlines()) == 1, process.stdout
    key = site.path / "secrets/backup_key"
    key.rename(key.with_name("moved"))
    assert (
        in_store(site, "check").stdout
        == "Off-site: there is no secrets/backup_key: make secrets.\n"
    )
    key.with_name("moved").rename(key)
    assert in_store(site, "check").returncode == 0

    for line, reason in {
        "BACKUP_TIME=25:00": "BACKUP_TIME is a time of the day in UTC, as in 03:00, not '25:00'.",
        "BACKUP_KEEP=a week": "BACKUP_KEEP is a whole number of days from 1 to 9999, not 'a week'.",
    }.items():
        name = line.partition("=")[0]
        right = f"{name}={site.setting(name)}\n"
        site.replace(".env", right, f"{line}\n")
        process = site.deploy(check=False)
        site.replace(".env", f"{line}\n", right)
        assert process.returncode == 1
        assert process.stdout.splitlines()[-1] == f"Not released: {reason}"


def test_a_release_does_not_end_a_restore_that_runs(site):
    lock = ("flock", "/var/run/postgresql/restore.lock", "sleep", "300")
    site.compose("exec", "--detach", "backup", *lock)
    try:
        site.wait_until(lambda: "sleep 300" in site.compose("top", "backup").stdout)
        process = site.deploy(check=False)
        reason = "a restore is running. Release when it has ended."
        assert process.stdout.splitlines()[-1] == f"Not released: {reason}"
    finally:
        site.compose("restart", "--timeout", "5", "backup")


SFTP_SERVER = r"""
FROM {image}
RUN apt-get update -q && apt-get install -y -q --no-install-recommends openssh-server && \
    mkdir -p /run/sshd && useradd --create-home keeper
ENTRYPOINT ["sh", "-c", "install -D -o keeper /dev/stdin /home/keeper/.ssh/authorized_keys; exec /usr/sbin/sshd -D -e \"$@\"", "sh"]
"""


@pytest.mark.long
def test_copies_go_to_a_server_that_only_adds_and_to_sftp(site, store, tmp_path):
    name = make_backup(site).removeprefix("backups/")
    make_key = "ssh-keygen -q -t ed25519 -N '' -f /tmp/key && cat /tmp/key"
    (site.path / "secrets/backup_ssh_key").write_text(in_backup(site, "sh", "-c", make_key).stdout)
    public = in_backup(site, "cat", "/tmp/key.pub").stdout
    # Its schedule copies to another place.
    site.compose("stop", "backup")

    def offsite(repository: str, *command: str) -> subprocess.CompletedProcess[str]:
        variable = f"BACKUP_REPOSITORY={repository}"
        command = command or ("python3", "-m", "ops.offsite", "copies")
        run = ("run", "--rm", "--no-deps", "-T", "-e", variable, "backup")
        return site.compose(*run, *command, check=False)

    port = free_port()
    command = ["rclone", "serve", "restic", "--append-only", f"--addr={store.host}:{port}"]
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    server = Running([*command, str(tmp_path / "copies")], tmp_path, home)
    try:
        server.wait_for("Serving restic", 30)
        url = f"rest:http://{store.host}:{port}/"
        assert f"Copied backups/{name} off-site." in offsite(url).stdout
        key = ("--password-file", "/project/secrets/backup_key", "--no-cache", "-r", url)
        deleted = offsite(url, "restic", *key, "forget", "--prune", "latest")
        assert deleted.returncode != 0 and "403" in deleted.stdout, deleted.stdout
        assert name in offsite(url, "python3", "-m", "ops.offsite", "list").stdout
    finally:
        server.process.kill()
        server.end()

    port = free_port()
    image = f"{site.stack}-sftp"
    build = ["docker", "build", "--quiet", "--tag", image, "-"]
    dockerfile = SFTP_SERVER.format(image=f"{site.stack}-backup")
    subprocess.run(build, input=dockerfile, text=True, check=True, capture_output=True)
    run = ["docker", "run", "--rm", "--interactive", "--network", "host", "--name", image, image]
    run += ["-p", str(port), "-o", f"ListenAddress={store.host}"]
    sshd = subprocess.Popen(run, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        sshd.stdin.write(public)
        sshd.stdin.close()
        printed = []
        while "Server listening" not in "".join(printed[-1:]):
            printed.append(sshd.stderr.readline())
            assert printed[-1], printed
        url = f"sftp://keeper@{store.host}:{port}//home/keeper/copies"
        assert f"Copied backups/{name} off-site." in offsite(url).stdout
    finally:
        site.run("docker", "rm", "--force", image)
        sshd.wait()
        site.run("docker", "image", "rm", image)
        site.compose("start", "backup")


def test_old_copies_are_removed_as_documented(site, store):
    # What is copied later would not be among those that are looked at.
    lacking = ("python3", "-c", "from ops import offsite; print(len(offsite.lacking()))")
    site.wait_until(lambda: in_backup(site, *lacking).stdout.strip() == "0", 120)
    # Several of today, and of other days.
    before = set(re.findall(r"off-site\t(\S+)", listed(site)))
    days = {re.search(r"-(\d{8})T", name)[1]: name for name in sorted(before)}
    assert len(before) > len(days)
    command = re.search(
        r"^    (restic forget --host backup .*)", site.read("ops/backups.md"), re.MULTILINE
    )
    account = {
        "RESTIC_REPOSITORY": site.setting("BACKUP_REPOSITORY"),
        "RESTIC_PASSWORD_FILE": "/project/secrets/backup_key",
        "AWS_ACCESS_KEY_ID": store.key,
        "AWS_SECRET_ACCESS_KEY": store.secret,
        "SSL_CERT_FILE": "/project/authority.pem",
    }
    variables = [word for name, value in account.items() for word in ("-e", f"{name}={value}")]
    # For half an hour, it waits for what a test has killed.
    for words in ("restic unlock --remove-all", command[1]):
        site.compose("exec", "-T", *variables, "backup", "sh", "-ec", f"{words} --no-cache")
    # restic also keeps the oldest one, until there are as many as the command says.
    after = set(re.findall(r"off-site\t(\S+)", listed(site)))
    assert after == {min(before), *days.values()}


def test_two_schedules_make_one_backup(site):
    before = folders(site)
    site.compose("up", "--detach", "--no-recreate", "--no-deps", "--scale", "backup=2", "backup")
    site.wait_until(lambda: "Another schedule runs." in site.logs("backup"))
    site.run("docker", "rm", "--force", "--volumes", f"{site.stack}-backup-2")
    assert folders(site) == before


def test_an_image_of_another_version_is_unhealthy_at_once(site):
    check = ("python3", "-m", "ops.schedule", "--healthy")
    found = site.compose("exec", "-T", "-e", "PG_MAJOR=17", "backup", *check, check=False)
    reason = "The programs here are of PostgreSQL 17, and the server is 18: docker compose up "
    assert found.returncode == 1 and found.stdout.startswith(reason)


def test_a_drill_finds_a_backup_that_cannot_be_restored(site):
    # A dump sets an empty search_path, so the second function cannot find the first one.
    site.sql("CREATE FUNCTION one(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1'")
    body = "'BEGIN RETURN one($1); END'"
    site.sql(f"CREATE FUNCTION two(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS {body}")
    site.sql("ALTER TABLE notes ADD CONSTRAINT two CHECK (two(text) IS NOT NULL)")
    name = make_backup(site)

    process = site.run("make", "drill", check=False)

    assert process.returncode != 0
    assert f"Drill failed: {name} cannot be restored: " in process.stdout
    assert "function one(text) does not exist" in process.stdout
    assert health(site).startswith(f"Drill failed: {name}")
    site.sql("ALTER TABLE notes DROP CONSTRAINT two")
    make_backup(site)

    # What differs is found: a row that is only in the restored database, and a byte of an upload.
    script, compare = "ops/drill.py", "compare(server, folder, database())"
    delete = 'server.execute("DELETE FROM public.notes", database())'
    site.replace(script, compare, f"{delete}\n            {compare}")
    process = site.run("make", "drill", check=False)
    site.replace(script, f"{delete}\n            {compare}", compare)
    assert process.returncode != 0 and "differs from it." in process.stdout
    in_uploads(site, "echo whole > page.txt")
    name = make_backup(site)
    upload = site.path / name / "media/page.txt"
    status = upload.stat()
    upload.write_text("whale\n")
    os.utime(upload, ns=(status.st_atime_ns, status.st_mtime_ns))
    process = site.run("make", "drill", check=False)
    assert process.returncode != 0
    assert f"uploads in {name} are not what was written: page.txt" in process.stdout
    assert "page.txt" in health(site)
    upload.write_text("whole\n")

    # Nobody takes the server away that Django looks at.
    in_drill(site, "python3", "-m", "ops.drill", "--keep")
    second = site.run("make", "drill", check=False)
    assert second.returncode != 0 and "another drill is running." in second.stdout
    assert "postgres" in servers_left(site)
    in_drill(site, "python3", "-m", "ops.drill", "--end")

    # Stopped half-way, nothing stays, and the next one works.
    running = site.start("make", "drill", env={})
    running.wait_for("is restored into", 60)
    running.process.terminate()
    assert running.end(60) != 0
    site.wait_until(lambda: servers_left(site) == [], 30)
    running = site.start("make", "drill", env={})
    running.wait_for("is restored into", 60)
    site.compose("kill", "drill")
    assert running.end(60) != 0
    site.compose("start", "drill")
    printed = site.run("make", "drill").stdout
    assert "compared: all rows are equal" in printed
    assert "Django applied the migrations of this code to it, and found nothing wrong" in printed
    assert not health(site) and servers_left(site) == []


def servers_left(site) -> list[str]:
    """Return what is left of the servers of drills."""
    found = "find /var/lib/drill -name server -o -name socket; grep -hx postgres /proc/*/comm"
    return in_drill(site, "sh", "-c", found, check=False).stdout.split()


def test_what_a_backup_runs_in_a_drill_gets_nowhere(site):
    assert in_drill(site, "ls", "/sys/class/net").stdout.split() == ["lo"]
    sockets_and_secrets = in_drill(site, "find", "/run", "-type", "s", "-o", "-path", "*secret*")
    assert sockets_and_secrets.stdout == ""
    settings = in_drill(site, "env").stdout
    for name in ("BACKUP_ACCESS_KEY", "BACKUP_REPOSITORY", "EMAIL_URL", "DOMAIN"):
        assert name not in settings
    written = in_drill(site, "touch", "/backups/new", check=False)
    assert written.returncode != 0 and "Read-only file system" in written.stdout


def test_a_lost_server_comes_back_from_the_copies_and_the_key(site, store, tmp_path):
    site.sql("INSERT INTO notes VALUES ('the last one')")
    in_uploads(site, "echo last > last.txt")
    name = make_backup(site)
    site.wait_until(lambda: f"off-site\t{name}" in listed(site), 90)
    site.sql("INSERT INTO notes VALUES ('after the backup')")
    secrets = {path.name: path.read_text() for path in (site.path / "secrets").glob("[!.]*")}
    repository, settings = site.setting("BACKUP_REPOSITORY"), site.read(".env")
    stack = site.stack
    site.compose("down", "--volumes", "--timeout", "5")
    # The new server has a clone, the key, and the account of the bucket.
    new = Project(tmp_path / site.slug)
    ignored = shutil.ignore_patterns(
        ".env", "[!.]*_key", "postgres_password", "email_url", "houseshop*"
    )
    shutil.copytree(site.path, new.path, ignore=ignored)
    for path in (new.path / "backups").glob("[!.]*"):
        shutil.rmtree(path)
    account = {"BACKUP_ACCESS_KEY": store.key, "BACKUP_CA_FILE": "/project/authority.pem"}

    def recover(*words: str):
        return new.run("make", "recover", *words, check=False, env=account)

    assert "Not recovered: FROM is the BACKUP_REPOSITORY" in recover().stdout
    no_key = recover(f"FROM={repository}")
    assert (
        "Not recovered: write the key of the copies to secrets/backup_key first." in no_key.stdout
    )
    (new.path / "secrets/backup_secret_key").write_text(secrets["backup_secret_key"])
    (new.path / "secrets/backup_key").write_text("wrong\n")
    wrong = recover(f"FROM={repository}")
    assert wrong.returncode != 0 and "wrong password or no key found" in wrong.stdout
    (new.path / "secrets/backup_key").write_text(secrets["backup_key"])
    # Not over the data of another clone.
    volume = ("docker", "volume", "create", "--label", f"com.docker.compose.project={stack}")
    new.run(*volume, f"{stack}_media")
    for _ in range(2):
        assert (
            f"this machine has volumes of {stack} already" in recover(f"FROM={repository}").stdout
        )
    new.run("docker", "volume", "rm", f"{stack}_media")
    shutil.rmtree(new.path / name)
    # Killed while it fetches, and Ctrl-C three times: nothing is left, and it can be repeated.
    command = ("python3", "-m", "ops.host", "recover", repository)
    there = ("docker", "ps", "--all", "--quiet", "--filter", f"volume={new.path}/backups")
    running = new.start(*command, env=account)
    running.wait_for("Fetching backups/", 120)
    running.process.kill()
    running.end()
    wait_until(lambda: not new.run(*there).stdout, 60, running.printed)
    terminal = new.in_terminal("env", *(f"{k}={v}" for k, v in account.items()), *command)
    terminal.wait_for("Fetching backups/")
    for _ in range(3):
        terminal.press_ctrl_c()
    assert terminal.end() == 130, terminal.shown
    assert not new.run(*there).stdout
    # Interrupted after the fetch, it goes on from there, and with nothing else.
    running = new.start(*command, env=account)
    wait_until(lambda: (new.path / name / "project").exists(), 120, running.printed)
    running.process.terminate()
    assert running.end(60) == 143

    other = recover(f"FROM={repository}", "FILE=backups/another")
    assert "Complete it with the same FROM and FILE" in other.stdout
    process = recover(f"FROM={repository}")

    try:
        assert process.returncode == 0, process.stdout
        assert f"Recovered {name}. What was written after it is lost." in process.stdout
        new.port = int(new.setting("HTTPS_PORT"))
        assert new.read(".env") == settings
        assert {p.name: p.read_text() for p in (new.path / "secrets").glob("[!.]*")} == secrets
        assert not list(new.path.glob("backups/*/project"))
        assert new.sql("SELECT text FROM notes ORDER BY 1") == "kept\nthe last one"
        assert new.request("/media/last.txt").text == "last\n"
        in_uploads(new, "echo new > new.txt")
        assert new.request("/health/ready").status == 200
        again = recover(f"FROM={repository}")
        assert again.returncode != 0 and "Not recovered: there is an .env here." in again.stdout
    finally:
        new.remove_from_engine()
