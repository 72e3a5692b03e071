"""Uploads in backups: what is damaged does not spread, and what cannot be put back is said.

The functions run in the container of backup, as root, beside folders that others own.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import wait_until
from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("copies")]

SCRIPT = """
import json
from pathlib import Path
from ops import backups, process, uploads
def copy(*previous, to):
    folder = backups.FOLDER / to
    folder.mkdir(exist_ok=True)
    uploads.copy(folder, [backups.Backup(backups.FOLDER / name, backups.now()) for name in previous])
    backups.to_owner(folder)
def damaged(name):
    print(json.dumps(uploads.damaged(backups.FOLDER / name)))
def put_back(*names):
    uploads.put_back([backups.FOLDER / name for name in names])
"""
SLOW = "uploads.RSYNC = (*uploads.RSYNC, '--bwlimit=5M')"
SITE, OWNER = 10001, 1234
# With what is a pattern, a comment or the end of a line for a program.
NAMES = [
    "a b.txt",
    "#1; [x]*?.txt",
    "new\nline\r\\n.txt",
    "-n: FAILED",
    "in/ü.txt",
    "in/*",
    "bad\udcff",
]


class Uploads:
    """The folders of a site, and the container of backup."""

    def __init__(self, folder: Path, image: tuple[str, Path]):
        self.live, self.backups = folder / "live", folder / "backups"
        name, package = image
        for path, owner in ((self.live, SITE), (self.backups, OWNER)):
            path.mkdir()
            os.chown(path, owner, owner)
        (self.live / "in").mkdir()
        self.container = Project.unused_slug()
        command = ["docker", "run", "--detach", "--init", "--name", self.container]
        # As in compose.production.yaml.
        command += ["--read-only", "--cap-drop=ALL", "--tmpfs=/tmp", "--tmpfs=/small:size=1m"]
        for right in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"):
            command.append(f"--cap-add={right}")
        mounts = {package: "/ops:ro", self.live: "/srv/media", self.backups: "/backups"}
        command += [f"--volume={source}:{target}" for source, target in mounts.items()]
        command += ["--entrypoint=sleep", name, "infinity"]
        subprocess.run(command, check=True, capture_output=True)

    def command(self, call: str, before: str = "") -> list[str]:
        """Return a command that calls one of the functions of SCRIPT."""
        script = f"{SCRIPT}{before}\nprocess.main(lambda: {call}, 'Failed')"
        return ["docker", "exec", self.container, "python3", "-c", script]

    def run(self, call: str, before: str = "", check: bool = True):
        process = subprocess.run(
            self.command(call, before), capture_output=True, text=True, check=False, timeout=120
        )
        assert not check or process.returncode == 0, process.stderr
        assert "Traceback" not in process.stderr, process.stderr
        return process

    def copy(self, name: str, *previous: str) -> Path:
        """Make the uploads of a backup, as the last one after others; return its folder."""
        self.said = self.run(f"copy(*{previous!r}, to={name!r})").stdout
        return self.backups / name

    def damaged(self, name: str) -> list[str]:
        return json.loads(self.run(f"damaged({name!r})").stdout)

    def put_back(self, *names: str, before: str = "", check: bool = True):
        return self.run(f"put_back(*{names!r})", before, check)


@pytest.fixture
def uploads(tmp_path, image) -> Iterator[Uploads]:
    uploads = Uploads(tmp_path, image)
    yield uploads
    remove = ["docker", "rm", "--force", "--volumes", uploads.container]
    subprocess.run(remove, check=True, capture_output=True)


def write(path: Path, text: str | bytes, age: float = 60) -> None:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.chown(path, SITE, SITE)
    changed = path.stat().st_mtime_ns - int(age * 1e9)
    os.utime(path, ns=(changed, changed))


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_file_that_did_not_change_takes_no_space_again(uploads):
    write(uploads.live / "in/a b.txt", "one")
    write(uploads.live / "new.txt", "two")
    write(uploads.live / "newer.txt", "two")
    (uploads.live / "link").symlink_to("in/a b.txt")
    (uploads.live / "in/gone").symlink_to("nowhere")
    first = uploads.copy("1")
    # Without a change of size, and within the same second.
    changed = (uploads.live / "new.txt").stat().st_mtime_ns + 1000
    (uploads.live / "new.txt").write_text("TWO")
    os.utime(uploads.live / "new.txt", ns=(changed, changed))

    write(uploads.live / "newer.txt", "TWO", age=10)

    second = uploads.copy("2", "1")

    media = second / "media"
    assert (media / "in/a b.txt").samefile(first / "media/in/a b.txt")
    assert (media / "in/a b.txt").stat().st_uid == OWNER
    assert (media / "new.txt").read_text() == "TWO"
    assert (first / "media/new.txt").read_text() == "two"
    assert (
        os.readlink(media / "link") == "in/a b.txt" and os.readlink(media / "in/gone") == "nowhere"
    )
    assert uploads.damaged("1") == uploads.damaged("2") == []
    # It may be damage as well.
    assert [line.split()[1] for line in uploads.said.splitlines()] == ["/backups/1/media/new.txt"]


def test_what_the_site_deletes_meanwhile_is_no_error(uploads):
    # The copy of the first one takes seconds.
    write(uploads.live / "0.bin", os.urandom(20_000_000))
    write(uploads.live / "in/a.txt", "deleted")
    write(uploads.live / "in/z.txt", "deleted")
    (uploads.live / "in/link").symlink_to("a.txt")
    write(uploads.live / "z.txt", "kept")
    command = uploads.command("copy(to='1')", SLOW)
    with subprocess.Popen(command, text=True, stderr=subprocess.PIPE) as copy:
        wait_until(lambda: list(uploads.backups.glob("1/media/.0.bin.*")), 60, lambda: "")
        shutil.rmtree(uploads.live / "in")
        assert copy.communicate(timeout=60)[1] == ""
    assert copy.returncode == 0
    media = uploads.backups / "1/media"
    assert (media / "z.txt").read_text() == "kept" and (
        media / "0.bin"
    ).stat().st_size == 20_000_000
    assert not (media / "in/a.txt").exists() and not (media / "in/z.txt").exists()
    assert uploads.damaged("1") == []


def test_a_full_disk_is_a_failure_that_names_the_file(uploads):
    for number in range(4):
        write(uploads.live / f"{number}.bin", os.urandom(400_000))
    process = uploads.run("copy(to='1')", "backups.FOLDER = Path('/small')", check=False)
    assert process.returncode == 1
    assert process.stderr.startswith("Failed: rsync: ")
    assert '"/small/1/media/2.bin": No space left on device' in process.stderr


def test_a_file_that_was_just_written_is_copied_again(uploads):
    """A change within the resolution of the clock keeps its time."""
    write(uploads.live / "a.txt", "one", age=0)
    uploads.copy("1")
    status = (uploads.live / "a.txt").stat()
    (uploads.live / "a.txt").write_text("two")
    os.utime(uploads.live / "a.txt", ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert (uploads.copy("2", "1") / "media/a.txt").read_text() == "two"


@pytest.mark.parametrize("harm", ["changed", "cut", "deleted"])
def test_damage_is_named_and_does_not_spread(uploads, harm):
    for name in ("a.txt", "b.txt"):
        write(uploads.live / name, "right")
    copy = uploads.copy("1") / "media/a.txt"
    status = copy.stat()
    if harm == "deleted":
        copy.unlink()
    else:
        copy.write_text("wrong" if harm == "changed" else "ri")
        os.utime(copy, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert uploads.damaged("1") == ["a.txt"]

    second = uploads.copy("2", "1")

    # One that is not there is only found in a drill or a restore: it looks like a new upload.
    said = "DAMAGED: /backups/1/media/a.txt differs from the live file of the same second"
    assert uploads.said.startswith(said) == (harm != "deleted")
    assert (second / "media/a.txt").read_text() == "right"
    assert uploads.damaged("2") == []


@pytest.mark.parametrize("harm", ["", "x", "0" * 64 + "\n"])
def test_a_damaged_list_of_checksums_is_damage(uploads, harm):
    write(uploads.live / "a.txt", "right")
    list_ = uploads.copy("1") / "uploads.sha256"
    list_.write_text(f"{list_.read_text()}{harm}")
    assert uploads.damaged("1") == (["uploads.sha256"] if harm else [])


def test_a_backup_of_an_older_release_is_compared_with_the_live_files(uploads):
    for name in ("same", "other"):
        write(uploads.live / name, "right")
    first = uploads.copy("1")
    (first / "uploads.sha256").unlink()
    (first / "uploads.json").write_text('{"same": {"size": 5, "mtime_ns": 1, "sha256": "none"}}')
    (first / "media/other").write_text("wrong")
    second = uploads.copy("2", "1")
    assert (second / "media/same").samefile(first / "media/same")
    assert (second / "media/other").read_text() == "right"
    # Without a list that is compared, all comes back.
    assert uploads.damaged("1") == []
    (uploads.live / "same").unlink()
    uploads.put_back("1")
    assert (uploads.live / "same").read_text() == "right"


def test_what_is_missing_comes_back_and_nothing_else_changes(uploads):
    for name in ("in/a.txt", "kept.txt"):
        write(uploads.live / name, "old")
    (uploads.live / "link").symlink_to("kept.txt")
    uploads.copy("1")
    write(uploads.live / "later.txt", "later")
    uploads.copy("2", "1")
    shutil.rmtree(uploads.live / "in")
    (uploads.live / "later.txt").unlink()
    (uploads.live / "link").unlink()
    write(uploads.live / "kept.txt", "newer")
    uploads.live.chmod(0o711)

    assert uploads.put_back("1", "2").stdout == "Put 3 uploads back that were missing.\n"

    found = contents(uploads.live)
    assert found == {"in/a.txt": "old", "kept.txt": "newer", "link": "newer", "later.txt": "later"}
    assert os.readlink(uploads.live / "link") == "kept.txt"
    assert (uploads.live / "in/a.txt").stat().st_mode & 0o777 == 0o644
    assert (uploads.live / "in").stat().st_mode & 0o777 == 0o755
    assert uploads.live.stat().st_mode & 0o777 == 0o711
    assert {path.lstat().st_uid for path in uploads.live.rglob("*")} == {SITE}
    assert not list(uploads.live.glob(".put_back*"))


def test_uploads_with_the_names_of_what_restores_make_are_uploads(uploads):
    (uploads.live / ".put_back.abcdefgh").symlink_to("/tmp")
    os.chown(uploads.live / ".put_back.abcdefgh", SITE, SITE, follow_symlinks=False)
    write(uploads.live / ".put_back", "an upload")
    write(uploads.live / "a.txt", "old")
    first = uploads.copy("1")
    assert (first / "media/.put_back").read_text() == "an upload"
    (uploads.live / "a.txt").unlink()
    assert uploads.put_back("1").stdout == "Put 1 uploads back that were missing.\n"
    assert (uploads.live / ".put_back.abcdefgh").is_symlink()


def test_any_name_comes_back_and_its_damage_is_found(uploads):
    for name in NAMES:
        write(uploads.live / name, name.encode(errors="surrogateescape"))
    first = uploads.copy("1")
    assert uploads.damaged("1") == []
    shutil.copytree(first, uploads.backups / "2")
    for name in NAMES:
        (first / "media" / name).write_text("wrong")
    assert sorted(uploads.damaged("1")) == sorted(NAMES)
    for name in NAMES:
        (uploads.live / name).unlink()
    (uploads.live / "in").rmdir()

    process = uploads.put_back("1", check=False)
    assert process.stdout == "Put 0 uploads back that were missing.\n"
    assert f"{len(NAMES)} uploads could not be put back. The first is" in process.stderr
    assert "its copy is damaged." in process.stderr
    assert list(uploads.live.iterdir()) == []
    assert f"Put {len(NAMES)} uploads back" in uploads.put_back("1", "2").stdout
    for name in NAMES:
        assert (uploads.live / name).read_bytes() == name.encode(errors="surrogateescape")


def test_what_the_site_makes_meanwhile_stays(uploads):
    for name in ("a.txt", "in/b.txt", "other/c.txt"):
        (uploads.live / name).parent.mkdir(exist_ok=True)
        write(uploads.live / name, "old")
    uploads.copy("1")
    for path in list(uploads.live.iterdir()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    meanwhile = """
