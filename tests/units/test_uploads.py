"""Uploads in backups: what is damaged does not spread, and what cannot be put back is said."""

import os
import shutil
from datetime import timedelta

import pytest


@pytest.fixture
def uploads(ops, tmp_path, monkeypatch):
    """The module, with folders for the live files and the backups."""
    monkeypatch.setattr(ops.uploads, "LIVE", tmp_path / "live")
    monkeypatch.setattr(ops.backups, "FOLDER", tmp_path / "backups")
    (tmp_path / "live/in").mkdir(parents=True)
    (tmp_path / "backups").mkdir()
    return ops.uploads


def write(path, text: str, age: float = 60) -> None:
    path.write_text(text)
    changed = path.stat().st_mtime_ns - int(age * 1e9)
    os.utime(path, ns=(changed, changed))


@pytest.fixture
def make(ops, uploads, tmp_path):
    """Make the uploads of a backup: make(number, *backups before it)."""

    def run(number: int, *previous):
        folder = tmp_path / f"backups/{number}"
        folder.mkdir()
        uploads.copy(folder, list(previous))
        return ops.backups.Backup(folder, ops.backups.now() + timedelta(seconds=number))

    return run


def test_a_file_that_did_not_change_takes_no_space_again(uploads, make, tmp_path):
    write(uploads.LIVE / "in/a b.txt", "one")
    write(uploads.LIVE / "new.txt", "two")
    (uploads.LIVE / "link").symlink_to("in/a b.txt")
    (uploads.LIVE / "in/gone").symlink_to("nowhere")
    first = make(1)
    # Without a change of size, and within the same second.
    changed = (uploads.LIVE / "new.txt").stat().st_mtime_ns + 1000
    (uploads.LIVE / "new.txt").write_text("TWO")
    os.utime(uploads.LIVE / "new.txt", ns=(changed, changed))

    second = make(2, first)

    media = second.folder / "media"
    assert (media / "in/a b.txt").samefile(first.folder / "media/in/a b.txt")
    assert (media / "new.txt").read_text() == "TWO"
    assert (first.folder / "media/new.txt").read_text() == "two"
    assert (
        os.readlink(media / "link") == "in/a b.txt" and os.readlink(media / "in/gone") == "nowhere"
    )
    assert uploads.damaged(first.folder) == uploads.damaged(second.folder) == []


def test_what_the_site_deletes_meanwhile_is_no_error(uploads, make, monkeypatch):
    write(uploads.LIVE / "a.txt", "kept")
    # In whatever order they are copied, some come after the file.
    folders = [uploads.LIVE / f"folder {number}" for number in range(20)]
    links = [uploads.LIVE / f"link {number}" for number in range(20)]
    for folder, link in zip(folders, links, strict=True):
        folder.mkdir()
        link.symlink_to("a.txt")
    copy = uploads.copy_or_link

    def delete(*args):
        for folder, link in zip(folders, links, strict=True):
            folder.rmdir()
            link.unlink()
        return copy(*args)

    monkeypatch.setattr(uploads, "copy_or_link", delete)
    assert (make(1).folder / "media/a.txt").read_text() == "kept"


def test_a_file_that_was_just_written_is_copied_again(uploads, make):
    """A change within the resolution of the clock keeps its time."""
    write(uploads.LIVE / "a.txt", "one", age=0)
    first = make(1)
    status = (uploads.LIVE / "a.txt").stat()
    (uploads.LIVE / "a.txt").write_text("two")
    os.utime(uploads.LIVE / "a.txt", ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert (make(2, first).folder / "media/a.txt").read_text() == "two"


@pytest.mark.parametrize("harm", ["changed", "deleted"])
def test_damage_is_named_and_does_not_spread(uploads, make, capsys, harm):
    for name in ("a.txt", "b.txt"):
        write(uploads.LIVE / name, "right")
    first = make(1)
    copy = first.folder / "media/a.txt"
    status = copy.stat()
    copy.write_text("wrong") if harm == "changed" else copy.unlink()
    if harm == "changed":
        os.utime(copy, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert uploads.damaged(first.folder) == ["a.txt"]

    second = make(2, first)

    assert f"DAMAGED: {copy} is not what was written." in capsys.readouterr().out
    assert (second.folder / "media/a.txt").read_text() == "right"
    assert uploads.damaged(second.folder) == []


def test_a_backup_of_an_older_release_is_compared_with_the_live_files(uploads, make):
    for name in ("same", "other"):
        write(uploads.LIVE / name, "right")
    first = make(1)
    (first.folder / "uploads.json").unlink()
    (first.folder / "media/other").write_text("wrong")
    second = make(2, first)
    assert (second.folder / "media/same").samefile(first.folder / "media/same")
    assert (second.folder / "media/other").read_text() == "right"


def test_what_is_missing_comes_back_and_nothing_else_changes(uploads, make, capsys):
    for name in ("in/a.txt", "kept.txt"):
        write(uploads.LIVE / name, "old")
    (uploads.LIVE / "link").symlink_to("kept.txt")
    before = make(1)
    write(uploads.LIVE / "later.txt", "later")
    after = make(2, before)
    shutil.rmtree(uploads.LIVE / "in")
    (uploads.LIVE / "later.txt").unlink()
    (uploads.LIVE / "link").unlink()
    write(uploads.LIVE / "kept.txt", "newer")

    uploads.put_back([before.folder, after.folder])

    assert capsys.readouterr().out == "Put 3 uploads back that were missing.\n"
    found = {path.name: path.read_text() for path in uploads.LIVE.rglob("*") if path.is_file()}
    assert found == {"a.txt": "old", "kept.txt": "newer", "link": "newer", "later.txt": "later"}
    assert (uploads.LIVE / "in/a.txt").stat().st_mode & 0o777 == 0o644
    assert (uploads.LIVE / "in").stat().st_mode & 0o777 == 0o755


def test_a_damaged_upload_is_not_put_back_unless_another_backup_has_it(ops, uploads, make):
    for name in ("a.txt", "b.txt"):
        write(uploads.LIVE / name, "right")
    first = make(1)
    # A copy of its own.
    shutil.copytree(first.folder, first.folder.with_name("2"))
    (first.folder / "media/a.txt").write_text("wrong")
    (first.folder / "media/b.txt").write_text("wrong")
    first.folder.with_name("2").joinpath("media/b.txt").unlink()
    for name in ("a.txt", "b.txt"):
        (uploads.LIVE / name).unlink()

    with pytest.raises(
        ops.process.Refused, match=r"^1 uploads could not be put back. The first is b.txt: "
    ):
        uploads.put_back([first.folder, first.folder.with_name("2")])

    assert [path.name for path in uploads.LIVE.iterdir() if path.is_file()] == ["a.txt"]
    assert (uploads.LIVE / "a.txt").read_text() == "right"
