"""Copies off-site, in the container of backup and with a real store: what is copied, lost, hung or damaged is said.

No database is needed: a copy is one of files.
"""

import datetime
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import Running
from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("copies")]

NO_RIGHTS = ("--cap-drop=DAC_OVERRIDE", "--cap-drop=DAC_READ_SEARCH")


class Server:
    """A server of a site: its folders, without containers that run all the time."""

    def __init__(self, folder: Path, image: tuple[str, Path], store):
        self.image, self.package = image
        self.folder, self.store = folder, store
        self.backups = folder / "backups"
        self.secrets = folder / "project/secrets"
        for path in (self.backups, self.secrets, folder / "uploads"):
            path.mkdir(parents=True)
        (folder / "project/.env").write_text("DOMAIN=shop.example\n")
        (folder / "project/authority.pem").write_bytes(store.authority.read_bytes())
        (self.secrets / "backup_key").write_text("the key\n")
        (self.secrets / "backup_secret_key").write_text(f"{store.secret}\n")
        self.bucket = store.bucket / folder.name
        self.settings = {
            "POSTGRES_DB": "shop",
            "BACKUP_REPOSITORY": f"s3:{store.url}/{store.bucket.name}/{folder.name}",
            "BACKUP_ACCESS_KEY": store.key,
            "BACKUP_CA_FILE": "/project/authority.pem",
        }

    def command(self, *words: str, options: tuple[str, ...] = (), **settings: str) -> list[str]:
        """Return a command that runs one in the container of backup."""
        mounts = {
            self.package: "/ops:ro",
            self.backups: "/backups",
            self.folder / "project": "/project:ro",
            self.folder / "uploads": "/srv/media",
        }
        command = ["docker", "run", "--rm", "--init", *options]
        for source, target in mounts.items():
            command.append(f"--volume={source}:{target}")
        for name, value in (self.settings | settings).items():
            command += ["--env", f"{name}={value}"]
        return [*command, "--entrypoint", words[0], self.image, *words[1:]]

    def run(self, *words: str, check: bool = True, **options):
        """Run a module of the package: run("ops.offsite", "copies")."""
        command = self.command("python3", "-m", *words, **options)
        process = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert not check or process.returncode == 0, process.stdout
        assert "Traceback" not in process.stdout, process.stdout
        return process

    def copies(self, check: bool = True, **options):
        return self.run("ops.offsite", "copies", check=check, **options)

    def restic(self, command: str) -> str:
        """Run restic as somebody does who has the key."""
        names = (
            "RESTIC_REPOSITORY=$BACKUP_REPOSITORY RESTIC_PASSWORD_FILE=/project/secrets/backup_key "
        )
        names += "AWS_ACCESS_KEY_ID=$BACKUP_ACCESS_KEY SSL_CERT_FILE=$BACKUP_CA_FILE "
        names += "AWS_SECRET_ACCESS_KEY=$(cat /project/secrets/backup_secret_key)"
        script = f"export {names}; {command}"
        process = subprocess.run(
            self.command("sh", "-ec", script), capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    def backup(self, days_ago: float = 0) -> str:
        """Make what looks like a backup; return its name."""
        moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days_ago)
        name = f"shop-{moment:%Y%m%dT%H%M%SZ}-pg18.1"
        (self.backups / name / "media").mkdir(parents=True)
        (self.backups / name / "media/a.txt").write_text(name)
        (self.backups / name / "data").write_bytes(os.urandom(1000))
        (self.backups / name / "about.json").write_text('{"database": "shop", "bytes": 1000}')
        return name

    def lose(self, folder: Path) -> None:
        """Delete a folder of the bucket. The store would remember what was in it for some minutes."""
        self.store.stop()
        shutil.rmtree(folder, ignore_errors=True)
        self.store.start()

    def listed(self) -> list[str]:
        """Return the names of the copies."""
        printed = self.run("ops.offsite", "list").stdout
        return [line.partition("backups/")[2] for line in printed.splitlines()]

    def memory(self) -> dict:
        return json.loads((self.backups / ".copies.json").read_text())


@pytest.fixture
def server(tmp_path, image, store) -> Server:
    return Server(tmp_path / Project.unused_slug(), image, store)


def test_each_backup_is_copied_once_the_newest_first(server):
    old, newer, newest = server.backup(2), server.backup(1), server.backup()
    printed = server.copies().stdout
    order = [f"Copied backups/{name} off-site." for name in (newest, newer, old)]
    assert [line for line in printed.splitlines() if line.startswith("Copied")] == order
    assert "Verified the copies in BACKUP_REPOSITORY." in printed
    assert server.copies().stdout == ""
    assert server.listed() == [newest, newer, old]
    # What its keeper has removed does not come back.
    server.restic("restic forget --group-by host --keep-last 1")
    another = server.backup(0.5)
    assert f"Copied backups/{another} off-site." in server.copies().stdout
    assert server.listed() == [newest, another]