move = uploads.move
def site(*words):
    if not (uploads.LIVE / "in").exists():
        (uploads.LIVE / "in").mkdir()
        (uploads.LIVE / "in/b.txt").write_text("newer")
        (uploads.LIVE / "a.txt").write_text("newer")
    move(*words)
uploads.move = site
"""
    uploads.put_back("1", before=meanwhile)
    found = contents(uploads.live)
    assert found == {"a.txt": "newer", "in/b.txt": "newer", "other/c.txt": "old"}


def test_a_kill_leaves_no_half_of_a_file_and_the_next_run_completes(uploads):
    write(uploads.live / "0.bin", os.urandom(20_000_000))
    write(uploads.live / "z.txt", "small")
    uploads.copy("1")
    for name in ("0.bin", "z.txt"):
        (uploads.live / name).unlink()
    with subprocess.Popen(uploads.command("put_back('1')", SLOW)) as running:
        wait_until(lambda: list(uploads.live.glob(".put_back.*/media/.0.bin.*")), 60, lambda: "")
        kill = ["docker", "exec", uploads.container, "sh", "-c", "kill -KILL $(pidof python3)"]
        subprocess.run(kill, check=True)
        assert running.wait(60) == 137
    assert {path.name[:10] for path in uploads.live.iterdir()} == {".put_back.", "in"}
    uploads.copy("2", "1")
    assert [path.name for path in (uploads.backups / "2/media").iterdir()] == ["in"]
    assert uploads.put_back("1").stdout == "Put 2 uploads back that were missing.\n"
    assert sorted(path.name for path in uploads.live.iterdir()) == ["0.bin", "in", "z.txt"]
    assert (uploads.live / "0.bin").stat().st_size == 20_000_000


def test_a_damaged_upload_is_not_put_back_unless_another_backup_has_it(uploads):
    for name in ("a.txt", "b.txt"):
        write(uploads.live / name, "right")
    first = uploads.copy("1")
    # A copy of its own.
    shutil.copytree(first, first.with_name("2"))
    (first / "media/a.txt").write_text("wrong")
    (first / "media/b.txt").write_text("wrong")
    first.with_name("2").joinpath("media/b.txt").unlink()
    for name in ("a.txt", "b.txt"):
        (uploads.live / name).unlink()

    process = uploads.put_back("1", "2", check=False)

    assert process.returncode == 1
    reason = "Failed: 1 uploads could not be put back. The first is b.txt: its copy is damaged.\n"
    assert process.stderr == reason
    assert contents(uploads.live) == {"a.txt": "right"}
