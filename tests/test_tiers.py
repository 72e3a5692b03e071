"""A test whose service is missing is skipped, or fails where the service is required."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.processes import messages_to_clients
from tests.support.project import ROOT

NEEDS_GIT = "tests/test_repository.py::test_file_names_can_be_checked_out_on_windows"
FIRST_START = """
db-1  | LOG:  listening on Unix socket "/var/run/postgresql/.s.PGSQL.5432"
db-1  | FATAL:  terminating connection due to administrator command
db-1  | LOG:  database system is ready to accept connections
db-1  | LOG:  database system is shut down
db-1  | PostgreSQL init process complete; ready for start up.
"""
SECOND_START = """
db-1  | LOG:  listening on IPv4 address "0.0.0.0", port 5432
db-1  | LOG:  database system was shut down
db-1  | LOG:  database system is ready to accept connections
"""


def run_tests(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with an empty search path for programs."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        cwd=ROOT,
        env=os.environ | {"PATH": os.devnull, "REQUIRE_TIERS": "", "PASSED_BARE": ""} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_test_whose_service_is_missing_is_skipped_with_how_to_get_it():
    process = run_tests("-m", "bash or busybox or dash or git or openssl or stack")
    assert process.returncode == 0, process.stdout + process.stderr
    assert " failed" not in process.stdout and " passed" not in process.stdout
    for program in ("bash", "busybox", "dash", "git", "openssl"):
        assert f"no {program}: install Debian's {program}" in process.stdout
    assert "no Docker engine with Compose answers: start one" in process.stdout


def test_a_test_whose_service_is_required_fails_without_it():
    process = run_tests(NEEDS_GIT, REQUIRE_TIERS="git")
    assert process.returncode == 1
    assert "git tests are required here: no git: install Debian's git" in process.stdout


def test_messages_to_clients_begin_when_the_server_is_ready_over_tcp():
    assert "FATAL" not in messages_to_clients(FIRST_START + SECOND_START)
    message = 'db-1  | FATAL:  role "nobody" does not exist\n'
    assert message in messages_to_clients(FIRST_START + SECOND_START + message)
    with pytest.raises(AssertionError, match="never became ready"):
        messages_to_clients(FIRST_START)


@pytest.mark.parametrize(
    ("inside", "status", "message"),
    [
        ([["a", "collected"], ["a", "passed"], ["b", "skipped"]], 0, "2 tests here"),
        ([["a", "passed"]], 1, "missing: b"),
        ([["a", "passed"], ["a", "failed"], ["b", "skipped"]], 1, "failed: a"),
        ([["a", "passed"], ["b", "collected"]], 1, "collected: b"),
        ([["a", "passed"], ["b", "skipped"], ["c", "failed"]], 1, "failed: c"),
    ],
)
def test_a_bare_run_may_skip_tests_and_differ_in_nothing_else(tmp_path, inside, status, message):
    for name, lines in (("outside", [["a", "collected"], ["b", "collected"]]), ("inside", inside)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / name).write_text(text, encoding="utf-8")
    process = subprocess.run(
        [
            sys.executable,
            ROOT / "tests/support/outcomes.py",
            tmp_path / "outside",
            tmp_path / "inside",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == status, process.stderr
    assert message in process.stdout + process.stderr


def test_what_has_passed_in_a_bare_run_is_left_out_and_nothing_else(tmp_path):
    here, hooks = "tests/test_tiers.py::", "tests/test_hooks.py::"
    run_on_every_python = f"{hooks}test_the_defaults_have_no_problem"
    outcomes = {
        f"{here}test_messages_to_clients_begin_when_the_server_is_ready_over_tcp": "passed",
        f"{here}test_a_test_whose_service_is_missing_is_skipped_with_how_to_get_it": "skipped",
        f"{here}test_a_test_whose_service_is_required_fails_without_it": "failed",
        run_on_every_python: "passed",
    }
    lines = [[test, end] for test, end in outcomes.items()]
    # It passed, and then its teardown failed.
    torn_down = f"{here}test_what_has_passed_in_a_bare_run_is_left_out_and_nothing_else"
    lines += [[torn_down, "passed"], [torn_down, "failed"]]
    file = tmp_path / "passed"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    words = ("--collect-only", "--quiet", "tests/test_tiers.py", "tests/test_hooks.py")

    everything, rest = (
        {line for line in run_tests(*words, PASSED_BARE=passed).stdout.splitlines() if "::" in line}
        for passed in ("", str(file))
    )

    assert run_on_every_python in everything and len(everything) > 10
    assert everything - rest == {test for test in list(outcomes)[:1]}
    process = run_tests(*words, PASSED_BARE=str(tmp_path / "missing"))
    assert process.returncode == 4
    assert "PASSED_BARE names a file that .ci/bare makes: " in process.stdout + process.stderr
