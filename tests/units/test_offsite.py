"""Copies of the backups: what restic says becomes one line."""

import json

import pytest

LOCKED = "repository is already locked by PID 7 on backup by root\nlock was created at 07:26:56"


@pytest.mark.parametrize(
    ("errors", "hung", "expected"),
    [
        ("Fatal: wrong password or no key found\n", False, "wrong password or no key found"),
        (
            json.dumps({"message_type": "exit_error", "code": 10, "message": "Fatal: is gone"}),
            False,
            "is gone",
        ),
        (
            json.dumps({"message_type": "exit_error", "code": 11, "message": LOCKED}),
            False,
            "repository is already locked by PID 7 on backup by root",
        ),
        ("Load(<config>) retrying after 1s: no route\nFatal: ended\n", True, "no route"),
        (
            json.dumps({"item": "/backups/a", "error": {"message": "permission denied"}}),
            False,
            "/backups/a: permission denied",
        ),
    ],
)
def test_the_reason_is_one_line(ops, errors, hung, expected):
    assert ops.offsite.reason(errors, hung) == expected
