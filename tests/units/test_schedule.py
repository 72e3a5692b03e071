"""What is due: the daily backup, and the drill of the week."""

from datetime import UTC, datetime, timedelta

import pytest

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time_of_day", "last"),
    {
        "03:00": "2026-11-30 03:00",
        "12:00": "2026-11-30 12:00",
        "12:01": "2026-11-29 12:01",
        "23:59": "2026-11-29 23:59",
    }.items(),
)
def test_a_backup_is_due_since_the_last_time_of_day(ops, time_of_day, last):
    assert f"{ops.schedule.last_time(time_of_day, NOW):%Y-%m-%d %H:%M}" == last


def test_pauses_after_failures_grow_up_to_an_hour(ops):
    pauses = [ops.schedule.pause(failures) for failures in range(12)]
    assert pauses[:4] == [10, 20, 40, 80]
    assert pauses == sorted(pauses)
    assert pauses[-1] == ops.schedule.pause(10_000) == 3600


def test_a_part_that_fails_goes_on_whatever_happened(ops, monkeypatch, capsys):
    class Stopping:
        def __init__(self):
            self.pauses = []

        def is_set(self):
            return len(self.pauses) == 4

        def wait(self, seconds):
            self.pauses.append(seconds)

    stopping = Stopping()
    monkeypatch.setattr(ops.process, "STOPPING", stopping)
    errors = iter([ops.process.Refused("the disk is full"), ZeroDivisionError(), None, OSError()])

    def part():
        if error := next(errors):
            raise error

    ops.schedule.repeat("Backup", part)
    assert stopping.pauses == [20, 40, 10, 20]
    assert "Backup: the disk is full\n" in capsys.readouterr().out


def result(
    passed: bool, ago: timedelta, name: str = "first", failures: int = 0
) -> dict[str, object]:
    time = (NOW - ago).strftime("%Y%m%dT%H%M%SZ")
    return {"passed": passed, "time": time, "name": name, "failures": failures}


@pytest.mark.parametrize(
    ("last", "is_due"),
    [
        (None, True),
        (result(True, timedelta(days=6)), False),
        (result(True, timedelta(days=7)), True),
        # The next backup of the week is not drilled.
        (result(True, timedelta(days=1), name="before"), False),
        # A failure is repeated with the next backup at once, and with the same one later and later.
        (result(False, timedelta(minutes=1), name="before", failures=9), True),
        (result(False, timedelta(minutes=1), failures=1), False),
        (result(False, timedelta(minutes=3), failures=1), True),
        (result(False, timedelta(hours=12), failures=10_000), False),
        (result(False, timedelta(days=1), failures=10_000), True),
        # The clock was ahead.
        (result(True, timedelta(days=-1)), True),
        (result(False, timedelta(days=-1), failures=9), True),
    ],
)
def test_a_drill_is_due_after_a_week_and_sooner_after_a_failure(ops, last, is_due):
    assert ops.drill.is_due(last, "first", NOW) is is_due