def test_an_emptied_bucket_is_said_and_no_new_repository_made(server):
    first, second = server.backup(1), server.backup()
    server.copies()
    server.lose(server.bucket)
    third = server.backup(-0.01)

    for _ in range(2):
        process = server.copies(check=False)
        assert process.returncode == 1
        assert (
            "the repository in BACKUP_REPOSITORY is gone, and with it all copies" in process.stdout
        )
    assert "is gone" in server.run("ops.offsite", "check", check=False).stdout
    assert not server.bucket.exists()
    assert "is gone" in json.loads((server.backups / ".failing.copy").read_text())["error"]

    printed = server.run("ops.offsite", "new").stdout
    assert printed == "Made a new repository in BACKUP_REPOSITORY: it has no copies yet.\n"
    server.copies()
    assert server.listed() == [third, second, first]
    assert not (server.backups / ".failing.copy").exists()

    # Somebody else has made a new one.
    server.lose(server.bucket)
    server.restic("restic init")
    fourth = server.backup(-0.02)
    assert "is gone" in server.copies(check=False).stdout
    server.run("ops.offsite", "new")
    server.copies()
    assert server.listed() == [fourth, third, second, first]


def test_copies_that_are_gone_are_made_again(server):
    first, second = server.backup(1), server.backup()
    server.copies()
    server.lose(server.bucket / "snapshots")
    memory = server.memory() | {"seen": 0}
    (server.backups / ".copies.json").write_text(json.dumps(memory))
    printed = server.copies().stdout
    assert f"the copy of backups/{second} is gone from BACKUP_REPOSITORY" in printed
    assert server.listed() == [second, first]


def test_damage_in_the_repository_is_found(server):
    server.backup()
    server.copies()
    for path in (server.bucket / "data").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-5] + b"wrong")
    memory = server.memory() | {"verify": 0}
    (server.backups / ".copies.json").write_text(json.dumps(memory))
    process = server.copies(check=False)
    assert process.returncode == 1
    assert "the copies in BACKUP_REPOSITORY are not right: " in process.stdout
    assert (server.backups / ".failing.copies").exists()


def test_a_store_that_is_away_or_hangs_is_one_line_and_holds_nobody_up(server, store):
    name = server.backup()
    server.copies()
    later = server.backup(-0.01)
    # Larger than what waits on the way.
    (server.backups / later / "data").write_bytes(os.urandom(30_000_000))

    def check() -> str:
        process = server.run("ops.offsite", "check", check=False)
        assert process.returncode == 1, process.stdout
        (line,) = process.stdout.splitlines()
        assert line.startswith("Off-site: BACKUP_REPOSITORY cannot be used: ")
        return line

    os.kill(store.server.process.pid, signal.SIGSTOP)
    try:
        assert "no progress for 5 seconds" in check()
    finally:
        os.kill(store.server.process.pid, signal.SIGCONT)
    # It hangs in the middle of a copy.
    command = server.command("python3", "-m", "ops.offsite", "copies", OPS_STALL="2")
    copy = Running(command, server.folder, os.environ)
    copy.wait_for("Copying")
    os.kill(store.server.process.pid, signal.SIGSTOP)
    try:
        assert copy.end(120) == 1
        assert f"Off-site: backups/{later} is not copied: " in copy.printed()
    finally:
        os.kill(store.server.process.pid, signal.SIGCONT)
    store.stop()
    try:
        assert "connection refused" in check()
        assert (
            "the copies cannot be listed: " in server.run("ops.offsite", "list", check=False).stdout
        )
    finally:
        store.start()
    server.copies()
    assert server.listed() == [later, name]


def test_a_file_that_cannot_be_read_is_named_and_the_copy_does_not_count(server):
    name = server.backup()
    secret = server.secrets / "other_key"
    secret.write_text("secret")
    secret.chmod(0)
    os.chown(secret, 4000, 4000)
    process = server.copies(check=False, options=NO_RIGHTS)
    assert process.returncode == 1
    assert f"Off-site: backups/{name} is not copied: /project/secrets/other_key: " in process.stdout
    assert server.memory()["names"] == []
    assert f"Copied backups/{name} off-site." in server.copies().stdout


