"""Which backups stay, and which file FILE names."""

from datetime import UTC, datetime, timedelta

import pytest

NOW = datetime(2026, 11, 30, 3, tzinfo=UTC)


def names(found) -> list[str]:
    return [backup.name for backup in found]


def make(ops, *ages_in_hours: float):
    """Return backups of these ages, the newest last."""
    times = sorted(NOW - timedelta(hours=hours) for hours in ages_in_hours)
    return [ops.backups.Backup(ops.backups.FOLDER / str(time), time) for time in times]


def test_backups_made_within_the_days_stay_however_many_they_are(ops):
    found = make(ops, *range(0, 24 * 6, 3))
    assert ops.backups.surplus(found, 7, NOW) == []


def test_the_newest_stay_however_old_they_are(ops):
    found = make(ops, *(24 * days for days in range(100, 110)))
    assert ops.backups.surplus(found, 7, NOW) == found[:3]


def test_what_is_older_than_the_days_goes(ops):
    found = make(ops, *(24 * days + 1 for days in range(10)))
    assert names(ops.backups.surplus(found, 7, NOW)) == names(found[:3])


def test_a_backup_with_a_time_in_the_future_counts_for_nothing(ops, tmp_path, monkeypatch):
    monkeypatch.setattr(ops.backups, "FOLDER", tmp_path)
    for time in (ops.backups.now(), ops.backups.now() + timedelta(days=400)):
        folder = tmp_path / f"shop-{ops.backups.compact(time)}-pg18.1"
        folder.mkdir()
        (folder / "about.json").write_text('{"database": "shop"}')
    assert len(ops.backups.all_of("shop")) == 1


def test_a_backup_that_was_renamed_counts_for_nothing_so_it_stays(ops, tmp_path, monkeypatch):
    monkeypatch.setattr(ops.backups, "FOLDER", tmp_path)
    name = "shop-20261130T030000Z-pg18.1"
    for folder in (name, f"keep-{name}", f"{name}-keep", f"{name}.bak", f"{name}keep", f"x{name}"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "about.json").write_text('{"database": "shop"}')
    assert [backup.name for backup in ops.backups.all_of("shop")] == [name]


@pytest.mark.parametrize("version", ["18.1", "18", "19beta2", "19rc1"])
def test_all_names_of_backups_are_found(ops, tmp_path, monkeypatch, version):
    monkeypatch.setattr(ops.backups, "FOLDER", tmp_path)
    made = ops.backups.prefix("Café (old) 1") + f"-20261130T030000Z-pg{version}"
    (tmp_path / made).mkdir()
    (tmp_path / made / "about.json").write_text('{"database": "Café (old) 1"}')
    assert [backup.name for backup in ops.backups.all_of("Café (old) 1")] == [made]


def test_half_of_a_backup_that_a_kill_left_counts_for_nothing(ops, tmp_path, monkeypatch):
    monkeypatch.setattr(ops.backups, "FOLDER", tmp_path)
    folder = tmp_path / ".removing.shop-20261130T030000Z-pg18.1"
    folder.mkdir()
    (folder / "about.json").write_text('{"database": "shop"}')
    assert ops.backups.all_of("shop") == []


def test_two_commands_remove_the_same_backup(ops, tmp_path, monkeypatch):
    monkeypatch.setattr(ops.backups, "FOLDER", tmp_path)
    (tmp_path / "one").mkdir()
    one = ops.backups.Backup(tmp_path / "one", ops.backups.now())
    ops.backups.remove([one])
    ops.backups.remove([one])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["a", "backups/a", "./backups/a", "backups/a/"])
def test_file_names_a_backup_in_any_form_that_a_shell_completes(ops, tmp_path, monkeypatch, text):
    monkeypatch.setattr(ops.backups, "FOLDER", tmp_path)
    (tmp_path / "a").touch()
    assert ops.backups.named(text) == tmp_path / "a"


@pytest.mark.parametrize("text", ["", "backups/", "../a", "/etc/passwd", ".partial", "missing"])
def test_file_that_names_no_backup_is_refused(ops, tmp_path, monkeypatch, text):
    monkeypatch.setattr(ops.backups, "FOLDER", tmp_path)
    with pytest.raises(ops.process.Refused, match="FILE"):
        ops.backups.named(text)
