"""What a TIME means, which moments can be reached, and which base backups the window needs."""

import os
from datetime import UTC, datetime, timedelta

import pytest

NOW = datetime(2026, 11, 30, 3, tzinfo=UTC)
SERVER = "pg18-7500000000000000000-00000001"


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-11-21 10:00:00", 0),
        ("2026-11-21 10:00:00.5", 500_000),
        ("2026-11-21 10:00:00.000001", 1),
    ],
)
def test_a_time_has_a_date_and_is_in_utc(ops, text, microsecond):
    found = ops.moment.parsed(text)
    assert found == datetime(2026, 11, 21, 10, 0, 0, microsecond, tzinfo=UTC)
    assert ops.moment.shown(found).startswith(text)


@pytest.mark.parametrize(
    "text",
    [
        "01:48:00 + 1 hour",
        "2026-11-21 10:00:00 + 1 hour",
        "2026-11-21 10:00",
        "2026-11-21T10:00:00",
        "2026-11-21 10:00:00+05",
        "2026-11-21 10:00:00 UTC",
        "2026-11-31 10:00:00",
        "2026-11-21 10:00:60",
        "2026-11-21 10:00:00.1234567",
        "٢٠٢٦-11-21 10:00:00",
        "21.11.2026 10:00:00",
        "yesterday",
        "--restore",
        "2026-11-21 10:00:00\n",
    ],
)
def test_any_other_text_is_no_time(ops, text):
    with pytest.raises(ops.process.Refused, match="TIME is a time in UTC, as in TIME='20"):
        ops.moment.parsed(text)


def test_a_time_is_also_said_in_the_zone_of_the_project(ops, import_ops):
    berlin = import_ops(deployment="compose", backup="continuous", timezone="Europe/Berlin")
    assert berlin.moment.local(NOW) == ", 2026-11-30 04:00:00 in Europe/Berlin"
    assert ops.moment.local(NOW) == ""


class Archive:
    """Histories in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def history(self, begin: datetime, bases: list[datetime], end: datetime, name: str = SERVER):
        folder = self.folder / f"{begin:%Y%m%dT%H%M%SZ}-{name}"
        for part in ("incoming", "wal", "base"):
            (folder / part).mkdir(parents=True)
        for base in bases:
            (folder / f"base/{base:%Y%m%dT%H%M%SZ}").mkdir()
        for file in (
            "wal/000000010000000000000001.zst",
            "incoming/000000010000000000000002.partial",
        ):
            (folder / file).touch()
            os.utime(folder / file, (end.timestamp(), end.timestamp()))
        return folder


@pytest.fixture
def archive(ops, tmp_path, monkeypatch) -> Archive:
    """An archive without a server."""

    def received():
        raise ops.process.Refused("The database does not answer.")

    monkeypatch.setattr(ops.wal, "ARCHIVE", tmp_path)
    monkeypatch.setattr(ops.wal, "received", received)
    return Archive(tmp_path)


def test_a_history_reaches_from_its_first_base_backup_to_its_last_write(ops, archive):
    bases = [NOW + timedelta(hours=hours) for hours in (1, 25)]
    archive.history(NOW, bases, NOW + timedelta(hours=30))
    (found,) = ops.moment.ranges()
    # The clock of files is a little behind.
    assert (found.begin, found.end) == (bases[0], NOW + timedelta(hours=30, milliseconds=10))
    assert found.history.major == "18" and not found.live
    assert found.history.segments() == [f"00000001000000000000000{number}" for number in (1, 2)]
    assert "  2026-11-30 04:00:00 UTC to 2026-12-01 09:00:00.010000 UTC" in ops.moment.described()


def test_what_no_base_backup_begins_cannot_be_reached(ops, archive):
    archive.history(NOW, [], NOW + timedelta(hours=1))
    # Its base backup is newer than all that was written: the clock was set back since.
    archive.history(NOW + timedelta(1), [NOW + timedelta(2)], NOW + timedelta(1))
    # A copy that somebody made, and a base backup of a clock that is ahead.
    archive.history(NOW, [NOW], NOW + timedelta(1), name=f"{SERVER}.copy")
    archive.history(NOW + timedelta(3), [ops.backups.now() + timedelta(300)], NOW + timedelta(4))
    assert ops.moment.ranges() == []
    with pytest.raises(ops.process.Refused, match="there is no base backup yet"):
        ops.moment.last()


def test_a_moment_is_in_one_of_the_histories_or_refused_with_the_list(ops, archive, capsys):
    hour = timedelta(hours=1)
    old = archive.history(NOW, [NOW], NOW + 5 * hour)
    new = archive.history(NOW + 6 * hour, [NOW + 7 * hour], NOW + 9 * hour)
    assert ops.moment.containing(NOW + hour).history.folder == old
    assert ops.moment.containing(NOW + 8 * hour).history.folder == new
    assert ops.moment.last().history.folder == new
    for outside in (NOW - hour, NOW + 6 * hour, NOW + 10 * hour):
        with pytest.raises(ops.process.Refused, match="UTC is not one of these moments"):
            ops.moment.containing(outside)
        assert "of PostgreSQL 18" in capsys.readouterr().out


def needed(ops, days: list[float], window: int, newer: int) -> float | None:
    """Return how old the base backup is that the window needs, of those that are so many days old."""
    bases = [ops.wal.Base(None, NOW - timedelta(day), 0, "") for day in days]
    found = ops.archive.needed(bases, NOW - timedelta(window), newer)
    return (NOW - found.time) / timedelta(1) if found else None


def test_the_window_needs_the_last_base_backup_before_it(ops):
    assert needed(ops, [10.5, 9.5, 8.5, 7.5, 6.5, 5.5], 7, 0) == 7.5
    assert needed(ops, [6.5, 5.5], 7, 0) is None


def test_nothing_is_too_old_without_as_many_newer_ones_as_the_window_has_days(ops):
    # A clock that jumped ahead by a month has made only two since.
    assert needed(ops, [33, 32, 31, 30, 1, 0], 3, 3) == 31
    assert needed(ops, [33, 32, 31, 30, 1, 0], 3, 7) is None


def test_a_base_backup_is_due_once_there_is_a_log(ops, archive, monkeypatch):
    assert not ops.archive.is_due(NOW)
    folder = archive.history(NOW, [], NOW)
    (archive.folder / ".current").write_text(f"{folder.name}\n")
    assert ops.archive.is_due(NOW)
    (folder / f"base/{NOW:%Y%m%dT%H%M%SZ}").mkdir()
    assert not ops.archive.is_due(NOW)
    assert ops.archive.is_due(NOW + timedelta(seconds=1))