def test_a_copy_comes_back_whole_or_not_at_all(server, store):
    name, newer = server.backup(1), server.backup()
    (server.backups / newer / "data").write_bytes(os.urandom(30_000_000))
    server.copies()
    kept = {}
    for path in (server.backups / newer).rglob("*"):
        if path.is_file():
            kept[path.relative_to(server.backups)] = path.read_bytes()
    for folder in (name, newer):
        shutil.rmtree(server.backups / folder)
    assert server.run("ops.offsite", "fetch", "none").stdout == ""
    # Killed in the middle.
    fetch = server.command(
        "python3", "-m", "ops.offsite", "recover", "latest", options=("--name", server.folder.name)
    )
    running = Running(fetch, server.folder, os.environ)
    running.wait_for(f"Fetching backups/{newer} from off-site")
    os.kill(store.server.process.pid, signal.SIGSTOP)
    subprocess.run(["docker", "kill", server.folder.name], check=True, capture_output=True)
    os.kill(store.server.process.pid, signal.SIGCONT)
    running.end()
    assert not [path for path in server.backups.iterdir() if not path.name.startswith(".")]

    assert f"Fetched backups/{newer}." in server.run("ops.offsite", "recover", "latest").stdout

    project = server.backups / newer / "project"
    assert (project / ".env").read_text() == "DOMAIN=shop.example\n"
    assert (project / "secrets/backup_key").read_text() == "the key\n"
    shutil.rmtree(project)
    found = {
        path.relative_to(server.backups): path.read_bytes()
        for path in (server.backups / newer).rglob("*")
        if path.is_file()
    }
    assert found == kept
    assert not (server.backups / ".fetching").exists()
    server.run("ops.offsite", "fetch", name)
    assert not (server.backups / name / "project").exists()


def test_copies_of_an_older_release_can_be_fetched(server, tmp_path):
    """Made by offsite.sh of 1ce7adc: the live uploads beside the backup, and a note in it."""
    name = server.backup()
    address = server.settings["BACKUP_REPOSITORY"]
    (server.folder / "uploads/b.txt").write_text("live")
    paths = (
        f"--exclude /backups/{name}/media /backups/{name} /srv/media /project/.env /project/secrets"
    )
    server.restic(f"restic init; restic backup --host backup --tag {name} {paths}")
    note = subprocess.run(
        ["sha256sum"], check=True, input=f"{address}\n", capture_output=True, text=True
    ).stdout
    (server.backups / name / "copied.txt").write_text(note.split()[0] + "\n")
    # It is known, and not copied again.
    assert "Copied" not in server.copies().stdout
    (server.backups / ".copies.json").unlink()
    shutil.copytree(server.bucket, tmp_path / "kept")
    server.lose(server.bucket)
    assert "is gone" in server.copies(check=False).stdout
    shutil.copytree(tmp_path / "kept", server.bucket, dirs_exist_ok=True)
    server.lose(server.bucket / "nothing")
    shutil.rmtree(server.backups / name)

    server.run("ops.offsite", "recover", name)

    assert (server.backups / name / "media/b.txt").read_text() == "live"
    assert not (server.backups / name / "media/a.txt").exists()
    assert (server.backups / name / "project/.env").exists()


def test_uploads_that_do_not_fit_are_counted_and_named(server):
    name = server.backup()
    for number in range(4):
        (server.backups / name / f"media/{number}.bin").write_bytes(os.urandom(400_000))
    small = ("--mount", "type=tmpfs,destination=/srv/media/small,tmpfs-size=1m")
    script = "import sys; from pathlib import Path; from ops import uploads; "
    script += "uploads.LIVE = Path('/srv/media/small'); sys.argv = ['uploads', sys.argv[1]]; "
    script += "from ops import process; process.main(uploads.main, 'Not complete')"
    command = server.command("python3", "-c", script, name, options=small)
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert process.stdout == "Put 2 uploads back that were missing.\n"
    assert re.sub(r"\.put_back\.\w+", "NEW", process.stderr) == (
        "Not complete: 3 uploads could not be put back. The first is 2.bin: rsync: [receiver] write failed on "
        '"/srv/media/small/NEW/media/2.bin": No space left on device (28).\n'
    )


def test_the_log_is_copied_each_quarter_of_an_hour_and_fetched(server):
    history = server.backups / "archive/20261121T000000Z-pg18-7000000000000000000-00000001"
    for name in ("incoming", "wal", "base"):
        (history / name).mkdir(parents=True)
    (history / "wal/000000010000000000000001.zst").write_bytes(b"segment")
    (server.backups / "archive/.current").write_text(history.name)
    script = ("-c", "from ops import offsite_log; offsite_log.copies()")
    run = server.command("python3", *script)
    for _ in range(2):
        assert subprocess.run(run, capture_output=True, check=True).returncode == 0
    assert len(json.loads(server.restic("restic snapshots --json"))) == 1
    listed = server.run("ops.offsite_log", "list").stdout
    assert listed.startswith("off-site\tthe log up to 2")
    shutil.rmtree(history.parent)
    server.run("ops.offsite_log", "fetch")
    assert (history / "wal/000000010000000000000001.zst").read_bytes() == b"segment"
