"""A test whose service is missing is skipped, or fails where the service is required."""

import os
import re
import subprocess
import sys

import pytest
from _pytest.mark.expression import Expression

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
        env=os.environ | {"PATH": os.devnull, "REQUIRE_TIERS": ""} | environment,
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
    for tiers in ("git", "all"):
        process = run_tests(NEEDS_GIT, REQUIRE_TIERS=tiers)
        assert process.returncode == 1
        assert "git tests are required here: no git: install Debian's git" in process.stdout


def test_messages_to_clients_begin_when_the_server_is_ready_over_tcp():
    assert "FATAL" not in messages_to_clients(FIRST_START + SECOND_START)
    message = 'db-1  | FATAL:  role "nobody" does not exist\n'
    assert message in messages_to_clients(FIRST_START + SECOND_START + message)
    with pytest.raises(AssertionError, match="never became ready"):
        messages_to_clients(FIRST_START)


GROUPED = """
import os

import pytest


@pytest.mark.parametrize("number", range(8))
@pytest.mark.xdist_group("one")
def test_is_where_the_others_of_its_group_are(number, tmp_path_factory):
    places = tmp_path_factory.getbasetemp().parent / "places"
    places.mkdir(exist_ok=True)
    (places / os.environ["PYTEST_XDIST_WORKER"]).touch()
    assert len(list(places.iterdir())) == 1
"""


def test_tests_of_one_group_run_in_one_process(tmp_path):
    (tmp_path / "test_grouped.py").write_text(GROUPED, encoding="utf-8")
    words = ("--numprocesses=2", "--dist=loadgroup", f"--rootdir={tmp_path}")
    process = run_tests(*words, f"--basetemp={tmp_path}/temporary", str(tmp_path))
    assert process.returncode == 0, process.stdout + process.stderr


# A plugin that prints each test with its marks.
PRINT_MARKS = """
def pytest_collection_finish(session):
    for item in session.items:
        print("test:", item.nodeid.replace(" ", "_"), *{mark.name for mark in item.iter_markers()})
"""


def selected(only: str, marks: dict[str, set[str]]) -> list[str]:
    """Return the tests that `make test` selects, of those with these marks."""
    words = ["make", "--dry-run", "test", f"ONLY={only}"]
    printed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # Two commands for the tests in the browser, and one for the others.
    expressions = [Expression.compile(text) for text in re.findall(r" -m '([^']*)'", printed)]
    assert len(expressions) == 3
    return [
        test
        for expression in expressions
        for test, found in marks.items()
        if expression.evaluate(lambda name, found=found: name in found)
    ]


def test_every_test_is_in_the_bare_run_the_one_after_it_or_the_long_one(tmp_path):
    (tmp_path / "print_marks.py").write_text(PRINT_MARKS)
    words = ("--collect-only", "--quiet", "-p", "print_marks")
    printed = run_tests(*words, PYTHONPATH=str(tmp_path)).stdout
    lines = [line.split()[1:] for line in printed.splitlines() if line.startswith("test: ")]
    marks = {test: set(found) for test, *found in lines}
    assert len(marks) == len(lines) > 1000
    everything, bare, rest, long, every_python = (
        selected(only, marks) for only in ("", "bare", "rest", "long", "every_python")
    )
    assert len(set(everything)) == len(everything)
    assert set(bare) | set(rest) | set(long) == set(everything)
    assert long and not set(long) & {*bare, *rest}
    assert set(bare) & set(rest) == set(every_python) and every_python
